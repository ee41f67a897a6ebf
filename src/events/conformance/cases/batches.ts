import assert from "node:assert/strict";
import { type Batch, type BatchOptions, onBatch } from "../../batch.ts";
import type { Broker, SubscribeOptions, Subscription } from "../../broker.ts";
import { type BrokerCase, lacksOrder } from "../case.ts";
import type { Placed } from "../ledger.ts";
import { isAscending, type Journal, pause, quickRetry, type Scene } from "../scene.ts";

/** One call of a batch handler. */
interface SeenBatch {
  readonly events: readonly { readonly account: string; readonly number: number }[];
  /** Of its first event. */
  readonly attempt: number;
  readonly member: string;
}

/** Subscribes the group to `ledger.placed` in batches; `handle` is called after what it sees is in the journal. */
function subscribe(
  scene: Scene,
  broker: Broker,
  journal: Journal<SeenBatch>,
  batchOptions: BatchOptions,
  handle: (events: readonly Placed[], batch: Batch) => unknown = () => {},
  options: Partial<SubscribeOptions> = {},
  member = "one",
): Promise<Subscription> {
  return broker.subscribe(
    { group: scene.group, retry: quickRetry, ...options },
    onBatch(scene.ledger.PlacedSchema, batchOptions, (events, batch) => {
      const seen = events.map(({ account, number }) => ({ account, number }));
      journal.push({ events: seen, attempt: batch.attempt, member });
      return handle(events, batch);
    }),
  );
}

const count = (batches: readonly SeenBatch[]) => batches.reduce((sum, { events }) => sum + events.length, 0);

const distinct = (batches: readonly SeenBatch[]) =>
  new Set(batches.flatMap(({ events }) => events.map(({ account, number }) => `${account} ${number}`))).size;

export const batchCases: readonly BrokerCase[] = [
  {
    name: "batches: events of a key in their order, and never in two at once",
    lacks: lacksOrder,
    async run(scene) {
      const broker = await scene.connect();
      const journal = scene.journal<SeenBatch>();
      const running = new Set<string>();
      const violations: string[] = [];
      await subscribe(
        scene,
        broker,
        journal,
        { eventsMax: 20, waitMs: 20 },
        async events => {
          const accounts = new Set(events.map(({ account }) => account));
          for (const account of accounts) {
            if (running.has(account)) violations.push(`${account} is in two batches at once`);
            running.add(account);
          }
          await pause(5);
          for (const account of accounts) running.delete(account);
        },
        scene.harness.inOrder,
      );
      const events = Array.from({ length: 400 }, (_, index) => ({
        account: `account-${index % 10}`,
        number: Math.floor(index / 10),
      }));
      await broker.publishAll(scene.ledger.PlacedSchema, events);
      const batches = await journal.until(entries => count(entries) >= 400, "400 events in batches");
      assert.deepEqual(violations, []);
      assert.equal(count(batches), 400, "nothing came twice");
      assert.ok(batches.every(({ events }) => events.length <= 20));
      assert.ok(batches.length < 200, `${batches.length} batches for 400 events`);
      for (let account = 0; account < 10; account++) {
        const numbers = batches.flatMap(({ events }) =>
          events.filter(event => event.account === `account-${account}`).map(({ number }) => number),
        );
        assert.ok(isAscending(numbers) && numbers.length === 40, String(numbers));
      }
    },
  },
  {
    name: "batches: a large one fills, with one handler at a time",
    async run(scene) {
      const broker = await scene.connect();
      const journal = scene.journal<SeenBatch>();
      await subscribe(scene, broker, journal, { eventsMax: 1_500, waitMs: scene.waitMs }, undefined, {
        ...scene.harness.shared,
        concurrency: 1,
      });
      const events = Array.from({ length: 4_500 }, (_, number) => ({ account: `account-${number % 100}`, number }));
      await broker.publishAll(scene.ledger.PlacedSchema, events);
      const batches = await journal.until(entries => count(entries) >= 4_500, "4,500 events in batches");
      assert.deepEqual(
        batches.map(({ events }) => events.length),
        [1_500, 1_500, 1_500],
      );
      assert.equal(distinct(batches), 4_500);
    },
  },
  {
    name: "batches: one poison event uses up its own attempts, and its neighbours are handled at the first",
    async run(scene) {
      const broker = await scene.connect();
      const journal = scene.journal<SeenBatch>();
      const subscription = await subscribe(scene, broker, journal, { eventsMax: 5, waitMs: scene.waitMs }, events => {
        if (events.some(({ account }) => account === "poison")) throw new Error("not this one");
      });
      const accounts = ["a", "b", "poison", "c", "d"];
      await broker.publishAll(
        scene.ledger.PlacedSchema,
        accounts.map((account, number) => ({ account, number })),
      );
      const [letter] = await scene.eventually(
        () => scene.letters(broker),
        ({ length }) => length > 0,
        "the dead letter",
      );
      assert.deepEqual([letter?.key, letter?.attempts], ["poison", quickRetry.maxAttempts]);
      await scene.eventually(
        () => subscription.stats(),
        ({ handled }) => handled === 4,
        "the others to be settled",
      );
      const [first, ...alone] = journal.entries;
      assert.equal(first?.events.length, 5);
      assert.ok(alone.every(({ events }) => events.length === 1));
      for (const account of ["a", "b", "c", "d"]) {
        const attempts = alone.filter(({ events }) => events[0]?.account === account).map(({ attempt }) => attempt);
        assert.deepEqual(attempts, [0], account);
      }
      assert.equal((await scene.letters(broker)).length, 1);
      assert.equal(subscription.stats().failedAttempts, quickRetry.maxAttempts);
    },
  },
  {
    name: "batches: of those whose handler names what has failed, the others are settled",
    async run(scene) {
      const broker = await scene.connect();
      const journal = scene.journal<SeenBatch>();
      const subscription = await subscribe(
        scene,
        broker,
        journal,
        { eventsMax: 3, waitMs: scene.waitMs },
        (events, batch) => {
          const index = events.findIndex(({ account }) => account === "b");
          if (index !== -1 && batch.deliveries[index]?.attempt === 0) batch.fail(index, new Error("not yet"));
        },
      );
      await broker.publishAll(
        scene.ledger.PlacedSchema,
        ["a", "b", "c"].map((account, number) => ({ account, number })),
      );
      const batches = await journal.reaches(2);
      assert.deepEqual(batches[1], { events: [{ account: "b", number: 1 }], attempt: 1, member: "one" });
      await scene.eventually(
        () => subscription.stats(),
        ({ handled }) => handled === 3,
        "all to be settled",
      );
      assert.equal(journal.length, 2);
    },
  },
  {
    name: "batches: a crash leaves each event of a batch another attempt, alone",
    lacks: (_capabilities, { kill }) => (kill === undefined ? "its test cannot kill a connection" : undefined),
    async run(scene) {
      const publisher = await scene.connect();
      const one = await scene.connect();
      const journal = scene.journal<SeenBatch>();
      const gate = scene.gate();
      const options = { ...scene.harness.shared, retry: { ...quickRetry, maxAttempts: 2 } };
      const ten = { eventsMax: 10, waitMs: scene.waitMs };
      await subscribe(scene, one, journal, ten, () => gate.opened, options, "one");
      await publisher.publishAll(
        scene.ledger.PlacedSchema,
        Array.from({ length: 10 }, (_, number) => ({ account: `account-${number}`, number })),
      );
      const [first] = await journal.reaches(1);
      assert.equal(first?.events.length, 10);
      await scene.harness.kill?.(one);
      const two = await scene.connect();
      const subscription = await subscribe(scene, two, journal, ten, undefined, options, "two");
      await scene.eventually(
        () => subscription.stats(),
        ({ handled }) => handled >= 10,
        "ten events at two",
      );
      const seen = journal.entries.filter(({ member }) => member === "two");
      assert.ok(
        seen.every(({ events, attempt }) => events.length === 1 && attempt === 1),
        JSON.stringify(seen),
      );
      assert.equal(distinct(seen), 10);
      assert.deepEqual(await scene.letters(publisher), []);
    },
  },
  {
    name: "batches: a drain gives back what waits for its batch",
    async run(scene) {
      const broker = await scene.connect();
      const journal = scene.journal<SeenBatch>();
      const forLong = { eventsMax: 100, waitMs: 60_000 };
      const subscription = await subscribe(scene, broker, journal, forLong, undefined, scene.harness.shared, "one");
      await broker.publishAll(
        scene.ledger.PlacedSchema,
        Array.from({ length: 5 }, (_, number) => ({ account: `account-${number}`, number })),
      );
      await scene.eventually(
        () => subscription.stats(),
        ({ waiting }) => waiting === 5,
        "five events that wait",
      );
      await scene.within(subscription.drain(), "the drain");
      assert.deepEqual(journal.entries, []);
      await subscribe(scene, broker, journal, { waitMs: 0 }, undefined, scene.harness.shared, "two");
      const batches = await journal.until(entries => count(entries) >= 5, "the five at another member");
      assert.equal(distinct(batches), 5);
    },
  },
];
