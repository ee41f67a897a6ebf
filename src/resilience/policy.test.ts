import assert from "node:assert/strict";
import { test } from "node:test";
import { RejectedError, RpcError } from "../errors/index.ts";
import type { ObservedEvent } from "../platform/index.ts";
import { type VirtualPlatform, virtualPlatform } from "../platform/virtual/index.ts";
import { breaker } from "./breaker.ts";
import { budget } from "./budget.ts";
import { bulkhead } from "./bulkhead.ts";
import { hedge } from "./hedge.ts";
import { type PolicyOptions, policy } from "./policy.ts";
import { rateLimit } from "./rate-limit.ts";
import { retry } from "./retry.ts";
import { withTimeout } from "./timeout.ts";

const after = (platform: VirtualPlatform, ms: number) =>
  new Promise<void>(resolve => platform.clock.after(ms, resolve));
const never = () => new Promise<never>(() => {});

/** Everything at once, with nothing that chance decides. */
const everything = (platform: VirtualPlatform): PolicyOptions => ({
  name: "orders",
  platform,
  timeoutMs: 2_000,
  attemptTimeoutMs: 500,
  throttle: {},
  rateLimit: { calls: 1_000 },
  adaptiveLimit: {},
  bulkhead: { concurrent: 2, queue: 10 },
  retry: { attempts: 3, delayMs: 100, jitter: "none" },
  hedge: { delayMs: 200, idempotent: true },
  breaker: { failures: 50, ratio: false },
});

test("an answer passes through every part, and nothing is left behind", async () => {
  const platform = virtualPlatform();
  const guarded = policy(everything(platform));
  assert.equal(await guarded.run(async () => "answer"), "answer");
  assert.equal(await guarded.run(() => "not even a promise"), "not even a promise");
  assert.deepEqual([guarded.bulkhead?.running, guarded.adaptiveLimit?.running], [0, 0]);
});

test("the signal is that of the attempt and knows the deadline of attempt and call", async () => {
  const platform = virtualPlatform();
  const guarded = policy(everything(platform));
  const seen: number[] = [];
  await guarded.run(async (_signal, attempt) => void seen.push(attempt.deadlineAt));
  await guarded.run(async (_signal, attempt) => void seen.push(attempt.deadlineAt), { deadline: 300 });
  assert.deepEqual(seen, [500, 300]);
});

test("the call's time-out covers waiting, attempts and back-off; the caller hears of it at once", async () => {
  const platform = virtualPlatform();
  const guarded = policy({ name: "orders", timeoutMs: 1_000, platform });
  let isAborted = false;
  const call = guarded.run(signal => {
    signal.addEventListener("abort", () => {
      isAborted = true;
    });
    return never();
  });
  const failed = assert.rejects(call, {
    name: "TimeoutError",
    scope: "call",
    code: "deadline_exceeded",
    message: "orders: no answer within 1000 ms",
  });
  await platform.clock.advance(999);
  assert.equal(isAborted, false);
  await platform.clock.advance(1);
  await failed;
  assert(isAborted);
});

test("an attempt's time-out aborts the attempt, and the next one may answer", async () => {
  const platform = virtualPlatform();
  const guarded = policy({ attemptTimeoutMs: 100, retry: { delayMs: 10, jitter: "none" }, platform });
  const aborted: unknown[] = [];
  const call = guarded.run((signal, attempt) => {
    signal.addEventListener("abort", () => aborted.push(signal.reason));
    return attempt.number < 3 ? never() : platform.clock.now();
  });
  await platform.clock.advance(1_000);
  assert.equal(await call, 230);
  assert.deepEqual(
    aborted.map(reason => (reason as Error).message),
    ["attempt 1 had no answer within 100 ms", "attempt 2 had no answer within 100 ms"],
  );
});

test("many limits of one length need one timer, and each ends at its own time", async () => {
  const platform = virtualPlatform();
  const guarded = policy({ timeoutMs: 100, platform });
  const ended: number[] = [];
  const calls = [0, 30, 60].map(async ms => {
    await after(platform, ms);
    await guarded.run(never).catch(() => ended.push(platform.clock.now()));
  });
  await platform.clock.advance(90);
  assert.equal(platform.clock.pendingTimers, 1);
  await platform.clock.advance(200);
  await Promise.all(calls);
  assert.deepEqual(ended, [100, 130, 160]);
});

test("withTimeout answers in time, aborts the work, and refuses garbage", async () => {
  const platform = virtualPlatform();
  assert.equal(await withTimeout(5_000, () => 7), 7);
  let reason: unknown;
  const call = withTimeout(
    5_000,
    signal => {
      signal.addEventListener("abort", () => {
        reason = signal.reason;
      });
      return never();
    },
    { platform },
  );
  const failed = assert.rejects(call, { name: "TimeoutError", message: "no answer within 5000 ms" });
  await platform.clock.advance(5_000);
  await failed;
  assert.equal((reason as Error).name, "TimeoutError");
  assert.equal(platform.clock.pendingTimers, 0);
  for (const garbage of [0, -1, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31]) {
    await assert.rejects(
      withTimeout(garbage, () => 1),
      RangeError,
    );
  }
});

test("a deadline that has passed is refused before anything runs", async () => {
  const platform = virtualPlatform();
  platform.clock.advanceSync(1_000);
  const guarded = policy(everything(platform));
  const call = guarded.run(() => assert.fail("must not run"), { deadline: 1_000 });
  await assert.rejects(call, { reason: "deadline", code: "deadline_exceeded", unprocessed: true });
  await assert.rejects(
    guarded.run(() => 1, { deadline: Number.NaN }),
    RangeError,
  );
});

// ── abort at every point where a call can wait ───────────────────────────────────────────────────────────────────────

const waits: readonly (readonly [where: string, atMs: number, begun: number])[] = [
  ["in the bulkhead's queue", 50, 0],
  ["in the first attempt", 150, 1],
  ["beside a hedge", 320, 2],
  ["during the back-off", 900, 2],
  ["in the second attempt", 1_050, 3],
];

for (const [where, atMs, expected] of waits) {
  test(`an abort ${where} ends the call at once with its reason and leaves nothing behind`, async () => {
    const platform = virtualPlatform();
    const options = everything(platform);
    const guarded = policy({ ...options, bulkhead: { concurrent: 2, queue: 10 } });
    // Both places are taken until 100 ms.
    const others = Promise.all([guarded.run(() => after(platform, 100)), guarded.run(() => after(platform, 100))]);
    const controller = new AbortController();
    const reason = new Error("the caller has gone");
    let begun = 0;
    let aborted = 0;
    let endedMs = -1;
    const call = guarded.run(
      signal => {
        begun++;
        return new Promise((_resolve, reject) => {
          signal.addEventListener("abort", () => {
            aborted++;
            reject(signal.reason);
          });
        });
      },
      { signal: controller.signal },
    );
    const failed = assert.rejects(call, reason).then(() => {
      endedMs = platform.clock.now();
    });
    platform.clock.after(atMs, () => controller.abort(reason));
    await platform.clock.advance(atMs);
    assert.equal(endedMs, atMs);
    await failed;
    await platform.clock.advance(10_000);
    await others;
    assert.deepEqual([begun, aborted], [expected, expected], "begun, aborted");
    assert.deepEqual([guarded.bulkhead?.running, guarded.bulkhead?.waiting, guarded.adaptiveLimit?.running], [0, 0, 0]);
    assert.equal(platform.clock.pendingTimers, 0);
  });
}

test("an abort before the call and one after it change nothing but the first", async () => {
  const platform = virtualPlatform();
  const guarded = policy(everything(platform));
  const gone = new Error("gone");
  await assert.rejects(
    guarded.run(() => assert.fail("must not run"), { signal: AbortSignal.abort(gone) }),
    gone,
  );
  const controller = new AbortController();
  assert.equal(await guarded.run(() => "answer", { signal: controller.signal }), "answer");
  controller.abort(gone);
  assert.equal(guarded.breaker?.state, "closed");
});

// ── parts together ───────────────────────────────────────────────────────────────────────────────────────────────────

test("what was rejected was not sent: it costs neither allowance nor budget, and the throttle does not count it", async () => {
  const platform = virtualPlatform();
  const circuit = breaker({ failures: 1, platform });
  const limit = rateLimit({ calls: 2, perMs: 60_000, platform });
  const guarded = policy({ breaker: circuit, rateLimit: limit, throttle: {}, retry: {}, platform });
  circuit.forceOpen();
  for (let n = 0; n < 50; n++) {
    await assert.rejects(
      guarded.run(() => 1),
      { reason: "breaker_open" },
    );
  }
  circuit.reset();
  assert.equal(await guarded.run(() => 1), 1);
  assert.equal(await guarded.run(() => 2), 2);
  await assert.rejects(
    guarded.run(() => 3),
    { reason: "rate_limited" },
  );
  assert.equal(guarded.throttle?.probability(), 0);
});

test("a breaker that opens between two attempts ends the call with the error of the last one", async () => {
  const platform = virtualPlatform();
  const guarded = policy({ breaker: { failures: 2 }, retry: { attempts: 5, delayMs: 1 }, platform });
  let attempts = 0;
  const call = guarded.run(() => {
    throw new RpcError("unavailable", `attempt ${++attempts}`);
  });
  const failed = assert.rejects(call, { message: "attempt 2" });
  await platform.clock.advance(1_000);
  await failed;
});

test("the observer hears of retries, refusals, time-outs, recovery and the breaker", async () => {
  const platform = virtualPlatform();
  const events: ObservedEvent[] = [];
  const guarded = policy({
    ...everything(platform),
    hedge: undefined,
    breaker: { failures: 3 },
    fallback: "fallback",
    observer: { emit: event => events.push(event) },
  });
  const call = guarded.run((_signal, attempt) => {
    if (attempt.number === 1) return never();
    throw new Error("x");
  });
  await platform.clock.advance(1_000);
  assert.equal(await call, "fallback");
  assert.equal(await guarded.run(() => 1), "fallback");
  assert.deepEqual(
    events.map(({ type }) => type.replace("resilience.", "")),
    ["timeout", "retry", "retry", "breaker", "retry.refused", "recovered", "rejected", "recovered"],
  );
});

test("a stale value comes before the fallback, and neither replaces an answer such as not_found", async () => {
  const platform = virtualPlatform();
  const guarded = policy({ cache: { staleMs: 1_000, entriesMax: 2 }, fallback: () => "fallback", platform });
  const down = () => Promise.reject(new RpcError("unavailable", "down"));
  for (const key of ["a", "b", "c"])
    assert.equal(await guarded.run(async () => `value ${key}`, { key }), `value ${key}`);
  assert.equal(await guarded.run(down, { key: "c" }), "value c");
  assert.equal(await guarded.run(down, { key: "a" }), "fallback", "the cache holds two");
  await assert.rejects(
    guarded.run(() => Promise.reject(new RpcError("not_found", "none")), { key: "c" }),
    { code: "not_found" },
  );
  platform.clock.advanceSync(1_001);
  assert.equal(await guarded.run(down, { key: "c" }), "fallback");
  assert.equal(guarded.cache?.size, 1);
  const controller = new AbortController();
  const gone = guarded.run(never, { signal: controller.signal, key: "b" });
  controller.abort(new Error("gone"));
  await assert.rejects(gone, /gone/);
});

test("identical reads under way are one read with its retries, and each caller keeps its own deadline", async () => {
  const platform = virtualPlatform();
  const guarded = policy({ coalesce: {}, retry: { delayMs: 100, jitter: "none" }, fallback: "late", platform });
  let attempts = 0;
  const read = async () => {
    attempts++;
    await after(platform, 50);
    if (attempts === 1) throw new RpcError("unavailable", "once");
    return "value";
  };
  const calls = Promise.all([
    guarded.run(read, { key: "a" }),
    guarded.run(read, { key: "a", deadline: 60 }),
    guarded.run(read, { key: "a" }),
    guarded.run(() => "other", { key: "b" }),
    guarded.run(() => "without key"),
  ]);
  await platform.clock.advance(1_000);
  assert.deepEqual(await calls, ["value", "late", "value", "other", "without key"]);
  assert.deepEqual([attempts, guarded.coalesce?.size], [2, 0]);
});

test("a thousand calls through everything, succeeding, failing and aborted at random, leave nothing behind", async () => {
  const platform = virtualPlatform({ seed: 5 });
  const { random } = platform;
  const guarded = policy({ ...everything(platform), bulkhead: { concurrent: 7, queue: 20 }, cache: {}, coalesce: {} });
  let running = 0;
  let most = 0;
  const outcomes: string[] = [];
  for (let n = 0; n < 1_000; n++) {
    const controller = new AbortController();
    if (random.next() < 0.2) platform.clock.after(random.next() * 500, () => controller.abort(new Error("gone")));
    const run = guarded.run(
      async () => {
        most = Math.max(most, ++running);
        await after(platform, random.next() * 900);
        running--;
        if (random.next() < 0.3) throw new RpcError(random.next() < 0.5 ? "unavailable" : "not_found", "x");
        return n;
      },
      { signal: controller.signal, key: random.next() < 0.3 ? `key ${random.below(5)}` : undefined },
    );
    run.then(
      () => outcomes.push("answer"),
      error => outcomes.push(error instanceof RejectedError ? "rejected" : "error"),
    );
    await platform.clock.advance(random.next() * 40);
  }
  await platform.clock.advance(60_000);
  assert.equal(outcomes.length, 1_000);
  assert(most <= 7, `${most} at once`);
  assert.deepEqual([running, guarded.bulkhead?.running, guarded.bulkhead?.waiting], [0, 0, 0]);
  assert.deepEqual([guarded.adaptiveLimit?.running, guarded.coalesce?.size, platform.clock.pendingTimers], [0, 0, 0]);
});

// ── options ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const wrong: readonly (readonly [make: () => unknown, message: RegExp])[] = [
  [() => policy({ timeoutMs: -1 }), /^policy\.timeoutMs: expected a number from 1 to 2147483647 ms, got -1$/],
  [() => policy({ timeoutMs: Number.NaN }), /policy\.timeoutMs: .* got NaN/],
  [() => policy({ timeoutMs: "5s" as never }), /policy\.timeoutMs: expected a number .* got "5s"/],
  [() => policy({ timeout: 5 } as never), /policy: there is no option "timeout"; the options are .*timeoutMs/],
  [() => policy(5 as never), /policy: expected an object of options, got 5/],
  [() => policy({ timeoutMs: 100, attemptTimeoutMs: 100 }), /policy\.attemptTimeoutMs: 100 ms is not below timeoutMs/],
  [() => policy({ budget: {} }), /policy\.budget: means nothing without retry or hedge/],
  [() => policy({ retry: { budget: {} }, budget: {} }), /policy\.budget: retry or hedge has a budget of its own/],
  [() => policy({ retry: { attempts: 0 } }), /policy\.retry\.attempts: expected a whole number from 1 to 100, got 0/],
  [
    () => policy({ retry: { delayMs: 500, jitter: "none" }, timeoutMs: 500 }),
    /policy\.retry\.delayMs: 500 ms is not below/,
  ],
  [
    () => policy({ hedge: { idempotent: true }, retry: { idempotent: false } }),
    /policy\.hedge\.idempotent: is true while/,
  ],
  [
    () => policy({ hedge: { delayMs: 200 }, timeoutMs: 100 }),
    /policy\.hedge\.delayMs: 200 ms is not below the time-out/,
  ],
  [() => policy({ breaker: { slowMs: 900 }, timeoutMs: 800 }), /policy\.breaker\.slowMs: 900 ms is not below/],
  [
    () => policy({ hedge: { minDelayMs: 50 }, timeoutMs: 500, attemptTimeoutMs: 50 }),
    /hedge\.minDelayMs: 50 ms is not below/,
  ],
  [
    () => policy({ bulkhead: { maxWaitMs: 900 }, timeoutMs: 900 }),
    /policy\.bulkhead\.maxWaitMs: 900 ms is not below timeoutMs/,
  ],
  [
    () => policy({ rateLimit: { calls: 1, wait: { maxWaitMs: 900 } }, timeoutMs: 100 }),
    /policy\.rateLimit\.wait\.maxWaitMs: 900 ms is not below timeoutMs, 100 ms/,
  ],
  [() => retry({ idempotent: "false" as never }), /retry\.idempotent: expected true or false, got "false"/],
  [() => hedge({ idempotent: 1 as never }), /hedge\.idempotent: expected true or false, got 1/],
  [() => hedge({ hedges: 0 }), /hedge\.hedges: expected a whole number from 1 to 10, got 0/],
  [() => hedge({ hedges: 11 }), /hedge\.hedges: expected a whole number from 1 to 10, got 11/],
  [() => breaker({ slowMs: 0 }), /breaker\.slowMs: expected a number from 1/],
  [() => breaker({ slowMs: 10, slowRatio: 2 }), /breaker\.slowRatio: expected a number above 0 to 1, got 2/],
  [() => policy({ classify: 3 as never }), /policy\.classify: expected a function, got 3/],
  [() => breaker({ failures: 2.5 }), /breaker\.failures: expected a whole number from 1 to 1000000, got 2.5/],
  [() => breaker({ ratio: 0 }), /breaker\.ratio: expected a number above 0 to 1, got 0/],
  [() => breaker({ failures: false, ratio: false }), /breaker: failures and ratio are both false/],
  [() => breaker({ failures: 5, minimumCalls: 3 }), /breaker\.minimumCalls: means nothing without ratio or slowMs/],
  [() => breaker({ slowRatio: 0.5 }), /breaker\.slowRatio: means nothing without slowMs/],
  [() => breaker({ openMs: { initialMs: 10, maxMs: 5 } }), /breaker\.openMs: maxMs 5 is below initialMs 10/],
  [() => retry({ jitter: "some" as never }), /retry\.jitter: expected "full", "decorrelated", "none", got "some"/],
  [() => retry({ jitter: "decorrelated", factor: 2 }), /retry\.factor: means nothing with decorrelated jitter/],
  [() => retry({ delayMs: 100, maxDelayMs: 50 }), /retry\.maxDelayMs: 50 ms is below delayMs, 100 ms/],
  [() => retry({ when: true as never }), /retry\.when: expected a function, got true/],
  [() => bulkhead({ queue: 0, maxWaitMs: 5 }), /bulkhead\.maxWaitMs: means nothing with queue 0/],
  [() => bulkhead({ concurrent: 0 }), /bulkhead\.concurrent: expected a whole number from 1/],
  [() => rateLimit({} as never), /rateLimit\.calls: expected a number above 0/],
  [() => budget({ ratio: 0, reservePerSecond: 0 }), /budget: ratio and reservePerSecond are both 0/],
  [() => hedge({ delayMs: 5, quantile: 0.9 }), /hedge\.quantile: means nothing with delayMs/],
];

for (const [index, [make, message]] of wrong.entries()) {
  test(`a mistake in the options is refused when the policy is made (${index + 1}: ${message.source})`, () => {
    assert.throws(make, { message });
  });
}
