import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SeededRandom, virtualPlatform } from "../platform/virtual/index.ts";
import { hedge } from "./hedge.ts";
import { LatencyQuantile } from "./latency-quantile.ts";
import { policy } from "./policy.ts";

test("the quantile is right to a tenth, is computed anew every 3 s, and forgets after 30 s", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0.1, max: 60_000, noNaN: true }), { minLength: 20, maxLength: 500 }), all => {
      const latency = new LatencyQuantile(0.95, 20);
      for (const ms of all) latency.add(100, ms);
      assert.equal(latency.value(2_999), undefined, "not before the first refresh");
      const value = latency.value(3_000) ?? Number.NaN;
      const exact = all.toSorted((a, b) => a - b)[Math.ceil(0.95 * all.length) - 1] ?? Number.NaN;
      assert(value >= exact * 0.999 && value <= exact * 1.1, `${value} for ${exact}`);
      assert.equal(latency.value(29_999), value);
      assert.equal(latency.value(30_000), undefined);
    }),
  );
});

test("garbage latencies and a clock that steps back leave it finite", () => {
  const latency = new LatencyQuantile(0.5, 1);
  for (const ms of [Number.NaN, Number.POSITIVE_INFINITY, -5, 0, 1e300]) latency.add(6_000, ms);
  latency.add(0, 10);
  assert(Number.isFinite(latency.value(9_000)));
});

test("work that takes longer than p95 is sent once more, the first answer wins, the other is aborted", async () => {
  const platform = virtualPlatform();
  const tail = hedge({ platform });
  const answerIn = (ms: number) => async () => {
    await new Promise<void>(resolve => platform.clock.after(ms, resolve));
    return ms;
  };
  const warm = Promise.all(Array.from({ length: 100 }, (_, n) => tail.run(answerIn(n < 95 ? 10 : 50))));
  await platform.clock.advance(3_000);
  await warm;
  const delayMs = tail.delayMs() ?? Number.NaN;
  assert(delayMs >= 10 && delayMs < 11.5, `${delayMs}`);

  const log: string[] = [];
  const result = tail.run(async (signal, attempt) => {
    log.push(`${attempt.number} at ${(platform.clock.now() - 3_000).toFixed(3)}${attempt.isHedge ? ", hedge" : ""}`);
    signal.addEventListener("abort", () => log.push(`${attempt.number} aborted`));
    await answerIn(attempt.number === 1 ? 1_000 : 20)();
    return attempt.number;
  });
  await platform.clock.advance(100);
  assert.equal(await result, 2);
  assert.deepEqual(log, ["1 at 0.000", `2 at ${delayMs.toFixed(3)}, hedge`, "1 aborted"]);
  await platform.clock.advance(2_000);
});

test("in a policy nothing is hedged that does not say that it is idempotent", async () => {
  const platform = virtualPlatform();
  const guarded = policy({ hedge: { delayMs: 10 }, platform });
  const attemptsOf = async (idempotent: boolean | undefined) => {
    let attempts = 0;
    const result = guarded.run(
      async () => {
        attempts++;
        await new Promise<void>(resolve => platform.clock.after(100, resolve));
      },
      { idempotent },
    );
    await platform.clock.advance(200);
    await result;
    return attempts;
  };
  assert.deepEqual([await attemptsOf(undefined), await attemptsOf(false), await attemptsOf(true)], [1, 1, 2]);
});

test("hedges are paid from the budget of retries, and take a place of their own in the bulkhead", async () => {
  const platform = virtualPlatform();
  const slow = () => new Promise<void>(resolve => platform.clock.after(100, resolve));
  const counted = async (guarded: ReturnType<typeof policy>, calls: number) => {
    let attempts = 0;
    let running = 0;
    let most = 0;
    const results = Array.from({ length: calls }, () =>
      guarded.run(
        async () => {
          attempts++;
          most = Math.max(most, ++running);
          await slow();
          running--;
        },
        { idempotent: true },
      ),
    );
    await platform.clock.advance(1_000);
    await Promise.all(results);
    return { attempts, most };
  };
  const budgeted = policy({ hedge: { delayMs: 10 }, budget: { ratio: 0.1, reservePerSecond: 0 }, platform });
  assert.deepEqual(await counted(budgeted, 100), { attempts: 110, most: 110 });
  const bounded = policy({ hedge: { delayMs: 10 }, bulkhead: { concurrent: 12 }, platform });
  assert.deepEqual(await counted(bounded, 10), { attempts: 12, most: 12 });
});

test("losing attempts count, so that hedging does not make its own delay sink", async () => {
  const platform = virtualPlatform();
  const random = new SeededRandom(3);
  const tail = hedge({ platform, budget: false });
  const seen: number[] = [];
  for (let n = 0; n < 3_000; n++) {
    void tail.run(() => new Promise<void>(resolve => platform.clock.after(10 + 90 * random.next(), resolve)));
    platform.clock.advanceSync(10);
    await platform.clock.settle();
    if (n % 300 === 299) seen.push(tail.delayMs() ?? 0);
  }
  for (const delayMs of seen.slice(1)) assert(delayMs > 75 && delayMs < 110, `${seen}`);
});
