import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Rabbitmq, skipWithoutOwn, startRabbitmq, uniqueName } from "../servers/index.ts";
import { connect, demand, event, foreign, publish } from "./rabbitmq-driver.ts";
import { RecordingSink } from "./recording-sink.ts";

describe("RabbitMQ with partitions", { skip: skipWithoutOwn("rabbitmq") }, () => {
  let server: Rabbitmq;
  before(async () => {
    server = await startRabbitmq();
    // What `rabbitmq-plugins enable` does, which is not among the programs of a test server.
    await server.rabbitmqctl(
      "eval",
      "{ok, File} = application:get_env(rabbit, enabled_plugins_file), " +
        'ok = file:write_file(File, "[rabbitmq_consistent_hash_exchange]."), rabbit_plugins:ensure(File).',
    );
  });
  after(() => server[Symbol.asyncDispose]());

  it("spreads keys over queues, keeps each in order, and all events without a key in one", async () => {
    const topic = uniqueName("orders");
    await using broker = await connect(server.url);
    const { driver } = broker;
    const specific = { partitions: 3 };
    const sink = new RecordingSink();
    const subscription = await driver.subscribe(demand(topic, topic, { specific, order: "key" }), sink);
    assert.deepEqual(
      sink.lanes.map(({ name, isOrdered }) => [name, isOrdered]),
      [0, 1, 2].map(partition => [`${topic}.${partition}`, true]),
    );
    await publish(
      driver,
      Array.from({ length: 300 }, (_, number) =>
        event(topic, "order.created", `${number}`, { key: `order-${number % 30}` }),
      ),
    );
    await using guide = await foreign(server.url);
    for (const body of ["a", "b", "c"]) await guide.publish(topic, "order.created", body);
    await sink.until(() => sink.bodies.length === 303, "all events");
    const lanesOf = new Map<string | undefined, Set<string>>();
    const bodiesOf = new Map<string | undefined, string[]>();
    for (const { lane, record } of sink.deliveries) {
      lanesOf.set(record.key, (lanesOf.get(record.key) ?? new Set()).add(lane.name));
      bodiesOf.set(record.key, [...(bodiesOf.get(record.key) ?? []), Buffer.from(record.body).toString()]);
    }
    for (const [key, lanes] of lanesOf) assert.equal(lanes.size, 1, `${key} is in several partitions`);
    assert.equal(new Set(sink.deliveries.map(({ lane }) => lane)).size, 3, "every partition has some");
    assert.deepEqual(bodiesOf.get(undefined), ["a", "b", "c"]);
    for (const bodies of bodiesOf.values()) {
      assert.deepEqual(
        bodies,
        [...bodies].sort((one, other) => Number(one) - Number(other) || one.localeCompare(other)),
      );
    }

    // A retry stays in its partition, and a dead letter comes back to it.
    const { lane, record } = sink.deliveries[0] ?? assert.fail();
    await subscription.retryLater(record, 0, { attempts: 1, firstFailedAtMs: 1 });
    await sink.until(() => sink.bodies.length === 304, "the retry");
    assert.equal(sink.deliveries.at(-1)?.lane, lane);
    await subscription.deadLetter(record, {
      attempts: 1,
      firstFailedAtMs: 1,
      reason: "discarded",
      exception: undefined,
      consumer: "test",
      contract: undefined,
    });
    for await (const letter of driver.deadLetters.list({ group: topic })) await driver.deadLetters.replay(letter);
    await sink.until(() => sink.bodies.length === 305, "the replayed event");
    assert.equal(sink.deliveries.at(-1)?.lane, lane);
    await subscription.close();

    await assert.rejects(
      driver.subscribe(demand(topic, topic, { specific: { partitions: 2 }, order: "key" }), new RecordingSink()),
      /asks for 2 partitions and has more/,
    );
  });
});
