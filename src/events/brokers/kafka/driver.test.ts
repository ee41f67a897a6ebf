import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { virtualPlatform } from "../../../platform/virtual/index.ts";
import type { PublishFailure } from "../../driver.ts";
import { type LogLane, LogRecord } from "../../log/index.ts";
import { driverContext, eventRecord, member } from "../../log/recording-sink.fixture.ts";
import { RecordCursor, readBatchHeader } from "./batch-reader.ts";
import { batchHeaderBytes } from "./batch-writer.ts";
import { KafkaDriver } from "./driver.ts";
import { code } from "./error-codes.ts";
import { FakeCluster, type FakePartition, type Fate } from "./fake-cluster.fixture.ts";

function scene(seed = 1) {
  const platform = virtualPlatform({ seed });
  const cluster = new FakeCluster(platform.clock);
  const connect = () =>
    new KafkaDriver(cluster, [{ host: "b1", port: 9_092 }], driverContext(platform, { createTopics: true }));
  return { platform, clock: platform.clock, cluster, connect, advance: (ms: number) => platform.clock.advance(ms) };
}

/** Awaits something that needs time to pass. */
async function within<T>(clock: { advance(ms: number): Promise<void> }, promise: Promise<T>, ms = 120_000): Promise<T> {
  let isDone = false;
  promise.then(
    () => {
      isDone = true;
    },
    () => {
      isDone = true;
    },
  );
  for (let passed = 0; !isDone && passed < ms; passed += 50) await clock.advance(50);
  assert.ok(isDone, `not done within ${ms} ms`);
  return promise;
}

function bodiesOf({ batches }: FakePartition): string[] {
  return batches.flatMap(({ bytes }) => {
    const header = readBatchHeader(bytes, 0, undefined);
    assert.ok(header !== undefined);
    const cursor = new RecordCursor(bytes, batchHeaderBytes, header.end, header);
    const bodies: string[] = [];
    while (cursor.next()) bodies.push(bytes.toString("utf8", cursor.valueStart, cursor.valueEnd));
    return bodies;
  });
}

const numbered = (count: number, first = 0) =>
  Array.from({ length: count }, (_, index) => eventRecord(String(first + index), { key: `k${(first + index) % 7}` }));

describe("publishing to Kafka", () => {
  test("whatever happens to connections and leaders, what is confirmed is there once, and each key in order", async () => {
    const fates = fc.array(
      fc.oneof(
        { weight: 4, arbitrary: fc.constant<Fate>("done") },
        {
          weight: 2,
          arbitrary: fc.constantFrom<Fate>(
            "request-lost",
            "answer-lost",
            code.notLeaderOrFollower,
            code.notEnoughReplicas,
          ),
        },
      ),
      { maxLength: 60 },
    );
    await fc.assert(
      fc.asyncProperty(fates, fc.integer({ min: 1, max: 1_000 }), async (planned, seed) => {
        const { clock, cluster, connect } = scene(seed);
        const partitions = cluster.topic("orders", 3);
        const left = [...planned];
        cluster.fate = call => {
          if (call !== "produce") return "done";
          const fate = left.shift() ?? "done";
          // Leaders move now and then.
          for (const one of partitions) if (left.length % 5 === 1) one.leader = 3 - one.leader;
          return fate;
        };
        const driver = connect();
        const sent: Promise<readonly (PublishFailure | undefined)[]>[] = [];
        for (let round = 0; round < 10; round++) {
          sent.push(driver.publish(numbered(20, round * 20)));
          await clock.advance(3);
        }
        const failures = (await within(clock, Promise.all(sent))).flat();
        const log = partitions.flatMap(bodiesOf).map(Number);
        assert.equal(new Set(log).size, log.length, "written twice");
        for (const [index, failure] of failures.entries()) {
          if (failure === undefined) assert.ok(log.includes(index), `${index} is lost`);
        }
        for (const partition of partitions) {
          const last = new Map<number, number>();
          for (const number of bodiesOf(partition).map(Number)) {
            assert.ok(number > (last.get(number % 7) ?? -1), "a key is out of order");
            last.set(number % 7, number);
          }
        }
        await within(clock, driver.close());
        assert.equal(clock.pendingTimers, 0);
      }),
      { numRuns: 150 },
    );
  });

  test("what comes while a batch is on its way makes the next one", async () => {
    const { clock, cluster, connect } = scene();
    cluster.topic("orders", 1);
    cluster.latencyMs = 10;
    const driver = connect();
    await within(clock, driver.prepare(["orders"]));
    await within(clock, driver.publish(numbered(1)));
    const before = cluster.calls.get("produce") ?? 0;
    const sent = Array.from({ length: 100 }, (_, index) => driver.publish(numbered(1, index + 1)));
    await clock.advance(5);
    sent.push(driver.publish(numbered(1, 200)));
    await within(clock, Promise.all(sent));
    assert.equal((cluster.calls.get("produce") ?? 0) - before, 2);
  });

  test("a cluster that takes nothing fails records after their time, retryable, and says why", async () => {
    const { clock, cluster, connect } = scene();
    cluster.topic("orders", 1);
    const driver = connect();
    await within(clock, driver.prepare(["orders"]));
    cluster.fate = () => "request-lost";
    const failures = await within(clock, driver.publish(numbered(3)), 45_000);
    assert.deepEqual(
      failures.map(failure => failure?.isRetryable),
      [true, true, true],
    );
    assert.match(failures[0]?.error.message ?? "", /orders.*30 s.*connection broke/);
    // It is back: what was given up undecided has not spoiled what follows.
    cluster.fate = () => "done";
    assert.deepEqual(await within(clock, driver.publish(numbered(2, 10))), [undefined, undefined]);
    await within(clock, driver.close());
    assert.equal(clock.pendingTimers, 0);
  });

  test("what is refused for good fails alone and at once", async () => {
    const { clock, cluster, connect } = scene();
    cluster.topic("orders", 1);
    const driver = connect();
    await within(clock, driver.prepare(["orders"]));
    cluster.fate = call => (call === "produce" ? code.topicAuthorizationFailed : "done");
    const [failure] = await within(clock, driver.publish(numbered(1)), 2_000);
    assert.equal(failure?.isRetryable, false);
    assert.match(failure.error.message, /may not write/);
  });
});

describe("consuming from Kafka", () => {
  const settings = { group: "billing", specific: { sessionTimeoutMs: 10_000 } };

  test("highest seen offset committed on revoke: what was not settled comes again, what was settled does not", async () => {
    const { clock, cluster, connect } = scene();
    cluster.topic("orders", 1);
    const [one, two] = [connect(), connect()];
    const first = await within(clock, member(one, settings));
    first.onRecord = (record, lane) => {
      if (record.offset !== 3) lane.settle(record);
    };
    await within(clock, one.publish(numbered(10)));
    await clock.advance(1_000);
    assert.equal(first.records_.length, 10);
    const second = await within(clock, member(two, settings));
    second.settleAll();
    await clock.advance(5_000);
    const again = [...first.records_.slice(10), ...second.records_].map(({ offset }) => offset);
    assert.deepEqual(again, [3, 4, 5, 6, 7, 8, 9]);
  });

  test("what is settled while a commit takes long is committed after it", async () => {
    const { clock, cluster, connect } = scene();
    cluster.topic("orders", 1);
    const driver = connect();
    const sink = await within(clock, member(driver, settings));
    await within(clock, driver.publish(numbered(2)));
    await clock.advance(2_000);
    const [first, second] = sink.records_;
    assert.ok(first !== undefined && second !== undefined);
    cluster.latencyMs = 400;
    sink.settle(first);
    await clock.advance(250);
    // The commit of the first is on its way, and is longer than until the next one is due.
    sink.settle(second);
    await clock.advance(5_000);
    assert.equal(cluster.group("billing").committed_.get("orders/0")?.offset, 2);
  });

  test("heartbeats go on while handlers of a revoked partition run; nobody else has it before they end", async () => {
    const { clock, cluster, connect } = scene();
    cluster.topic("orders", 2);
    const [one, two] = [connect(), connect()];
    const first = await within(clock, member(one, settings));
    await within(clock, one.publish(numbered(20)));
    await clock.advance(500);
    const gate = Promise.withResolvers<void>();
    first.onRevoke = () => gate.promise;
    const joining = member(two, settings);
    // Longer than the session, shorter than the rebalance.
    await clock.advance(20_000);
    assert.equal(cluster.group("billing").members.length, 2);
    for (const record of first.records_) first.settle(record);
    gate.resolve();
    const second = await within(clock, joining);
    await clock.advance(2_000);
    assert.equal(second.records_.length, 0);
    assert.equal(first.records_.length, 20);
    assert.deepEqual(first.lostLanes, []);
    assert.equal(first.lanes.size + second.lanes.size >= 2, true);
  });

  test("a member that the cluster has not heard of loses its lanes, commits nothing more, and comes back", async () => {
    const { clock, cluster, connect } = scene();
    cluster.topic("orders", 1);
    const [one, two] = [connect(), connect()];
    const first = await within(clock, member(one, settings));
    await within(clock, one.publish(numbered(5)));
    await clock.advance(500);
    const old = [...first.records_];
    const group = cluster.group("billing");
    const [expelled = ""] = group.members;
    const second = await within(
      clock,
      (async () => {
        group.leave(expelled);
        return member(two, settings);
      })(),
    );
    second.settleAll();
    await clock.advance(8_000);
    assert.ok(first.lostLanes.some(name => name.startsWith("orders/")));
    const committed = group.committed_.get("orders/0")?.offset;
    for (const record of old) (record.lane as LogLane).settle(record);
    await clock.advance(2_000);
    assert.ok((group.committed_.get("orders/0")?.offset ?? 0) >= (committed ?? 0));
    assert.equal(group.members.length, 2);
  });

  test("what was deleted by retention is passed over", async () => {
    const { clock, cluster, connect } = scene();
    const [partition] = cluster.topic("orders", 1);
    const driver = connect();
    await within(clock, driver.publish(numbered(5)));
    await within(clock, driver.publish(numbered(5, 5)));
    assert.ok(partition !== undefined);
    const group = cluster.group("billing");
    group.committed_.set("orders/0", { topic: "orders", partition: 0, offset: 1, metadata: "" });
    partition.batches.shift();
    partition.first = partition.batches[0]?.first ?? 0;
    const sink = (await within(clock, member(driver, settings))).settleAll();
    await clock.advance(2_000);
    assert.equal(sink.records_[0]?.offset, partition.first);
    assert.equal(group.committed_.get("orders/0")?.offset, 10);
  });

  test("a topic that was made anew is read from its beginning", async () => {
    const { clock, cluster, connect } = scene();
    cluster.topic("orders", 1);
    const driver = connect();
    const sink = (await within(clock, member(driver, settings))).settleAll();
    await within(clock, driver.publish(numbered(5)));
    await clock.advance(1_000);
    assert.equal(sink.records_.length, 5);
    cluster.topic("orders", 1);
    const failures = await within(clock, driver.publish(numbered(2, 5)));
    assert.deepEqual(failures, [undefined, undefined]);
    await clock.advance(45_000);
    assert.deepEqual(sink.bodies(), ["0", "1", "2", "3", "4", "5", "6"]);
  });

  test("a log that stays damaged ends the subscription with its place", async () => {
    const { clock, cluster, connect } = scene();
    const [partition] = cluster.topic("orders", 1);
    const driver = connect();
    await within(clock, driver.publish(numbered(3)));
    const bytes = partition?.batches[0]?.bytes;
    assert.ok(bytes !== undefined);
    bytes[bytes.length - 1] = (bytes[bytes.length - 1] as number) ^ 1;
    const sink = await within(clock, member(driver, settings));
    await clock.advance(20_000);
    assert.equal(sink.failures.length > 0, true);
    assert.match(String(sink.failures[0]), /orders\/0@0 cannot be read: the checksum/);
  });

  test("a paused lane is left out of fetches, and what waits stays within its bounds", async () => {
    const { clock, cluster, connect } = scene();
    cluster.topic("orders", 2);
    const driver = connect();
    const sink = await within(clock, member(driver, settings));
    const paused = [...sink.lanes].find(({ name }) => name === "orders/0");
    paused?.pause();
    const big = Array.from({ length: 400 }, (_, index) => eventRecord("x".repeat(20_000), { key: `k${index % 16}` }));
    await within(clock, driver.publish(big));
    await clock.advance(3_000);
    assert.ok(sink.records_.every(({ partition }) => partition === 1));
    const before = sink.records_.length;
    assert.ok(before > 0);
    sink.settleAll();
    paused?.resume();
    await clock.advance(3_000);
    assert.equal(sink.records_.filter(({ topic }) => topic === "orders").length, 400);
  });

  test("records of the retry topic come when they are due, those with a short delay before those with a long one", async () => {
    const { clock, cluster, connect } = scene();
    cluster.topic("orders", 1);
    const driver = connect();
    const sink = await within(clock, member(driver, { ...settings, order: "none" }));
    await within(clock, driver.publish(numbered(3)));
    await clock.advance(500);
    const [a, b, c] = sink.records_;
    assert.ok(a instanceof LogRecord && b instanceof LogRecord && c instanceof LogRecord);
    const history = { attempts: 2, firstFailedAtMs: 5 };
    await within(clock, sink.subscription.retryLater(a, 60_000, history));
    await within(clock, sink.subscription.retryLater(b, 5_000, history));
    for (const record of [a, b, c]) sink.settle(record);
    await clock.advance(3_000);
    assert.equal(sink.records_.length, 3);
    await clock.advance(4_000);
    assert.deepEqual(sink.bodies().slice(3), ["1"]);
    const [, , , retried] = sink.records_;
    assert.equal(retried?.topic, "orders");
    assert.deepEqual(retried?.history, history);
    assert.match(retried?.place ?? "", /^billing\.retry\/0@1$/);
    assert.equal(retried?.fallbackId, b.fallbackId);
    await clock.advance(60_000);
    assert.deepEqual(sink.bodies().slice(3), ["1", "0"]);
  });

  test("a topic that grows: what lies in the new partition is read from its beginning, also by a group that began at the end", async () => {
    const { clock, cluster, connect } = scene();
    cluster.topic("orders", 1);
    const driver = connect();
    await within(clock, driver.publish(numbered(3)));
    const sink = (await within(clock, member(driver, { ...settings, from: "now" }))).settleAll();
    await clock.advance(1_000);
    assert.equal(sink.records_.length, 0);
    cluster.grow("orders", 4);
    // Written by somebody who knew of it first.
    await within(clock, connect().publish(numbered(50, 10)));
    await clock.advance(45_000);
    assert.equal(sink.records_.length, 50);
    assert.ok(new Set(sink.records_.map(({ partition }) => partition)).size > 1);
    assert.deepEqual(sink.failures, []);
  });

  test("dead letters: listed in the order of deaths, edited, replayed with the id that they had, discarded", async () => {
    const { clock, cluster, connect } = scene();
    cluster.topic("orders", 1);
    const driver = connect();
    const sink = await within(clock, member(driver, settings));
    await within(clock, driver.publish(numbered(3)));
    await clock.advance(1_000);
    const details = {
      attempts: 8,
      firstFailedAtMs: 3,
      reason: "attempts" as const,
      exception: "Error: no",
      consumer: "/test",
      contract: undefined,
    };
    for (const record of [...sink.records_]) {
      await within(clock, sink.subscription.deadLetter(record, details));
      sink.settle(record);
    }
    const list = () => within(clock, Array.fromAsync(driver.deadLetters.list({})));
    const [a, b, c] = await list();
    assert.ok(a !== undefined && b !== undefined && c !== undefined);
    assert.deepEqual([a.place, b.place, c.place], ["orders/0@0", "orders/0@1", "orders/0@2"]);
    assert.deepEqual([a.attempts, a.firstFailedAtMs, a.exception, a.reason], [8, 3, "Error: no", "attempts"]);
    await within(clock, driver.deadLetters.edit(a, { key: "other", headers: { tenant: "x" } }));
    await within(clock, driver.deadLetters.discard(b));
    const [edited, last, ...more] = await list();
    assert.deepEqual(more, []);
    assert.deepEqual([edited?.key, edited?.attributes.headers?.["tenant"], last?.place], ["other", "x", "orders/0@2"]);
    assert.ok(edited !== undefined);
    await within(clock, driver.deadLetters.replay(edited));
    await clock.advance(2_000);
    const replayed = sink.records_.at(-1);
    assert.equal(replayed?.topic, "orders");
    assert.equal(replayed?.key, "other");
    assert.equal(replayed?.fallbackId, "orders/0/0");
    assert.deepEqual(replayed?.history, { attempts: 0, firstFailedAtMs: undefined });
    await assert.rejects(within(clock, driver.deadLetters.replay(edited)), /not there any more/);
    assert.equal((await list()).length, 1);
  });

  test("members come, go and lose their connections: every record is settled, none is lost, commits never pass unsettled ones", async () => {
    const step = fc.constantFrom("join", "leave", "publish", "cut", "wait", "expel");
    const joins = ["join", "join", "join", "join", "join"] as const;
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 5, maxLength: 25 }),
        fc.integer({ min: 1, max: 999 }),
        async (steps, seed) => {
          const { clock, cluster, connect, platform } = scene(seed);
          cluster.topic("orders", 3);
          const publisher = connect();
          await within(clock, publisher.prepare(["orders"]));
          const settled = new Set<string>();
          const running: { driver: KafkaDriver; close(): Promise<void> }[] = [];
          let published = 0;
          let isCut = false;
          cluster.fate = call =>
            isCut && call !== "metadata" && platform.random.next() < 0.3 ? "answer-lost" : "done";
          const join = async () => {
            const driver = connect();
            const sink = await within(clock, member(driver, settings), 300_000);
            const settle = (record: LogRecord, lane: LogLane) => {
              clock.after(platform.random.below(300), () => {
                // What is settled on a lane that has gone does not count.
                if (!lane.isClosed) settled.add(Buffer.from(record.body).toString());
                lane.settle(record);
              });
            };
            sink.onRecord = settle;
            for (const record of sink.records_) settle(record, record.lane as LogLane);
            running.push({ driver, close: () => driver.close() });
          };
          await join();
          for (const one of steps) {
            if (one === "join" && running.length < 4) await join();
            else if (one === "leave" && running.length > 1) {
              const leaving = running.shift()?.close() ?? Promise.resolve();
              // Who leaves while answers are lost may have to say that it does not know of its last commit.
              const unanswered = (error: Error) =>
                assert.ok(isCut && /the last commit .* not answered/.test(error.message));
              await within(clock, leaving.catch(unanswered), 300_000);
            } else if (one === "publish") {
              const records = numbered(10, published);
              published += 10;
              const failures = await within(clock, publisher.publish(records));
              assert.ok(failures.every(failure => failure === undefined));
            } else if (one === "cut") isCut = !isCut;
            else if (one === "expel") {
              const [somebody] = cluster.group("billing").members;
              if (somebody !== undefined) cluster.group("billing").leave(somebody);
            } else await clock.advance(platform.random.below(3_000));
            const partitions = cluster.topics.get("orders")?.partitions ?? [];
            for (const [index, partition] of partitions.entries()) {
              const committed = cluster.group("billing").committed_.get(`orders/${index}`)?.offset ?? 0;
              for (const body of bodiesOf(partition).slice(0, committed))
                assert.ok(settled.has(body), `${body} was passed over`);
            }
          }
          isCut = false;
          await clock.advance(90_000);
          assert.equal(settled.size, published);
          for (const { close } of running) await within(clock, close(), 300_000);
          await within(clock, publisher.close());
        },
      ),
      {
        numRuns: 40,
        examples: [
          [["cut", "publish", "expel", "leave", "join", "wait", "leave", "expel", "join", "leave", ...joins], 1],
        ],
      },
    );
  });
});
