// Makes a checkout ready to run: installs the dependencies and generates code from the .proto files, each only when it
// is missing or out of date. Runs before `npm start`, `npm test` and `npm run check`; needs Node >= 20 and npm only.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const stampFile = join(root, "node_modules/.trunkline-setup");
const nodeMajorMin = 20;

/** What `npm ci` must have left behind: the Node that runs everything else comes from a script of its package. */
const installed = ["node_modules/.package-lock.json", "node_modules/.bin/node", "node_modules/.bin/buf"];
const generated = ["src/contract/gen", "examples/shop/src/gen", "test/gen"];
const generatedFrom = [
  "proto",
  "examples/shop/proto",
  "test/proto",
  "scripts/generate.mjs",
  "scripts/print-proto.mjs",
  "package-lock.json",
];

/** @param {string} message */
function say(message) {
  process.stdout.write(`setup: ${message}\n`);
}

/** @param {string} message @returns {never} */
function fail(message) {
  process.stderr.write(`setup: ${message}\n`);
  process.exit(1);
}

/** Every file at or below a path, in a stable order. @param {string} path @returns {string[]} */
function filesOf(path) {
  if (!statSync(join(root, path)).isDirectory()) return [path];
  const names = readdirSync(join(root, path)).sort();
  return names.flatMap(name => filesOf(`${path}/${name}`));
}

/** Names and contents count. @param {string[]} paths */
function hashOf(paths) {
  const hash = createHash("sha256");
  for (const file of paths.flatMap(filesOf)) {
    const content = readFileSync(join(root, file));
    hash.update(`${file}\0${content.length}\0`).update(content);
  }
  return hash.digest("hex");
}

/** @returns {{ installed?: string, generated?: string }} empty when there is none or it cannot be read */
function readStamp() {
  try {
    return JSON.parse(readFileSync(stampFile, "utf8"));
  } catch {
    return {};
  }
}

/** @param {string[]} paths */
const allExist = paths => paths.every(path => existsSync(join(root, path)));

/** Somebody ran `npm ci` or `npm install` since the lock file changed. */
function isInstalledByHand() {
  const modified = path => statSync(join(root, path)).mtimeMs;
  return allExist(installed) && modified("node_modules/.package-lock.json") >= modified("package-lock.json");
}

/** @param {string} what @param {string} command @param {string[]} args */
function run(what, command, args) {
  say(what);
  const startedAt = Date.now();
  const { status, signal, error } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (status !== 0) fail(`${what}: failed (${error?.message ?? signal ?? `exit code ${status}`})`);
  say(`${what}: done in ${((Date.now() - startedAt) / 1000).toFixed(1)} s`);
}

/** Runs npm and says what it said; what it has against the lock file is returned. @param {string[]} args */
function npm(args) {
  const all = [...args, "--include=dev", "--no-audit", "--no-fund"];
  say(`npm ${args.join(" ")}`);
  // Inside of an npm script this very npm is used, run by the Node that runs it, which is not the one in node_modules.
  const { npm_execpath: program, npm_node_execpath: node = process.execPath } = process.env;
  const [command, parameters] = program === undefined ? ["npm", all] : [node, [program, ...all]];
  const { status, stderr, error } = spawnSync(command, parameters, {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "inherit", "pipe"],
  });
  return { isOk: status === 0, said: error?.message ?? stderr, missing: missingInLock(stderr ?? "") };
}

/**
 * The packages that `npm ci` misses in the lock file, when that is all it has against it. A lock file made with a registry
 * that has the binaries of one platform only lacks the optional packages of the others. @param {string} said
 */
function missingInLock(said) {
  if (!said.includes("npm error code EUSAGE") || said.includes("npm error Invalid:")) return [];
  return [...said.matchAll(/^npm error Missing: (.+)@\S* from lock file$/gm)].map(([, name]) => name);
}

/** @param {string[]} names whether all are optional packages of what is locked */
function areOptional(names) {
  const { packages } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));
  const optional = new Set(Object.values(packages).flatMap(entry => Object.keys(entry.optionalDependencies ?? {})));
  return names.every(name => optional.has(name));
}

function install() {
  let result = npm(["ci"]);
  if (!result.isOk && result.missing.length > 0 && areOptional(result.missing)) {
    say(
      `package-lock.json lacks ${result.missing.length} optional packages of other platforms; installing without them`,
    );
    result = npm(["install", "--no-save"]);
  }
  if (!result.isOk) fail(`installing the dependencies failed:\n${result.said}`);
  const missing = installed.filter(path => !existsSync(join(root, path)));
  if (missing.length > 0) {
    fail(`npm left out ${missing.join(", ")}; install scripts and optional dependencies must be allowed`);
  }
}

if (Number.parseInt(process.versions.node, 10) < nodeMajorMin) {
  fail(`Node >= ${nodeMajorMin} is needed, this is ${process.versions.node}`);
}
let stamp = readStamp();
const lockHash = hashOf(["package-lock.json"]);
if (stamp.installed !== lockHash || !allExist(installed)) {
  if (stamp.installed !== undefined || !isInstalledByHand()) {
    install();
    stamp = {};
  }
  stamp.installed = lockHash;
  writeFileSync(stampFile, JSON.stringify(stamp));
}
const sourceHash = hashOf(generatedFrom);
if (stamp.generated !== sourceHash || !allExist(generated)) {
  run("code from .proto files", process.execPath, [join(root, "scripts/generate.mjs")]);
  stamp.generated = sourceHash;
  writeFileSync(stampFile, JSON.stringify(stamp));
}
