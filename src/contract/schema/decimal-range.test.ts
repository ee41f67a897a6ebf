import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decimalFrom, decimalTo } from "./decimal-range.ts";

/** Numbers of all sizes, with many that are near a change of digits. */
const integer = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
  fc.bigInt({ min: -1200n, max: 1200n }),
  fc.nat(19).chain(digits => fc.constantFrom(-1n, 0n, 1n).map(step => 10n ** BigInt(digits) + step)),
  fc.nat(19).chain(digits => fc.constantFrom(-1n, 0n, 1n).map(step => -(10n ** BigInt(digits)) + step)),
);

test("the patterns of bounds match the integers within them, and no others", () => {
  const check = (bound: bigint, value: bigint): void => {
    assert.equal(new RegExp(decimalFrom(bound), "u").test(String(value)), value >= bound, `${value} >= ${bound}`);
    assert.equal(new RegExp(decimalTo(bound), "u").test(String(value)), value <= bound, `${value} <= ${bound}`);
  };
  fc.assert(
    fc.property(integer, integer, (bound, value) => {
      check(bound, value);
      for (const step of [-1n, 0n, 1n]) check(bound, bound + step);
    }),
    { numRuns: 3_000 },
  );
});

test("nothing but an integer as it is written matches", () => {
  for (const text of ["", "-", "-0", "00", "01", "1.0", "1e3", " 1", "1\n", "+1", "0x1", "--1"]) {
    for (const bound of [-100n, -1n, 0n, 1n, 100n]) {
      assert.doesNotMatch(text, new RegExp(decimalFrom(bound), "u"));
      assert.doesNotMatch(text, new RegExp(decimalTo(bound), "u"));
    }
  }
});
