import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { cleanMetadata, decodeLaneMetadata, encodeLaneMetadata } from "./lane-metadata.ts";

test("what is written is read back", () => {
  fc.assert(
    fc.property(
      fc.nat(2 ** 31),
      fc.boolean(),
      fc.nat(100_000),
      fc.dictionary(fc.nat(1_000_000).map(String), fc.integer({ min: 1, max: 9_999 }), { maxKeys: 100 }),
      (committed, isClean, window, counts) => {
        const attempts = new Map(Object.entries(counts).map(([delta, count]) => [committed + Number(delta), count]));
        const metadata = { isClean, window: isClean ? 0 : window, attempts };
        const decoded = decodeLaneMetadata(committed, encodeLaneMetadata(committed, metadata));
        assert.deepEqual(
          { ...decoded, attempts: [...decoded.attempts].toSorted() },
          { ...metadata, attempts: [...attempts].toSorted() },
        );
      },
    ),
  );
});

test("more attempts than fit into Kafka's 4,096 bytes: the worst records are kept", () => {
  const attempts = new Map(Array.from({ length: 5_000 }, (_, index) => [1_000_000 + index, 1 + (index % 7)]));
  const text = encodeLaneMetadata(1_000_000, { isClean: false, window: 5_000, attempts });
  assert.ok(text.length <= 4_000);
  const decoded = decodeLaneMetadata(1_000_000, text);
  assert.ok(decoded.attempts.size > 400);
  assert.ok([...decoded.attempts.values()].every(count => count === 7));
});

test("metadata of foreign programs suspects nothing, whatever it is", () => {
  for (const text of [undefined, "", "NO_METADATA", "t2:c", "t1:u", "t1:u5;x", `t1:c;${"0.1,".repeat(5_000)}`]) {
    assert.deepEqual(decodeLaneMetadata(0, text), cleanMetadata, String(text));
  }
  fc.assert(
    fc.property(fc.string(), text => {
      decodeLaneMetadata(5, text);
      decodeLaneMetadata(5, `t1:u5;${text}`);
    }),
  );
});
