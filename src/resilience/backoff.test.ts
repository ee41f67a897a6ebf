import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SeededRandom } from "../platform/virtual/index.ts";
import { type Backoff, backoffDelayMs, type Jitter } from "./backoff.ts";

const edge: { next(): number; below(bound: number): number; bytes(count: number): Uint8Array } = {
  next: () => 1 - Number.EPSILON / 2,
  below: bound => bound - 1,
  bytes: count => new Uint8Array(count),
};

test("a delay is always a finite number from 0 to the bound, however many retries there were", () => {
  fc.assert(
    fc.property(
      fc.constantFrom<Jitter>("full", "decorrelated", "none"),
      fc.double({ min: 0, max: 2 ** 31 - 1, noNaN: true }),
      fc.double({ min: 1, max: 100, noNaN: true }),
      fc.double({ min: 0, max: 2 ** 31 - 1, noNaN: true }),
      fc.integer({ min: 1, max: 100_000 }),
      fc.integer(),
      (jitter, baseMs, factor, more, retry, seed) => {
        const maxMs = Math.max(baseMs, more);
        for (const random of [new SeededRandom(seed), edge]) {
          let previousMs = 0;
          for (const at of [1, 2, retry]) {
            previousMs = backoffDelayMs({ jitter, baseMs, factor, maxMs }, at, previousMs, random);
            assert(Number.isFinite(previousMs) && previousMs >= 0 && previousMs <= maxMs, `${previousMs}`);
          }
        }
      },
    ),
  );
});

test("without jitter, delays are the guide's: 2 s, 4 s", () => {
  const backoff: Backoff = { jitter: "none", baseMs: 2_000, factor: 2, maxMs: 60_000 };
  assert.deepEqual(
    [1, 2, 3].map(retry => backoffDelayMs(backoff, retry, 0, edge)),
    [2_000, 4_000, 8_000],
  );
});

test("full jitter spreads over the whole delay, decorrelated from the base to three times the last one", () => {
  const random = new SeededRandom(1);
  const spread = (backoff: Backoff, previousMs: number) => {
    const delays = Array.from({ length: 2_000 }, () => backoffDelayMs(backoff, 3, previousMs, random));
    return [Math.min(...delays), Math.max(...delays), delays.reduce((sum, ms) => sum + ms, 0) / delays.length];
  };
  const [fullMin = 0, fullMax = 0, fullMean = 0] = spread({ jitter: "full", baseMs: 100, factor: 2, maxMs: 1_000 }, 0);
  assert(fullMin < 5 && fullMax > 395 && fullMax <= 400 && Math.abs(fullMean - 200) < 10);
  const decorrelated: Backoff = { jitter: "decorrelated", baseMs: 100, factor: 2, maxMs: 1_000 };
  const [min = 0, max = 0, mean = 0] = spread(decorrelated, 200);
  assert(min >= 100 && min < 105 && max > 595 && max <= 600 && Math.abs(mean - 350) < 15);
});
