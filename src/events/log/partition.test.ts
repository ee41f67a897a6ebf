import assert from "node:assert/strict";
import { test } from "node:test";
import { murmur2, partitionOf } from "./partition.ts";

test("keys hash as the Java client's test says", () => {
  // org.apache.kafka.common.utils.UtilsTest.testMurmur2
  const expected: readonly (readonly [string, number])[] = [
    ["21", -973932308],
    ["foobar", -790332482],
    ["a-little-bit-long-string", -985981536],
    ["a-little-bit-longer-string", -1486304829],
    ["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971],
    ["abc", 479470107],
  ];
  for (const [key, hash] of expected) assert.equal(murmur2(key), hash, key);
});

test("every key has a partition, and text beyond ASCII hashes by its UTF-8 bytes", () => {
  for (const key of ["", "a", "ключ", "鍵", "\ud83d\udd11"]) {
    const partition = partitionOf(key, 8);
    assert.ok(partition >= 0 && partition < 8);
  }
});
