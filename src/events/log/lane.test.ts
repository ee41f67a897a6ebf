import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { VirtualClock } from "../../platform/virtual/index.ts";
import type { Lane, RecordSink } from "../driver.ts";
import type { StoredRecord } from "../record.ts";
import { Isolation } from "./isolation.ts";
import { type LaneCommit, LogLane, type LogLaneOptions } from "./lane.ts";
import { LogRecord } from "./log-record.ts";

class Received implements RecordSink {
  readonly records_: LogRecord[] = [];
  readonly lanesLost: Lane[] = [];
  opened(): void {}
  records(_: Lane, records: readonly StoredRecord[]): void {
    this.records_.push(...(records as readonly LogRecord[]));
  }
  async revoke(): Promise<void> {}
  lost(lane: Lane): void {
    this.lanesLost.push(lane);
  }
  failed(error: Error): void {
    throw error;
  }
}

const record = (offset: number) => new LogRecord("orders", 3, offset, undefined, {}, new Uint8Array(0), undefined);

/** A lane, what it delivered, and the one row that survives it. */
class Bench {
  readonly clock = new VirtualClock();
  durable = { offset: 0, metadata: "", epoch: 0 };
  sink = new Received();
  soon = 0;
  wants = 0;
  lane: LogLane;

  constructor(options: Partial<LogLaneOptions> = {}) {
    this.lane = this.assign(options);
  }

  /** Another assignment, from what is durable. */
  assign(options: Partial<LogLaneOptions> = {}): LogLane {
    this.durable.epoch++;
    this.sink = new Received();
    this.lane = new LogLane({
      topic: "orders",
      partition: 3,
      epoch: this.durable.epoch,
      committed: this.durable,
      clock: this.clock,
      sink: this.sink,
      host: { changed() {}, commitSoon: () => this.soon++, wants: () => this.wants++ },
      ...options,
    });
    return this.lane;
  }

  write(commit: LaneCommit | undefined): boolean {
    if (commit === undefined) return false;
    if (commit.epoch !== this.durable.epoch) return false;
    this.durable = { offset: commit.offset, metadata: commit.metadata, epoch: commit.epoch };
    commit.lane.committed(commit);
    return true;
  }

  commit(lane = this.lane): boolean {
    return this.write(lane.takeCommit());
  }

  deliver(count: number): readonly LogRecord[] {
    const first = this.lane.position;
    const some = Array.from({ length: Math.min(count, this.lane.room, this.lane.limit - first) }, (_, index) =>
      record(first + index),
    );
    this.lane.deliver(some);
    return some;
  }
}

test("highest seen offset committed on revoke: what was delivered and not settled comes again", () => {
  const bench = new Bench();
  bench.commit();
  const [first, second, third] = bench.deliver(3) as [LogRecord, LogRecord, LogRecord];
  bench.lane.settle(first);
  bench.lane.settle(third);
  bench.lane.drain();
  bench.write(bench.lane.close());
  assert.equal(bench.durable.offset, second.offset);
  bench.assign();
  bench.commit();
  assert.equal(bench.deliver(1)[0]?.offset, second.offset);
});

test("stale work after re-assignment: what an old assignment settles does not move the new one's commit", () => {
  const bench = new Bench();
  bench.commit();
  const old = bench.lane;
  const [stale] = bench.deliver(1) as [LogRecord];
  old.lose();
  assert.deepEqual(bench.sink.lanesLost, [old]);
  const now = bench.assign();
  bench.commit();
  const [again] = bench.deliver(1) as [LogRecord];
  old.settle(stale);
  old.release(stale);
  assert.equal(old.takeCommit(), undefined);
  assert.throws(() => now.settle(stale), /did not come from this lane/);
  bench.commit();
  assert.equal(bench.durable.offset, again.offset);
  now.settle(again);
  bench.commit();
  assert.equal(bench.durable.offset, again.offset + 1);
});

test("a commit that is overtaken by a re-assignment has no effect on either lane", () => {
  const bench = new Bench();
  bench.commit();
  const [one] = bench.deliver(1) as [LogRecord];
  bench.lane.settle(one);
  const underway = bench.lane.takeCommit();
  bench.lane.lose();
  bench.assign();
  assert.equal(bench.write(underway), false);
  assert.equal(bench.durable.offset, 0);
});

test("nothing may begin before it is durable that somebody is at work", () => {
  const bench = new Bench();
  assert.equal(bench.lane.room, 0);
  assert.deepEqual(bench.deliver(5), []);
  bench.commit();
  assert.match(bench.durable.metadata, /^t1:u/);
  assert.equal(bench.wants, 1);
  assert.equal(bench.deliver(5).length, 5);
});

test("records beyond the reserved offsets wait for a commit, which is asked for before they run out", () => {
  const bench = new Bench();
  bench.commit();
  assert.equal(bench.deliver(100).length, 100);
  assert.equal(bench.soon, 0);
  bench.deliver(100);
  assert.ok(bench.soon > 0);
  assert.equal(bench.deliver(1_000).length, 56);
  assert.equal(bench.lane.room, 0);
  bench.commit();
  assert.equal(bench.deliver(1_000).length, 512);
});

test("one record that is not settled lets so many pass, and then holds up the flow until it is", () => {
  const bench = new Bench({ windowRecordsMax: 10 });
  bench.commit();
  const some = bench.deliver(100);
  assert.equal(some.length, 10);
  for (const one of some.slice(1)) bench.lane.settle(one);
  assert.equal(bench.lane.room, 0);
  const wants = bench.wants;
  bench.lane.settle(some[0] as LogRecord);
  assert.equal(bench.wants, wants + 1);
  assert.equal(bench.lane.room, 10);
});

test("a released record comes again, after a pause and in the order of the log; not once the lane is drained", async () => {
  const bench = new Bench();
  bench.commit();
  const [a, b] = bench.deliver(2) as [LogRecord, LogRecord];
  bench.lane.release(b);
  bench.lane.release(a);
  assert.equal(bench.sink.records_.length, 2);
  await bench.clock.advance(5);
  assert.deepEqual(bench.sink.records_.slice(2), [a, b]);
  bench.lane.pause();
  bench.lane.release(a);
  await bench.clock.advance(100);
  assert.equal(bench.sink.records_.length, 4);
  bench.lane.resume();
  assert.equal(bench.sink.records_.length, 4);
  await bench.clock.advance(0);
  assert.deepEqual(bench.sink.records_.slice(4), [a]);
  bench.lane.release(b);
  bench.lane.drain();
  await bench.clock.advance(100);
  assert.equal(bench.sink.records_.length, 5);
  bench.write(bench.lane.close());
  assert.equal(bench.durable.offset, a.offset);
});

test("after a clean end nothing is suspected", () => {
  const bench = new Bench();
  bench.commit();
  bench.deliver(3);
  bench.lane.drain();
  bench.write(bench.lane.close());
  bench.assign();
  bench.commit();
  for (const one of bench.deliver(3)) {
    assert.equal(one.history.attempts, 0);
    assert.equal(bench.lane.begin(one, one.history.attempts), undefined);
  }
});

test("after a crash an attempt at a suspect begins only when its count is durable", async () => {
  const bench = new Bench();
  bench.commit();
  bench.deliver(1);
  bench.assign();
  bench.commit();
  const [suspect] = bench.deliver(1) as [LogRecord];
  assert.equal(suspect.history.attempts, 1);
  let hasBegun = false;
  const beginning = bench.lane.begin(suspect, suspect.history.attempts)?.then(() => {
    hasBegun = true;
  });
  await bench.clock.settle();
  assert.equal(hasBegun, false);
  bench.commit();
  await beginning;
  bench.assign();
  bench.commit();
  assert.equal((bench.deliver(1)[0] as LogRecord).history.attempts, 2);
});

test("begin rejects when the lane is gone before the count is durable", async () => {
  const bench = new Bench();
  bench.commit();
  bench.deliver(1);
  bench.assign();
  bench.commit();
  const beginning = bench.lane.begin(bench.deliver(1)[0] as LogRecord, 1) as Promise<void>;
  bench.lane.lose();
  await assert.rejects(beginning, /orders\/3 has gone to another member/);
});

test("a record that kills its process collects attempts, those that ran beside it do not", async () => {
  const bench = new Bench();
  bench.commit();
  const concurrency = 16;
  const poison = 9;
  const attemptsSeen: number[] = [];
  bench.deliver(concurrency);
  for (let crash = 1; crash < 10; crash++) {
    const lane = bench.assign();
    bench.commit();
    const some = bench.deliver(concurrency);
    const running = new Set<LogRecord>();
    for (const one of some) {
      if (one.offset === poison) attemptsSeen.push(one.history.attempts);
      else assert.ok(one.history.attempts <= 2, `${one.place} has ${one.history.attempts}`);
      if (one.offset === poison && one.history.attempts >= 8) {
        // The runtime gives it up.
        lane.settle(one);
        continue;
      }
      const beginning = lane.begin(one, one.history.attempts);
      if (beginning === undefined) running.add(one);
      else beginning.then(() => running.add(one)).catch(() => {});
    }
    // All that may begin begin together; when one of them is the poison, none ends.
    for (let step = 0; step < 50; step++) {
      bench.commit();
      await bench.clock.settle();
      if ([...running].some(one => one.offset === poison)) break;
      for (const one of running) lane.settle(one);
      running.clear();
    }
    lane.lose();
  }
  bench.assign();
  assert.deepEqual(attemptsSeen.slice(0, 8), [1, 2, 3, 4, 5, 6, 7, 8]);
  assert.ok(bench.durable.offset >= concurrency, "the lane goes on behind it");
});

test("a suspect that takes its time holds up the others for five seconds at most", async () => {
  const bench = new Bench();
  bench.commit();
  bench.deliver(2);
  for (let crash = 0; crash < 2; crash++) {
    const lane = bench.assign();
    bench.commit();
    for (const one of bench.deliver(2)) lane.begin(one, one.history.attempts)?.catch(() => {});
    bench.commit();
  }
  bench.assign();
  bench.commit();
  let begun = 0;
  for (const one of bench.deliver(2)) bench.lane.begin(one, one.history.attempts)?.then(() => begun++);
  bench.commit();
  await bench.clock.settle();
  assert.equal(begun, 1);
  await bench.clock.advance(5_000);
  bench.commit();
  await bench.clock.settle();
  assert.equal(begun, 2);
});

test("suspects of two crashes run alone in their process, whatever lane they are in", async () => {
  const isolation = new Isolation(new VirtualClock());
  const metadata = "t1:u1;0.2";
  const begun: string[] = [];
  const benches = ["a", "b"].map(name => {
    const bench = new Bench({ isolation });
    bench.durable = { offset: 0, metadata, epoch: 0 };
    bench.assign({ isolation });
    bench.commit();
    const [one] = bench.deliver(1) as [LogRecord];
    bench.lane.begin(one, 2)?.then(() => begun.push(name));
    bench.commit();
    return { bench, one };
  });
  const [a, b] = benches as [(typeof benches)[0], (typeof benches)[0]];
  await a.bench.clock.settle();
  assert.deepEqual(begun, ["a"]);
  a.bench.lane.settle(a.one);
  b.bench.commit();
  await b.bench.clock.settle();
  assert.deepEqual(begun, ["a", "b"]);
});

test("a commit that failed is part of the next", async () => {
  const bench = new Bench();
  bench.commit();
  const [one] = bench.deliver(1) as [LogRecord];
  bench.lane.settle(one);
  const failing = bench.lane.takeCommit() as LaneCommit;
  assert.equal(bench.lane.takeCommit(), undefined);
  bench.lane.commitFailed(failing);
  bench.commit();
  assert.equal(bench.durable.offset, 1);
});

test("a record that came back is counted each time, settled by its number, and stays in work until that is durable", async () => {
  const bench = new Bench();
  bench.commit();
  const back = new LogRecord(
    "orders",
    3,
    7,
    undefined,
    {},
    new Uint8Array(0),
    undefined,
    { attempts: 2, firstFailedAtMs: 5 },
    42,
  );
  bench.lane.deliverReturned([back]);
  assert.deepEqual(bench.sink.records_, [back]);
  const beginning = bench.lane.begin(back, back.history.attempts);
  const commit = bench.lane.takeCommit() as LaneCommit;
  assert.deepEqual([...commit.begunIds], [[42, 3]]);
  bench.write(commit);
  await beginning;
  bench.lane.settle(back);
  bench.lane.settle(back);
  const last = bench.lane.takeCommit() as LaneCommit;
  assert.deepEqual(last.settledIds, [42]);
  assert.equal(bench.lane.returnedInWork.has(42), true);
  bench.write(last);
  assert.equal(bench.lane.returnedInWork.has(42), false);
  assert.equal(bench.durable.offset, 0);
});

test("under any order of deliveries, settlements, crashes and re-assignments nothing is lost and crashes are counted", async () => {
  const operation = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ kind: fc.constant("deliver" as const), count: fc.integer({ min: 1, max: 9 }) }),
    },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant("begin" as const), at: fc.nat() }) },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant("settle" as const), at: fc.nat() }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("release" as const), at: fc.nat() }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant("commit" as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("take" as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("fail" as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("crash" as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("handOver" as const) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("stale" as const), at: fc.nat() }) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 120 }), async operations => {
      const bench = new Bench({ windowRecordsMax: 50 });
      /** Settled by an owner that had the lane then. */
      const settled = new Set<number>();
      /** Crashes of owners that had begun the record, at least. */
      const crashes = new Map<number, number>();
      let delivered: LogRecord[] = [];
      let begun = new Set<LogRecord>();
      let underway: LaneCommit | undefined;
      const stale: [LogLane, LogRecord][] = [];
      const next = () => {
        for (const one of delivered) stale.push([bench.lane, one]);
        delivered = [];
        begun = new Set();
        underway = undefined;
        bench.assign({ windowRecordsMax: 50 });
      };
      for (const one of operations) {
        switch (one.kind) {
          case "deliver":
            for (const each of bench.deliver(one.count)) {
              delivered.push(each);
              assert.ok(each.history.attempts >= (crashes.get(each.offset) ?? 0), `${each.place} forgot a crash`);
            }
            break;
          case "begin": {
            const chosen = delivered[one.at % delivered.length];
            if (chosen === undefined || begun.has(chosen)) break;
            const lane = bench.lane;
            const beginning = lane.begin(chosen, chosen.history.attempts);
            if (beginning === undefined) begun.add(chosen);
            else beginning.then(() => (lane === bench.lane ? begun.add(chosen) : undefined)).catch(() => {});
            break;
          }
          case "settle": {
            const [chosen] = delivered.splice(one.at % Math.max(delivered.length, 1), 1);
            if (chosen === undefined) break;
            bench.lane.settle(chosen);
            begun.delete(chosen);
            settled.add(chosen.offset);
            crashes.delete(chosen.offset);
            break;
          }
          case "release": {
            const chosen = delivered[one.at % delivered.length];
            if (chosen !== undefined && !begun.has(chosen)) bench.lane.release(chosen);
            break;
          }
          case "commit":
            if (underway !== undefined) bench.write(underway);
            underway = undefined;
            bench.commit();
            break;
          case "take":
            underway ??= bench.lane.takeCommit();
            break;
          case "fail":
            if (underway !== undefined) bench.lane.commitFailed(underway);
            underway = undefined;
            break;
          case "crash":
            for (const { offset } of begun) crashes.set(offset, (crashes.get(offset) ?? 0) + 1);
            bench.lane.lose();
            next();
            break;
          case "handOver":
            bench.lane.drain();
            bench.write(bench.lane.close());
            // A suspect that the clean owner has not begun is none any more.
            for (const [offset, count] of crashes) if (count === 1) crashes.delete(offset);
            next();
            break;
          case "stale": {
            const chosen = stale[one.at % stale.length];
            if (chosen !== undefined) chosen[0].settle(chosen[1]);
            break;
          }
        }
        await bench.clock.advance(1);
        for (let offset = 0; offset < bench.durable.offset; offset++) {
          assert.ok(settled.has(offset), `offset ${offset} was committed and never settled`);
        }
        assert.ok(bench.lane.span <= 50);
      }
    }),
    { numRuns: 300 },
  );
});
