/**
 * Defects that other libraries have or had, each as a test with the story of the failure. What is guarded here was found in
 * the issue lists of breakers, retriers and bulkheads for Node and the JVM; none of them is named, because all have fixed some.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { RpcError } from "../errors/index.ts";
import { SeededRandom, type VirtualPlatform, virtualPlatform } from "../platform/virtual/index.ts";
import { backoffDelayMs } from "./backoff.ts";
import { breaker } from "./breaker.ts";
import { bulkhead } from "./bulkhead.ts";
import { coalesce } from "./coalesce.ts";
import type { Permit } from "./permit.ts";
import { policy } from "./policy.ts";

type Case = readonly [name: string, check: (platform: VirtualPlatform) => Promise<void> | void];

const never = () => new Promise<never>(() => {});
const after = (platform: VirtualPlatform, ms: number) =>
  new Promise<void>(resolve => platform.clock.after(ms, resolve));

const cases: readonly Case[] = [
  [
    "a call admitted while closed that fails late neither re-opens the breaker nor undoes half-open",
    platform => {
      const circuit = breaker({ failures: 2, openMs: 1_000, platform });
      const slow = [circuit.acquire(), circuit.acquire(), circuit.acquire()] as Permit[];
      for (let n = 0; n < 2; n++) (circuit.acquire() as Permit).failure();
      platform.clock.advanceSync(1_000);
      const probe = circuit.acquire() as Permit;
      assert.equal(circuit.state, "half_open");
      slow[0]?.failure();
      assert.equal(circuit.state, "half_open");
      probe.success();
      slow[1]?.failure();
      slow[2]?.failure();
      assert.deepEqual([circuit.state, circuit.lateResults], ["closed", 3]);
    },
  ],
  [
    "a late success of a call from before does not close an open breaker",
    platform => {
      const circuit = breaker({ failures: 1, openMs: 1_000, platform });
      const slow = circuit.acquire() as Permit;
      (circuit.acquire() as Permit).failure();
      slow.success();
      assert.equal(circuit.state, "open");
      platform.clock.advanceSync(1_000);
      circuit.acquire();
      assert.equal(circuit.state, "half_open");
    },
  ],
  [
    "callers that meet a half-open breaker are rejected, never made to wait for the probe",
    async platform => {
      const circuit = breaker({ failures: 1, openMs: 1_000, platform });
      (circuit.acquire() as Permit).failure();
      platform.clock.advanceSync(1_000);
      void circuit.run(never);
      for (let n = 0; n < 5; n++) {
        await assert.rejects(
          circuit.run(() => assert.fail("must not run")),
          { reason: "breaker_open" },
        );
      }
      assert.equal(platform.clock.now(), 1_000);
    },
  ],
  [
    "a probe that hangs expires, and the next one is admitted after a further open time",
    platform => {
      const circuit = breaker({ failures: 1, openMs: 1_000, leaseMs: 200, platform });
      (circuit.acquire() as Permit).failure();
      platform.clock.advanceSync(1_000);
      const hung = circuit.acquire() as Permit;
      platform.clock.advanceSync(200);
      assert.equal(circuit.state, "open");
      platform.clock.advanceSync(1_000);
      assert.equal(circuit.acquire().rejected, false);
      hung.failure();
      assert.equal(circuit.state, "half_open");
    },
  ],
  [
    "a probe whose caller goes away gives its place back",
    async platform => {
      const circuit = breaker({ failures: 1, openMs: 1_000, platform });
      (circuit.acquire() as Permit).failure();
      platform.clock.advanceSync(1_000);
      const controller = new AbortController();
      const probe = circuit.run(never, { signal: controller.signal });
      controller.abort(new Error("gone"));
      await assert.rejects(probe, /gone/);
      assert.equal(circuit.state, "half_open");
      assert.equal(await circuit.run(() => "well again"), "well again");
      assert.equal(circuit.state, "closed");
    },
  ],
  [
    "an abort during the back-off ends the call at once and runs nothing more",
    async platform => {
      const guarded = policy({ retry: { delayMs: 1_000, jitter: "none" }, bulkhead: {}, platform });
      const controller = new AbortController();
      let attempts = 0;
      const call = guarded.run(
        () => {
          attempts++;
          throw new Error("x");
        },
        { signal: controller.signal },
      );
      await platform.clock.settle();
      controller.abort(new Error("gone"));
      await assert.rejects(call, /gone/);
      assert.deepEqual([guarded.bulkhead?.running, platform.clock.pendingTimers], [0, 0]);
      await platform.clock.advance(60_000);
      assert.equal(attempts, 1);
    },
  ],
  [
    "an idle window forgets by time: failures of an hour ago do not open a breaker on the first failure of now",
    platform => {
      const circuit = breaker({ failures: false, ratio: 0.5, minimumCalls: 20, platform });
      for (let n = 0; n < 19; n++) (circuit.acquire() as Permit).failure();
      platform.clock.advanceSync(3_600_000);
      (circuit.acquire() as Permit).failure();
      assert.equal(circuit.state, "closed");
    },
  ],
  [
    "one failure never opens: a share of one call is no share",
    platform => {
      const circuit = breaker({ platform });
      (circuit.acquire() as Permit).failure();
      assert.equal(circuit.state, "closed");
    },
  ],
  [
    "rejections are not failures: a full bulkhead does not open the breaker around it",
    async platform => {
      const inner = bulkhead({ concurrent: 1, queue: 0, platform });
      const circuit = breaker({ failures: 3, platform });
      void inner.run(never);
      for (let n = 0; n < 50; n++) {
        await assert.rejects(
          circuit.run(() => inner.run(() => "x")),
          { reason: "bulkhead_full" },
        );
      }
      assert.equal(circuit.state, "closed");
    },
  ],
  [
    "capacity is never exceeded after a time-out: work that does not end keeps its place",
    async platform => {
      const guarded = policy({ timeoutMs: 100, bulkhead: { concurrent: 2, queue: 0 }, platform });
      const ends: (() => void)[] = [];
      const stubborn = () => new Promise<void>(resolve => ends.push(resolve));
      const calls = Promise.allSettled([guarded.run(stubborn), guarded.run(stubborn)]);
      await platform.clock.advance(100);
      for (const call of await calls) assert.equal(call.status === "rejected" && call.reason.code, "deadline_exceeded");
      await assert.rejects(guarded.run(stubborn), { reason: "bulkhead_full" });
      ends[0]?.();
      await platform.clock.settle();
      assert.equal(guarded.bulkhead?.running, 1);
      assert.equal(await guarded.run(() => "free"), "free");
    },
  ],
  [
    "capacity is never exceeded by retries after an attempt's time-out either",
    async platform => {
      const options = { attemptTimeoutMs: 50, retry: { attempts: 5, delayMs: 1, jitter: "none" }, platform } as const;
      const guarded = policy({ ...options, bulkhead: { concurrent: 2, queue: 0 } });
      let running = 0;
      const call = guarded.run(() => {
        running++;
        return never();
      });
      const failed = assert.rejects(call, { code: "deadline_exceeded" });
      await platform.clock.advance(1_000);
      await failed;
      assert.deepEqual([running, guarded.bulkhead?.running], [2, 2]);
    },
  ],
  [
    "one caller's abort never aborts another's shared read, and the last one's aborts it",
    async platform => {
      const shared = coalesce({ platform });
      const signals: AbortSignal[] = [];
      const controllers = [new AbortController(), new AbortController()];
      const read = (signal: AbortSignal) => {
        signals.push(signal);
        return after(platform, 100).then(() => "value");
      };
      const calls = controllers.map(({ signal }) => shared.run(read, { key: "k", signal }));
      controllers[0]?.abort(new Error("gone"));
      await assert.rejects(calls[0] as Promise<string>, /gone/);
      assert.deepEqual([signals.length, signals[0]?.aborted], [1, false]);
      await platform.clock.advance(100);
      assert.equal(await calls[1], "value");

      const controller = new AbortController();
      const alone = shared.run(read, { key: "k", signal: controller.signal });
      controller.abort(new Error("gone too"));
      await assert.rejects(alone, /gone too/);
      await platform.clock.settle();
      assert.deepEqual([signals[1]?.aborted, shared.size], [true, 0]);
    },
  ],
  [
    "jitter is never NaN or Infinity, however long a target has been down",
    () => {
      const random = new SeededRandom(1);
      for (const jitter of ["full", "decorrelated", "none"] as const) {
        for (const baseMs of [0, 50]) {
          const delayMs = backoffDelayMs({ jitter, baseMs, factor: 10, maxMs: 1_000 }, 1_000_000, 1_000, random);
          assert(delayMs >= 0 && delayMs <= 1_000, `${jitter} ${delayMs}`);
        }
      }
    },
  ],
  [
    "a success never trips: the call that fills the window opens nothing by succeeding",
    platform => {
      const circuit = breaker({ failures: false, ratio: 0.5, minimumCalls: 20, platform });
      for (let n = 0; n < 19; n++) (circuit.acquire() as Permit).failure();
      (circuit.acquire() as Permit).success();
      assert.equal(circuit.state, "closed");
    },
  ],
  [
    "queue slots of aborted callers are free at once",
    async platform => {
      const places = bulkhead({ concurrent: 1, queue: 1, platform });
      void places.run(never);
      for (let n = 0; n < 100; n++) {
        const controller = new AbortController();
        const call = places.run(() => "x", { signal: controller.signal });
        assert.equal(places.waiting, 1);
        controller.abort(new Error("gone"));
        assert.equal(places.waiting, 0);
        await assert.rejects(call, /gone/);
      }
      assert.equal(platform.clock.pendingTimers, 0);
    },
  ],
  [
    "listeners on the caller's signal do not pile up over many calls",
    async platform => {
      const { signal } = new AbortController();
      let listeners = 0;
      const { addEventListener, removeEventListener } = signal;
      signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
        listeners++;
        addEventListener.apply(signal, args);
      };
      signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
        listeners--;
        removeEventListener.apply(signal, args);
      };
      const guarded = policy({ timeoutMs: 1_000, retry: { delayMs: 0 }, bulkhead: {}, platform });
      for (let n = 0; n < 50; n++) await guarded.run(async () => n, { signal });
      assert.equal(listeners, 0);
    },
  ],
  [
    "a function that throws synchronously releases everything it was given",
    async platform => {
      const guarded = policy({ bulkhead: { concurrent: 1 }, breaker: { failures: 100 }, timeoutMs: 1_000, platform });
      for (let n = 0; n < 20; n++) {
        await assert.rejects(
          guarded.run(() => {
            throw new RpcError("internal", "x");
          }),
          { code: "internal" },
        );
      }
      assert.equal(guarded.bulkhead?.running, 0);
    },
  ],
];

for (const [name, check] of cases) test(name, () => check(virtualPlatform()));
