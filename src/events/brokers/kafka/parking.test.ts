import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { type VirtualPlatform, virtualPlatform } from "../../../platform/virtual/index.ts";
import { ledger } from "../../conformance/ledger.ts";
import type { DriverSubscription } from "../../driver.ts";
import { Discard, RetryLater } from "../../errors.ts";
import { on } from "../../handler.ts";
import type { LogLane, LogRecord } from "../../log/index.ts";
import { demand, driverContext, eventRecord, member, type RecordingSink } from "../../log/recording-sink.fixture.ts";
import { EventCatalog } from "../../runtime/catalog.ts";
import { Consumer } from "../../runtime/consumer.ts";
import { handlingOf } from "../../runtime/handling.ts";
import { Cluster } from "./cluster.ts";
import { KafkaDriver } from "./driver.ts";
import { FakeCluster } from "./fake-cluster.fixture.ts";
import { ParkedTopic } from "./parked-topic.ts";
import { KafkaParking } from "./parking.ts";
import { Producer } from "./producer.ts";
import type { Channel, KafkaClient } from "./wire.ts";

const address = [{ host: "b1", port: 9_092 }];

async function within<T>(platform: VirtualPlatform, promise: Promise<T>, ms = 60_000): Promise<T> {
  let isOver = false;
  const over = () => {
    isOver = true;
  };
  promise.then(over, over);
  for (let passed = 0; !isOver && passed < ms; passed += 20) await platform.clock.advance(20);
  assert.ok(isOver, `not done within ${ms} ms`);
  return promise;
}

/** A process's connections, which can end without any goodbye at any call. */
class MortalClient implements KafkaClient {
  readonly crc32c: KafkaClient["crc32c"];
  readonly decompress: KafkaClient["decompress"];
  readonly #cluster: FakeCluster;
  isDead = false;
  callsLeft = Number.POSITIVE_INFINITY;

  constructor(cluster: FakeCluster) {
    this.#cluster = cluster;
    this.crc32c = cluster.crc32c;
    this.decompress = cluster.decompress;
  }

  channel(): Channel {
    const channel = this.#cluster.channel();
    return new Proxy(channel, {
      get: (target, name) => {
        const value = Reflect.get(target, name) as unknown;
        if (typeof value !== "function" || name === "close") return value;
        return async (...args: unknown[]) => {
          if (--this.callsLeft === 0) this.isDead = true;
          if (this.isDead) return new Promise(() => {});
          const answer = (await Reflect.apply(value, target, args)) as unknown;
          return this.isDead ? new Promise(() => {}) : answer;
        };
      },
    });
  }
}

interface Fate {
  readonly key: string;
  readonly number: number;
  readonly outcomes: readonly string[];
  attempts: number;
  isDone: boolean;
}

class World {
  readonly platform: VirtualPlatform;
  readonly cluster: FakeCluster;
  readonly fates: Fate[] = [];
  readonly violations: string[] = [];
  readonly processes: Process[] = [];
  readonly publisher: KafkaDriver;
  parked = 0;

  constructor(seed: number) {
    this.platform = virtualPlatform({ seed });
    this.cluster = new FakeCluster(this.platform.clock);
    this.cluster.topic("ledger", 2);
    const context = driverContext(this.platform, { createTopics: true });
    this.publisher = new KafkaDriver(this.cluster, address, context);
  }

  async publish(key: string, outcomes: readonly string[], count: number): Promise<void> {
    const records = Array.from({ length: count }, () => {
      const number = this.fates.length;
      this.fates.push({ key, number, outcomes, attempts: 0, isDone: false });
      return eventRecord(JSON.stringify({ account: key, number }), { key, type: "ledger.placed", topic: "ledger" });
    });
    for (const failure of await within(this.platform, this.publisher.publish(records)))
      assert.equal(failure, undefined);
  }

  get alive(): Process | undefined {
    return this.processes.find(({ client }) => !client.isDead);
  }

  start(): void {
    this.processes.push(new Process(this));
  }
}

class Process {
  readonly client: MortalClient;
  readonly consumer: Consumer;
  readonly driver: KafkaDriver;
  #subscription: DriverSubscription | undefined;

  constructor(world: World) {
    const { platform, cluster, violations } = world;
    this.client = new MortalClient(cluster);
    this.driver = new KafkaDriver(this.client, address, driverContext(platform, { createTopics: true }));
    const { PlacedSchema, file } = ledger("ledger");
    const catalog = new EventCatalog();
    catalog.learn(file);
    const handler = on(PlacedSchema, ({ number }) => {
      if (this.client.isDead) return new Promise(() => {});
      const fate = world.fates[number] as Fate;
      const before = world.fates.find(({ key, isDone }) => key === fate.key && !isDone);
      if (fate.attempts === 0 && before !== undefined && before.number < number) {
        violations.push(`${fate.key} ${number} before ${before.number} was done with`);
      }
      const outcome = fate.outcomes[Math.min(fate.attempts, fate.outcomes.length - 1)];
      fate.attempts++;
      if (outcome === "throw") throw new Error("no");
      if (outcome === "later") throw new RetryLater(900);
      if (outcome === "discard") throw new Discard("never");
      fate.isDone = true;
      return undefined;
    });
    const schedule = { maxAttempts: 5, immediate: 1, immediateDelayMs: 10, initialDelayMs: 300, factor: 2 };
    this.consumer = new Consumer(
      {
        group: "bookkeeping",
        concurrency: 3,
        order: "key",
        onFailure: "park-key",
        schedule: { ...schedule, maxDelayMs: 5_000 },
        unknownTypes: "dead-letter",
        handlerTimeoutMs: 30_000,
        limits: { recordsMax: 12, bytesMax: 1_000_000, parkedMax: 4, parkedBytesMax: 500_000 },
        canRetryLater: true,
        handlings: new Map([["ledger", new Map([["ledger.placed", handlingOf(handler, undefined, [])]])]]),
        consumer: "/test",
      },
      catalog,
      platform,
      {
        emit: event => {
          if (event.type !== "events.dead_lettered") return;
          const { place } = event as unknown as { readonly place: string };
          const fate = placeNumbers.get(place);
          if (fate !== undefined) (world.fates[fate] as Fate).isDone = true;
        },
      },
      error => violations.push(`failed: ${error.message}`),
    );
    const { consumer } = this;
    const records = consumer.records.bind(consumer);
    consumer.records = (lane, some) => {
      for (const { place, body } of some) {
        const { number } = JSON.parse(Buffer.from(body).toString()) as { readonly number: number };
        placeNumbers.set(place, number);
      }
      records(lane, some);
    };
    const subscribed = this.driver.subscribe(
      demand({ group: "bookkeeping", topics: ["ledger"], concurrency: 3, specific: { sessionTimeoutMs: 3_000 } }),
      consumer,
    );
    subscribed.then(
      subscription => {
        this.#subscription = subscription;
        consumer.attach(subscription);
      },
      () => {},
    );
  }

  async drain(platform: VirtualPlatform): Promise<void> {
    const subscription = this.#subscription;
    if (subscription !== undefined) {
      this.consumer.stop();
      const drained = Promise.resolve(subscription.stop())
        .then(() => this.consumer.idle(5_000))
        .then(() => subscription.close());
      drained.catch(() => {});
    }
    await platform.clock.advance(8_000);
    this.client.isDead = true;
  }
}

/** Which event is at a place, whoever has seen it there. */
const placeNumbers = new Map<string, number>();

const outcomes = fc.array(fc.constantFrom("return", "throw", "throw", "throw", "later", "discard"), {
  minLength: 1,
  maxLength: 6,
});
const steps = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        step: fc.constant("publish" as const),
        key: fc.nat(2),
        outcomes,
        count: fc.integer({ min: 1, max: 8 }),
      }),
    },
    { weight: 4, arbitrary: fc.record({ step: fc.constant("advance" as const), ms: fc.nat(3_000) }) },
    {
      weight: 2,
      arbitrary: fc.record({ step: fc.constant("kill" as const), inCalls: fc.integer({ min: 1, max: 15 }) }),
    },
    { weight: 1, arbitrary: fc.record({ step: fc.constant("drain" as const) }) },
  ),
  { maxLength: 25, size: "max" },
);

describe("parking on Kafka", () => {
  test("nothing lost, nothing reordered in a key, whatever call a member dies at", async () => {
    let parked = 0;
    await fc.assert(
      fc.asyncProperty(steps, fc.integer({ min: 1, max: 1_000_000 }), async (script, seed) => {
        placeNumbers.clear();
        const world = new World(seed);
        const { clock } = world.platform;
        world.start();
        await clock.advance(500);
        for (const step of script) {
          if (step.step === "publish") await world.publish(`account-${step.key}`, step.outcomes, step.count);
          else if (step.step === "advance") await clock.advance(step.ms);
          else if (step.step === "kill") {
            const { alive } = world;
            if (alive !== undefined) alive.client.callsLeft = step.inCalls;
          } else await world.alive?.drain(world.platform);
          parked += world.alive?.consumer.stats().parkedAtBroker ?? 0;
          if (world.alive === undefined) world.start();
          assert.deepEqual(world.violations, []);
        }
        for (const { client } of world.processes) client.callsLeft = Number.POSITIVE_INFINITY;
        const isOver = () => {
          const { parkedEvents = 1, waiting = 1, running = 1 } = world.alive?.consumer.stats() ?? {};
          return parkedEvents + waiting + running === 0 && world.fates.every(({ isDone }) => isDone);
        };
        for (let rounds = 0; rounds < 300 && !isOver(); rounds++) {
          await clock.advance(1_000);
          if (world.alive === undefined) world.start();
        }
        await clock.advance(5_000);
        assert.deepEqual(world.violations, []);
        assert.deepEqual(
          world.fates.filter(({ isDone }) => !isDone),
          [],
          "nothing is lost",
        );
        const groups = await within(world.platform, world.publisher.groups());
        assert.equal(
          groups.reduce((sum, { lag }) => sum + lag, 0),
          0,
          "nothing is left",
        );
      }),
      { numRuns: 40 },
    );
    assert.ok(parked > 50, `only ${parked} events were parked`);
  });

  test("what is parked waits in order for whoever has the partition; brought twice it is there once", async () => {
    const platform = virtualPlatform();
    const cluster = new FakeCluster(platform.clock);
    cluster.topic("orders", 1);
    const driver = new KafkaDriver(cluster, address, driverContext(platform, { createTopics: true }));
    const join = (): Promise<RecordingSink & { subscription: DriverSubscription }> => within(platform, member(driver));
    const one = await join();
    await within(
      platform,
      driver.publish([1, 2, 3].map(index => eventRecord(String(index), { key: "k", headers: { tenant: "é" } }))),
    );
    await platform.clock.advance(1_000);
    const [first, second, third] = one.records_ as [LogRecord, LogRecord, LogRecord];
    const parking = (first.lane as LogLane).parking as KafkaParking;
    const dueAtMs = platform.clock.wall() + 60_000;
    const rows = [first, second, third].map((record, index) => ({
      record,
      key: "line",
      history: { attempts: index === 0 ? 3 : 0, firstFailedAtMs: index === 0 ? 7 : undefined },
      dueAtMs: index === 0 ? dueAtMs : 0,
    }));
    await within(platform, parking.park(rows));
    await within(platform, parking.park(rows));
    for (const record of one.records_) one.settle(record);
    await within(platform, one.subscription.close());
    assert.equal((await within(platform, driver.groups())).find(({ lane }) => lane === "orders/0")?.lag, 3);

    const two = await join();
    const [lane] = [...two.lanes].filter(({ topic }) => topic === "orders");
    const again = lane?.parking as KafkaParking;
    assert.deepEqual(again.found, [{ key: "line", records: 3, dueAtMs }]);
    assert.deepEqual(
      one.records_.map(record => again.knows("line", record)),
      [true, true, true],
    );
    const { records } = await within(platform, again.recall("line", 2));
    const [back, behind] = records as [LogRecord, LogRecord];
    assert.deepEqual(
      [Buffer.from(back.body).toString(), back.place, back.fallbackId, back.key, back.topic, back.history],
      ["1", first.place, first.fallbackId, "k", "orders", { attempts: 3, firstFailedAtMs: 7 }],
    );
    assert.deepEqual({ ...back.attributes.headers }, { tenant: "é" });
    assert.equal(back.attributes.id, first.attributes.id);
    again.settle(back);
    assert.equal(again.begin(behind, 0), undefined, "its attempt was counted when it came");
    await within(platform, again.begin(behind, 1) as Promise<void>);
    again.putBack([behind], dueAtMs + 5, { attempts: 1, firstFailedAtMs: 9 });
    // The last one comes back and has not begun when its member goes.
    await within(platform, again.recall("line", 2));
    await within(platform, two.subscription.close());

    const three = await join();
    const last = [...three.lanes].find(({ topic }) => topic === "orders")?.parking as KafkaParking;
    assert.deepEqual(last.found, [{ key: "line", records: 2, dueAtMs: dueAtMs + 5 }]);
    const left = (await within(platform, last.recall("line", 9))).records as readonly LogRecord[];
    assert.deepEqual(
      left.map(({ body, history }) => [Buffer.from(body).toString(), history.attempts]),
      [
        ["2", 1],
        ["3", 0],
      ],
    );
  });

  test("a record that is not there between others that are comes again, and takes its place", async () => {
    const platform = virtualPlatform();
    const cluster = new FakeCluster(platform.clock);
    cluster.topic("orders", 1);
    const driver = new KafkaDriver(cluster, address, driverContext(platform, { createTopics: true }));
    const one = await within(platform, member(driver));
    await within(platform, driver.publish([0, 1, 2, 3].map(index => eventRecord(String(index), { key: "k" }))));
    await platform.clock.advance(1_000);
    const rowOf = (record: LogRecord) => ({ record, key: "k", history: record.history, dueAtMs: 0 });
    const parkingOf = ({ lanes }: RecordingSink) =>
      [...lanes].find(({ topic }) => topic === "orders")?.parking as KafkaParking;
    const [done, first, refused, last] = one.records_ as [LogRecord, LogRecord, LogRecord, LogRecord];
    await within(platform, parkingOf(one).park([first, last].map(rowOf)));
    one.settle(done);
    await within(platform, one.subscription.close());

    const two = await within(platform, member(driver));
    const parking = parkingOf(two);
    assert.deepEqual(
      [done, first, refused, last].map(record => parking.knows("k", record)),
      [true, true, false, true],
    );
    await platform.clock.advance(1_000);
    const again = two.records_.find(({ offset }) => offset === refused.offset) as LogRecord;
    await within(platform, parking.park([rowOf(again)]));
    const { records } = await within(platform, parking.recall("k", 9));
    assert.deepEqual(
      records.map(({ body }) => Buffer.from(body).toString()),
      ["1", "2", "3"],
    );
  });

  test("what is in a frame comes back when its schema is there", async () => {
    const platform = virtualPlatform();
    const cluster = new FakeCluster(platform.clock);
    cluster.topic("orders", 1);
    const driver = new KafkaDriver(cluster, address, driverContext(platform, { createTopics: true }));
    const one = await within(platform, member(driver));
    await within(platform, driver.publish([eventRecord("framed", { key: "k" })]));
    await platform.clock.advance(1_000);
    const [record] = one.records_ as [LogRecord];
    const lane = record.lane as LogLane;
    let isThere = false;
    const framing = {
      unframe(read: LogRecord) {
        read.wrapped = isThere ? { format: "json", payload: read.body, typeName: undefined } : undefined;
        return isThere;
      },
    };
    const parts = { client: cluster, channel: cluster.channel(), platform };
    const view = new Cluster(parts.channel, address, platform);
    const producer = new Producer(cluster, parts.channel, view, platform);
    const topic = new ParkedTopic("billing.parked", { ...parts, cluster: view }, producer);
    const parking = new KafkaParking(lane, "id", topic, [], platform.clock, framing);
    await within(platform, view.refresh(["billing.parked"]));
    await within(platform, parking.park([{ record, key: "k", history: record.history, dueAtMs: 0 }]));
    await assert.rejects(within(platform, parking.recall("k", 1)), /its schema is not there yet/);
    isThere = true;
    const { records } = await within(platform, parking.recall("k", 1));
    assert.equal((records[0] as LogRecord).wrapped?.format, "json");
    await Promise.all([producer.close(), driver.close(), platform.clock.advance(20_000)]);
    view.close();
  });

  test("a topic that was made anew counts its offsets anew: what it has is not taken for what was parked before", async () => {
    const platform = virtualPlatform();
    const cluster = new FakeCluster(platform.clock);
    cluster.topic("orders", 1);
    const context = driverContext(platform, { createTopics: true });
    const driver = new KafkaDriver(cluster, address, context);
    const one = await within(platform, member(driver));
    await within(platform, driver.publish([eventRecord("before", { key: "k" })]));
    await platform.clock.advance(1_000);
    const [record] = one.records_ as [LogRecord];
    const parking = (record.lane as LogLane).parking as KafkaParking;
    await within(platform, parking.park([{ record, key: "k", history: record.history, dueAtMs: 0 }]));
    await within(platform, one.subscription.close());
    await within(platform, driver.close());
    cluster.topic("orders", 1);
    const other = new KafkaDriver(cluster, address, context);
    const two = await within(platform, member(other));
    const again = [...two.lanes].find(({ topic }) => topic === "orders")?.parking;
    assert.deepEqual(again?.found, [{ key: "k", records: 1, dueAtMs: 0 }]);
    assert.equal(again?.knows("k", record), false);
  });

  test("a group whose parking topic is missing and may not be made goes on without, and says so", async () => {
    const platform = virtualPlatform();
    const cluster = new FakeCluster(platform.clock);
    for (const topic of ["orders", "billing.retry", "billing.dead"]) cluster.topic(topic, 1);
    const events: string[] = [];
    const observer = {
      emit: (event: { readonly type: string }) => {
        events.push(event.type);
      },
    };
    const driver = new KafkaDriver(cluster, address, { ...driverContext(platform, { createTopics: false }), observer });
    const sink = await within(platform, member(driver));
    assert.deepEqual(
      [...sink.lanes].map(({ parking }) => parking),
      [undefined, undefined],
    );
    assert.deepEqual(events, ["events.parking.unavailable"]);
  });
});
