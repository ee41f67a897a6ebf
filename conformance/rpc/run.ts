import { spawn, spawnSync } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import path from "node:path";

/**
 * The Connect conformance suite against our server: gRPC, gRPC-Web and Connect, HTTP/1.1 and HTTP/2, with and without
 * TLS. Installs the referee with `go install` when it is not there yet and generates its messages anew.
 * `node conformance/rpc/run.ts [arguments of connectconformance, e.g. --run "…"]`; the last line is
 * `N passed, N failed`. There is no list of known failures.
 */
const folder = import.meta.dirname;
const root = path.join(folder, "../..");
const tools = path.join(folder, "../.tools");
const referee = path.join(tools, "connectconformance");
const module = "connectrpc.com/conformance";
const version = "v1.0.5";

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
  step(
    "installing connectconformance (is Go there?)",
    "go",
    ["install", `${module}/cmd/connectconformance@${version}`],
    {
      GOBIN: tools,
    },
  );
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

async function judge(args: readonly string[]): Promise<string> {
  const server = [process.execPath, "--conditions=trunkline-source", path.join(folder, "server.ts")];
  const config = path.join(folder, "config.yaml");
  const child = spawn(referee, ["--mode", "server", "--conf", config, ...args, "--", ...server]);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  await new Promise<void>((resolve, reject) => child.on("error", reject).on("close", () => resolve()));
  return output;
}

install();
generate();
const output = await judge(process.argv.slice(2));
say(output);
const totals = /(\d+) passed, (\d+) failed/.exec(output);
if (totals === null) throw new Error("connectconformance did not finish");
const passed = Number(totals[1]);
const failed = Number(totals[2]);
say(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
