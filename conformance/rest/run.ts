/**
 * schemathesis against the document of every service: `run.ts [service …] [--examples n]`. All its checks; nothing that it
 * finds is excused.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { services } from "./services.ts";

const version = "4.32.5";
const folder = import.meta.dirname;
const tools = join(folder, "../.tools/schemathesis");
const program = join(tools, "bin/schemathesis");

const args = process.argv.slice(2);
const at = args.indexOf("--examples");
const examples = at === -1 ? "100" : (args.splice(at, 2)[1] ?? "");
const names = args.length > 0 ? args : Object.keys(services);
const unknown = names.filter(name => !(name in services));
if (unknown.length > 0 || !/^[1-9][0-9]*$/.test(examples)) {
  process.stderr.write(`usage: run.ts [${Object.keys(services).join(" | ")} …] [--examples n]\n`);
  process.exit(2);
}

function step(title: string, command: string, parameters: readonly string[]): void {
  process.stdout.write(`setup: ${title}\n`);
  const { status, stderr, error } = spawnSync(command, parameters, { encoding: "utf8" });
  if (status === 0) return;
  process.stderr.write(`${title}: ${error?.message ?? stderr}\n`);
  process.exit(1);
}

if (!existsSync(program)) {
  step("a Python environment (are Python 3 and venv there?)", "python3", ["-m", "venv", tools]);
  step(`schemathesis ${version}`, join(tools, "bin/pip"), ["install", "--quiet", `schemathesis==${version}`]);
}

/** The numbers of the line `Test cases: N generated, M passed`, or of the failures. */
function judge(output: string, isOk: boolean): { readonly passed: number; readonly failed: number } {
  const generated = Number(/^\s*(\d+) generated/m.exec(output)?.[1] ?? 0);
  const failures = Number(/(\d+) (?:unique )?failures?/.exec(output)?.[1] ?? 0);
  const errors = Number(/(\d+) errors?,? /.exec(output)?.[1] ?? 0);
  const failed = failures + errors;
  return { passed: generated - failed, failed: failed === 0 && !isOk ? 1 : failed };
}

let passed = 0;
let failed = 0;
for (const name of names) {
  const server = services[name]?.();
  if (server === undefined) continue;
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  const parameters = [
    "--config-file",
    join(folder, "schemathesis.toml"),
    "run",
    `http://127.0.0.1:${port}/openapi.json`,
  ];
  const options = ["--checks", "all", "--max-examples", examples, "--suppress-health-check", "all", "--no-color"];
  const child = spawn(program, [...parameters, ...options], {
    cwd: tools,
    env: { ...process.env, SCHEMATHESIS_HOOKS: join(folder, "hooks.py") },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  const status = await new Promise<number | null>(resolve => child.on("close", resolve));
  await server.close();
  const result = judge(output, status === 0);
  // A run that has looked at nothing has not passed.
  if (result.passed < 50 && result.failed === 0) failed++;
  passed += result.passed;
  failed += result.failed;
  if (status !== 0) process.stdout.write(output);
  process.stdout.write(`${name}: ${result.passed} passed, ${result.failed} failed\n`);
}
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exit(failed === 0 ? 0 : 1);
