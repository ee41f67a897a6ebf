/**
 * The dependency rule: runs dependency-cruiser over src/ and fails on a violation. Also fails when it has not looked at
 * every source file, because dependency-cruiser passes silently over what it cannot parse.
 *
 *     node scripts/check-layers.ts
 */
import { execFile } from "node:child_process";
import { globSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

interface CruiseResult {
  readonly modules: readonly { readonly source: string; readonly dependencies: readonly unknown[] }[];
  readonly summary: {
    readonly violations: readonly {
      readonly from: string;
      readonly to: string;
      readonly rule: { readonly name: string };
      readonly comment?: string;
    }[];
    readonly ruleSetUsed?: {
      readonly forbidden?: readonly { readonly name?: string; readonly comment?: string }[];
    };
  };
}

async function cruise(): Promise<CruiseResult> {
  const command = join(root, "node_modules/.bin/depcruise");
  const args = [command, "--config", ".dependency-cruiser.cjs", "--output-type", "json", "src"];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root, maxBuffer: 2 ** 28 });
  return JSON.parse(stdout) as CruiseResult;
}

const files = globSync("src/**/*.ts", { cwd: root }).map(file => file.replaceAll("\\", "/"));
const { modules, summary } = await cruise();
const seen = new Set(modules.map(({ source }) => source));
const missed = files.filter(file => !seen.has(file));
const problems: string[] = [];
if (files.length === 0) problems.push("there is not one source file under src/");
for (const file of missed) problems.push(`${file}: dependency-cruiser did not read it`);
const dependencies = modules.reduce((count, module) => count + module.dependencies.length, 0);
if (dependencies === 0) problems.push("not one import was found: the parser does not work");

const comments = new Map(summary.ruleSetUsed?.forbidden?.map(rule => [rule.name, rule.comment]));
for (const { from, to, rule } of summary.violations) {
  problems.push(`${from} -> ${to}: ${rule.name}: ${comments.get(rule.name) ?? "forbidden"}`);
}
for (const problem of problems) process.stderr.write(`${problem}\n`);
process.stdout.write(`layers: ${files.length} files, ${dependencies} imports, ${problems.length} problems\n`);
if (problems.length > 0) process.exitCode = 1;
