/** Every code block of README.md and docs/: what docs/README.md, "How these pages are tested", promises. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fencedBlocks } from "./blocks.ts";
import { makeProject, prepareProjects, readPages, typeCheck } from "./project.ts";
import { PageRun } from "./run-step.ts";
import { type Step, stepsOf } from "./steps.ts";

const pages = readPages().map(({ name, text }) => {
  const blocks = fencedBlocks(name, text);
  return { name, blocks, steps: stepsOf(blocks) };
});

prepareProjects();
const projects = new Map<string, PageRun>();
for (const { name, steps } of pages) projects.set(name, new PageRun(await makeProject(name, steps)));

test("the code of all pages passes the type-checker", () => {
  const { files, problems } = typeCheck();
  assert.equal(problems, "");
  const written = pages.flatMap(({ steps }) => steps.filter(isTypeScript));
  assert.equal(files, written.length, "not every block was looked at");
});

describe("what a page shows is what happens", { concurrency: 2 }, () => {
  for (const { name, steps } of pages) {
    test(name, async () => {
      const page = projects.get(name) as PageRun; // made above
      try {
        for (const step of steps) await page.run(step);
      } finally {
        await page.end();
      }
    });
  }
});

test("blocks of every kind were looked at", t => {
  const steps = pages.flatMap(page => page.steps);
  const of = (kind: Step["kind"]) => steps.filter(step => step.kind === kind).length;
  const sum = (count: (step: Step) => number) => steps.reduce((total, step) => total + count(step), 0);
  const counts = {
    pages: pages.length,
    blocks: pages.reduce((total, { blocks }) => total + blocks.length, 0),
    "programs run": of("program"),
    files: of("file"),
    "servers started": of("server"),
    "commands run": sum(step => (step.kind === "commands" ? step.lines.length : 0)),
    "outputs compared": sum(step => ("outputs" in step ? step.outputs.length : 0)),
    "blocks of other libraries, parsed only": of("before"),
    "excerpts, parsed only": of("excerpt"),
    "npm commands, shown only": sum(step => (step.kind === "commands" ? step.shown : 0)),
  };
  t.diagnostic(
    Object.entries(counts)
      .map(([what, count]) => `${count} ${what}`)
      .join(", "),
  );
  for (const what of ["programs run", "commands run", "outputs compared"] as const) assert(counts[what] > 0, what);
});

function isTypeScript(step: Step): boolean {
  return (step.kind === "file" || step.kind === "program") && step.name.endsWith(".ts");
}
