import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import type { DescService } from "@bufbuild/protobuf";
import { duration, type PolicyMethod, serviceWithPolicies } from "../../contract/policy.fixture.ts";
import { isRpcError } from "../../errors/index.ts";
import { createServer } from "../../exports/server.ts";
import { virtualPlatform } from "../../platform/virtual/index.ts";
import { Breaker, TimeoutError } from "../../resilience/index.ts";
import { Channel } from "../channel/index.ts";
import type { Call } from "./call.ts";
import type { CallOptions } from "./call-options.ts";
import { createClient } from "./client.ts";
import type { ClientPolicy } from "./client-policy.ts";
import { implement } from "./implement.ts";

type One = (request: { value: string }, options?: CallOptions) => Promise<{ value: string }>;

/** A server of one method, which answers after so many milliseconds by the number of the attempt; and clients of it. */
async function world(t: TestContext, method: PolicyMethod, answerAfterMs: (attempt: number) => number) {
  const platform = virtualPlatform();
  const { clock } = platform;
  const desc: DescService = serviceWithPolicies("text", { One: method });
  /** When each attempt came. */
  const arrivedMs: number[] = [];
  const handler = (_: unknown, { signal }: Call) => {
    const attempt = arrivedMs.push(clock.now());
    return new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
      clock.after(answerAfterMs(attempt), () => resolve({ value: `answer ${attempt}` }));
    });
  };
  await createServer({ platform, services: [implement(desc, { one: handler } as never)] }).listen({
    host: "10.0.0.1",
    port: 80,
  });
  const channel = new Channel("static:///10.0.0.1:80", { platform });
  t.after(() => channel.close());
  const client = (policy?: ClientPolicy | false) =>
    createClient(desc, channel, { policy }) as unknown as { readonly one: One };
  /** What became of a call, and when. */
  const outcome = async (promise: Promise<{ value: string }>, ms = 60_000): Promise<readonly [unknown, number]> => {
    const beganMs = clock.now();
    const settled = promise.then(
      ({ value }): readonly [unknown, number] => [value, clock.now() - beganMs],
      (error: unknown): readonly [unknown, number] => [error, clock.now() - beganMs],
    );
    await clock.advance(ms);
    return Promise.race([settled, Promise.resolve(["pending", ms] as const)]);
  };
  return { clock, channel, client, outcome, arrivedMs };
}

const never = () => Number.POSITIVE_INFINITY;
const hangsOnce = (attempt: number) => (attempt === 1 ? Number.POSITIVE_INFINITY : 1);

describe("the time-out of an attempt", () => {
  const method: PolicyMethod = { policy: { timeout: duration(2_000), attemptTimeout: duration(300) } };

  test("comes from the contract: what hangs is sent again, and the call is in time", async t => {
    const { client, outcome, arrivedMs } = await world(t, method, hangsOnce);
    const [answer, ms] = await outcome(client().one({ value: "" }));
    assert.equal(answer, "answer 2");
    assert(ms >= 300 && ms < 500, `${ms} ms`);
    assert.equal(arrivedMs.length, 2);
  });

  test("without one, the first attempt has all of the call's time", async t => {
    const { client, outcome, arrivedMs } = await world(t, { policy: { timeout: duration(2_000) } }, hangsOnce);
    const [error, ms] = await outcome(client().one({ value: "" }));
    assert(isRpcError(error, "deadline_exceeded"));
    assert.equal(ms, 2_000);
    assert.equal(arrivedMs.length, 1);
  });

  test("of the client goes before the contract's, of the call before the client's; Infinity is none", async t => {
    for (const [policy, options, expectedMs] of [
      [undefined, undefined, 300],
      [{ attemptTimeoutMs: 100 }, undefined, 100],
      [{ attemptTimeoutMs: Number.POSITIVE_INFINITY }, undefined, 2_000],
      [{ attemptTimeoutMs: 100 }, { attemptTimeoutMs: 50 }, 50],
      [{ attemptTimeoutMs: 100 }, { attemptTimeoutMs: Number.POSITIVE_INFINITY }, 2_000],
      [undefined, { attemptTimeoutMs: 700 }, 700],
      [false, undefined, 2_000],
      [false, { attemptTimeoutMs: 50 }, 50],
    ] as const) {
      const { client, outcome } = await world(t, method, never);
      const [error, ms] = await outcome(client(policy).one({ value: "" }, { retry: false, ...options }));
      assert(isRpcError(error, "deadline_exceeded"), String(error));
      assert.equal(ms, expectedMs, JSON.stringify([policy, options]));
      assert.equal(error instanceof TimeoutError, expectedMs < 2_000);
    }
  });

  test("is no reason to repeat what may not be repeated", async t => {
    const { client, outcome, arrivedMs } = await world(t, { ...method, isIdempotent: false }, hangsOnce);
    const [error] = await outcome(client().one({ value: "" }));
    assert(error instanceof TimeoutError && error.scope === "attempt");
    assert.equal(arrivedMs.length, 1);
  });

  test("is the lease of a probe of the target's breaker", async t => {
    const { client, clock, outcome } = await world(t, method, never);
    const platform = { clock, random: virtualPlatform().random };
    const breaker = new Breaker({ failures: 2, openMs: 10_000, platform });
    const changes: string[] = [];
    breaker.subscribe(({ to, reason, atMs }) => changes.push(`${to} ${reason} ${Math.round(atMs)}`));
    const guarded = client({ breaker, throttle: false, retry: false });
    for (let count = 0; count < 2; count++) await outcome(guarded.one({ value: "" }), 300);
    assert.equal(breaker.state, "open");
    const openedMs = clock.now();
    await clock.advance(10_000);
    const probe = outcome(guarded.one({ value: "" }), 299);
    await probe;
    assert.equal(breaker.state, "half_open");
    await clock.advance(1);
    assert.equal(breaker.state, "open", "not only after the open time");
    assert.deepEqual(changes.slice(-2), [
      `half_open open_time_over ${openedMs + 10_000}`,
      `open probe_expired ${openedMs + 10_300}`,
    ]);
  });

  test("that cannot be is an error of the client, or of the call, that names it", async t => {
    const { client } = await world(t, method, never);
    for (const attemptTimeoutMs of [0, -1, Number.NaN]) {
      const name = "RangeError";
      assert.throws(() => client({ attemptTimeoutMs }), { name, message: /policy\.attemptTimeoutMs is / });
      await assert.rejects(client().one({ value: "" }, { attemptTimeoutMs }), {
        name: "TypeError",
        message: /^attemptTimeoutMs is .*; it must be 1 or more milliseconds$/,
      });
    }
  });
});

describe("a hedge that a call asks for", () => {
  const slowOnce = (attempt: number) => (attempt === 1 ? 500 : 5);

  test("is sent though calls of the method are not hedged, and only beside this call", async t => {
    const { client, outcome, arrivedMs } = await world(t, {}, slowOnce);
    const one = client();
    const [answer, ms] = await outcome(one.one({ value: "" }, { hedge: { delayMs: 20 } }));
    assert.equal(answer, "answer 2");
    assert(ms >= 25 && ms < 40, `${ms} ms`);
    const other = await world(t, {}, slowOnce);
    const [late, lateMs] = await other.outcome(other.client().one({ value: "" }));
    assert.equal(late, "answer 1");
    assert(lateMs >= 500);
    assert.deepEqual([arrivedMs.length, other.arrivedMs.length], [2, 1]);
  });

  test("is left out where the call says so, whatever client and contract say", async t => {
    const method = { policy: { hedge: { delay: duration(20) } } };
    for (const policy of [undefined, { hedge: { delayMs: 10 } }]) {
      const { client, outcome, arrivedMs } = await world(t, method, slowOnce);
      assert.equal((await outcome(client(policy).one({ value: "" }, { hedge: false })))[0], "answer 1");
      assert.equal(arrivedMs.length, 1);
    }
    const { client, outcome, arrivedMs } = await world(t, method, slowOnce);
    assert.equal((await outcome(client({ hedge: false }).one({ value: "" })))[0], "answer 1");
    assert.equal(arrivedMs.length, 1);
  });

  test("waits as the client says, otherwise the contract, where the call says no more than true", async t => {
    const method = { policy: { hedge: { delay: duration(200), maxAttempts: 2 } } };
    for (const [policy, hedge, expectedMs] of [
      [undefined, true, [200, 400]],
      [{ hedge: false }, true, [200, 400]],
      [{ hedge: { delayMs: 50 } }, true, [50]],
      [{ hedge: { delayMs: 50 } }, { delayMs: 20, hedges: 3 }, [20, 40, 60]],
      [undefined, { hedges: 1 }, [200]],
    ] as const) {
      const { client, outcome, arrivedMs } = await world(t, method, () => 450);
      await outcome(client(policy).one({ value: "" }, { hedge }));
      const [first = 0, ...hedges] = arrivedMs;
      assert.deepEqual(
        hedges.map(ms => Math.round(ms - first)),
        expectedMs,
        JSON.stringify([policy, hedge]),
      );
    }
  });

  test("without any delay waits for the 95th percentile, observed since a call asked first", async t => {
    const { client, outcome, arrivedMs, clock } = await world(t, {}, attempt => (attempt <= 40 ? 10 : 400));
    const one = client();
    assert.equal((await outcome(one.one({ value: "" }, { hedge: true }), 100))[0], "answer 1");
    for (let count = 0; count < 39; count++) await outcome(one.one({ value: "" }), 100);
    await clock.advance(3_000);
    await outcome(one.one({ value: "" }, { hedge: true }), 2_000);
    assert.equal(arrivedMs.length, 42);
    const [first = 0, second = 0] = arrivedMs.slice(-2);
    assert(second - first >= 9 && second - first <= 15, `${second - first} ms`);
  });

  test("may be asked for where only the call says that repeating does no harm", async t => {
    const { client, outcome } = await world(t, { isIdempotent: false }, slowOnce);
    const options = { retry: true, hedge: { delayMs: 20 } };
    assert.equal((await outcome(client().one({ value: "" }, options)))[0], "answer 2");
  });

  test("is an error where a call must not be sent twice, where it streams, and without a policy", async t => {
    const { client, arrivedMs } = await world(t, { isIdempotent: false }, slowOnce);
    for (const hedge of [true, { delayMs: 20 }]) {
      await assert.rejects(client().one({ value: "" }, { hedge }), {
        name: "TypeError",
        message: /^hedge: \/text\.TextService\/One must not be sent twice: .* no idempotency_level/,
      });
      await assert.rejects(client(false).one({ value: "" }, { hedge }), /made with policy: false$/);
    }
    const idempotent = await world(t, {}, slowOnce);
    await assert.rejects(idempotent.client().one({ value: "" }, { retry: false, hedge: true }), /says retry: false/);
    const streaming = await world(t, { serverStreaming: true }, slowOnce);
    const answers = streaming.client().one({ value: "" }, { hedge: true }) as unknown as AsyncIterable<unknown>;
    await assert.rejects(Array.fromAsync(answers), /^TypeError: hedge: \/text\.TextService\/One streams/);
    assert.deepEqual([arrivedMs, idempotent.arrivedMs, streaming.arrivedMs], [[], [], []]);
  });

  test("that cannot be is an error of the call, or of the client, that names the option and its range", async t => {
    const { client } = await world(t, {}, slowOnce);
    for (const [hedge, message] of [
      [{ delayMs: 0 }, /hedge\.delayMs is 0; it must be a number of milliseconds from 1/],
      [{ delayMs: Number.NaN }, /hedge\.delayMs is NaN/],
      [{ delayMs: Number.POSITIVE_INFINITY }, /hedge\.delayMs is Infinity/],
      [{ hedges: 0 }, /hedge\.hedges is 0; it must be a whole number from 1 to 10/],
      [{ hedges: 11 }, /hedge\.hedges is 11/],
      [{ hedges: 1.5 }, /hedge\.hedges is 1\.5/],
      [{ delay: 20 } as object, /hedge\.delay is not an option; the options are delayMs, hedges/],
    ] as const) {
      await assert.rejects(client().one({ value: "" }, { hedge }), message);
      assert.throws(() => client({ hedge }), message);
    }
  });

  test("that would come after the attempt is given up is an error of the client", async t => {
    const { client } = await world(t, {}, slowOnce);
    assert.throws(
      () => client({ attemptTimeoutMs: 50, hedge: { delayMs: 50 } }),
      /policy\.hedge\.delayMs is 50; it must be below policy\.attemptTimeoutMs, 50/,
    );
    assert.ok(client({ attemptTimeoutMs: 50, hedge: { delayMs: 49 } }));
  });

  test("is paid from the budget, and leaves nothing behind", async t => {
    const { client, channel, outcome, arrivedMs } = await world(t, {}, () => 100);
    const one = client({ budget: { ratio: 0, reservePerSecond: 0.2 } });
    for (let count = 0; count < 5; count++) {
      assert.equal(typeof (await outcome(one.one({ value: "" }, { hedge: { delayMs: 20 } }), 200))[0], "string");
    }
    assert.equal(arrivedMs.length, 7, "two hedges in the window of 10 s");
    assert.equal(channel.endpoints()[0]?.activeCalls, 0);
    assert.equal(channel.pick()?.balanced?.load.pending, 0);
  });
});
