// Finds the programs that some tests need beside npm packages, and installs what is missing where it may. Says what it does;
// tests read the outcome from `outcomeFile` (test/provisioned.ts). Runs before `npm test`, after set-up; needs Node >= 20.
//
// For each program, in this order: the path in its environment variable; one that is installed; Debian's package, when this is
// Debian and root. Where none of them helps, the tests that need it are skipped with the reason; with CI=true that is a failure.
import { spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
export const outcomeFile = join(root, "node_modules/.trunkline-provisioned.json");

/** Installing anything must not hold up a test run for longer than this. */
const installTimeoutMs = 240_000;

/**
 * @typedef {object} Program
 * @property {string} name what tests ask for
 * @property {string} variable the environment variable that names another path
 * @property {string[]} commands what it may be called
 * @property {string[]} versionArguments what makes it print its version and end
 * @property {string} debianPackage
 * @typedef {{ path: string, version: string } | { reason: string }} Outcome
 */

/** @type {Program[]} */
export const programs = [
  {
    name: "chromium",
    variable: "CHROMIUM_PATH",
    commands: ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"],
    versionArguments: ["--version"],
    debianPackage: "chromium",
  },
];

/** @param {string} message */
const say = message => process.stdout.write(`provision: ${message}\n`);

/** The version that a program prints, or `undefined` when it does not run. @param {Program} program @param {string} path */
function versionOf({ versionArguments }, path) {
  const { status, stdout } = spawnSync(path, versionArguments, { encoding: "utf8", timeout: 20_000 });
  return status === 0 ? stdout.trim().split("\n", 1)[0] : undefined;
}

/** @param {Program} program @returns {Outcome | undefined} */
function installed(program) {
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    for (const command of program.commands) {
      const path = join(folder, command);
      const version = folder !== "" && existsSync(path) ? versionOf(program, path) : undefined;
      if (version !== undefined) return { path, version };
    }
  }
  return undefined;
}

/** @param {string[]} args */
function aptGet(args) {
  const { status, stderr, error } = spawnSync("apt-get", [...args, "-qq"], {
    encoding: "utf8",
    stdio: ["ignore", "ignore", "pipe"],
    timeout: installTimeoutMs,
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
  if (status === 0) return undefined;
  return `apt-get ${args[0]} failed: ${error?.message ?? stderr.trim().split("\n").at(-1)}`;
}

/** @param {Program} program @returns {string | undefined} why it could not */
function install({ name, debianPackage, variable }) {
  const advice = `install ${debianPackage}, or set ${variable} to its path`;
  if (!existsSync("/usr/bin/apt-get")) return `${name} is not installed, and there is no apt-get here: ${advice}`;
  if (process.getuid?.() !== 0) return `${name} is not installed, and only root may: ${advice}`;
  say(`installing Debian's ${debianPackage}`);
  const failure = aptGet(["update"]) ?? aptGet(["install", "--yes", "--no-install-recommends", debianPackage]);
  return failure === undefined ? undefined : `${failure}; ${advice}`;
}

/** @param {Program} program @returns {Outcome} */
export function provide(program) {
  const named = process.env[program.variable];
  if (named !== undefined && named !== "") {
    const version = versionOf(program, named);
    return version === undefined
      ? { reason: `${program.variable} is ${named}, which does not run` }
      : { path: named, version };
  }
  const found = installed(program);
  if (found !== undefined) return found;
  const failure = install(program);
  return installed(program) ?? { reason: failure ?? `${program.debianPackage} was installed, but does not run` };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  /** @type {Record<string, Outcome>} */
  const outcomes = {};
  for (const program of programs) {
    const outcome = provide(program);
    outcomes[program.name] = outcome;
    if ("path" in outcome) say(`${program.name}: ${outcome.version} at ${outcome.path}`);
    else say(`${program.name}: tests that need it are skipped: ${outcome.reason}`);
  }
  writeFileSync(outcomeFile, JSON.stringify(outcomes));
  const missing = Object.keys(outcomes).filter(name => "reason" in outcomes[name]);
  if (missing.length > 0 && process.env.CI === "true") {
    say(`with CI=true everything must be there; missing: ${missing.join(", ")}`);
    process.exit(1);
  }
}
