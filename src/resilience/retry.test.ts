import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { test } from "node:test";
import { RpcError } from "../errors/index.ts";
import { type VirtualPlatform, virtualPlatform } from "../platform/virtual/index.ts";
import { budget } from "./budget.ts";
import { isOutOfRetries } from "./out-of-retries.ts";
import type { RunOptions } from "./part.ts";
import { policy } from "./policy.ts";
import { isRetryable, type RetryOptions, retry } from "./retry.ts";

/** Runs work that always fails with what `errorOf` makes, and says when each attempt began. */
async function attemptsOf(
  options: RetryOptions,
  errorOf: (attempt: number) => unknown,
  run: RunOptions = {},
  platform: VirtualPlatform = virtualPlatform(),
): Promise<{ begun: number[]; error: unknown; endedMs: number }> {
  const begun: number[] = [];
  let ended: { error: unknown; endedMs: number } | undefined;
  retry({ ...options, platform })
    .run(async (_signal, attempt) => {
      begun.push(platform.clock.now());
      throw errorOf(attempt.number);
    }, run)
    .catch((error: unknown) => {
      ended = { error, endedMs: platform.clock.now() };
    });
  await platform.clock.advance(600_000);
  assert(ended !== undefined);
  assert.equal(platform.clock.pendingTimers, 0);
  return { begun, ...ended };
}

test("the guide's retry makes three attempts, 2 s and 4 s apart, and throws the last error", async () => {
  const when = (error: unknown) => error instanceof TypeError;
  const options: RetryOptions = { attempts: 3, delayMs: 2000, factor: 2, jitter: "none", when };
  const { begun, error } = await attemptsOf(options, n => new TypeError(`attempt ${n}`));
  assert.deepEqual(begun, [0, 2_000, 6_000]);
  assert.equal((error as Error).message, "attempt 3");
  assert.deepEqual((await attemptsOf(options, () => new RangeError("no"))).begun, [0]);
});

test("an attempt knows its number, the attempts before it, and what the last one failed with", async () => {
  const platform = virtualPlatform();
  const seen: unknown[] = [];
  const errors = [new Error("first"), new Error("second")];
  const result = retry({ delayMs: 0, platform }).run(async (_signal, attempt) => {
    seen.push([attempt.number, attempt.previousAttempts, attempt.previousError]);
    const error = errors[attempt.number - 1];
    if (error !== undefined) throw error;
    return "answer";
  });
  await platform.clock.advance(10);
  assert.equal(await result, "answer");
  assert.deepEqual(seen, [
    [1, 0, undefined],
    [2, 1, errors[0]],
    [3, 2, errors[1]],
  ]);
});

test("pushback replaces the delay, and one that is negative or no number forbids the retry", async () => {
  const withPushback = (retryAfterMs: number) => () => new RpcError("unavailable", "later", { retryAfterMs });
  assert.deepEqual((await attemptsOf({}, withPushback(700))).begun, [0, 700, 1_400]);
  for (const stop of [-1, Number.NaN, Number.POSITIVE_INFINITY, 1e12]) {
    const { begun, error } = await attemptsOf({ when: () => true }, withPushback(stop));
    assert.deepEqual(begun, [0], `${stop}`);
    assert(isOutOfRetries(error));
  }
});

test("a delay that does not fit before the deadline is not waited: the call fails now with the last error", async () => {
  const options: RetryOptions = { attempts: 5, delayMs: 1_000, jitter: "none" };
  const { begun, error, endedMs } = await attemptsOf(options, n => new Error(`attempt ${n}`), { deadline: 3_000 });
  assert.deepEqual([begun, endedMs, (error as Error).message], [[0, 1_000], 1_000, "attempt 2"]);
});

test("only what had no effect is repeated when the work is not idempotent", () => {
  const error = (code: ConstructorParameters<typeof RpcError>[0], options = {}) => new RpcError(code, "x", options);
  for (const [what, idempotent, otherwise] of [
    [error("unavailable", { unprocessed: true }), true, true],
    [error("unavailable"), true, false],
    [error("resource_exhausted", { retryAfterMs: 10 }), true, false],
    [error("resource_exhausted"), false, false],
    [error("internal", { cause: { reason: "reset" } }), true, false],
    [error("internal"), false, false],
    [error("deadline_exceeded"), false, false],
    [error("not_found"), false, false],
    [error("cancelled"), false, false],
    [new TypeError("fetch failed"), true, false],
  ] as const) {
    assert.equal(isRetryable(what, true), idempotent, String(what));
    assert.equal(isRetryable(what, false), otherwise, String(what));
  }
});

test("work that serves a call which was repeated already is not repeated again", async () => {
  const { begun, error } = await attemptsOf({}, () => new Error("x"), { inboundAttempts: 1 });
  assert.equal(begun.length, 1);
  assert(isOutOfRetries(error));
});

test("retries of nested policies do not multiply", async () => {
  const platform = virtualPlatform();
  let attempts = 0;
  const inner = retry({ platform });
  const outer = retry({ platform });
  const result = outer.run(() =>
    inner.run(() => {
      attempts++;
      throw new RpcError("unavailable", "down");
    }),
  );
  const rejected = assert.rejects(result, { code: "unavailable" });
  await platform.clock.advance(60_000);
  await rejected;
  assert.equal(attempts, 3);
});

test("an empty budget ends the call with its own error at once", async () => {
  const platform = virtualPlatform();
  const shared = budget({ ratio: 0.2, reservePerSecond: 0, platform });
  const guarded = retry({ budget: shared, platform, delayMs: 0 });
  let attempts = 0;
  const calls = Array.from({ length: 100 }, () =>
    guarded.run(() => {
      attempts++;
      throw new RpcError("unavailable", "down");
    }),
  );
  const settled = Promise.allSettled(calls);
  await platform.clock.advance(1_000);
  await settled;
  assert.equal(attempts, 120);
});

test("an abort during the back-off ends the call at once and runs nothing more", async () => {
  const platform = virtualPlatform();
  const controller = new AbortController();
  let attempts = 0;
  const reason = new Error("gone");
  const result = retry({ delayMs: 1_000, jitter: "none", platform }).run(
    () => {
      attempts++;
      throw new Error("x");
    },
    { signal: controller.signal },
  );
  await platform.clock.settle();
  controller.abort(reason);
  await assert.rejects(result, reason);
  assert.equal(platform.clock.pendingTimers, 0);
  await platform.clock.advance(10_000);
  assert.equal(attempts, 1);
});

test("a rule that throws ends the call with what it threw", async () => {
  const mistake = new Error("mistake in the rule");
  const when = () => {
    throw mistake;
  };
  assert.equal((await attemptsOf({ when }, () => new Error("x"))).error, mistake);
  const guarded = policy({ classify: when, platform: virtualPlatform(), breaker: {} });
  await assert.rejects(
    guarded.run(() => Promise.reject(new Error("x"))),
    mistake,
  );
});

test("work that is repeated after a delay or a time-out still sees the context of its caller", async () => {
  const platform = virtualPlatform();
  const storage = new AsyncLocalStorage<string>();
  const guarded = policy({ attemptTimeoutMs: 100, retry: { delayMs: 10, jitter: "none" }, platform });
  const seen: (string | undefined)[] = [];
  const results = ["a", "b"].map(name =>
    storage.run(name, () =>
      guarded.run(async (_signal, attempt) => {
        seen.push(storage.getStore());
        if (attempt.number === 1) await new Promise(() => {});
        if (attempt.number === 2) throw new Error("x");
        return name;
      }),
    ),
  );
  await platform.clock.advance(1_000);
  assert.deepEqual(await Promise.all(results), ["a", "b"]);
  assert.deepEqual(seen, ["a", "b", "a", "b", "a", "b"]);
});
