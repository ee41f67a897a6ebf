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
  return { clock, client, outcome, arrivedMs };
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
