import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type VirtualPlatform, virtualPlatform } from "../platform/virtual/index.ts";
import type { Permit } from "./permit.ts";
import { type RateLimit, rateLimit } from "./rate-limit.ts";

test("a smooth limit spaces calls evenly, and says when the next may come", () => {
  const platform = virtualPlatform();
  const limit = rateLimit({ calls: 10, burst: 1, platform });
  assert.equal(limit.acquire().rejected, false);
  platform.clock.advanceSync(99);
  const rejection = limit.acquire();
  assert(rejection.rejected);
  assert.deepEqual([rejection.reason, rejection.retryAfterMs], ["rate_limited", 1]);
  platform.clock.advanceSync(1);
  assert.equal(limit.acquire().rejected, false);
});

test("a bursty limit allows all at once after a pause, and the rate in the long run", () => {
  const platform = virtualPlatform();
  const limit = rateLimit({ calls: 10, platform });
  const admitted = () => {
    let count = 0;
    while (!limit.acquire().rejected) count++;
    return count;
  };
  assert.equal(admitted(), 10);
  platform.clock.advanceSync(500);
  assert.equal(admitted(), 5);
  platform.clock.advanceSync(3_600_000);
  assert.equal(admitted(), 10, "a long pause saves no more than one burst");
});

test("keys are bounded: those at rest are forgotten, and strangers to a full table share one allowance", () => {
  const platform = virtualPlatform();
  const limit = rateLimit({ calls: 1, keysMax: 100, platform });
  for (let n = 0; n < 100; n++) assert.equal(limit.acquire(`busy ${n}`).rejected, false);
  assert.equal(limit.acquire("stranger").rejected, false);
  assert.equal(limit.acquire("another stranger").rejected, true);
  assert.equal(limit.acquire("busy 7").rejected, true, "nobody gets a fresh allowance from the flood");
  platform.clock.advanceSync(1_000);
  for (let n = 0; n < 10_000; n++) limit.acquire(`flood ${n}`);
  assert(limit.keys <= 100);
});

test("a clock that steps back locks nobody out for longer than a burst takes", () => {
  const platform = virtualPlatform();
  let nowMs = 1_000_000;
  platform.clock.now = () => nowMs;
  const limit = rateLimit({ calls: 10, platform });
  while (!limit.acquire().rejected);
  nowMs = 0;
  assert(((limit.acquire() as { retryAfterMs?: number }).retryAfterMs ?? 0) <= 1_000);
  nowMs = 1_000;
  assert.equal(limit.acquire().rejected, false);
});

interface Model {
  nowMs: number;
  /** Credit of each key in milliseconds as of a time: a token bucket, which GCRA is equal to. */
  buckets: Map<string | undefined, { creditMs: number; atMs: number }>;
  given: { readonly key: string | undefined; readonly permit: Permit }[];
}

interface Real {
  readonly platform: VirtualPlatform;
  readonly limit: RateLimit;
}

const burst = 4;
const tokenMs = 125;

function bucketOf(model: Model, key: string | undefined) {
  const bucket = model.buckets.get(key) ?? { creditMs: burst * tokenMs, atMs: model.nowMs };
  const creditMs = Math.min(burst * tokenMs, bucket.creditMs + model.nowMs - bucket.atMs);
  const present = { creditMs, atMs: model.nowMs };
  model.buckets.set(key, present);
  return present;
}

const step = (name: string, run: (model: Model, real: Real) => void): fc.Command<Model, Real> => ({
  check: () => true,
  run,
  toString: () => name,
});

test("whatever is asked, given back and waited for: it does what a token bucket does", () => {
  const ask = (key: string | undefined) =>
    step(`ask ${key}`, (model, { limit }) => {
      const bucket = bucketOf(model, key);
      const admission = limit.acquire(key);
      assert.equal(!admission.rejected, bucket.creditMs >= tokenMs, `credit ${bucket.creditMs} ms`);
      if (admission.rejected) {
        assert.equal(admission.retryAfterMs, tokenMs - bucket.creditMs);
        return;
      }
      bucket.creditMs -= tokenMs;
      model.given.push({ key, permit: admission });
    });
  const giveBack = step("give the last one back", model => {
    const last = model.given.pop();
    if (last === undefined) return;
    const bucket = bucketOf(model, last.key);
    bucket.creditMs = Math.min(burst * tokenMs, bucket.creditMs + tokenMs);
    last.permit.ignore();
  });
  const tick = (ms: number) =>
    step(`tick ${ms}`, (model, { platform }) => {
      model.nowMs += ms;
      platform.clock.advanceSync(ms);
    });
  fc.assert(
    fc.property(
      fc.commands(
        [
          fc.constantFrom(undefined, "a", "b").map(ask),
          fc.constantFrom(undefined, "a", "b").map(ask),
          fc.constant(giveBack),
          fc.constantFrom(1, 25, 124, 125, 300, 5_000).map(tick),
        ],
        { maxCommands: 120, size: "max" },
      ),
      commands =>
        fc.modelRun(() => {
          const platform = virtualPlatform();
          const limit = rateLimit({ calls: 8, perMs: 1_000, burst, platform });
          return { model: { nowMs: 0, buckets: new Map(), given: [] }, real: { platform, limit } };
        }, commands),
    ),
  );
});
