import { execFile } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

export const rootFolder: string = process.cwd();
const checkersFolder = join(rootFolder, "test/package/checkers");

/** A program of the checkout. */
export const ownProgram = (name: string): string => join(rootFolder, "node_modules/.bin", name);

/** A program of the checkers: what is too heavy, or too old, for the checkout's own packages. */
export const checker = (name: string): string => join(checkersFolder, "node_modules/.bin", name);

/** @returns what it wrote to its standard output; a failure says all that it wrote */
export async function run(folder: string, program: string, args: readonly string[], more: NodeJS.ProcessEnv = {}) {
  try {
    const env = { ...process.env, ...more };
    const { stdout } = await promisify(execFile)(program, args, { cwd: folder, env, maxBuffer: 2 ** 26 });
    return stdout;
  } catch (cause) {
    const { stdout = "", stderr = "" } = cause as { readonly stdout?: string; readonly stderr?: string };
    throw new Error(`${program} ${args.join(" ")} failed:\n${stdout}${stderr}`, { cause });
  }
}

/** Installs the checkers when their lock file is newer than what is there. */
export async function installCheckers(): Promise<void> {
  const installed = join(checkersFolder, "node_modules/.package-lock.json");
  const isCurrent =
    existsSync(installed) && statSync(installed).mtimeMs >= statSync(join(checkersFolder, "package-lock.json")).mtimeMs;
  if (!isCurrent) await run(checkersFolder, "npm", ["ci", "--workspaces=false", "--no-audit", "--no-fund"]);
}
