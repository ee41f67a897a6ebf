import assert from "node:assert/strict";
import { test } from "node:test";
import { contextValue, currentWork } from "../../platform/index.ts";
import { type Batch, onBatch } from "../batch.ts";
import { ledger, type Placed } from "../conformance/ledger.ts";
import { Discard, RetryLater } from "../errors.ts";
import { batchScene, textOf } from "./batch.fixture.ts";
import { Later, placedRecord } from "./consumer.fixture.ts";
import { FakeLane, storedRecord } from "./fake-lane.fixture.ts";
import { abandonedHandlerMs, batchBytesMax, batchEventsMax, bufferedBytesMax } from "./limits.ts";

const twenty = { eventsMax: 3, waitMs: 20 };

test("a batch comes when it is full, or when its first event has waited long enough, and settles all of it", async () => {
  const runs: string[] = [];
  const scene = batchScene(twenty, events => void runs.push(`${textOf(events)} @${scene.platform.clock.now()}`));
  for (const number of [1, 2, 3, 4]) scene.deliver("a", number);
  scene.deliver("b", 1);
  assert.deepEqual(runs, ["a1 a2 a3 @0"]);
  assert.equal(scene.lane.settled.length, 3);
  await scene.platform.clock.advance(20);
  assert.deepEqual(runs, ["a1 a2 a3 @0", "a4 b1 @20"]);
  assert.equal(scene.lane.settled.length, 5);
  assert.equal(scene.consumer.stats().handled, 5);
  assert.equal(scene.platform.clock.pendingTimers, 1, "the queue of deadlines, and nothing of batches");
});

test("debounce that resets its timer on every message: later events never prolong the wait of the first", async () => {
  const runs: string[] = [];
  const scene = batchScene({ eventsMax: 1_000, waitMs: 20 }, events => {
    runs.push(`${events.length} @${scene.platform.clock.now()}`);
  });
  for (let number = 0; number < 10; number++) {
    scene.deliver("a", number);
    await scene.platform.clock.advance(5);
  }
  assert.deepEqual(runs, ["4 @20", "4 @40"]);
});

test("with waitMs 0 a batch is what is there at the moment", async () => {
  const runs: string[] = [];
  const scene = batchScene({ eventsMax: 3, waitMs: 0 }, events => void runs.push(textOf(events)));
  scene.consumer.records(
    scene.lane,
    [1, 2, 3, 4].map(number => placedRecord("a", number)),
  );
  await scene.platform.clock.settle();
  scene.deliver("a", 5);
  assert.deepEqual(runs, ["a1 a2 a3", "a4", "a5"]);
});

test("bytesMax bounds the bodies of a batch; a larger event comes alone", async () => {
  const runs: string[] = [];
  const one = placedRecord("a", 1).body.length;
  const scene = batchScene({ bytesMax: one * 3 - 1, waitMs: 20 }, events => void runs.push(textOf(events)));
  for (const number of [1, 2, 3]) scene.deliver("a", number);
  assert.deepEqual(runs, ["a1 a2"], "the third did not fit");
  scene.consumer.records(scene.lane, [
    storedRecord(
      "ledger",
      "b",
      { account: "b", number: 1, padding: "A".repeat(one * 4) },
      { type: "ledger.placed", source: "/test" },
    ),
  ]);
  await scene.platform.clock.advance(20);
  assert.deepEqual(runs.toSorted(), ["a1 a2", "a3", "b1"]);
});

test("a batch that waits for a place takes what comes meanwhile, and has one place whatever its size", async () => {
  const laters: Later[] = [];
  const runs: string[] = [];
  const scene = batchScene(
    twenty,
    events => {
      runs.push(textOf(events));
      const later = new Later();
      laters.push(later);
      return later.promise;
    },
    { concurrency: 2 },
  );
  for (const account of ["a", "b", "c", "d", "e", "f"]) scene.deliver(account, 1);
  assert.deepEqual(runs, ["a1 b1 c1", "d1 e1 f1"]);
  assert.equal(scene.consumer.stats().running, 6);
  scene.deliver("g", 1);
  await scene.platform.clock.advance(100);
  scene.deliver("h", 1);
  assert.equal(runs.length, 2);
  laters[0]?.resolve();
  await scene.platform.clock.settle();
  assert.deepEqual(runs[2], "g1 h1");
  scene.deliver("a", 2);
  for (const later of laters) later.resolve();
  await scene.platform.clock.advance(20);
  assert.equal(runs[3], "a2");
});

test("events of a key are never in two batches at once, and come in their order", async () => {
  const laters: Later[] = [];
  const runs: string[] = [];
  const scene = batchScene(twenty, events => {
    runs.push(textOf(events));
    const later = new Later();
    laters.push(later);
    return later.promise;
  });
  for (const number of [1, 2, 3, 4, 5]) scene.deliver("a", number);
  scene.deliver("b", 1);
  await scene.platform.clock.advance(20);
  assert.deepEqual(runs, ["a1 a2 a3", "b1"]);
  laters[0]?.resolve();
  await scene.platform.clock.settle();
  scene.deliver("a", 6);
  assert.deepEqual(runs[2], "a4 a5 a6");
});

test("an event of the key for another handler parts a batch", async () => {
  const runs: string[] = [];
  const scene = batchScene(twenty, events => void runs.push(textOf(events)));
  scene.deliver("a", 1);
  scene.consumer.records(scene.lane, [storedRecord("ledger", "a", {}, { type: "ledger.closed", source: "/test" })]);
  scene.deliver("a", 2);
  await scene.platform.clock.advance(20);
  assert.deepEqual(runs, ["a1"]);
  assert.equal(scene.broker.dead[0]?.details.reason, "unknown_type");
  await scene.platform.clock.advance(20);
  assert.deepEqual(runs, ["a1", "a2"]);
});

test("one poison event does not kill its neighbours: after a failed batch each is alone, and its attempts begin there", async () => {
  const runs: string[] = [];
  const scene = batchScene(twenty, (events, { deliveries }) => {
    runs.push(`${textOf(events)}/${deliveries.map(({ attempt }) => attempt).join(",")}`);
    if (events.some(({ account }) => account === "poison")) throw new Error("no");
  });
  scene.deliver("a", 1);
  const poison = scene.deliver("poison", 1);
  scene.deliver("a", 2);
  scene.deliver("a", 3);
  await scene.platform.clock.advance(10);
  assert.deepEqual(runs.slice(0, 4), ["a1 poison1 a2/0,0,0", "a1/0", "poison1/0", "a2/0"]);
  assert.equal(scene.consumer.stats().failedAttempts, 2, "none for the batch, and two of the poison meanwhile");
  await scene.platform.clock.advance(60_000);
  assert.deepEqual(
    runs.filter(run => run.startsWith("poison")),
    ["poison1/0", "poison1/1", "poison1/2", "poison1/3"],
  );
  assert.ok(runs.includes("a3/0"));
  assert.deepEqual(
    scene.broker.dead.map(({ record, details }) => [record, details.attempts]),
    [[poison, 4]],
  );
  assert.equal(scene.lane.settled.length, 4);
  assert.deepEqual(
    scene.lane.begun.filter(({ record }) => record === poison).map(({ attempts }) => attempts),
    [0, 0, 1, 2, 3],
  );
  assert.equal(scene.seen("events.batch.failed").length, 1);
});

test("alone, a key's events still follow each other, and what comes later waits behind them", async () => {
  const runs: string[] = [];
  let hasFailed = false;
  const laters: Later[] = [];
  const scene = batchScene(twenty, events => {
    runs.push(textOf(events));
    if (!hasFailed) {
      hasFailed = true;
      throw new Error("no");
    }
    const later = new Later();
    laters.push(later);
    return later.promise;
  });
  for (const number of [1, 2, 3]) scene.deliver("a", number);
  scene.deliver("a", 4);
  scene.deliver("a", 5);
  assert.deepEqual(runs, ["a1 a2 a3", "a1"]);
  for (const next of ["a2", "a3"]) {
    laters.at(-1)?.resolve();
    await scene.platform.clock.settle();
    assert.equal(runs.at(-1), next);
  }
  laters.at(-1)?.resolve();
  await scene.platform.clock.advance(20);
  assert.equal(runs.at(-1), "a4 a5");
});

test("batch.fail: these have failed, and the others are settled", async () => {
  const runs: string[] = [];
  const scene = batchScene(twenty, (events, batch) => {
    runs.push(`${textOf(events)}/${batch.attempt}`);
    for (const [index, { account, number }] of events.entries()) {
      if (account === "bad" && batch.deliveries[index]?.attempt === 0) batch.fail(index, new Error(`no ${number}`));
      if (account === "never") batch.fail(index, new Discard("never"));
    }
  });
  const bad = scene.deliver("bad", 1);
  const never = scene.deliver("never", 1);
  const good = scene.deliver("good", 1);
  assert.deepEqual(scene.lane.settled, [good]);
  assert.deepEqual([scene.consumer.stats().handled, scene.consumer.stats().failedAttempts], [1, 2]);
  await scene.platform.clock.advance(10);
  assert.deepEqual(runs, ["bad1 never1 good1/0", "bad1/1"]);
  assert.deepEqual(scene.lane.settled, [good, never, bad]);
  assert.deepEqual(
    scene.broker.dead.map(({ record, details }) => [record, details.reason, details.attempts]),
    [[never, "discarded", 1]],
  );
});

test("batch.fail keeps the key: a failed event parks what comes behind it", async () => {
  const runs: string[] = [];
  const scene = batchScene(twenty, (events, batch) => {
    runs.push(textOf(events));
    if (batch.attempt === 0 && events[0]?.number === 1) batch.fail(0, new RetryLater(500));
  });
  for (const number of [1, 2, 3, 4]) scene.deliver("a", number);
  await scene.platform.clock.advance(499);
  assert.deepEqual(runs, ["a1 a2 a3"]);
  assert.equal(scene.consumer.stats().parkedEvents, 4);
  await scene.platform.clock.advance(100);
  assert.deepEqual(runs, ["a1 a2 a3", "a1", "a2", "a3", "a4"]);
});

test("batch.fail in the middle of a key: what is behind it comes again behind it, alone and uncounted; other keys do not", async () => {
  for (const onFailure of ["park-key", "block", "unordered"] as const) {
    const runs: string[] = [];
    const scene = batchScene(
      { eventsMax: 6, waitMs: 20 },
      (events, batch) => {
        runs.push(`${textOf(events)}/${batch.attempt}`);
        const index = events.findIndex(({ account, number }) => account === "a" && number === 2);
        if (batch.attempt === 0 && index !== -1) batch.fail(index, new Error("no"));
      },
      { onFailure, canRetryLater: false },
    );
    const deliver = (account: string, number: number) => scene.deliver(account, number);
    const [first, second, other, third, fourth] = [
      deliver("a", 1),
      deliver("a", 2),
      deliver("b", 1),
      deliver("a", 3),
      deliver("a", 4),
      deliver("b", 2),
    ];
    const again = onFailure === "unordered" ? [] : [third, fourth];
    assert.ok(again.every(record => record !== undefined && !scene.lane.settled.includes(record)));
    assert.ok([first, other].every(record => record !== undefined && scene.lane.settled.includes(record)));
    await scene.platform.clock.advance(20);
    const alone = onFailure === "unordered" ? ["a2/1"] : ["a2/1", "a3/0", "a4/0"];
    assert.deepEqual(runs, ["a1 a2 b1 a3 a4 b2/0", ...alone], onFailure);
    assert.deepEqual(scene.lane.settled.slice(-1 - again.length), [second, ...again], onFailure);
    const { handled, failedAttempts } = scene.consumer.stats();
    assert.deepEqual([handled, failedAttempts], [6, 1]);
  }
});

test("batch.fail of one event alone is the failure of its attempt", async () => {
  const scene = batchScene(twenty, (_events, batch) => batch.fail(0, new Discard("never")));
  scene.deliver("a", 1);
  await scene.platform.clock.advance(20);
  assert.equal(scene.broker.dead[0]?.details.reason, "discarded");
  assert.equal(scene.broker.dead[0]?.details.attempts, 1);
});

test("batch.fail says what is wrong with an index, and that it comes too late", () => {
  let seen: Batch | undefined;
  const errors: unknown[] = [];
  const scene = batchScene(twenty, (_events, batch) => {
    seen = batch;
    for (const index of [-1, 3, 0.5]) {
      try {
        batch.fail(index, new Error("no"));
      } catch (error) {
        errors.push((error as Error).message);
      }
    }
  });
  for (const number of [1, 2, 3]) scene.deliver("a", number);
  assert.match(
    String(errors),
    /batch\.fail\(-1\): events of this batch have the indices 0 to 2.*fail\(3\).*fail\(0\.5\)/,
  );
  assert.throws(() => seen?.fail(0, new Error("no")), /the handler has ended, and its events are settled/);
  assert.equal(scene.lane.settled.length, 3);
});

test("RetryLater means the whole batch: each comes again later, alone, and the attempt counts", async () => {
  const runs: string[] = [];
  const scene = batchScene(twenty, (events, { attempt }) => {
    runs.push(`${textOf(events)}/${attempt}`);
    if (attempt === 0) throw new RetryLater(1_000);
  });
  for (const account of ["a", "b", "c"]) scene.deliver(account, 1);
  await scene.platform.clock.advance(999);
  assert.deepEqual(runs, ["a1 b1 c1/0"]);
  await scene.platform.clock.advance(1);
  assert.deepEqual(runs, ["a1 b1 c1/0", "a1/1", "b1/1", "c1/1"]);
  assert.equal(scene.consumer.stats().failedAttempts, 3);
});

test("an event that was tried before comes alone, so that a crash never dead-letters innocents", async () => {
  const runs: string[] = [];
  const scene = batchScene(twenty, (events, { attempt }) => void runs.push(`${textOf(events)}/${attempt}`));
  const before = { attempts: 1, firstFailedAtMs: undefined };
  scene.consumer.records(scene.lane, [
    placedRecord("a", 1),
    placedRecord("b", 1, {}, before),
    placedRecord("a", 2),
    placedRecord("a", 3, {}, before),
    placedRecord("a", 4),
  ]);
  await scene.platform.clock.advance(20);
  assert.deepEqual(runs, ["b1/1", "a1 a2/0", "a3/1"]);
  await scene.platform.clock.advance(20);
  assert.equal(runs[3], "a4/0");
});

test("attempts begin in the lane for all of a batch before its handler; one that cannot be counted lets none begin", async () => {
  const runs: string[] = [];
  const scene = batchScene(twenty, events => void runs.push(textOf(events)));
  const later = new Later();
  scene.lane.beginning = () => later.promise;
  for (const number of [1, 2, 3]) scene.deliver("a", number);
  await scene.platform.clock.settle();
  assert.deepEqual([scene.lane.begun.length, runs], [3, []]);
  scene.lane.beginning = undefined;
  later.reject(new Error("no connection"));
  await scene.platform.clock.advance(30_000);
  assert.deepEqual(runs, ["a1", "a2", "a3"]);
  assert.equal(scene.seen("events.move.failed").length, 3);
  assert.equal(scene.lane.settled.length, 3);
});

test("what no handler may get leaves the batch for its own way; the key waits for that", async () => {
  const runs: string[] = [];
  const scene = batchScene({ eventsMax: 5, waitMs: 20 }, events => void runs.push(textOf(events)));
  const nowMs = scene.platform.clock.wall();
  const said = { type: "ledger.placed", source: "/test" };
  scene.broker.failure = new Error("no connection");
  scene.consumer.records(scene.lane, [
    placedRecord("a", 1),
    placedRecord("a", 2, { expiresAtMs: nowMs + 10 }),
    placedRecord("a", 3),
    storedRecord("ledger", "b", Buffer.from("{"), said),
    placedRecord("c", 1),
  ]);
  await scene.platform.clock.settle();
  assert.deepEqual(runs, ["a1 a2 a3 c1"], "what cannot be read");
  scene.consumer.records(scene.lane, [
    placedRecord("a", 4),
    placedRecord("a", 5, { expiresAtMs: nowMs + 10 }),
    placedRecord("a", 6),
    placedRecord("d", 1, { expiresAtMs: nowMs + 10 }),
    placedRecord("d", 2),
  ]);
  assert.equal(runs.pop(), "a4 a5 a6 d1 d2");
  scene.consumer.records(scene.lane, [
    placedRecord("a", 7),
    placedRecord("a", 8, { expiresAtMs: nowMs + 10 }),
    placedRecord("a", 9),
    placedRecord("d", 3, { expiresAtMs: nowMs + 10 }),
  ]);
  await scene.platform.clock.advance(20);
  assert.equal(runs.pop(), "a7", "what has expired while the batch was waiting, and what is behind it");
  scene.broker.failure = undefined;
  await scene.platform.clock.advance(60_000);
  assert.equal(runs.pop(), "a9");
  assert.deepEqual(scene.broker.dead.map(({ details }) => details.reason).toSorted(), [
    "expired",
    "expired",
    "undecodable",
  ]);
  assert.equal(scene.lane.settled.length, 14);
  assert.equal(scene.consumer.stats().waiting, 0);
});

test("block: a batch that waits lets go of what is in the failed event's lane", async () => {
  const runs: string[] = [];
  const scene = batchScene(
    { eventsMax: 10, waitMs: 20 },
    (events, { attempt }) => {
      runs.push(textOf(events));
      if (events[0]?.account === "bad" && attempt < 2) throw new Error("no");
    },
    { onFailure: "block" },
  );
  const other = new FakeLane("ledger/1");
  scene.consumer.opened(other);
  const before = { attempts: 1, firstFailedAtMs: undefined };
  scene.deliver("a", 1);
  scene.deliver("b", 1, other);
  scene.deliver("c", 1, other);
  scene.consumer.records(scene.lane, [placedRecord("bad", 1, {}, before)]);
  await scene.platform.clock.advance(20);
  assert.deepEqual(runs, ["bad1", "b1 c1"]);
  await scene.platform.clock.advance(2_000);
  assert.deepEqual(runs, ["bad1", "b1 c1", "bad1", "a1"]);
});

test("block: several of a key that failed in a batch: nothing else of their lane begins before the last of them is done with", async () => {
  const runs: string[] = [];
  const scene = batchScene(
    { eventsMax: 3, waitMs: 0 },
    (events, batch) => {
      runs.push(textOf(events));
      if (events.length === 1) return;
      batch.fail(0, new Error("no"));
      batch.fail(2, new Error("no"));
    },
    { onFailure: "block", concurrency: 1 },
  );
  scene.consumer.records(
    scene.lane,
    [1, 2, 3].map(number => placedRecord("a", number)),
  );
  scene.deliver("b", 1);
  await scene.platform.clock.advance(2_000);
  assert.deepEqual(runs, ["a1 a2 a3", "a1", "a2", "a3", "b1"]);
});

test("a lane that is lost takes its events out of a batch that waits; those of others stay", async () => {
  const runs: string[] = [];
  const scene = batchScene({ eventsMax: 10, waitMs: 20 }, events => void runs.push(textOf(events)));
  const other = new FakeLane("ledger/1");
  scene.consumer.opened(other);
  scene.deliver("a", 1);
  scene.deliver("a", 2);
  scene.deliver("b", 1, other);
  scene.deliver("c", 1, other);
  scene.consumer.lost(scene.lane);
  await scene.platform.clock.advance(20);
  assert.deepEqual(runs, ["b1 c1"]);
  assert.deepEqual([scene.lane.settled, scene.lane.released], [[], []]);
  assert.equal(scene.consumer.stats().waiting, 0);
});

test("stale work after re-assignment: a batch that runs on settles only what is on lanes that are still there", async () => {
  const later = new Later();
  let seen: Batch | undefined;
  const scene = batchScene(twenty, (_events, batch) => {
    seen ??= batch;
    return later.promise;
  });
  const other = new FakeLane("ledger/1");
  scene.consumer.opened(other);
  scene.deliver("a", 1);
  scene.deliver("b", 1, other);
  const kept = scene.deliver("c", 1, other);
  scene.consumer.lost(scene.lane);
  assert.equal(seen?.deliveries[0]?.signal.aborted, true);
  assert.deepEqual([seen.deliveries[2]?.signal.aborted, seen.signal.aborted], [false, false]);
  scene.lane.isGone = true;
  later.resolve();
  await scene.platform.clock.settle();
  assert.equal(other.settled.length, 2);
  assert.equal(other.settled[1], kept);
});

test("the signal of a batch is aborted when the lanes of all its events have gone", async () => {
  const later = new Later();
  let seen: Batch | undefined;
  const scene = batchScene(twenty, (_events, batch) => {
    seen = batch;
    return later.promise;
  });
  for (const number of [1, 2, 3]) scene.deliver("a", number);
  scene.consumer.lost(scene.lane);
  assert.equal(seen?.signal.aborted, true);
  later.reject(new Error("aborted"));
  await scene.platform.clock.settle();
  assert.deepEqual(scene.broker.calls, []);
  assert.equal(scene.consumer.stats().running, 0);
});

test("a revoke forgets what waits and awaits what runs; a failure then is the next member's", async () => {
  for (const succeeds of [true, false]) {
    const later = new Later();
    const runs: string[] = [];
    const scene = batchScene(twenty, events => {
      runs.push(textOf(events));
      return later.promise;
    });
    for (const number of [1, 2, 3, 4]) scene.deliver("a", number);
    scene.deliver("b", 1);
    let isRevoked = false;
    const revoked = scene.consumer.revoke(scene.lane, 10_000).then(() => {
      isRevoked = true;
    });
    await scene.platform.clock.advance(5_000);
    assert.equal(isRevoked, false);
    if (succeeds) later.resolve();
    else later.reject(new Error("no"));
    await revoked;
    assert.deepEqual(runs, ["a1 a2 a3"]);
    assert.deepEqual([scene.lane.settled.length, scene.lane.released.length], [succeeds ? 3 : 0, 0]);
    assert.deepEqual([scene.consumer.stats().waiting, scene.consumer.stats().running], [0, 0]);
  }
});

test("a drain gives back what waits for its batch, runs nothing new, and waits for the batch that runs", async () => {
  for (const succeeds of [true, false]) {
    const later = new Later();
    const runs: string[] = [];
    const scene = batchScene(twenty, events => {
      runs.push(textOf(events));
      return later.promise;
    });
    const first = [1, 2, 3].map(number => scene.deliver("a", number));
    const waiting = [scene.deliver("a", 4), scene.deliver("b", 1)];
    scene.consumer.stop();
    assert.deepEqual(new Set(scene.lane.released), new Set(waiting));
    const idle = scene.consumer.idle(10_000);
    await scene.platform.clock.advance(1_000);
    if (succeeds) later.resolve();
    else later.reject(new Error("no"));
    assert.equal(await idle, true);
    assert.deepEqual(runs, ["a1 a2 a3"]);
    assert.deepEqual(scene.lane.settled, succeeds ? first : []);
    assert.deepEqual(scene.lane.released.slice(2), succeeds ? [] : first);
  }
});

test("one deadline for the batch: its signals are aborted, and then the failure is nobody's", async () => {
  const scene = batchScene(twenty, (events, batch) => {
    if (events.length === 1) return undefined;
    assert.equal(batch.timeLeftMs, 30_000);
    return new Promise((_resolve, reject) => batch.signal.addEventListener("abort", () => reject(batch.signal.reason)));
  });
  for (const number of [1, 2, 3]) scene.deliver("a", number);
  await scene.platform.clock.advance(29_999);
  assert.equal(scene.consumer.stats().handled, 0);
  await scene.platform.clock.advance(1);
  assert.deepEqual([scene.consumer.stats().handled, scene.consumer.stats().failedAttempts], [3, 0]);
});

test("a batch handler that never ends keeps its place and is reported once", async () => {
  const scene = batchScene(twenty, events => (events.length > 1 ? new Promise(() => {}) : undefined));
  for (const number of [1, 2, 3]) scene.deliver("a", number);
  await scene.platform.clock.advance(30_000 + abandonedHandlerMs * 3);
  assert.deepEqual(scene.seen("events.batch.abandoned"), [
    {
      type: "events.batch.abandoned",
      group: "bookkeeping",
      topic: "ledger",
      eventType: "ledger.placed",
      events: 3,
      runningMs: 30_000 + abandonedHandlerMs,
    },
  ]);
  assert.equal(scene.consumer.stats().running, 3);
});

test("a batch is a piece of work with the deadline of all, linked to the traces of its events", async () => {
  const trace = (id: number) => ({ traceparent: `00-${id}-2-01`, tracestate: undefined, baggage: undefined });
  const works: unknown[] = [];
  const scene = batchScene({ eventsMax: 2, waitMs: 20 }, async (_events, batch) => {
    const work = contextValue(currentWork);
    works.push(work?.trace, work?.priority, work?.attempt, work?.timeLeftMs, work?.links ?? batch.links);
  });
  scene.consumer.records(scene.lane, [
    placedRecord("a", 1, { trace: trace(1) }),
    placedRecord("b", 1, { trace: trace(2), priority: "critical" }),
    placedRecord("c", 1, { trace: trace(3), priority: "sheddable" }),
  ]);
  await scene.platform.clock.advance(20);
  assert.deepEqual(works, [
    undefined,
    "critical",
    0,
    30_000,
    [trace(1), trace(2)],
    trace(3),
    "sheddable",
    0,
    30_000,
    [trace(3)],
  ]);
});

test("figures and observers count events, and hear of batches too", async () => {
  const scene = batchScene(twenty, (_events, batch) => batch.fail(1, new Discard("never")));
  for (const account of ["a", "b", "c"]) scene.deliver(account, 1);
  await scene.platform.clock.settle();
  const bytes = 3 * placedRecord("a", 1).body.length;
  assert.deepEqual(scene.seen("events.batch.handled"), [
    {
      type: "events.batch.handled",
      group: "bookkeeping",
      topic: "ledger",
      eventType: "ledger.placed",
      events: 3,
      bytes,
      durationMs: 0,
      failed: 1,
    },
  ]);
  assert.equal(scene.seen("events.handled").length, 2);
  assert.equal(scene.seen("events.failed").length, 1);
  const { handled, failedAttempts, deadLettered } = scene.consumer.stats();
  assert.deepEqual([handled, failedAttempts, deadLettered], [2, 1, 1]);
});

test("order partition: a batch is a stretch of its lane", async () => {
  const runs: string[] = [];
  const scene = batchScene(twenty, events => void runs.push(textOf(events)), {
    order: "partition",
    onFailure: "block",
  });
  for (const [number, account] of ["a", "b", "a", "c"].entries()) scene.deliver(account, number);
  await scene.platform.clock.advance(20);
  assert.deepEqual(runs, ["a0 b1 a2", "c3"]);
});

test("two of the largest batches fit into what a member buffers", () => {
  assert.ok(batchBytesMax * 2 <= bufferedBytesMax);
});

const { PlacedSchema } = ledger("ledger");
const mistakes: readonly (readonly [string, object, RegExp])[] = [
  ["no events", { eventsMax: 0 }, /onBatch \(ledger\.placed\): eventsMax is 0; it must be a whole number from 1 to/],
  ["too many", { eventsMax: batchEventsMax + 1 }, /eventsMax is 10001; it must be a whole number from 1 to 10000/],
  ["a wait for ever", { waitMs: Number.POSITIVE_INFINITY }, /waitMs is Infinity; it must be a number from 0 to 60000/],
  ["bytes as text", { bytesMax: "1MiB" }, /bytesMax is "1MiB"; it must be a whole number from 1 to/],
  ["an option that is not there", { size: 100 }, /there is no option "size"; the options are eventsMax, waitMs/],
];
for (const [what, options, text] of mistakes) {
  test(`${what}: an error names the option`, () => {
    assert.throws(() => onBatch(PlacedSchema, options, () => {}), { name: "BrokerError", message: text });
  });
}

test("a batch handler where its options should be is an error that says so", () => {
  const handle = (_events: readonly Placed[]) => {};
  assert.throws(() => onBatch(PlacedSchema, handle as object, undefined as never), /the third argument must be/);
});
