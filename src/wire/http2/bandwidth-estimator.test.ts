import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BandwidthEstimator } from "./bandwidth-estimator.ts";

test("a full window in one round trip doubles the sample, up to the maximum", () => {
  const estimator = new BandwidthEstimator(65_535, 200_000);
  const estimates: number[] = [];
  for (let round = 0; round < 4; round++) {
    estimator.begin(estimator.estimateBytes);
    estimates.push(estimator.end());
  }
  assert.deepEqual(estimates, [131_070, 200_000, 0, 0]);
  assert.equal(estimator.isAtMaximum, true);
});

test("little traffic changes nothing", () => {
  const estimator = new BandwidthEstimator(65_535, 1 << 24);
  estimator.begin(1_000);
  estimator.received(40_000);
  assert.equal(estimator.end(), 0);
});

test("a peer that the window holds back: half of it came before the opening, half before the ping's answer", () => {
  const estimator = new BandwidthEstimator(65_536, 1 << 24);
  const estimates: number[] = [];
  for (let round = 0; round < 9; round++) {
    estimator.begin(estimator.estimateBytes / 2);
    estimator.received(estimator.estimateBytes / 2);
    estimates.push(estimator.end());
  }
  assert.deepEqual(estimates.slice(0, 3), [131_072, 262_144, 524_288]);
  assert.equal(estimator.isAtMaximum, true);
});

test("an answer without a question means nothing", () => {
  assert.equal(new BandwidthEstimator(65_535, 1 << 24).end(), 0);
});

test("the estimate never shrinks and never exceeds the maximum", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(1 << 25), { maxLength: 50 }), samples => {
      const estimator = new BandwidthEstimator(65_535, 1 << 24);
      for (const bytes of samples) {
        const before = estimator.estimateBytes;
        estimator.begin(bytes);
        const grown = estimator.end();
        assert.ok(estimator.estimateBytes >= before && estimator.estimateBytes <= 1 << 24);
        assert.equal(grown, estimator.estimateBytes > before ? estimator.estimateBytes : 0);
      }
    }),
  );
});
