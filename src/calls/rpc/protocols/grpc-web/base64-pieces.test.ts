import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isRpcError } from "../../../../errors/index.ts";
import { Base64Pieces } from "./base64-pieces.ts";

test("wherever base64 is padded and cut, the same bytes come out", () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 20 })),
      fc.infiniteStream(fc.integer({ min: 1, max: 9 })),
      (flushes, cuts) => {
        const text = flushes.map(bytes => Buffer.from(bytes).toString("base64")).join("");
        const pieces = new Base64Pieces();
        const parts: Buffer[] = [];
        for (let at = 0; at < text.length; ) {
          const next = at + (cuts.next().value as number);
          parts.push(pieces.decode(text.slice(at, next)));
          at = next;
        }
        assert.deepEqual(Buffer.concat(parts), Buffer.concat(flushes));
        assert(pieces.isAtBoundary);
      },
    ),
  );
});

for (const text of ["A===", "=AAA", "AA=A", "A!!A", "ÄAAA"]) {
  test(`${JSON.stringify(text)} is refused`, () => {
    assert.throws(
      () => new Base64Pieces().decode(text),
      error => isRpcError(error, "invalid_argument"),
    );
  });
}
