import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SeededRandom, type VirtualPlatform, virtualPlatform } from "../platform/virtual/index.ts";
import { type AdaptiveLimit, adaptiveLimit } from "./adaptive-limit.ts";
import type { Priority } from "./part.ts";
import type { FailureKind, Outcome, Permit } from "./permit.ts";

/** A target with so many workers, each taking `serviceMs`, and an endless queue before them. */
class Target {
  readonly #platform: VirtualPlatform;
  workers: number;
  serviceMs: number;
  #busy = 0;
  readonly #queue: (() => void)[] = [];

  constructor(platform: VirtualPlatform, workers: number, serviceMs: number) {
    this.#platform = platform;
    this.workers = workers;
    this.serviceMs = serviceMs;
  }

  call(done: () => void): void {
    this.#queue.push(done);
    this.#work();
  }

  #work(): void {
    while (this.#busy < this.workers && this.#queue.length > 0) {
      const done = this.#queue.shift() as () => void;
      this.#busy++;
      this.#platform.clock.after(this.serviceMs * (0.5 + this.#platform.random.next()), () => {
        this.#busy--;
        done();
        this.#work();
      });
    }
  }
}

/** Offers `perSecond` calls for a time and tells what the limit was at the end of each minute. */
function offer(
  platform: VirtualPlatform,
  limiter: AdaptiveLimit,
  target: Target,
  perSecond: number,
  minutes: number,
): { limits: number[]; served: number } {
  const limits: number[] = [];
  const gap = new SeededRandom(5);
  let served = 0;
  for (let minute = 0; minute < minutes; minute++) {
    const endMs = platform.clock.now() + 60_000;
    while (platform.clock.now() < endMs) {
      const admission = limiter.acquire();
      if (!admission.rejected) {
        target.call(() => {
          served++;
          admission.success();
        });
      }
      platform.clock.advanceSync((2_000 / perSecond) * gap.next());
    }
    limits.push(limiter.limit);
  }
  return { limits, served };
}

test("it finds what the target can do, and does not drift away under lasting overload", () => {
  const platform = virtualPlatform({ seed: 11 });
  const target = new Target(platform, 20, 20);
  const limiter = adaptiveLimit({ platform });
  // Twenty workers serve 1,000 calls a second; twice as many come, for six minutes.
  const { limits, served } = offer(platform, limiter, target, 2_000, 6);
  assert(served / (6 * 60) > 900, `served ${served / 360} a second`);
  // Ten is half of twenty: a minute may end while the limit is halved to look at the baseline.
  for (const limit of limits) assert(limit >= 10 && limit <= 40, `${limits}`);
});

test("it follows a target that becomes slower for good, and one that loses workers", () => {
  const platform = virtualPlatform({ seed: 12 });
  const target = new Target(platform, 40, 20);
  const limiter = adaptiveLimit({ platform });
  offer(platform, limiter, target, 1_500, 2);
  target.serviceMs = 40;
  const slower = offer(platform, limiter, target, 1_500, 4);
  assert(slower.served / (4 * 60) > 800, `served ${slower.served / 240} of 1,000 a second`);
  target.workers = 10;
  const fewer = offer(platform, limiter, target, 1_500, 3);
  assert((fewer.limits.at(-1) ?? 0) < 60, `${fewer.limits}`);
});

test("refusals and time-outs shrink it to its least, which still lets work try", () => {
  const platform = virtualPlatform();
  const limiter = adaptiveLimit({ min: 2, platform });
  for (let n = 0; n < 300; n++) {
    const admission = limiter.acquire();
    platform.clock.advanceSync(1_000);
    if (!admission.rejected) admission.failure(n % 2 === 0 ? "overload" : "timeout");
  }
  assert.equal(limiter.limit, 2);
});

test("sheddable work is turned away first, and the most critical may go a tenth beyond", () => {
  const limiter = adaptiveLimit({ initial: 100, platform: virtualPlatform() });
  const fill = (priority: Priority) => {
    for (;;) {
      const admission = limiter.acquire(priority);
      if (admission.rejected) return [limiter.running, admission.reason];
    }
  };
  assert.deepEqual(fill("sheddable"), [50, "shed"]);
  assert.deepEqual(fill("sheddable_plus"), [80, "shed"]);
  assert.deepEqual(fill("critical"), [100, "limit_reached"]);
  assert.deepEqual(fill("critical_plus"), [110, "limit_reached"]);
});

test("a late event loop is overload, whatever the latencies say", () => {
  const platform = virtualPlatform();
  const limiter = adaptiveLimit({ initial: 100, platform });
  const watching = limiter.watchLoop();
  platform.clock.advanceSync(1_000);
  assert.equal(limiter.limit, 100);
  for (let n = 0; n < 10; n++) {
    const permit = limiter.acquire() as Permit;
    limiter.reportLoopDelay(150);
    platform.clock.advanceSync(1_000);
    permit.success(1);
  }
  assert(limiter.limit < 60, `${limiter.limit}`);
  watching[Symbol.dispose]();
  platform.clock.advanceSync(1_000);
  assert.equal(platform.clock.pendingTimers, 0);
});

interface Model {
  nowMs: number;
  out: Permit[];
  running: number;
}

interface Real {
  readonly platform: VirtualPlatform;
  readonly limiter: AdaptiveLimit;
}

const step = (name: string, run: (model: Model, real: Real) => void): fc.Command<Model, Real> => ({
  check: () => true,
  run(model, real) {
    run(model, real);
    assert.equal(real.limiter.running, model.running, name);
    assert(real.limiter.limit >= 2 && real.limiter.limit <= 30 && Number.isInteger(real.limiter.limit), name);
    assert(!(real.limiter.baselineMs < 0), name);
  },
  toString: () => name,
});

test("whatever is admitted, settled once or twice, with any latency: it counts what runs and stays in its bounds", () => {
  const shares: Record<Priority, number> = { critical_plus: 1.1, critical: 1, sheddable_plus: 0.8, sheddable: 0.5 };
  const ask = (priority: Priority) =>
    step(`ask ${priority}`, (model, { limiter }) => {
      const room = Math.max(1, Math.floor(limiter.limit * shares[priority]));
      const admission = limiter.acquire(priority);
      assert.equal(!admission.rejected, model.running < room);
      if (admission.rejected) return;
      model.running++;
      model.out.push(admission);
    });
  const settle = (outcome: Outcome, kind: FailureKind, latencyMs: number) =>
    step(`settle ${outcome} ${kind} ${latencyMs}`, model => {
      const permit = model.out.shift();
      if (permit === undefined) return;
      model.running--;
      permit.settle(outcome, kind, latencyMs);
      permit.success();
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
          fc.constantFrom<Priority>("critical_plus", "critical", "sheddable_plus", "sheddable").map(ask),
          fc.constantFrom<Priority>("critical_plus", "critical", "sheddable_plus", "sheddable").map(ask),
          fc
            .tuple(
              fc.constantFrom<Outcome>("success", "failure", "ignore"),
              fc.constantFrom<FailureKind>("error", "overload", "timeout", "unavailable"),
              fc.oneof(fc.constant(Number.NaN), fc.double({ min: 0, max: 1e6, noNaN: true })),
            )
            .map(([outcome, kind, latencyMs]) => settle(outcome, kind, latencyMs)),
          fc.constantFrom(1, 99, 1_000, 60_000).map(tick),
        ],
        { maxCommands: 150, size: "max" },
      ),
      commands =>
        fc.modelRun(() => {
          const platform = virtualPlatform();
          const limiter = adaptiveLimit({ initial: 10, min: 2, max: 30, platform });
          return { model: { nowMs: 0, out: [], running: 0 }, real: { platform, limiter } };
        }, commands),
    ),
  );
});
