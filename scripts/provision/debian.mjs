// Installs Debian packages, when this is Debian (or its like) and root, and sees to it that no service is left running.
import { spawnSync } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { remainingMs, say } from "./finding.mjs";

const policyFile = "/usr/sbin/policy-rc.d";
/** Debian's own way to say so: packages ask this program before they start a service; 101 means no. */
const policy =
  "#!/bin/sh\n# Written by trunkline's scripts/provision.mjs while it installs; safe to remove.\nexit 101\n";

/** @type {string | undefined} */
let updateFailure;
let isUpdated = false;

/** @param {string[]} args @returns {string | undefined} why it failed */
function aptGet(args) {
  // Waits for another installation on this machine instead of failing.
  const { status, stderr, error } = spawnSync("apt-get", ["-o", "DPkg::Lock::Timeout=120", ...args, "-qq"], {
    encoding: "utf8",
    stdio: ["ignore", "ignore", "pipe"],
    timeout: remainingMs(),
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
  if (status === 0) return undefined;
  return `apt-get ${args[0]} failed: ${error?.message ?? stderr.trim().split("\n").at(-1)}`;
}

/** Runs with starting of services forbidden, if possible. @template T @param {() => T} install @returns {T} */
function withoutServices(install) {
  if (existsSync(policyFile)) return install();
  const undo = () => rmSync(policyFile, { force: true });
  // A signal ends the process without `finally`.
  const undoAndEnd = () => {
    undo();
    process.exit(1);
  };
  writeFileSync(policyFile, policy, { mode: 0o755 });
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, undoAndEnd);
  try {
    return install();
  } finally {
    undo();
    for (const signal of ["SIGINT", "SIGTERM"]) process.removeListener(signal, undoAndEnd);
  }
}

/** Where systemd runs, a package also has its service started at the next boot. @param {string} service */
function turnOff(service) {
  if (!existsSync("/run/systemd/system")) return;
  spawnSync("systemctl", ["disable", "--now", service], { stdio: "ignore", timeout: 30_000 });
}

/**
 * @param {{ packages: string[], services?: string[] }} what and the services that the packages would start
 * @returns {string | undefined} why it could not
 */
export function installPackages({ packages, services = [] }) {
  if (!existsSync("/usr/bin/apt-get")) return "there is no apt-get here";
  if (process.getuid?.() !== 0) return "only root may install it";
  say(`installing Debian's ${packages.join(", ")}`);
  if (!isUpdated) {
    isUpdated = true;
    updateFailure = aptGet(["update"]);
  }
  if (updateFailure !== undefined) return updateFailure;
  const failure = withoutServices(() => aptGet(["install", "--yes", "--no-install-recommends", ...packages]));
  for (const service of services) turnOff(service);
  return failure;
}
