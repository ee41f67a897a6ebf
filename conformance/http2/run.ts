import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { startEchoServer } from "./echo-server.ts";

/**
 * h2spec, all sections, strict, against our HTTP/2 server without anything above it. Installs h2spec with `go install`
 * when it is not there yet. `node conformance/http2/run.ts [--verbose]`; the last line is `N passed, N failed`.
 */
const isVerbose = process.argv.includes("--verbose");
const toolsPath = path.join(import.meta.dirname, "..", ".tools");
const h2specPath = path.join(toolsPath, "h2spec");
const module = "github.com/summerwind/h2spec/cmd/h2spec@latest";

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function install(): void {
  const { status, error } = spawnSync("go", ["install", module], {
    env: { ...process.env, GOBIN: toolsPath },
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (status !== 0) {
    throw new Error(`h2spec could not be installed: \`go install ${module}\` failed; is Go installed?`, {
      cause: error,
    });
  }
}

async function runH2spec(port: number): Promise<string> {
  const child = spawn(h2specPath, ["--host", "127.0.0.1", "--port", String(port), "--strict", "--timeout", "5"]);
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  await new Promise<void>((resolve, reject) => child.on("error", reject).on("close", () => resolve()));
  return output;
}

if (!existsSync(h2specPath)) install();
const server = await startEchoServer();
try {
  const output = await runH2spec(server.port);
  const totals = /(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed/.exec(output);
  if (totals === null) throw new Error(`h2spec did not finish:\n${output}`);
  const passed = Number(totals[2]);
  // A skipped case proves nothing, so it does not count as passed.
  const failed = Number(totals[3]) + Number(totals[4]);
  if (isVerbose || failed > 0) say(output);
  say(`${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
} finally {
  await server.close();
}
