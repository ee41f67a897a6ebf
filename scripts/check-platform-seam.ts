/**
 * Fails when a source file reaches past the platform to the real clock, randomness, network or environment.
 *
 *     node scripts/check-platform-seam.ts
 */
import { globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findSeamViolations } from "./platform-seam.ts";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Who is beyond the seam (the shop's supervisor starts real processes), or may read the environment. */
const exempt: readonly RegExp[] = [
  /\.test\.ts$/,
  /^src\/platform\//,
  /^src\/simulation\//,
  /\/gen\//,
  /^examples\/shop\/src\/(start|processes\/service-process)\.ts$/,
];
const mayReadEnvironment: readonly RegExp[] = [/^src\/cli\//, /^examples\//];

const files = globSync(["src/**/*.ts", "examples/*/src/**/*.ts"], { cwd: root })
  .map(file => file.replaceAll("\\", "/"))
  .filter(file => !file.includes("node_modules") && !exempt.some(pattern => pattern.test(file)));
let problems = 0;
for (const file of files) {
  for (const { line, found, instead } of findSeamViolations(readFileSync(join(root, file), "utf8"))) {
    if (found === "process.env" && mayReadEnvironment.some(pattern => pattern.test(file))) continue;
    process.stderr.write(`${file}:${line}: ${found} belongs to the platform; use ${instead}\n`);
    problems++;
  }
}
if (files.length === 0) process.stderr.write("not one file was looked at\n");
process.stdout.write(`platform seam: ${files.length} files, ${problems} problems\n`);
if (problems > 0 || files.length === 0) process.exitCode = 1;
