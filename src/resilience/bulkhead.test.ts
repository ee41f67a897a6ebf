import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Rejection } from "../errors/index.ts";
import { type VirtualPlatform, virtualPlatform } from "../platform/virtual/index.ts";
import { type Bulkhead, bulkhead } from "./bulkhead.ts";
import type { Admission, Permit } from "./permit.ts";

/** Work that ends when it is told to. */
function held() {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  return { work: () => promise, end: () => resolve("done"), fail: reject };
}

test("the guide's bulkhead runs ten at once and lets the next wait", async () => {
  const platform = virtualPlatform();
  const places = bulkhead({ concurrent: 10, platform });
  const works = Array.from({ length: 11 }, held);
  let begun = 0;
  const results = works.map(({ work }) =>
    places.run(() => {
      begun++;
      return work();
    }),
  );
  assert.deepEqual([begun, places.running, places.waiting], [10, 10, 1]);
  works[3]?.end();
  await results[3];
  assert.deepEqual([begun, places.running, places.waiting], [11, 10, 0]);
  for (const { end } of works) end();
  await Promise.all(results);
  assert.deepEqual([places.running, platform.clock.pendingTimers], [0, 0]);
});

test("what finds queue and places full is rejected at once", async () => {
  const places = bulkhead({ concurrent: 1, queue: 1, platform: virtualPlatform() });
  const first = held();
  const results = [places.run(first.work), places.run(() => "second")];
  await assert.rejects(
    places.run(() => assert.fail("must not run")),
    { name: "RejectedError", reason: "bulkhead_full", code: "resource_exhausted", unprocessed: true },
  );
  first.end();
  assert.deepEqual(await Promise.all(results), ["done", "second"]);
});

test("a wait ends at its bound, at the deadline of the work, or with its signal, and frees the slot in the queue", async () => {
  const platform = virtualPlatform();
  const places = bulkhead({ concurrent: 1, queue: 3, maxWaitMs: 1_000, platform });
  const first = held();
  const running = places.run(first.work);
  const controller = new AbortController();
  const waits = Promise.allSettled([
    places.run(() => assert.fail("must not run")),
    places.run(() => assert.fail("must not run"), { deadline: 400 }),
    places.run(() => assert.fail("must not run"), { signal: controller.signal }),
  ]);
  assert.equal(places.waiting, 3);
  controller.abort(new Error("gone"));
  assert.equal(places.waiting, 2);
  await platform.clock.advance(400);
  assert.equal(places.waiting, 1);
  await platform.clock.advance(600);
  assert.equal(places.waiting, 0);
  const reasons = (await waits).map(result => (result.status === "rejected" ? result.reason : result));
  assert.deepEqual(
    reasons.map(reason => reason.reason ?? reason.code ?? reason.message),
    ["queue_timeout", "deadline_exceeded", "gone"],
  );
  first.end();
  await running;
  assert.equal(platform.clock.pendingTimers, 0);
});

test("work whose deadline passed in the queue is refused at dequeue, although no timer has fired yet", async () => {
  const platform = virtualPlatform();
  let nowMs = 0;
  platform.clock.now = () => nowMs;
  const places = bulkhead({ concurrent: 1, platform });
  const permit = places.acquire() as Permit;
  const late = places.wait({ deadline: 50 });
  const inTime = places.wait({ deadline: 500 });
  nowMs = 60;
  permit.success();
  assert.equal(((await late) as Rejection).reason, "deadline");
  assert.equal((await inTime).rejected, false);
});

test("the queue serves the oldest first, and the newest once it has not been empty for a tenth of a second", async () => {
  const platform = virtualPlatform();
  const places = bulkhead({ concurrent: 1, platform });
  const served: string[] = [];
  let holder = places.acquire() as Permit;
  const line = (name: string) =>
    void places.wait().then(admission => {
      served.push(name);
      holder = admission as Permit;
    });
  const next = async () => {
    holder.success();
    await platform.clock.settle();
  };
  for (const name of ["a", "b", "c", "d"]) line(name);
  await next();
  platform.clock.advanceSync(100);
  await next();
  await next();
  await next();
  line("e");
  line("f");
  await next();
  assert.deepEqual(served, ["a", "d", "c", "b", "e"]);
});

test("a thousand waiting pieces of work that end at once do not pile up on the stack", async () => {
  const places = bulkhead({ concurrent: 1, queue: 5_000, platform: virtualPlatform() });
  const first = held();
  const results = [places.run(first.work), ...Array.from({ length: 5_000 }, (_, n) => places.run(() => n))];
  first.end();
  assert.equal((await Promise.all(results)).length, 5_001);
});

// ── against a plain model ────────────────────────────────────────────────────────────────────────────────────────────

interface Waiting {
  readonly id: number;
  readonly deadlineMs: number;
  readonly untilMs: number;
  readonly controller: AbortController;
}

interface Model {
  nowMs: number;
  nextId: number;
  running: number[];
  waiting: Waiting[];
  busySinceMs: number;
  /** What became of every id. */
  fates: Map<number, string>;
}

interface Real {
  readonly platform: VirtualPlatform;
  readonly places: Bulkhead;
  readonly permits: Map<number, Permit>;
  readonly fates: Map<number, string>;
}

const bounds = { concurrent: 2, queue: 3, maxWaitMs: 500, overloadMs: 100 };

function admitWaiting(model: Model): void {
  while (model.waiting.length > 0 && model.running.length < bounds.concurrent) {
    const isOverloaded = model.nowMs - model.busySinceMs >= bounds.overloadMs;
    const next = (isOverloaded ? model.waiting.pop() : model.waiting.shift()) as Waiting;
    model.running.push(next.id);
    model.fates.set(next.id, "admitted");
  }
}

const step = (name: string, run: (model: Model, real: Real) => Promise<void> | void): fc.AsyncCommand<Model, Real> => ({
  check: () => true,
  async run(model, real) {
    await run(model, real);
    await real.platform.clock.settle();
    assert.deepEqual([real.places.running, real.places.waiting], [model.running.length, model.waiting.length], name);
    assert.deepEqual(new Map([...real.fates].sort()), new Map([...model.fates].sort()), name);
    assert(real.places.running <= bounds.concurrent);
  },
  toString: () => name,
});

const ask = (deadlineInMs: number) =>
  step(`ask, due in ${deadlineInMs}`, (model, real) => {
    const id = model.nextId++;
    const deadlineMs = model.nowMs + deadlineInMs;
    const controller = new AbortController();
    if (model.running.length < bounds.concurrent && model.waiting.length === 0) {
      model.running.push(id);
      model.fates.set(id, "admitted");
    } else if (model.waiting.length < bounds.queue) {
      if (model.waiting.length === 0) model.busySinceMs = model.nowMs;
      model.waiting.push({ id, deadlineMs, untilMs: Math.min(deadlineMs, model.nowMs + bounds.maxWaitMs), controller });
    } else model.fates.set(id, "bulkhead_full");
    const decided = (admission: Admission) => {
      real.fates.set(id, admission.rejected ? admission.reason : "admitted");
      if (!admission.rejected) real.permits.set(id, admission);
    };
    real.places
      .wait({ deadline: deadlineMs, signal: controller.signal })
      .then(decided, () => real.fates.set(id, "aborted"));
  });

const end = (at: number) =>
  step(`end ${at}`, (model, real) => {
    const id = model.running[at % Math.max(model.running.length, 1)];
    if (id === undefined) return;
    model.running = model.running.filter(other => other !== id);
    admitWaiting(model);
    real.permits.get(id)?.success();
    real.permits.get(id)?.failure();
  });

const abort = (at: number) =>
  step(`abort ${at}`, model => {
    const waiting = model.waiting[at % Math.max(model.waiting.length, 1)];
    if (waiting === undefined) return;
    model.waiting = model.waiting.filter(other => other !== waiting);
    model.fates.set(waiting.id, "aborted");
    waiting.controller.abort();
  });

const tick = (ms: number) =>
  step(`tick ${ms}`, async (model, real) => {
    model.nowMs += ms;
    for (const waiting of model.waiting.filter(({ untilMs }) => untilMs <= model.nowMs)) {
      model.fates.set(waiting.id, waiting.deadlineMs === waiting.untilMs ? "deadline" : "queue_timeout");
    }
    model.waiting = model.waiting.filter(({ untilMs }) => untilMs > model.nowMs);
    await real.platform.clock.advance(ms);
  });

test("whatever asks, waits, gives up, is late and ends: it does what the plain model does", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.commands(
        [
          fc.constantFrom(30, 300, 10_000).map(ask),
          fc.constantFrom(10_000, 20_000).map(ask),
          fc.nat(10).map(end),
          fc.nat(10).map(abort),
          fc.constantFrom(1, 29, 99, 250, 600).map(tick),
        ],
        { maxCommands: 60, size: "max" },
      ),
      commands =>
        fc.asyncModelRun(() => {
          const platform = virtualPlatform();
          const places = bulkhead({ ...bounds, platform });
          const model: Model = { nowMs: 0, nextId: 0, running: [], waiting: [], busySinceMs: 0, fates: new Map() };
          return { model, real: { platform, places, permits: new Map(), fates: new Map() } };
        }, commands),
    ),
    { numRuns: 150 },
  );
});
