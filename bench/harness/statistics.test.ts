import assert from "node:assert/strict";
import { test } from "node:test";
import { spreadOf } from "./statistics.ts";

const row = (values: number[]) => ({ scenario: "s", peer: "p", samples: values.map(perSecond => ({ perSecond })) });

test("the median of an odd number of rounds is the middle one, with the extremes beside it", () => {
  assert.deepEqual(spreadOf(row([9, 1, 5]), "perSecond"), { median: 5, min: 1, max: 9 });
});

test("the median of an even number of rounds is between the two in the middle", () => {
  assert.deepEqual(spreadOf(row([4, 1, 2, 9]), "perSecond"), { median: 3, min: 1, max: 9 });
});

test("a peer without samples of a metric has no spread, not a zero", () => {
  assert.equal(spreadOf(row([]), "perSecond"), undefined);
  assert.equal(spreadOf(row([1]), "p50Us"), undefined);
  assert.equal(spreadOf(undefined, "perSecond"), undefined);
});
