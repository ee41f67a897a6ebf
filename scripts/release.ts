// Releases the version in package.json. Without an option nothing leaves this machine:
//     npm run release                  judges the checkout, tests it, packs it and says what would be published
//     npm run release -- --tag         the same, then tags the commit v<version>; pushing the tag starts the CI
//     npm run release -- --publish     in CI, on the tag: the same, then npm publish --provenance
//     --no-tests                       leaves out `npm run check` and `npm test`; not together with --publish or --tag
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { pack, stage } from "./stage.ts";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** What a release is judged by. */
export interface Candidate {
  readonly version: string;
  /** The manifest's `repository`; npm holds it against the place that the provenance names. */
  readonly repository: unknown;
  readonly changelog: string;
  /** `git status --porcelain`: a line for each file that is not as committed. */
  readonly changes: string;
  /** All tags, and those of the commit. */
  readonly tags: readonly string[];
  readonly tagsHere: readonly string[];
}

/** Why a candidate cannot be released, each with the way out; empty when it can. */
export function problemsOf(candidate: Candidate, isPublished: boolean): readonly string[] {
  const { version, repository, changelog, changes, tags, tagsHere } = candidate;
  const problems: string[] = [];
  const tag = `v${version}`;
  if (!/^\d+\.\d+\.\d+(-[0-9a-z.]+)?$/.test(version)) problems.push(`package.json: version "${version}" is no version`);
  if (repository === undefined) problems.push("package.json: there is no repository; provenance names it");
  const notes = notesOf(changelog, version);
  if (notes === undefined) {
    problems.push(`CHANGELOG.md has no "## [${version}] - YYYY-MM-DD"; rename "## [Unreleased]" and date it`);
  } else if (notes === "") {
    problems.push(`CHANGELOG.md says nothing of ${version}`);
  }
  if (changes !== "") problems.push(`the tree is not clean; commit or drop:\n${changes.trimEnd()}`);
  if (isPublished && !tagsHere.includes(tag)) problems.push(`this commit has no tag ${tag}; npm run release -- --tag`);
  if (!tagsHere.includes(tag) && tags.includes(tag))
    problems.push(`the tag ${tag} is on another commit; raise the version`);
  return problems;
}

/** What the changelog says of a version; `undefined` when it has no dated heading for it. */
export function notesOf(changelog: string, version: string): string | undefined {
  const sections = changelog.split(/^## /m).slice(1);
  const found = sections.find(text => text.startsWith(`[${version}] - `) && /^\S+ - \d{4}-\d{2}-\d{2}\n/.test(text));
  return found === undefined ? undefined : found.slice(found.indexOf("\n") + 1).trim();
}

/** Ends this process with the status of a step that fails; its output is seen. */
function step(command: string, args: readonly string[], folder = root): void {
  say(`${command} ${args.join(" ")}`);
  const { status, error } = spawnSync(command, args, { cwd: folder, stdio: "inherit" });
  if (status !== 0) fail([`${command} ${args.join(" ")}: ${error?.message ?? `exit code ${status}`}`]);
}

function git(...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync("git", args, { cwd: root, encoding: "utf8" });
  if (status !== 0) fail([`git ${args.join(" ")}: ${stderr}`]);
  return stdout;
}

function say(text: string): void {
  process.stdout.write(`release: ${text}\n`);
}

function fail(problems: readonly string[]): never {
  for (const problem of problems) process.stderr.write(`release: ${problem}\n`);
  process.exit(1);
}

function candidateHere(): Candidate {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    readonly version: string;
    readonly repository?: unknown;
  };
  const lines = (text: string) => text.split("\n").filter(line => line !== "");
  return {
    version: manifest.version,
    repository: manifest.repository,
    changelog: readFileSync(join(root, "CHANGELOG.md"), "utf8"),
    changes: git("status", "--porcelain"),
    tags: lines(git("tag", "--list")),
    tagsHere: lines(git("tag", "--points-at", "HEAD")),
  };
}

function release(): void {
  const { values } = parseArgs({
    options: {
      publish: { type: "boolean", default: false },
      tag: { type: "boolean", default: false },
      "no-tests": { type: "boolean", default: false },
      refuse: { type: "boolean", default: false },
    },
  });
  if (values.refuse) fail(["the checkout itself is not published; npm run release"]);
  const isReal = values.publish || values.tag;
  if (isReal && values["no-tests"]) fail(["--no-tests is for trying out; what is released is tested"]);
  if (values.publish && process.env.GITHUB_ACTIONS === undefined && process.env.GITLAB_CI === undefined) {
    fail(["--publish is for CI: only there npm can attest where the package was built; push the tag"]);
  }
  const candidate = candidateHere();
  const problems = problemsOf(candidate, values.publish);
  if (problems.length > 0 && isReal) fail(problems);
  for (const problem of problems) say(`would refuse: ${problem}`);
  if (!values["no-tests"]) {
    step("npm", ["run", "check"]);
    step("npm", ["test"]);
  }
  const folder = join(root, ".build/package");
  stage(folder);
  const { filename, size, unpackedSize, entryCount } = pack(folder, join(root, ".build"));
  say(`${filename}: ${size} bytes, ${unpackedSize} unpacked, ${entryCount} files`);
  const prerelease = candidate.version.split("-")[1]?.split(".")[0];
  const publish = ["publish", "--provenance", "--access", "public", "--tag", prerelease ?? "latest"];
  if (values.tag)
    step("git", ["tag", "--annotate", `v${candidate.version}`, "--message", `Version ${candidate.version}`]);
  if (values.publish) step("npm", publish, folder);
  else say(`would run in .build/package: npm ${publish.join(" ")}`);
  if (problems.length > 0) process.exitCode = 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) release();
