import { spawn, spawnSync } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import path from "node:path";
import process from "node:process";

/**
 * The Connect conformance suite against our server and our client: gRPC, gRPC-Web and Connect, HTTP/1.1 and HTTP/2, with
 * and without TLS and client certificates, all compressions. Installs the referee with `go install` when it is not there
 * yet and generates its messages anew. There is no list of known failures.
 *
 * `node conformance/rpc/run.ts [server|client] [arguments of connectconformance, e.g. --run "…"]`; without a role both are
 * judged. The last line is `N passed, N failed`.
 */
const folder = import.meta.dirname;
const root = path.join(folder, "../..");
const tools = path.join(folder, "../.tools");
const referee = path.join(tools, "connectconformance");
const module = "connectrpc.com/conformance";
const version = "v1.0.5";
const roles = ["server", "client"] as const;
type Role = (typeof roles)[number];

interface Totals {
  readonly passed: number;
  readonly failed: number;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function step(title: string, command: string, args: readonly string[], env: Readonly<Record<string, string>>): string {
  const { status, error, stdout, stderr } = spawnSync(command, args, {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, ...env },
  });
  if (status !== 0) throw new Error(`${title} failed:\n${stderr ?? ""}`, { cause: error });
  return stdout.trim();
}

function install(): void {
  if (existsSync(referee)) return;
  say(`installing connectconformance ${version}`);
  const package_ = `${module}/cmd/connectconformance@${version}`;
  step("installing connectconformance (is Go there?)", "go", ["install", package_], { GOBIN: tools });
}

/** The referee's protos come with its Go module. */
function generate(): void {
  const listed = step("finding the protos", "go", ["mod", "download", "-json", `${module}@${version}`], {});
  const { Dir: moduleFolder } = JSON.parse(listed) as { Dir: string };
  rmSync(path.join(folder, "gen"), { recursive: true, force: true });
  const template = JSON.stringify({
    version: "v2",
    plugins: [
      {
        local: "protoc-gen-es",
        out: "conformance/rpc/gen",
        opt: ["target=ts", "import_extension=ts", "erasable_syntax=true"],
      },
    ],
  });
  const bin = path.join(root, "node_modules/.bin");
  step("generating", path.join(bin, "buf"), ["generate", path.join(moduleFolder, "proto"), "--template", template], {
    PATH: `${bin}:${process.env.PATH}`,
  });
}

/** Lets the referee judge one side; what it prints is shown when it comes. An interruption ends the referee as well. */
async function judge(role: Role, args: readonly string[]): Promise<Totals> {
  say(`\n${role}: started`);
  const tested = [process.execPath, "--conditions=trunkline-source", path.join(folder, `${role}.ts`)];
  const config = path.join(folder, "config.yaml");
  const child = spawn(referee, ["--mode", role, "--conf", config, ...args, "--", ...tested]);
  const interrupted = (): void => {
    child.kill("SIGTERM");
    process.exitCode = 130;
  };
  process.once("SIGINT", interrupted).once("SIGTERM", interrupted);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      process.stdout.write(text);
    });
  }
  await new Promise<void>((resolve, reject) => child.on("error", reject).on("close", () => resolve()));
  process.off("SIGINT", interrupted).off("SIGTERM", interrupted);
  const totals = /(\d+) passed, (\d+) failed/.exec(output);
  if (totals === null) throw new Error(`connectconformance did not finish judging the ${role}`);
  const notRun = /Another (\d+) could not be run/.exec(output);
  return { passed: Number(totals[1]), failed: Number(totals[2]) + Number(notRun?.[1] ?? 0) };
}

const [first, ...others] = process.argv.slice(2);
const chosen = roles.filter(role => role === first);
install();
generate();
let passed = 0;
let failed = 0;
for (const role of chosen.length > 0 ? chosen : roles) {
  const totals = await judge(role, chosen.length > 0 ? others : process.argv.slice(2));
  say(`${role}: ${totals.passed} passed, ${totals.failed} failed`);
  passed += totals.passed;
  failed += totals.failed;
}
say(`${passed} passed, ${failed} failed`);
if (failed > 0 || passed === 0) process.exitCode = 1;
