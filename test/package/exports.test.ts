import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { expectedExports } from "../../scripts/exports.ts";

test("package.json exports a subpath for each file of src/exports that is one, and no other", () => {
  const { exports } = JSON.parse(readFileSync("package.json", "utf8")) as { exports: unknown };
  assert.deepEqual(exports, expectedExports(), "run: node scripts/exports.ts");
});
