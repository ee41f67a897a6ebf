// Runs a referee: `node scripts/conformance.mjs asyncapi|codec|dns|events|grpc|http1|http2|kubernetes|rest|rpc|schema-registry [arguments of its run.ts]`. Sets up
// the checkout and the packages that only the referees need first. Needs Node >= 20 and npm only.
import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const folder = join(root, "conformance");
const [name = "", ...rest] = process.argv.slice(2);
const program = join(folder, name, "run.ts");

/** Ends this process with the status of a step that fails. @param {string} command @param {string[]} args */
function step(command, args, cwd = root) {
  const { status, error } = spawnSync(command, args, { cwd, stdio: "inherit" });
  if (error !== undefined) process.stderr.write(`${command}: ${error.message}\n`);
  if (status !== 0) process.exit(status ?? 1);
}

function isInstalled() {
  const lock = join(folder, "node_modules/.package-lock.json");
  return existsSync(lock) && statSync(lock).mtimeMs >= statSync(join(folder, "package-lock.json")).mtimeMs;
}

if (name === "" || !existsSync(program)) {
  process.stderr.write(`there is no referee "${name}": conformance/${name}/run.ts does not exist\n`);
  process.exit(2);
}
step(process.execPath, [join(root, "scripts/setup.mjs")]);
if (!isInstalled()) {
  process.stdout.write("setup: npm ci in conformance\n");
  step("npm", ["ci", "--workspaces=false", "--ignore-scripts", "--no-audit", "--no-fund"], folder);
}
step(join(root, "node_modules/.bin/node"), ["--conditions=trunkline-source", program, ...rest]);
