import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { readPages } from "./project.ts";

const root = join(import.meta.dirname, "../..");

/** The anchors that GitHub gives to the headings of a page. */
function anchorsOf(markdown: string): ReadonlySet<string> {
  const headings = markdown.matchAll(/^#{1,6} +(.*)$/gm);
  return new Set(
    [...headings].map(([, text = ""]) =>
      text
        .trim()
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, "")
        .replaceAll(" ", "-"),
    ),
  );
}

test("every link of a page into this repository leads somewhere", () => {
  const broken: string[] = [];
  let links = 0;
  for (const { name, text } of readPages()) {
    const prose = text.replace(/^```[\s\S]*?^```$/gm, "");
    for (const [, target = ""] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      links++;
      const [path = "", anchor] = target.split("#");
      const file = path === "" ? join(root, name) : join(root, dirname(name), path);
      const isThere = existsSync(file) && (anchor === undefined || anchorsOf(readFileSync(file, "utf8")).has(anchor));
      if (!isThere) broken.push(`${name}: ${target}`);
    }
  }
  assert(links > 0);
  assert.deepEqual(broken, []);
});
