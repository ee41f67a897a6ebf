import assert from "node:assert/strict";
import { systemPlatform } from "../../../platform/index.ts";
import { PublishError } from "../../errors.ts";
import { type Delivery, on } from "../../handler.ts";
import { type BrokerCase, lacksOrder } from "../case.ts";
import type { Placed } from "../ledger.ts";
import { firstDeliveries } from "../scene.ts";

const { clock } = systemPlatform;

/** Above it a body is not worth building for a test. */
const bodyBytesTried = 33_554_432;

export const publishingCases: readonly BrokerCase[] = [
  {
    name: "an event whose publish has resolved is there when its publisher has gone",
    async run(scene) {
      const broker = await scene.connect();
      const journal = scene.journal();
      const before = await scene.subscribe(broker, journal);
      await before.drain();
      const publisher = await scene.connect();
      for (const number of [1, 2, 3]) await scene.publish(publisher, "a", number);
      await publisher.close();
      await scene.subscribe(await scene.connect(), journal);
      const seen = await journal.reaches(3);
      assert.deepEqual(new Set(seen.map(({ number }) => number)), new Set([1, 2, 3]));
    },
  },
  {
    name: "events published without waiting keep the order of the calls for each key",
    lacks: lacksOrder,
    async run(scene) {
      const broker = await scene.connect();
      const journal = scene.journal();
      await scene.subscribe(broker, journal, undefined, scene.harness.inOrder);
      const publishes: Promise<unknown>[] = [];
      for (let number = 0; number < 100; number++) {
        for (const account of ["a", "b", "c", "d", "e"]) publishes.push(scene.publish(broker, account, number));
      }
      await scene.within(Promise.all(publishes), "the confirmations");
      const accounts = firstDeliveries(await journal.reaches(500));
      const expected = Array.from({ length: 100 }, (_, number) => number);
      for (const account of ["a", "b", "c", "d", "e"]) assert.deepEqual(accounts.get(account), expected, account);
    },
  },
  {
    name: "publishAll takes a sequence and answers with the ids in its order",
    async run(scene) {
      const broker = await scene.connect();
      const ids: string[] = [];
      const journal = scene.journal();
      await scene.subscribe(broker, journal, (event, delivery) => {
        ids[event.number] = delivery.id;
      });
      async function* events() {
        for (let number = 0; number < 2_000; number++) yield { account: `account-${number % 50}`, number };
      }
      const published = await scene.within(broker.publishAll(scene.ledger.PlacedSchema, events()), "publishAll");
      await journal.reaches(2_000);
      assert.deepEqual(
        published.map(({ id }) => id),
        ids,
      );
    },
  },
  {
    name: "what a publisher says beside the message arrives with it",
    async run(scene) {
      const broker = await scene.connect({ source: "/ledger-service" });
      const journal = scene.journal<Delivery>();
      await broker.subscribe(
        { group: scene.group },
        on(scene.ledger.PlacedSchema, (_event, delivery) => journal.push(delivery)),
      );
      const timeMs = 1_700_000_000_123;
      const expiresAtMs = Math.floor(clock.wall()) + 3_600_000;
      const { id } = await broker.publish(
        scene.ledger.PlacedSchema,
        { account: "a", number: 1 },
        {
          id: "0190d8a4-0000-7000-8000-000000000001",
          key: "another key ✓",
          timeMs,
          expiresAtMs,
          priority: "critical",
          headers: { "X-Tenant": "blue", "x-text": "größer ✓" },
        },
      );
      const [delivery] = await journal.reaches(1);
      assert.ok(delivery !== undefined);
      assert.equal(id, "0190d8a4-0000-7000-8000-000000000001");
      assert.equal(delivery.id, id);
      assert.equal(delivery.idIsSynthetic, false);
      assert.equal(delivery.group, scene.group);
      assert.equal(delivery.topic, scene.ledger.topic);
      assert.equal(delivery.source, "/ledger-service");
      assert.equal(delivery.type, "ledger.placed");
      assert.equal(delivery.key, "another key ✓");
      assert.equal(delivery.timeMs, timeMs);
      assert.equal(delivery.priority, "critical");
      assert.equal(delivery.attempt, 0);
      assert.equal(delivery.headers["x-tenant"], "blue");
      assert.equal(delivery.headers["x-text"], "größer ✓");
      assert.equal(delivery.raw.attributes.expiresAtMs, expiresAtMs);
      assert.equal(delivery.raw.attributes.contentType, "application/json");
    },
  },
  {
    name: "an event published by a handler belongs to the trace and the priority of what it handles",
    async run(scene) {
      const broker = await scene.connect();
      const journal = scene.journal<Delivery>();
      const { PlacedSchema, NotedSchema } = scene.ledger;
      await broker.subscribe(
        { group: scene.group },
        on(PlacedSchema, async event => {
          await broker.publish(NotedSchema, { account: event.account });
        }),
        on(NotedSchema, (_event, delivery) => journal.push(delivery)),
      );
      await broker.publish(PlacedSchema, { account: "a" }, { priority: "sheddable" });
      const [delivery] = await journal.reaches(1);
      assert.equal(delivery?.priority, "sheddable");
      assert.equal(delivery.raw.attributes.expiresAtMs, undefined);
    },
  },
  {
    name: "bodies can be protobuf, and large",
    async run(scene) {
      const broker = await scene.connect({ contentType: "application/protobuf" });
      const journal = scene.journal<Placed>();
      await broker.subscribe(
        { group: scene.group },
        on(scene.ledger.PlacedSchema, event => journal.push(event)),
      );
      const padding = new Uint8Array(Math.min(900_000, Math.floor(broker.capabilities.bodyBytesMax / 2)));
      for (let index = 0; index < padding.length; index++) padding[index] = (index * 31) & 0xff;
      await broker.publish(scene.ledger.PlacedSchema, { account: "a", number: 7, padding });
      const [event] = await journal.reaches(1);
      assert.equal(event?.number, 7);
      assert.ok(Buffer.from(event.padding).equals(padding));
    },
  },
  {
    name: "an event that is too large is refused, and those around it are not",
    lacks: ({ bodyBytesMax }) =>
      bodyBytesMax > bodyBytesTried ? `it takes bodies of ${bodyBytesMax} bytes` : undefined,
    async run(scene) {
      const broker = await scene.connect({ contentType: "application/protobuf" });
      const journal = scene.journal();
      await scene.subscribe(broker, journal);
      const padding = new Uint8Array(broker.capabilities.bodyBytesMax + 1);
      const results = await Promise.allSettled([
        scene.publish(broker, "a", 1),
        broker.publish(scene.ledger.PlacedSchema, { account: "a", number: 2, padding }),
        scene.publish(broker, "a", 3),
      ]);
      assert.deepEqual(
        results.map(({ status }) => status),
        ["fulfilled", "rejected", "fulfilled"],
      );
      const error = (results[1] as PromiseRejectedResult).reason;
      assert.ok(error instanceof PublishError && !error.isRetryable, String(error));
      const seen = await journal.reaches(2);
      assert.deepEqual(new Set(seen.map(({ number }) => number)), new Set([1, 3]));
    },
  },
  {
    name: "an event whose time has passed goes to the dead letters and not to the handler",
    async run(scene) {
      const broker = await scene.connect();
      const journal = scene.journal();
      await scene.subscribe(broker, journal);
      const expiresAtMs = Math.floor(clock.wall()) - 1_000;
      await broker.publish(scene.ledger.PlacedSchema, { account: "a", number: 1 }, { expiresAtMs });
      await scene.publish(broker, "b", 2);
      await journal.reaches(1);
      const [letter] = await scene.eventually(
        () => scene.letters(broker),
        ({ length }) => length === 1,
        "the dead letter",
      );
      assert.equal(letter?.reason, "expired");
      assert.equal(letter.attempts, 0);
      assert.deepEqual(
        journal.entries.map(({ number }) => number),
        [2],
      );
    },
  },
  {
    name: "an event that is scheduled is not handled before its time",
    lacks: ({ delay }) => (delay === "none" ? "it cannot deliver later" : undefined),
    async run(scene) {
      const broker = await scene.connect();
      const journal = scene.journal<{ number: number; atMs: number }>();
      await scene.subscribe(broker, scene.journal(), event => {
        journal.push({ number: event.number, atMs: clock.wall() });
      });
      const notBeforeMs = Math.ceil(clock.wall()) + 400;
      await broker.publish(scene.ledger.PlacedSchema, { account: "a", number: 1 }, { notBeforeMs });
      await scene.publish(broker, "b", 2);
      const seen = await journal.reaches(2);
      assert.deepEqual(
        seen.map(({ number }) => number),
        [2, 1],
      );
      // Both clocks are this machine's, and timers have ticks.
      assert.ok((seen[1]?.atMs ?? 0) >= notBeforeMs - 5, `handled ${notBeforeMs - (seen[1]?.atMs ?? 0)} ms early`);
    },
  },
];
