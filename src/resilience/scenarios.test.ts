/**
 * Whole situations on the virtual clock, without a network: each asserts what callers get, what the target gets, and how
 * soon things are well again.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { RpcError } from "../errors/index.ts";
import { type VirtualPlatform, virtualPlatform } from "../platform/virtual/index.ts";
import { isOutOfRetries } from "./out-of-retries.ts";
import type { Attempt } from "./part.ts";
import { type Policy, policy } from "./policy.ts";

interface Outcome {
  readonly atMs: number;
  readonly tookMs: number;
  readonly isGood: boolean;
}

/** Calls at an even rate for a time; resolves when all have ended. */
async function offer(
  platform: VirtualPlatform,
  perSecond: number,
  seconds: number,
  call: () => Promise<unknown>,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (let n = 0; n < perSecond * seconds; n++) {
    const atMs = platform.clock.now();
    const end = (isGood: boolean) => outcomes.push({ atMs, tookMs: platform.clock.now() - atMs, isGood });
    call().then(
      () => end(true),
      () => end(false),
    );
    await platform.clock.advance(1_000 / perSecond);
  }
  await platform.clock.advance(60_000);
  assert.equal(outcomes.length, perSecond * seconds);
  assert.equal(platform.clock.pendingTimers, 0);
  return outcomes;
}

const share = (outcomes: readonly Outcome[]) => outcomes.filter(({ isGood }) => isGood).length / outcomes.length;
const after = (platform: VirtualPlatform, ms: number) =>
  new Promise<void>(resolve => platform.clock.after(ms, resolve));

test("retry storm: three layers of retries before a dead backend send it at most a quarter more than was offered", async () => {
  const platform = virtualPlatform({ seed: 21 });
  let atBackend = 0;
  const backend = async () => {
    if (platform.clock.now() >= 10_000 && platform.clock.now() < 20_000) atBackend++;
    await after(platform, 5);
    throw new RpcError("unavailable", "down");
  };
  /** What a server does with the failure of its own call: out of retries is pushback −1 on the wire. */
  const layer = (next: (inboundAttempts: number) => Promise<unknown>) => {
    const guarded: Policy = policy({ retry: { attempts: 3 }, platform });
    return async (inboundAttempts: number) => {
      try {
        return await guarded.run((_signal, attempt: Attempt) => next(attempt.previousAttempts), { inboundAttempts });
      } catch (error) {
        throw new RpcError("unavailable", "failed below", isOutOfRetries(error) ? { retryAfterMs: -1 } : {});
      }
    };
  };
  const edge = layer(layer(layer(backend)));
  const outcomes = await offer(platform, 1_000, 20, () => edge(0));
  assert.equal(share(outcomes), 0);
  const amplification = atBackend / 10_000;
  assert(amplification >= 1 && amplification <= 1.25, `${amplification}`);
});

test("a backend that fails now and then: retries make nearly all calls succeed for little more load", async () => {
  const platform = virtualPlatform({ seed: 22 });
  let atBackend = 0;
  const guarded = policy({ timeoutMs: 2_000, retry: { attempts: 3 }, breaker: {}, platform });
  const outcomes = await offer(platform, 200, 30, () =>
    guarded.run(async () => {
      atBackend++;
      await after(platform, 10);
      if (platform.random.next() < 0.05) throw new RpcError("unavailable", "now and then");
    }),
  );
  assert(share(outcomes) >= 0.999, `${share(outcomes)}`);
  assert(atBackend / outcomes.length <= 1.06, `${atBackend / outcomes.length}`);
});

test("black hole: callers wait no longer than their time-out, soon not at all, and all is well one open time later", async () => {
  const platform = virtualPlatform({ seed: 23 });
  const isHole = () => platform.clock.now() >= 10_000 && platform.clock.now() < 40_000;
  let running = 0;
  let most = 0;
  let sentInHole = 0;
  const guarded = policy({
    timeoutMs: 500,
    breaker: { openMs: { maxMs: 10_000 } },
    bulkhead: { concurrent: 50, queue: 0 },
    platform,
  });
  const outcomes = await offer(platform, 100, 60, () =>
    guarded.run(async signal => {
      most = Math.max(most, ++running);
      try {
        if (!isHole()) return await after(platform, 20);
        sentInHole++;
        await new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
      } finally {
        running--;
      }
    }),
  );
  assert(most <= 50);
  assert.equal(Math.max(...outcomes.map(({ tookMs }) => tookMs)), 500);
  assert(sentInHole <= 100, `${sentInHole} of 3,000 calls went into the hole`);
  const opened = outcomes.filter(({ atMs }) => atMs >= 11_000 && atMs < 40_000);
  const quick = opened.filter(({ tookMs }) => tookMs === 0);
  assert(quick.length / opened.length >= 0.99, `${quick.length} of ${opened.length} were rejected at once`);
  const recoveredMs = Math.min(...outcomes.filter(({ atMs, isGood }) => isGood && atMs >= 40_000).map(o => o.atMs));
  assert(recoveredMs <= 50_000, `${recoveredMs}`);
  assert.equal(share(outcomes.filter(({ atMs }) => atMs > recoveredMs + 50)), 1);
  assert.equal(share(outcomes.filter(({ atMs }) => atMs < 10_000)), 1);
});

test("slow host: hedging keeps the tail short for a few per cent more load", async () => {
  const run = async (isHedged: boolean) => {
    const platform = virtualPlatform({ seed: 24 });
    let sent = 0;
    const guarded = policy({ timeoutMs: 5_000, hedge: isHedged ? { idempotent: true } : undefined, platform });
    const outcomes = await offer(platform, 100, 60, () =>
      guarded.run(async () => {
        sent++;
        // One of ten hosts is a hundred times slower; every attempt meets one by chance.
        await after(platform, platform.random.next() < 0.02 ? 1_000 : 10 + platform.random.below(5));
      }),
    );
    const settled = outcomes.filter(({ atMs }) => atMs > 5_000).map(({ tookMs }) => tookMs);
    settled.sort((a, b) => a - b);
    return { p99Ms: settled[Math.floor(settled.length * 0.99)] ?? Number.NaN, load: sent / outcomes.length };
  };
  const plain = await run(false);
  const hedged = await run(true);
  assert.equal(plain.p99Ms, 1_000);
  assert(hedged.p99Ms <= 50, `${hedged.p99Ms} ms`);
  assert(hedged.load <= 1.06, `${hedged.load}`);
});

test("slow host: a breaker that watches latency stops calling it and comes back when it is quick again", async () => {
  const platform = virtualPlatform({ seed: 25 });
  const isSlow = () => platform.clock.now() >= 10_000 && platform.clock.now() < 30_000;
  let sentWhileSlow = 0;
  const guarded = policy({ timeoutMs: 3_000, breaker: { slowMs: 200, slowRatio: 0.5 }, platform });
  const outcomes = await offer(platform, 50, 60, () =>
    guarded.run(async () => {
      if (isSlow()) sentWhileSlow++;
      await after(platform, isSlow() ? 1_000 : 20);
    }),
  );
  assert(sentWhileSlow < 500, `${sentWhileSlow} of 1,000`);
  assert.equal(share(outcomes.filter(({ atMs }) => atMs < 10_000)), 1);
  assert.equal(share(outcomes.filter(({ atMs }) => atMs >= 50_000)), 1);
});

test("flapping host: it is asked less and less while it flaps, and fully again once it stays up", async () => {
  const platform = virtualPlatform({ seed: 26 });
  const isUp = () => platform.clock.now() >= 60_000 || platform.clock.now() % 1_000 < 200;
  let failed = 0;
  const guarded = policy({ breaker: { openMs: { initialMs: 500, maxMs: 8_000 } }, platform });
  const outcomes = await offer(platform, 100, 90, () =>
    guarded.run(async () => {
      await after(platform, 5);
      if (isUp()) return;
      failed++;
      throw new RpcError("unavailable", "down");
    }),
  );
  assert(failed < 200, `${failed} calls failed at the host; without the breaker it would be 4,800`);
  assert.equal(share(outcomes.filter(({ atMs }) => atMs >= 75_000)), 1);
});
