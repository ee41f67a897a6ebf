import assert from "node:assert/strict";
import { test } from "node:test";
import { failureOf } from "./failure.ts";

test("the reason of a failure is the line that names the error, without folders", () => {
  const text =
    "node:internal/modules:241\n  throw new X(\n\nError [X]: Cannot find '/home/me/src/index.ts' from /a/b/c.ts\n at y";
  assert.equal(failureOf(new Error(text)), "Error [X]: Cannot find 'index.ts' from c.ts");
});

test("a reason without a word for error is its first line", () => {
  assert.equal(failureOf("\nended with code 1\nmore"), "ended with code 1");
});
