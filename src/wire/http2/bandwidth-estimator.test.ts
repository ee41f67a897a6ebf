import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BandwidthEstimator } from "./bandwidth-estimator.ts";

test("a full window in one round trip doubles the sample, up to the maximum", () => {
  const estimator = new BandwidthEstimator(65_535, 200_000);
  const estimates: number[] = [];
  for (let round = 0; round < 4; round++) {
    estimator.begin(round * 10, estimator.estimateBytes);
    estimates.push(estimator.end(round * 10 + 5));
  }
  assert.deepEqual(estimates, [131_070, 200_000, 0, 0]);
  assert.equal(estimator.isAtMaximum, true);
});

test("little traffic changes nothing", () => {
  const estimator = new BandwidthEstimator(65_535, 1 << 24);
  estimator.begin(0, 1_000);
  estimator.received(40_000);
  assert.equal(estimator.end(1), 0);
});

test("an answer without a question means nothing", () => {
  assert.equal(new BandwidthEstimator(65_535, 1 << 24).end(5), 0);
});

test("the estimate never shrinks and never exceeds the maximum", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(1 << 25), fc.nat(1_000)), { maxLength: 50 }), samples => {
      const estimator = new BandwidthEstimator(65_535, 1 << 24);
      let now = 0;
      for (const [bytes, roundTripMs] of samples) {
        const before = estimator.estimateBytes;
        estimator.begin(now, bytes);
        now += roundTripMs;
        const grown = estimator.end(now);
        assert.ok(estimator.estimateBytes >= before && estimator.estimateBytes <= 1 << 24);
        assert.equal(grown, estimator.estimateBytes > before ? estimator.estimateBytes : 0);
      }
    }),
  );
});
