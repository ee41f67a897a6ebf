import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { type Candidate, notesOf, problemsOf } from "./release.ts";

const changelog =
  "# Changelog\n\n## [Unreleased]\n\n## [1.2.0] - 2026-01-31\n\n### Added\n\n- More.\n\n## [1.1.0] - 2026-01-01\n";
const good: Candidate = {
  version: "1.2.0",
  repository: { type: "git", url: "git+https://example.com/trunkline.git" },
  changelog,
  changes: "",
  tags: ["v1.1.0", "v1.2.0"],
  tagsHere: ["v1.2.0"],
};

test("a clean, tagged commit with notes can be released", () => {
  assert.deepEqual(problemsOf(good, true), []);
  assert.deepEqual(problemsOf({ ...good, tags: ["v1.1.0"], tagsHere: [] }, false), []);
});

test("each thing that is missing is named with the way out", () => {
  const cases: readonly (readonly [Partial<Candidate>, RegExp])[] = [
    [{ version: "1.2" }, /version "1\.2" is no version/],
    [{ repository: undefined }, /no repository/],
    [{ version: "1.3.0", tagsHere: ["v1.3.0"] }, /no "## \[1\.3\.0\] - YYYY-MM-DD"/],
    [{ version: "1.1.0", tagsHere: ["v1.1.0"] }, /says nothing of 1\.1\.0/],
    [{ changes: " M src/a.ts\n" }, /not clean; commit or drop:\n M src\/a\.ts/],
    [{ tags: [], tagsHere: [] }, /no tag v1\.2\.0; npm run release -- --tag/],
  ];
  for (const [change, expected] of cases) {
    const problems = problemsOf({ ...good, ...change }, true);
    assert.ok(
      problems.some(problem => expected.test(problem)),
      `${expected}: ${problems.join("; ")}`,
    );
  }
  assert.match(problemsOf({ ...good, tagsHere: [] }, false).join(), /v1\.2\.0 is on another commit; raise the version/);
});

test("the notes of a version are what stands below its dated heading", () => {
  assert.equal(notesOf(changelog, "1.2.0"), "### Added\n\n- More.");
  assert.equal(notesOf(changelog, "1.0.0"), undefined);
  assert.equal(notesOf("## [1.0.0] - soon\n", "1.0.0"), undefined);
});

test("our changelog has the headings that a release looks for", () => {
  const headings = [...readFileSync("CHANGELOG.md", "utf8").matchAll(/^## (.*)$/gm)].map(([, text]) => text);
  assert.equal(headings[0], "[Unreleased]");
  for (const text of headings.slice(1)) assert.match(text ?? "", /^\[\d+\.\d+\.\d+[^\]]*\] - \d{4}-\d{2}-\d{2}$/);
});

test("nothing is published from a checkout, outside of CI, or untested", () => {
  const run = (...args: readonly string[]) =>
    spawnSync(process.execPath, ["scripts/release.ts", ...args], {
      encoding: "utf8",
      env: { PATH: process.env.PATH },
    });
  for (const [args, expected] of [
    [["--refuse"], /the checkout itself is not published; npm run release/],
    [["--publish"], /--publish is for CI/],
    [["--tag", "--no-tests"], /what is released is tested/],
  ] as const) {
    const { status, stderr } = run(...args);
    assert.equal(status, 1);
    assert.match(stderr, expected);
  }
});
