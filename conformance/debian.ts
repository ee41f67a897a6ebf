import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import process from "node:process";

/** A program of a Debian package, installed when we are root. @throws Error that says how to install it */
export function debianProgram(name: string, debianPackage: string): string {
  const find = () => [`/usr/sbin/${name}`, `/usr/bin/${name}`, `/usr/local/bin/${name}`].find(path => existsSync(path));
  const installed = find();
  if (installed !== undefined) return installed;
  const hint = `${name} is missing: apt-get install ${debianPackage}`;
  if (process.getuid?.() !== 0) throw new Error(hint);
  process.stdout.write(`installing ${debianPackage}\n`);
  try {
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    execFileSync("apt-get", ["update", "-qq"], { stdio: "ignore", env });
    execFileSync("apt-get", ["install", "-y", "--no-install-recommends", debianPackage], { stdio: "ignore", env });
  } catch (cause) {
    throw new Error(hint, { cause });
  }
  const found = find();
  if (found === undefined) throw new Error(hint);
  return found;
}
