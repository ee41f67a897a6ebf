import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { silentObserver } from "../platform/index.ts";
import { type VirtualPlatform, virtualPlatform } from "../platform/virtual/index.ts";
import { onBatch } from "./batch.ts";
import { MemoryLog } from "./brokers/memory/memory-log.ts";
import { MemoryStore } from "./brokers/memory/memory-store.ts";
import { ledger } from "./conformance/ledger.ts";
import { Discard, RetryLater } from "./errors.ts";
import { type Delivery, on } from "./handler.ts";
import { LogDriver } from "./log/index.ts";
import { demand, driverContext, eventRecord } from "./log/recording-sink.fixture.ts";
import { FaultyStore } from "./parking-store.fixture.ts";
import { EventCatalog } from "./runtime/catalog.ts";
import { Consumer } from "./runtime/consumer.ts";
import { handlingOf } from "./runtime/handling.ts";

/** What the handler does at each attempt of an event; the last goes on for ever. */
const outcomes = fc.array(fc.constantFrom("return", "resolve", "slow", "throw", "throw", "throw", "later", "discard"), {
  minLength: 1,
  maxLength: 6,
});

const steps = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        step: fc.constant("publish" as const),
        key: fc.nat(3),
        outcomes,
        count: fc.integer({ min: 1, max: 6 }),
      }),
    },
    { weight: 5, arbitrary: fc.record({ step: fc.constant("advance" as const), ms: fc.nat(3_000) }) },
    {
      weight: 2,
      arbitrary: fc.record({ step: fc.constant("kill" as const), inCalls: fc.nat(12), isAfter: fc.boolean() }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ step: fc.constant("freeze" as const), ms: fc.integer({ min: 1, max: 4_000 }) }),
    },
    { weight: 1, arbitrary: fc.record({ step: fc.constant("drain" as const) }) },
    { weight: 1, arbitrary: fc.record({ step: fc.constant("start" as const) }) },
    {
      weight: 1,
      arbitrary: fc.record({ step: fc.constant("down" as const), isLost: fc.boolean(), ms: fc.nat(2_000) }),
    },
  ),
  { maxLength: 50, size: "max" },
);

const limits = { recordsMax: 12, bytesMax: 1_000_000, parkedMax: 6, parkedBytesMax: 500_000 };
/** Records of a hand-over and lanes, in this test. */
const [recordsPerRead, lanesMax] = [3, 2];

interface Fate {
  readonly key: string;
  readonly number: number;
  readonly outcomes: readonly string[];
  attempts: number;
  isDone: boolean;
}

/** A broker in memory, and the processes that consume from it. */
class World {
  readonly platform: VirtualPlatform;
  readonly log: MemoryLog;
  readonly fates: Fate[] = [];
  readonly violations: string[] = [];
  readonly processes: Process[] = [];
  readonly publisher: MemoryStore;
  readonly inBatches: boolean;
  parkedOnce = 0;

  /** @param inBatches the handler takes batches */
  constructor(seed: number, inBatches: boolean) {
    this.inBatches = inBatches;
    this.platform = virtualPlatform({ seed });
    this.log = new MemoryLog({ partitions: lanesMax, bytesMax: 100_000_000 }, this.platform);
    this.publisher = new MemoryStore(this.log, driverContext(this.platform), () => {});
  }

  async publish(key: string, number: number, outcomes: readonly string[]): Promise<void> {
    this.fates.push({ key, number, outcomes, attempts: 0, isDone: false });
    const body = JSON.stringify({ account: key, number });
    await this.publisher.append([eventRecord(body, { key, type: "ledger.placed", topic: "ledger" })]);
  }

  /** Every earlier event of the key is done with before one is tried for the first time. */
  began(fate: Fate): void {
    if (fate.attempts > 0 || fate.isDone) return;
    for (const other of this.fates) {
      if (other === fate) return;
      if (other.key === fate.key && !other.isDone)
        this.violations.push(`${fate.key} ${fate.number} before ${other.number} was done with`);
    }
  }

  async start(): Promise<Process> {
    const process = new Process(this);
    this.processes.push(process);
    await process.start();
    return process;
  }

  look(): void {
    for (const process of this.processes) {
      const { consumer, store } = process;
      if (store.isDead) continue;
      const { parkedEvents, parkedAtBroker, waiting, running } = consumer.stats();
      this.parkedOnce += parkedAtBroker;
      const inMemory = parkedEvents - parkedAtBroker;
      const overshoot = recordsPerRead * lanesMax;
      // A whole line is parked at once when its head is, and then on its way. While the broker takes nothing it stays.
      const nowMs = this.platform.clock.now();
      if (inMemory <= limits.parkedMax + overshoot || store.hadTrouble) process.withinMs = nowMs;
      if (nowMs - process.withinMs > 100) this.violations.push(`${inMemory} parked events are in memory`);
      const most = limits.recordsMax + overshoot + Math.max(1, limits.recordsMax / 8);
      if (waiting + running > most) this.violations.push(`${waiting + running} events are in memory`);
    }
  }
}

class Process {
  readonly store: FaultyStore;
  readonly consumer: Consumer;
  /** When there were no more parked events in memory than there may be, last. */
  withinMs: number;
  readonly #driver: LogDriver;
  readonly #world: World;
  #subscription: Awaited<ReturnType<LogDriver["subscribe"]>> | undefined;

  constructor(world: World) {
    this.#world = world;
    this.withinMs = world.platform.clock.now();
    const { platform } = world;
    const context = driverContext(platform);
    this.store = new FaultyStore(new MemoryStore(world.log, context, () => {}), world.log, platform, recordsPerRead);
    this.store.onBury = record => {
      const { number } = JSON.parse(Buffer.from(record.body).toString()) as { number: number };
      const fate = world.fates[number] as Fate;
      fate.isDone = true;
    };
    const pace = { clock: platform.clock, commitEveryMs: 20, heartbeatMs: 400, tracksCrashes: true };
    this.#driver = new LogDriver("memory", this.store, pace, 1_000_000, context);
    const { PlacedSchema, file } = ledger("ledger");
    const catalog = new EventCatalog();
    catalog.learn(file);
    const handler = world.inBatches
      ? onBatch(PlacedSchema, { eventsMax: 4, waitMs: 20 }, events =>
          this.#handleAll(events.map(({ number }) => number)),
        )
      : on(PlacedSchema, (event, delivery) => this.#handle(event.number, delivery));
    this.consumer = new Consumer(
      {
        group: "bookkeeping",
        concurrency: 3,
        order: "key",
        onFailure: "park-key",
        schedule: {
          maxAttempts: 5,
          immediate: 1,
          immediateDelayMs: 10,
          initialDelayMs: 300,
          factor: 2,
          maxDelayMs: 5_000,
        },
        unknownTypes: "dead-letter",
        handlerTimeoutMs: 30_000,
        limits,
        canRetryLater: true,
        handlings: new Map([["ledger", new Map([["ledger.placed", handlingOf(handler, undefined, [])]])]]),
        consumer: "/test",
      },
      catalog,
      platform,
      silentObserver,
      error => world.violations.push(`failed: ${error.message}`),
    );
  }

  async start(): Promise<void> {
    const subscribed = this.#driver.subscribe(
      demand({ group: "bookkeeping", topics: ["ledger"], concurrency: 3 }),
      this.consumer,
    );
    void subscribed.then(
      subscription => {
        this.#subscription = subscription;
        this.consumer.attach(subscription);
      },
      () => this.store.kill(),
    );
    await this.#world.platform.clock.advance(100);
  }

  /** Ends it, in good order where the broker lets it. */
  async drain(): Promise<void> {
    const subscription = this.#subscription;
    if (subscription !== undefined) {
      this.consumer.stop();
      const drained = Promise.resolve()
        .then(() => subscription.stop())
        .then(() => this.consumer.idle(5_000))
        .then(() => subscription.close());
      drained.catch(() => {});
    }
    await this.#world.platform.clock.advance(6_000);
    this.store.kill();
  }

  /** One that is not going to return fails the whole batch; then each has its attempts alone. */
  #handleAll(numbers: readonly number[]): unknown {
    const world = this.#world;
    if (this.store.isDead) return new Promise(() => {});
    const [only] = numbers;
    if (numbers.length === 1) return this.#handle(only as number, { attempt: 0 });
    const fates = numbers.map(number => world.fates[number] as Fate);
    if (fates.some(({ outcomes, attempts }) => outcomes[Math.min(attempts, outcomes.length - 1)] !== "return")) {
      throw new Error("not all of them");
    }
    for (const fate of fates) {
      world.began(fate);
      fate.attempts++;
      fate.isDone = true;
    }
    return undefined;
  }

  #handle(number: number, { attempt }: Pick<Delivery, "attempt">): unknown {
    const world = this.#world;
    if (this.store.isDead) return new Promise(() => {});
    const fate = world.fates[number] as Fate;
    world.began(fate);
    const outcome = fate.outcomes[Math.min(fate.attempts, fate.outcomes.length - 1)];
    fate.attempts++;
    if (attempt > 4) world.violations.push(`attempt ${attempt} of ${number}`);
    const succeeded = () => {
      if (this.store.isDead) return new Promise<void>(() => {});
      fate.isDone = true;
      return undefined;
    };
    switch (outcome) {
      case "return":
        return succeeded();
      case "resolve":
        return Promise.resolve().then(succeeded);
      case "slow":
        return new Promise<void>(resolve => void world.platform.clock.after(70, resolve)).then(succeeded);
      case "later":
        throw new RetryLater(900);
      case "discard":
        throw new Discard("never");
      default:
        throw new Error("no");
    }
  }
}

test("parked keys: nothing lost, nothing reordered in a key, memory bounded, whatever is killed, frozen or drained at any call", async () => {
  let parked = 0;
  await fc.assert(
    fc.asyncProperty(steps, fc.integer({ min: 1, max: 1_000_000 }), fc.boolean(), async (script, seed, inBatches) => {
      const world = new World(seed, inBatches);
      const { clock } = world.platform;
      await world.publisher.createTopics(["ledger"]);
      await world.start();
      const alive = () => world.processes.filter(({ store }) => !store.isDead);
      for (const step of script) {
        if (step.step === "publish") {
          for (let left = step.count; left > 0; left--) {
            await world.publish(`account-${step.key}`, world.fates.length, step.outcomes);
          }
        } else if (step.step === "advance") {
          for (let leftMs = step.ms; leftMs > 0; leftMs -= 50) {
            await clock.advance(Math.min(leftMs, 50));
            world.look();
          }
        } else if (step.step === "start") {
          if (alive().length < 3) await world.start();
        } else if (step.step === "kill") alive()[0]?.store.dieIn(step.inCalls, step.isAfter);
        else if (step.step === "freeze") alive()[0]?.store.freeze(step.ms);
        else if (step.step === "down") for (const { store } of alive()) store.breakFor(step.ms, step.isLost);
        else await alive()[0]?.drain();
        if (alive().length === 0) await world.start();
        world.look();
        assert.deepEqual(world.violations, []);
      }
      // No further trouble: everything is done with in the end.
      for (const { store } of alive()) store.heal();
      if (alive().length === 0) await world.start();
      // Duplicates, too, which may fail again.
      const lag = async () => (await world.publisher.groups()).reduce((sum, group) => sum + group.lag, 0);
      for (let rounds = 0; rounds < 400; rounds++) {
        await clock.advance(500);
        world.look();
        if ((await lag()) === 0 && world.fates.every(fate => fate.isDone)) break;
      }
      // One that stood still hears of what it has lost.
      await clock.advance(40_000);
      assert.deepEqual(world.violations, []);
      assert.deepEqual(
        world.fates.filter(fate => !fate.isDone),
        [],
        "nothing is lost",
      );
      assert.equal(await lag(), 0, "nothing is left at the broker");
      for (const { consumer } of alive()) {
        const { running, waiting, parkedEvents, parkedKeys, parkedAtBroker } = consumer.stats();
        assert.deepEqual([running, waiting, parkedEvents, parkedKeys, parkedAtBroker], [0, 0, 0, 0, 0]);
      }
      parked += world.parkedOnce;
    }),
    { numRuns: 100 },
  );
  assert.ok(parked > 500, `only ${parked} events were parked`);
});
