import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { printable, printableJson } from "./printable.ts";

test("what would command a terminal is shown instead", () => {
  assert.equal(printable("\x1b]0;mine\x07"), "\\u001b]0;mine\\u0007");
  assert.equal(printable("\x9b31mred\r\n"), "\\u009b31mred\\u000d\\u000a");
  assert.equal(printable("abc\u202edcba\u2066"), "abc\\u202edcba\\u2066");
  assert.equal(printable("half \ud83d whole 😀 ä"), "half \\ud83d whole 😀 ä");
});

test("JSON that is safe to show means the same", () => {
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: "binary" }), value => {
      const text = printableJson(value);
      assert.equal(printable(text), text);
      assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(value)));
    }),
    { numRuns: 30 },
  );
  assert.deepEqual(JSON.parse(printableJson({ a: ["\x1b\x9b\u202e"] }, 2)), { a: ["\x1b\x9b\u202e"] });
});
