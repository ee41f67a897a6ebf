import assert from "node:assert/strict";
import { test } from "node:test";
import { contextValue, currentWork } from "../../platform/index.ts";
import { Discard, RetryLater } from "../errors.ts";
import { ConsumerScene, Later, placedRecord } from "./consumer.fixture.ts";
import { FakeLane, storedRecord } from "./fake-lane.fixture.ts";
import { abandonedHandlerMs } from "./limits.ts";

test("a handler that returns settles its event, at once or when its promise does", async () => {
  const later = new Later();
  const scene = new ConsumerScene(({ number }) => (number === 2 ? later.promise : undefined));
  const first = scene.deliver("a", 1);
  assert.deepEqual(scene.lane.settled, [first]);
  const second = scene.deliver("a", 2);
  await scene.platform.clock.settle();
  assert.deepEqual(scene.lane.settled, [first]);
  later.resolve();
  await scene.platform.clock.settle();
  assert.deepEqual(scene.lane.settled, [first, second]);
  assert.equal(scene.consumer.stats().handled, 2);
});

test("a handler runs as a piece of work of its own, and what follows it does not belong to that", async () => {
  const works: unknown[] = [];
  const trace = { traceparent: "00-1-2-01", tracestate: undefined, baggage: undefined };
  const scene = new ConsumerScene(async (_event, given) => {
    const work = contextValue(currentWork);
    works.push(work === given, work?.trace, work?.priority, work?.attempt, work?.timeLeftMs);
    await undefined;
    works.push(contextValue(currentWork) === given);
  });
  scene.consumer.records(scene.lane, [placedRecord("a", 1, { trace, priority: "critical" }), placedRecord("a", 2)]);
  await scene.platform.clock.settle();
  assert.deepEqual(works, [true, trace, "critical", 0, 30_000, true, true, undefined, "default", 0, 30_000, true]);
});

test("attempts count before the handler runs, in the lane too", async () => {
  const scene = new ConsumerScene(() => {
    throw new Error("no");
  });
  const record = scene.deliver("a", 1);
  await scene.platform.clock.advance(60_000);
  assert.deepEqual(
    scene.lane.begun.map(({ attempts }) => attempts),
    [0, 1, 2, 3],
  );
  assert.equal(scene.broker.dead[0]?.details.attempts, 4);
  assert.equal(scene.broker.dead[0]?.details.reason, "attempts");
  assert.deepEqual(scene.lane.settled, [record]);
});

test("an event that ends its process is given up after as many crashes as it has attempts", async () => {
  let calls = 0;
  const scene = new ConsumerScene(() => {
    calls++;
  });
  const record = placedRecord("a", 1, {}, { attempts: 4, firstFailedAtMs: undefined });
  scene.consumer.records(scene.lane, [record]);
  await scene.platform.clock.settle();
  assert.equal(calls, 0);
  assert.equal(scene.broker.dead[0]?.details.reason, "attempts");
  assert.match(scene.broker.dead[0]?.details.exception ?? "", /never ended/);
  assert.deepEqual(scene.lane.settled, [record]);
});

test("the first retry is at once, the others grow; later events of the key wait, other keys do not", async () => {
  const runs: string[] = [];
  const scene = new ConsumerScene(({ account, number }, { attempt }) => {
    runs.push(`${account}${number}@${scene.platform.clock.now()}`);
    if (account === "a" && number === 1 && attempt < 3) throw new Error("no");
  });
  scene.deliver("a", 1);
  scene.deliver("a", 2);
  scene.deliver("b", 1);
  assert.deepEqual(runs, ["a1@0", "b1@0"]);
  assert.deepEqual(
    { ...scene.consumer.stats(), handled: 0 },
    {
      handled: 0,
      ignored: 0,
      failedAttempts: 1,
      retried: 1,
      deadLettered: 0,
      expiredRequests: 0,
      running: 0,
      waiting: 2,
      parkedKeys: 1,
      parkedEvents: 2,
      parkedAtBroker: 0,
    },
  );
  await scene.platform.clock.advance(10);
  assert.equal(runs.length, 3);
  await scene.platform.clock.advance(1_100);
  assert.equal(runs.length, 4);
  assert.equal(scene.lane.settled.length, 1);
  await scene.platform.clock.advance(2_200);
  assert.deepEqual(
    runs.map(run => run.split("@")[0]),
    ["a1", "b1", "a1", "a1", "a1", "a2"],
  );
  assert.equal(scene.lane.settled.length, 3);
  assert.equal(scene.consumer.stats().parkedEvents, 0);
});

test("unordered: the broker has the event for its delay, and it is settled when the broker has it", async () => {
  const scene = new ConsumerScene(
    () => {
      throw new RetryLater(5_000);
    },
    { order: "none", onFailure: "unordered" },
  );
  const record = scene.deliver("a", 1);
  assert.deepEqual(scene.lane.settled, []);
  await scene.platform.clock.settle();
  assert.equal(scene.broker.retried[0]?.delayMs, 5_000);
  assert.equal(scene.broker.retried[0]?.history.attempts, 1);
  assert.equal(scene.broker.retried[0]?.history.firstFailedAtMs, scene.platform.clock.wall());
  assert.deepEqual(scene.lane.settled, [record]);
});

test("unordered on a broker without delays: it waits here, and nothing waits behind it", async () => {
  const runs: number[] = [];
  const scene = new ConsumerScene(
    ({ number }, { attempt }) => {
      runs.push(number);
      if (number === 1 && attempt === 0) throw new RetryLater(5_000);
    },
    { onFailure: "unordered", canRetryLater: false },
  );
  scene.deliver("a", 1);
  scene.deliver("a", 2);
  assert.deepEqual(runs, [1, 2]);
  await scene.platform.clock.advance(5_000);
  assert.deepEqual(runs, [1, 2, 1]);
  assert.equal(scene.lane.settled.length, 2);
});

test("block: nothing of the lane begins before the failed event is done with; other lanes go on", async () => {
  const runs: string[] = [];
  const scene = new ConsumerScene(
    ({ account, number }, { attempt }) => {
      runs.push(`${account}${number}`);
      if (account === "a" && attempt < 2) throw new Error("no");
    },
    { onFailure: "block" },
  );
  const other = new FakeLane("ledger/1");
  scene.consumer.opened(other);
  scene.deliver("a", 1);
  scene.deliver("b", 1);
  scene.deliver("c", 1, other);
  assert.deepEqual(runs, ["a1", "c1"]);
  await scene.platform.clock.advance(2_000);
  assert.deepEqual(runs, ["a1", "c1", "a1", "a1", "b1"]);
});

test("a broker that is down loses nothing: the dead letter is tried again, with growing pauses, until it is there", async () => {
  const scene = new ConsumerScene(() => {
    throw new Discard("never");
  });
  scene.broker.failure = new Error("no connection");
  const record = scene.deliver("a", 1);
  scene.deliver("a", 2);
  await scene.platform.clock.advance(120_000);
  const tries = scene.broker.calls.length;
  assert.ok(tries > 5 && tries < 100, `${tries} tries in two minutes`);
  assert.deepEqual(scene.lane.settled, []);
  assert.equal(scene.consumer.stats().failedAttempts, 1, "the key waits behind it");
  scene.broker.failure = undefined;
  await scene.platform.clock.advance(30_000);
  assert.equal(scene.broker.dead[0]?.record, record);
  assert.equal(scene.lane.settled.length, 2);
  assert.equal(scene.seen("events.move.failed").length, tries);
});

test("an attempt that cannot be counted does not begin: it is tried again", async () => {
  let calls = 0;
  const scene = new ConsumerScene(() => {
    calls++;
  });
  scene.lane.beginning = () => Promise.reject(new Error("no connection"));
  scene.deliver("a", 1);
  await scene.platform.clock.settle();
  assert.equal(calls, 0);
  scene.lane.beginning = () => Promise.resolve();
  await scene.platform.clock.advance(30_000);
  assert.equal(calls, 1);
  assert.equal(scene.lane.settled.length, 1);
});

test("a handler past its deadline: its signal is aborted, and the attempt has failed only when it has really ended", async () => {
  let signal: AbortSignal | undefined;
  const later = new Later();
  const scene = new ConsumerScene((_event, delivery) => {
    if (delivery.attempt > 0) return undefined;
    signal = delivery.signal;
    return later.promise;
  });
  scene.deliver("a", 1);
  await scene.platform.clock.advance(29_999);
  assert.equal(signal?.aborted, false);
  await scene.platform.clock.advance(1);
  assert.equal(signal.aborted, true);
  assert.equal(signal.reason.name, "TimeoutError");
  assert.equal(scene.consumer.stats().failedAttempts, 0);
  assert.equal(scene.consumer.stats().running, 1);
  later.reject(signal.reason);
  await scene.platform.clock.advance(10);
  assert.equal(scene.consumer.stats().failedAttempts, 1);
  assert.equal(scene.lane.settled.length, 1);
  assert.deepEqual(scene.seen("events.handler.abandoned"), []);
});

test("a handler that never ends keeps its place and is reported once", async () => {
  const scene = new ConsumerScene(({ account }) => (account === "a" ? new Promise(() => {}) : undefined), {
    concurrency: 2,
  });
  scene.deliver("a", 1);
  await scene.platform.clock.advance(30_000 + abandonedHandlerMs - 1);
  assert.equal(scene.seen("events.handler.abandoned").length, 0);
  await scene.platform.clock.advance(1);
  assert.equal(scene.seen("events.handler.abandoned").length, 1);
  await scene.platform.clock.advance(600_000);
  assert.equal(scene.seen("events.handler.abandoned").length, 1);
  assert.equal(scene.consumer.stats().running, 1);
  assert.equal(scene.platform.clock.pendingTimers, 0);
  scene.deliver("b", 1);
  assert.equal(scene.lane.settled.length, 1, "the other place is free");
});

test("what breaks off late still succeeds when it returns", async () => {
  const later = new Later();
  const scene = new ConsumerScene(() => later.promise);
  const record = scene.deliver("a", 1);
  await scene.platform.clock.advance(100_000);
  later.resolve();
  await scene.platform.clock.settle();
  assert.deepEqual(scene.lane.settled, [record]);
});

test("stale work after re-assignment: what ends on a lane that has gone settles nothing, there or on the next", async () => {
  const later = new Later();
  let signal: AbortSignal | undefined;
  const scene = new ConsumerScene(({ number }, delivery) => {
    if (number !== 1 || signal !== undefined) return undefined;
    signal = delivery.signal;
    return later.promise;
  });
  const record = scene.deliver("a", 1);
  scene.deliver("a", 2);
  scene.consumer.lost(scene.lane);
  assert.equal(signal?.aborted, true);
  const next = new FakeLane();
  scene.consumer.opened(next);
  scene.consumer.records(next, [record]);
  later.resolve();
  await scene.platform.clock.settle();
  assert.deepEqual(scene.lane.settled, []);
  assert.deepEqual(scene.lane.released, []);
  assert.deepEqual(next.settled, [record], "settled by its own handler, after the stale one");
});

test("a revoke waits for handlers that run, and settles what they did", async () => {
  const later = new Later();
  const scene = new ConsumerScene(() => later.promise, { concurrency: 1 });
  const record = scene.deliver("a", 1);
  scene.deliver("b", 1);
  let isRevoked = false;
  const revoked = scene.consumer.revoke(scene.lane, 10_000).then(() => {
    isRevoked = true;
  });
  await scene.platform.clock.advance(5_000);
  assert.equal(isRevoked, false);
  later.resolve();
  await revoked;
  assert.deepEqual(scene.lane.settled, [record]);
  assert.deepEqual(scene.lane.released, [], "what had not begun is forgotten");
  assert.equal(scene.consumer.stats().waiting, 0);
});

test("a revoke waits no longer than its budget; what ends afterwards counts for nothing", async () => {
  const later = new Later();
  let signal: AbortSignal | undefined;
  const scene = new ConsumerScene((_event, delivery) => {
    signal = delivery.signal;
    return later.promise;
  });
  scene.deliver("a", 1);
  const revoked = scene.consumer.revoke(scene.lane, 10_000);
  await scene.platform.clock.advance(9_999);
  assert.equal(signal?.aborted, false);
  await scene.platform.clock.advance(1);
  await revoked;
  assert.equal(signal.aborted, true);
  later.resolve();
  await scene.platform.clock.settle();
  assert.deepEqual(scene.lane.settled, []);
  assert.equal(scene.consumer.stats().running, 0);
});

test("an attempt that fails while its lane is revoked is left to the next member", async () => {
  const later = new Later();
  const scene = new ConsumerScene(() => later.promise);
  scene.deliver("a", 1);
  const revoked = scene.consumer.revoke(scene.lane, 10_000);
  later.reject(new Error("no"));
  await revoked;
  assert.deepEqual([scene.lane.settled, scene.lane.released, scene.broker.calls], [[], [], []]);
  assert.equal(scene.consumer.stats().parkedEvents, 0);
});

test("back-pressure: lanes are paused at the limit and flow again at half of it", async () => {
  const waiting: Later[] = [];
  const scene = new ConsumerScene(() => {
    const later = new Later();
    waiting.push(later);
    return later.promise;
  });
  for (let number = 0; number < 99; number++) scene.deliver(`account-${number}`, number);
  assert.equal(scene.lane.isPaused, false);
  scene.deliver("last", 99);
  assert.equal(scene.lane.isPaused, true);
  // What was on its way comes all the same.
  scene.deliver("late", 100);
  const late = new FakeLane("ledger/1");
  scene.consumer.opened(late);
  assert.equal(late.isPaused, true, "a lane that comes meanwhile");
  for (let done = 0; done < 101; done++) {
    assert.equal(scene.lane.isPaused, done <= 50, `after ${done}`);
    waiting.shift()?.resolve();
    await scene.platform.clock.settle();
  }
  assert.equal(scene.lane.settled.length, 101);
  assert.equal(scene.lane.pauses, 1, "it is not switched for every record");
  assert.equal(late.isPaused, false);
});

test("back-pressure all-or-nothing: a lane full of parked events is paused alone, other lanes flow", async () => {
  const scene = new ConsumerScene(({ account }) => {
    if (account === "a") throw new RetryLater(60_000);
  });
  const other = new FakeLane("ledger/1");
  scene.consumer.opened(other);
  for (let number = 0; number < 50; number++) scene.deliver("a", number);
  assert.equal(scene.lane.isPaused, true);
  assert.equal(other.isPaused, false);
  for (let number = 0; number < 1_000; number++) scene.deliver("b", number, other);
  assert.equal(other.settled.length, 1_000);
  assert.equal(other.pauses, 0);
});

test("shutdown before handlers end: a stop gives back what has not begun and waits for what has", async () => {
  const later = new Later();
  const scene = new ConsumerScene(
    ({ account }) => {
      if (account === "parked") throw new Error("no");
      return later.promise;
    },
    { concurrency: 1 },
  );
  const parked = scene.deliver("parked", 1);
  const behind = scene.deliver("parked", 2);
  const running = scene.deliver("a", 1);
  const waiting = scene.deliver("b", 1);
  scene.consumer.stop();
  assert.deepEqual(new Set(scene.lane.released), new Set([parked, behind, waiting]));
  assert.ok(scene.lane.released.indexOf(parked) < scene.lane.released.indexOf(behind), "in the order of the key");
  const arriving = scene.deliver("c", 1);
  assert.equal(scene.lane.released.at(-1), arriving);
  let isIdle: boolean | undefined;
  const idle = scene.consumer.idle(10_000).then(value => {
    isIdle = value;
  });
  await scene.platform.clock.advance(5_000);
  assert.equal(isIdle, undefined);
  later.resolve();
  await idle;
  assert.equal(isIdle, true);
  assert.deepEqual(scene.lane.settled, [running]);
});

test("an attempt that fails while the subscription drains is given back, and tried no more here", async () => {
  const later = new Later();
  const scene = new ConsumerScene(() => later.promise);
  const record = scene.deliver("a", 1);
  scene.consumer.stop();
  later.reject(new Error("no"));
  assert.equal(await scene.consumer.idle(10_000), true);
  assert.deepEqual(scene.lane.released, [record]);
  assert.deepEqual(scene.lane.settled, []);
});

test("nack loops for ever: an event that always fails is never given back to the broker, and ends among the dead letters", async () => {
  const scene = new ConsumerScene(() => {
    throw new Error("no");
  });
  scene.deliver("a", 1);
  await scene.platform.clock.advance(3_600_000);
  assert.deepEqual(scene.lane.released, []);
  assert.equal(scene.broker.dead.length, 1);
  assert.equal(scene.consumer.stats().failedAttempts, 4);
});

test("types: known without a handler is passed over, unknown and undecodable and expired are dead letters", async () => {
  const runs: number[] = [];
  const scene = new ConsumerScene(({ number }) => void runs.push(number));
  const now = scene.platform.clock.wall();
  scene.consumer.records(scene.lane, [
    placedRecord("a", 1, { type: "ledger.noted" }),
    placedRecord("a", 2, { type: "ledger.closed" }),
    storedRecord("ledger", "a", Buffer.from("{"), { type: "ledger.placed", source: "/test" }),
    placedRecord("a", 3, { expiresAtMs: now }),
    placedRecord("a", 4, { expiresAtMs: now + 1 }),
    storedRecord("elsewhere", "a", { account: "a" }, { type: "ledger.placed", source: "/test" }),
  ]);
  await scene.platform.clock.settle();
  assert.deepEqual(runs, [4]);
  assert.equal(scene.consumer.stats().ignored, 1);
  assert.deepEqual(
    scene.broker.dead.map(({ details }) => details.reason),
    ["unknown_type", "undecodable", "expired", "unknown_type"],
  );
  assert.equal(scene.lane.settled.length, 6);
});

test("a record without a key is ordered by the key in its body", async () => {
  const running: Later[] = [];
  const scene = new ConsumerScene(() => {
    const later = new Later();
    running.push(later);
    return later.promise;
  });
  const attributes = { type: "ledger.placed", source: "/test", contentType: "application/json" };
  const records = [1, 2].map(number => storedRecord("ledger", undefined, { account: "a", number }, attributes));
  scene.consumer.records(scene.lane, records);
  assert.equal(running.length, 1);
  running[0]?.resolve();
  await scene.platform.clock.settle();
  assert.equal(running.length, 2);
});

test("records that come before the driver's half is attached wait for it", () => {
  const scene = new ConsumerScene(() => {}, {}, { isAttached: false });
  const record = scene.deliver("a", 1);
  assert.deepEqual(scene.lane.settled, []);
  scene.consumer.attach(scene.broker);
  assert.deepEqual(scene.lane.settled, [record]);
});
