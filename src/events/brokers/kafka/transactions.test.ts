import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { virtualPlatform } from "../../../platform/virtual/index.ts";
import type { SubscribeOptions } from "../../broker.ts";
import { ledger } from "../../conformance/ledger.ts";
import { createBroker } from "../../create-broker.ts";
import { BrokerError, PublishError } from "../../errors.ts";
import { type Delivery, on } from "../../handler.ts";
import { driverContext } from "../../log/recording-sink.fixture.ts";
import { AbortedFilter, RecordCursor, readBatchHeader } from "./batch-reader.ts";
import { batchHeaderBytes } from "./batch-writer.ts";
import { KafkaDriver } from "./driver.ts";
import { code } from "./error-codes.ts";
import { FakeCluster, type FakePartition, type Fate } from "./fake-cluster.fixture.ts";
import { CallError, type Channel, type KafkaClient } from "./wire.ts";

const source = ledger("orders");
const sink = ledger("payments");

/** A client whose process can be killed: nothing is said any more, and nothing is heard. */
function killable(cluster: FakeCluster) {
  let isDead = false;
  let frozen: PromiseWithResolvers<void> | undefined;
  const client: KafkaClient = {
    crc32c: cluster.crc32c,
    decompress: cluster.decompress,
    channel: () =>
      new Proxy(cluster.channel(), {
        get(channel, name: keyof Channel) {
          const method = channel[name] as (...args: unknown[]) => Promise<unknown>;
          return async (...args: unknown[]) => {
            if (isDead) throw new CallError("killed", false, false);
            await frozen?.promise;
            const answer = await method.apply(channel, args);
            if (isDead) throw new CallError("killed", true, false);
            await frozen?.promise;
            return answer;
          };
        },
      }),
  };
  return {
    client,
    kill: () => {
      isDead = true;
    },
    /** It is stopped: what it says and hears waits. */
    freeze: () => {
      frozen = Promise.withResolvers();
    },
    thaw: () => {
      frozen?.resolve();
      frozen = undefined;
    },
  };
}

function scene(seed = 1, partitions = 2) {
  const platform = virtualPlatform({ seed });
  const { clock } = platform;
  const cluster = new FakeCluster(clock);
  cluster.topic("orders", partitions);
  const payments = cluster.topic("payments", 2);
  const connect = () => {
    const { client, ...process } = killable(cluster);
    const driver = new KafkaDriver(
      client,
      [{ host: "b1", port: 9_092 }],
      driverContext(platform, { createTopics: true }),
    );
    return { broker: createBroker(driver, { platform, createTopics: true }), ...process };
  };
  /** Awaits something that needs time to pass. */
  const within = async <T>(promise: Promise<T>, ms = 180_000): Promise<T> => {
    let isDone = false;
    const done = () => {
      isDone = true;
    };
    promise.then(done, done);
    for (let passed = 0; !isDone && passed < ms; passed += 50) await clock.advance(50);
    assert.ok(isDone, `not done within ${ms} ms`);
    return promise;
  };
  const until = async (isThere: () => boolean, what: string, ms = 300_000) => {
    for (let passed = 0; !isThere(); passed += 100) {
      assert.ok(passed < ms, `waited ${ms} ms for ${what}`);
      await clock.advance(100);
    }
  };
  const committed = () => payments.flatMap(committedBodies);
  return { platform, clock, cluster, payments, connect, within, until, committed };
}

/** What a reader of committed records sees, by our own filter, up to the last stable offset. */
function committedBodies(partition: FakePartition): { account: string; number: number }[] {
  const filter = new AbortedFilter(partition.abortedFrom(0));
  return partition.batches.flatMap(({ first, bytes }) => {
    const header = readBatchHeader(bytes, 0, undefined);
    assert.ok(header !== undefined);
    if (first >= partition.lastStable || !filter.takes(header)) return [];
    const cursor = new RecordCursor(bytes, batchHeaderBytes, header.end, header);
    const found: { account: string; number: number }[] = [];
    while (cursor.next()) {
      const { account, number = 0 } = JSON.parse(bytes.toString("utf8", cursor.valueStart, cursor.valueEnd));
      found.push({ account, number });
    }
    return found;
  });
}

const orders = (count: number) =>
  Array.from({ length: count }, (_, number) => ({ account: `account-${number % 5}`, number }));

const settings: SubscribeOptions = {
  group: "billing",
  transactions: true,
  concurrency: 8,
  retry: { initialDelayMs: 100, maxDelayMs: 1_000 },
  kafka: { sessionTimeoutMs: 6_000 },
};

/** Each order becomes a payment. */
const pay = (broker: ReturnType<ReturnType<typeof scene>["connect"]>["broker"], before?: (number: number) => unknown) =>
  on(source.PlacedSchema, async ({ account, number }, delivery: Delivery) => {
    await broker.publish(sink.PlacedSchema, { account, number });
    if (delivery.attempt < 2) await before?.(number);
  });

const transactionCalls = [
  "initProducerId",
  "addPartitionsToTransaction",
  "addOffsetsToTransaction",
  "produce",
  "commitInTransaction",
  "endTransaction",
];
const faults: readonly Fate[] = [
  "request-lost",
  "answer-lost",
  code.notCoordinator,
  code.concurrentTransactions,
  code.coordinatorLoadInProgress,
];

describe("transactional subscriptions", () => {
  test("whatever happens to calls, handlers and processes, readers see each output exactly once and in order", async () => {
    const fate = fc.oneof(
      { weight: 8, arbitrary: fc.constant<Fate>("done") },
      { weight: 3, arbitrary: fc.constantFrom(...faults) },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(fate, { maxLength: 80 }),
        fc.array(fc.integer({ min: 200, max: 3_000 }), { maxLength: 3 }),
        fc.integer({ min: 1, max: 10_000 }),
        async (planned, kills, seed) => {
          const { cluster, clock, connect, within, until, committed } = scene(seed);
          const writer = connect();
          await within(writer.broker.publishAll(source.PlacedSchema, orders(60)));
          const left = [...planned];
          cluster.fate = call => (transactionCalls.includes(call) ? (left.shift() ?? "done") : "done");
          const failing = new Set([3, 17, 18, 40]);
          const start = async () => {
            const { broker, kill } = connect();
            const handler = pay(broker, number => {
              if (failing.has(number)) throw new Error("not now");
              return new Promise<void>(resolve => clock.after((number * 7) % 40, () => resolve()));
            });
            await within(broker.subscribe(settings, handler));
            return { broker, kill };
          };
          let running = await start();
          for (const ms of kills) {
            await clock.advance(ms);
            running.kill();
            running = await start();
          }
          await until(() => committed().length >= 60, "all outputs");
          await clock.advance(20_000);
          const seen = committed();
          assert.equal(seen.length, 60);
          assert.equal(new Set(seen.map(({ number }) => number)).size, 60);
          const last = new Map<string, number>();
          for (const { account, number } of seen) {
            assert.ok(number > (last.get(account) ?? -1), `${account}: ${number} after ${last.get(account)}`);
            last.set(account, number);
          }
          await within(running.broker.close());
        },
      ),
      {
        numRuns: 60,
        examples: [
          // A commit that took longer than the interval between commits was the last one.
          [["done", "request-lost", "request-lost", "request-lost"], [], 1],
          // A coordinator that is busy was taken for a broker that refuses an event for good.
          [["done", "done", "done", 51, "done", "done", "done", "done", 51], [], 1],
        ],
      },
    );
  });

  /** Sixty orders, and one member that pays for them. */
  async function paying(options: Partial<SubscribeOptions> = {}, before?: (number: number) => unknown) {
    const all = scene();
    const { connect, within } = all;
    const writer = connect();
    await within(writer.broker.publishAll(source.PlacedSchema, orders(60)));
    const start = async () => {
      const member = connect();
      await within(member.broker.subscribe({ ...settings, ...options }, pay(member.broker, before)));
      return member;
    };
    const exactlyOnce = async (count = 60) => {
      await all.until(() => all.committed().length >= count, "all outputs");
      await all.clock.advance(60_000);
      assert.deepEqual(
        all
          .committed()
          .map(({ number }) => number)
          .toSorted((one, other) => one - other),
        Array.from({ length: count }, (_, number) => number),
      );
    };
    return { ...all, writer, start, exactlyOnce };
  }

  test("a commit that was not answered and was carried out is found out from the group, and nothing comes twice", async () => {
    const { cluster, clock, start, exactlyOnce, committed } = await paying();
    let ends = 0;
    cluster.fate = call => (call === "endTransaction" ? (ends++ === 0 ? "answer-lost" : "request-lost") : "done");
    await start();
    await clock.advance(5_000);
    assert.ok(committed().length > 0);
    // Somebody takes the producer's id, so that its question is not answered any more.
    for (const transactionalId of cluster.transactions.ids) {
      cluster.transactions.init({ transactionalId, timeoutMs: 15_000 });
    }
    cluster.fate = () => "done";
    await exactlyOnce();
  });

  test("a transaction that the coordinator has ended by its time-out is made again", async () => {
    const { cluster, clock, start, exactlyOnce, committed } = await paying();
    cluster.fate = call => (call === "endTransaction" ? "request-lost" : "done");
    await start();
    await clock.advance(40_000);
    assert.equal(committed().length, 0);
    assert.ok(cluster.transactions.counts.aborted > 0);
    cluster.fate = () => "done";
    await exactlyOnce();
  });

  for (const call of ["addPartitionsToTransaction", "commitInTransaction", "endTransaction"]) {
    test(`a member that stops at ${call} for longer than its session is fenced`, async () => {
      const { cluster, clock, start, until, exactlyOnce } = await paying();
      const zombie = await start();
      let isFrozen = false;
      cluster.fate = name => {
        if (name === call && !isFrozen) {
          isFrozen = true;
          zombie.freeze();
        }
        return "done";
      };
      await until(() => isFrozen, call);
      await clock.advance(8_000);
      await start();
      await clock.advance(30_000);
      zombie.thaw();
      await exactlyOnce();
    });
  }

  test("what a failed attempt has published is forgotten; retries and dead letters leave with the transaction", async () => {
    const { cluster, clock, start, until, committed, writer, within } = await paying(
      { onFailure: "unordered", retry: { maxAttempts: 3, immediate: 0, initialDelayMs: 100, maxDelayMs: 200 } },
      number => {
        if (number === 7 || number === 8) throw new Error("no money");
      },
    );
    const member = await start();
    await until(() => committed().length >= 60, "all outputs");
    assert.equal(new Set(committed().map(({ number }) => number)).size, 60);
    const retries = cluster.topics.get("billing.retry")?.partitions ?? [];
    assert.ok(retries.flatMap(({ batches }) => batches).every(({ bytes }) => (bytes.readInt16BE(21) & 0x10) !== 0));
    await within(member.broker.close());
    // Nobody can handle it: it dies, and what its attempts have published with it.
    const other = await paying({ retry: { maxAttempts: 1 } }, number => {
      if (number === 9) throw new Error("no money");
    });
    await other.start();
    await other.until(() => other.committed().length >= 59, "the others");
    await other.clock.advance(5_000);
    assert.ok(!other.committed().some(({ number }) => number === 9));
    const letters: string[] = [];
    const listing = (async () => {
      for await (const { reason, place } of other.writer.broker.deadLetters({ group: "billing" }))
        letters.push(`${reason} ${place.split("/")[0]}`);
    })();
    await other.within(listing);
    assert.deepEqual(letters, ["attempts orders"]);
    await clock.advance(1);
    await within(writer.broker.close());
  });

  test("outputs that are refused for good make a dead letter of their event, alone", async () => {
    const { cluster, start, until, committed, writer, within, clock } = await paying();
    const produced = (bytes: Buffer) => bytes.includes(Buffer.from('"number":13'));
    cluster.refuses = ({ topic, bytes }) =>
      topic === "payments" && produced(bytes) ? code.messageTooLarge : code.none;
    await start();
    await until(() => committed().length >= 59, "the others");
    await clock.advance(5_000);
    assert.deepEqual(
      new Set(committed().map(({ number }) => number)),
      new Set(Array.from({ length: 60 }, (_, number) => number).filter(number => number !== 13)),
    );
    assert.equal(committed().length, 59);
    const letters: (string | undefined)[] = [];
    const listing = (async () => {
      for await (const letter of writer.broker.deadLetters({ group: "billing" }))
        letters.push(letter.reason, letter.exception);
    })();
    await within(listing);
    assert.deepEqual(letters, ["refused", "an event for payments is larger than the topic allows (max.message.bytes)"]);
  });

  test("outputs wait for the events before theirs in the partition, and for no others", async () => {
    const gate = Promise.withResolvers<void>();
    const { cluster, clock, start, committed, exactlyOnce } = await paying({}, number =>
      number === 0 ? gate.promise : undefined,
    );
    await start();
    await clock.advance(10_000);
    // As many as there are in the partition of the first.
    const partitions = cluster.topics.get("orders")?.partitions ?? [];
    const behind = partitions.find(one => committedBodies(one)[0]?.number === 0)?.next ?? 0;
    assert.ok(behind > 12);
    assert.equal(committed().length, 60 - behind);
    gate.resolve();
    await exactlyOnce();
  });

  test("a publish belongs to the transaction of its handler only while that runs, and only through its broker", async () => {
    const { cluster, clock, connect, within, until, committed } = scene();
    const { broker } = connect();
    const other = connect();
    await within(broker.publish(source.PlacedSchema, { account: "a", number: 1 }));
    const outcomes: string[] = [];
    let late: Promise<unknown> | undefined;
    await within(
      broker.subscribe(
        settings,
        on(source.PlacedSchema, async event => {
          const { id } = await broker.publish(sink.PlacedSchema, { account: "a", number: 1 });
          const [second] = await broker.publishAll(sink.PlacedSchema, [{ account: "a", number: 2 }]);
          const forwarded = await broker.forward([broker.encode(sink.PlacedSchema, { account: "a", number: 3 })]);
          outcomes.push(typeof id, typeof second?.id, String(forwarded));
          outcomes.push(String(committed().length));
          await other.broker.publish(sink.PlacedSchema, { account: "b", number: 4 });
          outcomes.push(String(committed().length));
          late = new Promise(resolve => clock.after(100, () => resolve(undefined))).then(() =>
            broker.publish(sink.PlacedSchema, event),
          );
          late.catch((error: Error) => outcomes.push(error.message));
        }),
      ),
    );
    await until(() => committed().length === 4, "all outputs");
    await clock.advance(1_000);
    assert.deepEqual(outcomes.slice(0, 5), ["string", "string", "", "0", "1"]);
    assert.match(outcomes[5] ?? "", /the handler has ended, and its transaction with it/);
    assert.ok(cluster.transactions.counts.committed > 0);
    await within(broker.close());
    await within(other.broker.close());
  });

  test("publishAll in a handler says which of its events cannot be published, and the others stay out too", async () => {
    const { cluster, connect, within, until, committed } = scene();
    const { broker } = connect();
    await within(broker.publish(source.PlacedSchema, { account: "a", number: 1 }));
    let failure: unknown;
    await within(
      broker.subscribe(
        { ...settings, retry: { maxAttempts: 1 } },
        on(source.PlacedSchema, async () => {
          const padding = new Uint8Array(650_000);
          const some = Array.from({ length: 12 }, (_, number) => ({ account: "a", number, padding }));
          try {
            await broker.publishAll(sink.PlacedSchema, some);
          } catch (error) {
            failure = error;
            throw error;
          }
        }),
      ),
    );
    await until(() => failure !== undefined, "an error");
    assert.ok(failure instanceof AggregateError);
    assert.match(failure.message, /publishAll: 3 events are not in the transaction/);
    assert.match(String(failure.errors[0]), /event 9: ledger\.placed on payments: .*too much for a transaction/);
    await until(
      () => (cluster.topics.get("billing.dead")?.partitions ?? []).some(one => one.next > 0),
      "the dead letter",
    );
    assert.deepEqual(committed(), []);
  });

  test("a handler that publishes without end is stopped", async () => {
    const { connect, within, until } = scene();
    const { broker } = connect();
    await within(broker.publish(source.PlacedSchema, { account: "a", number: 1 }));
    let failure: unknown;
    const handler = on(source.PlacedSchema, async () => {
      try {
        const padding = new Uint8Array(500_000);
        for (let number = 0; ; number++) await broker.publish(sink.PlacedSchema, { account: "a", number, padding });
      } catch (error) {
        failure = error;
      }
    });
    await within(broker.subscribe(settings, handler));
    await until(() => failure !== undefined, "an error");
    assert.ok(failure instanceof PublishError && !failure.isRetryable);
    assert.match(failure.message, /too much for a transaction; publish fewer/);
  });

  test("a user who may not use transactions is told so at the start", async () => {
    const { cluster, connect, within } = scene();
    const { broker } = connect();
    cluster.fate = call => (call === "initProducerId" ? code.transactionalIdAuthorizationFailed : "done");
    const handler = on(source.PlacedSchema, () => {});
    await within(
      assert.rejects(broker.subscribe(settings, handler), (error: Error) => {
        assert.ok(error instanceof BrokerError);
        assert.match(error.message, /may not use the transactional id "billing\..*--transactional-id billing\. /);
        return true;
      }),
    );
  });
});
