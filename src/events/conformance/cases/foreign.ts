import assert from "node:assert/strict";
import type { SubscribeOptions } from "../../broker.ts";
import { type Delivery, on } from "../../handler.ts";
import type { BrokerCase } from "../case.ts";
import { ledger } from "../ledger.ts";
import type { Scene } from "../scene.ts";

/** All types, where the broker sorts by them before it delivers. */
const everything: Partial<SubscribeOptions> = { rabbitmq: { bindings: ["#"] } };

/** Options that make a group get every type of its topics on this broker. */
function unfiltered(scene: Scene, brokerName: string): Partial<SubscribeOptions> {
  return { ...scene.harness.shared, ...(brokerName === "rabbitmq" ? everything : {}) };
}

export const foreignCases: readonly BrokerCase[] = [
  {
    name: "a known type without a handler is passed over and counted",
    async run(scene) {
      const broker = await scene.connect();
      const journal = scene.journal();
      const subscription = await scene.subscribe(broker, journal, undefined, unfiltered(scene, broker.name));
      await broker.publish(scene.ledger.NotedSchema, { account: "a", number: 1 });
      await scene.publish(broker, "a", 2);
      const seen = await journal.reaches(1);
      assert.equal(seen[0]?.number, 2);
      await scene.eventually(
        () => subscription.stats(),
        ({ ignored, handled }) => ignored === 1 && handled === 1,
        "one event passed over",
      );
      assert.deepEqual(await scene.letters(broker), []);
    },
  },
  {
    name: "a type that no contract knows goes to the dead letters",
    async run(scene) {
      const publisher = await scene.connect();
      const broker = await scene.connect();
      const journal = scene.journal();
      await scene.subscribe(broker, journal, undefined, unfiltered(scene, broker.name));
      const later = ledger(scene.ledger.topic, "int32", ["settled"]);
      await publisher.publish(later.PlacedSchema, { account: "a", number: 1 });
      await scene.publish(publisher, "a", 2);
      await journal.reaches(1);
      const [letter] = await scene.eventually(
        () => scene.letters(broker),
        ({ length }) => length === 1,
        "the dead letter",
      );
      assert.equal(letter?.reason, "unknown_type");
      assert.equal(letter.attributes.type, "ledger.settled");
      assert.equal(letter.attempts, 0);
    },
  },
  {
    name: "a type that no contract knows is passed over where the subscription says so",
    async run(scene) {
      const publisher = await scene.connect();
      const broker = await scene.connect();
      const journal = scene.journal();
      const options = { ...unfiltered(scene, broker.name), unknownTypes: "ignore" as const };
      const subscription = await scene.subscribe(broker, journal, undefined, options);
      const later = ledger(scene.ledger.topic, "int32", ["settled"]);
      await publisher.publish(later.PlacedSchema, { account: "a", number: 1 });
      await scene.eventually(
        () => subscription.stats(),
        ({ ignored }) => ignored === 1,
        "one event passed over",
      );
      assert.deepEqual(await scene.letters(broker), []);
    },
  },
  {
    name: "a body that cannot be decoded goes to the dead letters as it is",
    async run(scene) {
      const publisher = await scene.connect();
      const broker = await scene.connect();
      const journal = scene.journal();
      await scene.subscribe(broker, journal);
      const broken = ledger(scene.ledger.topic, "string");
      // In this contract the number is a text.
      await publisher.publish(broken.PlacedSchema, { account: "a", number: "many" as unknown as number });
      await scene.publish(publisher, "b", 2);
      await journal.reaches(1);
      const [letter] = await scene.eventually(
        () => scene.letters(broker),
        ({ length }) => length === 1,
        "the dead letter",
      );
      assert.equal(letter?.reason, "undecodable");
      assert.equal(JSON.parse(Buffer.from(letter.body).toString()).number, "many");
      assert.match(letter.exception ?? "", /number/);
    },
  },
  {
    name: "a record of a plain producer is an event: its type from event_type, its id from the broker",
    lacks: (_capabilities, { publishPlain }) =>
      publishPlain === undefined ? "its test has no plain producer" : undefined,
    async run(scene) {
      const broker = await scene.connect();
      const journal = scene.journal<Delivery>();
      await broker.subscribe(
        { group: scene.group },
        on(scene.ledger.PlacedSchema, (event, delivery) => {
          assert.equal(event.account, "a");
          journal.push(delivery);
        }),
      );
      const body = Buffer.from(JSON.stringify({ event_type: "LEDGER_PLACED", account: "a", number: 1, unheard: true }));
      await scene.harness.publishPlain?.(scene.ledger.topic, { key: "a", routingKey: "ledger.placed", body });
      const [delivery] = await journal.reaches(1);
      assert.equal(delivery?.type, "ledger.placed");
      assert.equal(delivery.key, "a");
      assert.notEqual(delivery.id, "");
      assert.equal(delivery.priority, "default");
    },
  },
  {
    name: "a plain record that is no JSON goes to the dead letters as it is",
    lacks: (_capabilities, { publishPlain }) =>
      publishPlain === undefined ? "its test has no plain producer" : undefined,
    async run(scene) {
      const broker = await scene.connect();
      const journal = scene.journal();
      await scene.subscribe(broker, journal);
      const body = Buffer.from([0xff, 0x00, 0xfe, 0x7b]);
      await scene.harness.publishPlain?.(scene.ledger.topic, { routingKey: "ledger.placed", body });
      const [letter] = await scene.eventually(
        () => scene.letters(broker),
        ({ length }) => length === 1,
        "the dead letter",
      );
      assert.ok(letter !== undefined);
      assert.ok(letter.reason === "undecodable" || letter.reason === "unknown_type", letter.reason);
      assert.ok(Buffer.from(letter.body).equals(body));
      assert.equal(journal.length, 0);
    },
  },
];
