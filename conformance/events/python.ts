import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

/** The clients that the guide's programs import. */
const packages = ["pika==1.3.2", "kafka-python==2.3.0"];

const target = join(import.meta.dirname, "../.tools/python-events");
const guide = join(import.meta.dirname, "guide");

/** Installs the packages where they are missing. Ends the process when that fails. */
export function providePython(): void {
  if (existsSync(join(target, "pika")) && existsSync(join(target, "kafka"))) return;
  process.stdout.write(`setup: ${packages.join(" ")}\n`);
  const args = ["-m", "pip", "install", "--quiet", "--no-input", "--target", target, ...packages];
  const { status, stderr, error } = spawnSync("python3", args, { encoding: "utf8" });
  if (status === 0) return;
  process.stderr.write(`installing (are Python 3 and pip there?): ${error?.message ?? stderr}\n`);
  process.exit(1);
}

/** Where a program of the guide lies. */
export function guideProgram(name: string): string {
  return join(guide, name);
}

export const pythonEnvironment: Readonly<Record<string, string>> = {
  PYTHONPATH: target,
  // What it prints is waited for.
  PYTHONUNBUFFERED: "1",
  PYTHONWARNINGS: "ignore::DeprecationWarning",
};
