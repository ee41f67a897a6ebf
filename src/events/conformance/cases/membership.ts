import assert from "node:assert/strict";
import { BrokerError } from "../../errors.ts";
import { type BrokerCase, lacksOrder } from "../case.ts";
import { firstDeliveries, isAscending, pause, type Seen } from "../scene.ts";

export const membershipCases: readonly BrokerCase[] = [
  {
    name: "keys one after the other, different keys beside each other",
    lacks: lacksOrder,
    async run(scene) {
      const broker = await scene.connect();
      const journal = scene.journal();
      const running = new Set<string>();
      let most = 0;
      await scene.subscribe(
        broker,
        journal,
        async ({ account }) => {
          assert.ok(!running.has(account), `two of ${account} at once`);
          running.add(account);
          most = Math.max(most, running.size);
          await pause(2);
          running.delete(account);
        },
        { ...scene.harness.inOrder, concurrency: 8 },
      );
      const events: { account: string; number: number }[] = [];
      for (let number = 0; number < 20; number++) {
        for (let account = 0; account < 10; account++) events.push({ account: `account-${account}`, number });
      }
      await broker.publishAll(scene.ledger.PlacedSchema, events);
      const accounts = firstDeliveries(await journal.reaches(200));
      for (const numbers of accounts.values()) assert.ok(isAscending(numbers) && numbers.length === 20);
      assert.equal(journal.length, 200, "nothing came twice");
      assert.ok(most > 1, "keys ran beside each other");
    },
  },
  {
    name: "every group gets every event, and each event goes to one member of a group",
    async run(scene) {
      const one = await scene.connect();
      const two = await scene.connect();
      const shared = scene.journal();
      const alone = scene.journal();
      await scene.subscribe(one, shared, undefined, scene.harness.shared, "one");
      await scene.subscribe(two, shared, undefined, scene.harness.shared, "two");
      await scene.subscribe(two, alone, undefined, { group: scene.harness.uniqueName("alone") });
      const events = Array.from({ length: 200 }, (_, number) => ({ account: `account-${number}`, number }));
      await one.publishAll(scene.ledger.PlacedSchema, events);
      const numbers = new Set((await alone.reaches(200)).map(({ number }) => number));
      assert.equal(numbers.size, 200);
      await shared.until(
        entries => new Set(entries.map(({ number }) => number)).size === 200,
        "all events in the shared group",
      );
    },
  },
  {
    name: "what a member had not finished comes to another when it goes",
    async run(scene) {
      const one = await scene.connect();
      const journal = scene.journal();
      const gate = scene.gate();
      await scene.subscribe(one, journal, () => gate.opened, scene.harness.shared, "one");
      await scene.publish(one, "a", 1);
      await journal.reaches(1);
      const two = await scene.connect();
      await scene.within(one.close({ timeoutMs: 0 }), "the member to go");
      await scene.subscribe(two, journal, undefined, scene.harness.shared, "two");
      const seen = await journal.until(entries => entries.some(({ member }) => member === "two"), "the event at two");
      assert.equal(seen.at(-1)?.number, 1);
    },
  },
  {
    name: "what a killed member had comes to another, with the order of keys by first delivery",
    lacks: (_capabilities, { kill }) => (kill === undefined ? "its test cannot kill a connection" : undefined),
    async run(scene) {
      const publisher = await scene.connect();
      const one = await scene.connect();
      const journal = scene.journal();
      const gate = scene.gate();
      const options = scene.harness.inOrder ?? scene.harness.shared;
      await scene.subscribe(one, journal, ({ number }) => (number >= 5 ? gate.opened : undefined), options, "one");
      const events = Array.from({ length: 50 }, (_, index) => ({
        account: `account-${index % 5}`,
        number: Math.floor(index / 5),
      }));
      await publisher.publishAll(scene.ledger.PlacedSchema, events);
      await journal.reaches(30);
      await scene.harness.kill?.(one);
      const two = await scene.connect();
      await scene.subscribe(two, journal, undefined, options, "two");
      await journal.until(entries => {
        const numbers = firstDeliveries(entries.filter(({ member, number }) => member === "two" || number < 5));
        return [...numbers.values()].reduce((sum, { length }) => sum + length, 0) === 50;
      }, "all events");
      if (scene.harness.inOrder === undefined && two.capabilities.order === "none") return;
      for (const numbers of firstDeliveries(journal.entries).values()) assert.ok(isAscending(numbers), String(numbers));
    },
  },
  {
    name: "a second member joins while handlers are slow: nothing is lost, keys keep their order",
    lacks: lacksOrder,
    async run(scene) {
      const one = await scene.connect();
      const journal = scene.journal();
      const options = { ...scene.harness.inOrder, concurrency: 4 };
      const slowly = () => pause(5);
      await scene.subscribe(one, journal, slowly, options, "one");
      const events = Array.from({ length: 400 }, (_, index) => ({
        account: `account-${index % 20}`,
        number: Math.floor(index / 20),
      }));
      const published = one.publishAll(scene.ledger.PlacedSchema, events);
      await journal.reaches(40);
      const two = await scene.connect();
      await scene.subscribe(two, journal, slowly, options, "two");
      await published;
      await journal.until(
        entries => [...firstDeliveries(entries).values()].reduce((sum, { length }) => sum + length, 0) === 400,
        "all events",
      );
      for (const numbers of firstDeliveries(journal.entries).values()) assert.ok(isAscending(numbers), String(numbers));
    },
  },
  {
    name: "a drain lets handlers end, begins nothing, and leaves the rest to others",
    async run(scene) {
      const one = await scene.connect();
      const journal = scene.journal();
      const gate = scene.gate();
      const subscription = await scene.subscribe(
        one,
        journal,
        () => gate.opened,
        { ...scene.harness.shared, concurrency: 2 },
        "one",
      );
      const events = Array.from({ length: 10 }, (_, number) => ({ account: `account-${number}`, number }));
      await one.publishAll(scene.ledger.PlacedSchema, events);
      await journal.reaches(2);
      const drained = subscription.drain();
      gate.open();
      await scene.within(drained, "the drain");
      await subscription.ended;
      assert.equal(journal.length, 2, "nothing began while it drained");
      const { handled, running } = subscription.stats();
      assert.deepEqual({ handled, running }, { handled: 2, running: 0 });
      const first = new Set(journal.entries.map(({ number }) => number));
      await scene.subscribe(one, journal, undefined, scene.harness.shared, "two");
      const seen = await journal.reaches(10);
      const second = seen.filter(({ member }) => member === "two").map(({ number }) => number);
      assert.equal(new Set(second).size, 8);
      assert.ok(
        second.every(number => !first.has(number)),
        "what was handled stays handled",
      );
    },
  },
  {
    name: "a member takes no more into memory than it can bear, and all of it in the end",
    async run(scene) {
      const broker = await scene.connect();
      const journal = scene.journal();
      const gate = scene.gate();
      const subscription = await scene.subscribe(broker, journal, () => gate.opened, {
        ...scene.harness.shared,
        concurrency: 4,
      });
      const count = 8_000;
      const events = Array.from({ length: count }, (_, number) => ({ account: `account-${number}`, number }));
      await broker.publishAll(scene.ledger.PlacedSchema, events);
      await journal.reaches(4);
      // Two looks at the same figure: it does not take more.
      let before = -1;
      const { waiting } = await scene.eventually(
        () => {
          const stats = subscription.stats();
          const isSteady = stats.waiting === before;
          before = stats.waiting;
          return { ...stats, isSteady };
        },
        ({ isSteady }) => isSteady,
        "a steady number of waiting events",
      );
      assert.ok(waiting < 5_000, `${waiting} events are in memory`);
      gate.open();
      // On a machine that is short of time a lease may lapse, and some come twice.
      const numbers = (seen: readonly Seen[]) => new Set(seen.map(({ number }) => number));
      await journal.until(seen => seen.length >= count && numbers(seen).size === count, `all of ${count} events`);
    },
  },
  {
    name: "a new group begins at the beginning, or now",
    lacks: ({ replay }) => (replay ? undefined : "it keeps nothing for groups that come later"),
    async run(scene) {
      const broker = await scene.connect();
      for (const number of [1, 2, 3]) await scene.publish(broker, "a", number);
      const all = scene.journal();
      const fresh = scene.journal();
      await scene.subscribe(broker, all, undefined, { from: "beginning" });
      await scene.subscribe(broker, fresh, undefined, { from: "now", group: scene.harness.uniqueName("fresh") });
      await scene.publish(broker, "a", 4);
      assert.deepEqual(
        (await all.reaches(4)).map(({ number }) => number),
        [1, 2, 3, 4],
      );
      assert.deepEqual(
        (await fresh.reaches(1)).map(({ number }) => number),
        [4],
      );
    },
  },
  {
    name: "what a broker cannot do is refused at the start; what only other brokers understand is not",
    async run(scene) {
      const broker = await scene.connect();
      if (!broker.capabilities.replay) {
        await assert.rejects(scene.subscribe(broker, scene.journal(), undefined, { from: "beginning" }), BrokerError);
      }
      if (broker.capabilities.order === "none") {
        await assert.rejects(scene.subscribe(broker, scene.journal(), undefined, { order: "key" }), BrokerError);
      }
      await assert.rejects(scene.subscribe(broker, scene.journal(), undefined, { concurrency: 0 }), BrokerError);
      // So that a program chooses its broker by the URL alone.
      const foreign =
        broker.name === "kafka" ? { rabbitmq: { prefetch: 1 } } : { kafka: { protocol: "classic" as const } };
      await scene.subscribe(broker, scene.journal(), undefined, foreign);
    },
  },
  {
    name: "groups say what waits for them, and a tail sees what is published",
    async run(scene) {
      const broker = await scene.connect();
      const journal = scene.journal();
      const gate = scene.gate();
      await scene.subscribe(broker, journal, () => gate.opened, { ...scene.harness.shared, concurrency: 1 });
      const tail = broker.tail([scene.ledger.topic])[Symbol.asyncIterator]();
      const first = tail.next();
      // A tail has begun at some time after its first next(): publishes go on until it sees one.
      let number = 0;
      let isSeen = false;
      void first.then(
        () => {
          isSeen = true;
        },
        () => {},
      );
      await scene.eventually(
        async () => {
          await scene.publish(broker, "a", number++);
          return isSeen;
        },
        seen => seen,
        "the tail to see a record",
      );
      const { value } = await first;
      assert.equal(value?.topic, scene.ledger.topic);
      await tail.return?.();
      await journal.reaches(1);
      await scene.eventually(
        async () => (await broker.groups()).filter(({ group }) => group === scene.group),
        statuses => statuses.reduce((sum, { lag }) => sum + lag, 0) === number,
        `a lag of ${number}`,
      );
      gate.open();
      await journal.reaches(number);
      await scene.eventually(
        async () => (await broker.groups()).filter(({ group }) => group === scene.group),
        statuses => statuses.length > 0 && statuses.every(({ lag }) => lag === 0),
        "no lag",
      );
    },
  },
  {
    name: "a broker that is connected is ready, and one that is closed is not",
    async run(scene) {
      const broker = await scene.connect();
      assert.equal(broker.status().isReady, true, broker.status().detail);
      await broker.close();
      assert.equal(broker.status().isReady, false);
      await assert.rejects(scene.publish(broker, "a", 1));
    },
  },
];
