import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { BrokerDriver, PublishFailure } from "../../src/events/index.ts";
import { FaultProxy } from "../faults/fault-proxy.ts";
import { type Rabbitmq, skipWithoutOwn, startRabbitmq, uniqueName } from "../servers/index.ts";
import { connect, demand, event, foreign, letters, publish } from "./rabbitmq-driver.ts";
import { RecordingSink } from "./recording-sink.ts";

describe("RabbitMQ, when things break", { skip: skipWithoutOwn("rabbitmq") }, () => {
  let server: Rabbitmq;
  let proxy: FaultProxy;
  /** By the proxy. */
  let url: string;
  before(async () => {
    server = await startRabbitmq();
    const address = new URL(server.url.replace(/^amqp/, "http"));
    proxy = await FaultProxy.start({ port: Number(address.port) });
    url = `amqp://${address.username}:${address.password}@127.0.0.1:${proxy.port}`;
  });
  after(async () => {
    await proxy[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  /** Publishes `count` events, and more while `goesOn`, a few batches at once; answers when all have an outcome. */
  async function flood(
    driver: BrokerDriver,
    topic: string,
    count: number,
    goesOn = () => false,
  ): Promise<readonly (PublishFailure | undefined)[]> {
    const batches: Promise<readonly (PublishFailure | undefined)[]>[] = [];
    for (let from = 0; from < count || goesOn(); from += 100) {
      const batch = Array.from({ length: 100 }, (_, at) => event(topic, "order.created", `${from + at}`));
      batches.push(driver.publish(batch));
      await batches.at(-4);
    }
    return (await Promise.all(batches)).flat();
  }

  function assertAllArrived(sink: RecordingSink, outcomes: readonly (PublishFailure | undefined)[]): void {
    const arrived = new Set(sink.bodies);
    outcomes.forEach((outcome, index) => {
      if (outcome === undefined) assert.ok(arrived.has(`${index}`), `event ${index} was confirmed and is lost`);
    });
  }

  it("loses nothing that was confirmed when connections are cut again and again, in the middle of frames", async () => {
    const topic = uniqueName("orders");
    await using broker = await connect(url);
    await using consumer = await connect(url);
    const sink = new RecordingSink();
    const subscription = await consumer.driver.subscribe(demand(topic, topic), sink);
    let cuts = 0;
    const isCut = () => broker.events.some(one => one.type === "rabbitmq.disconnected");
    const publishing = flood(broker.driver, topic, 5_000, () => cuts < 4 || !isCut());
    for (; cuts < 4; cuts++) {
      const before = sink.bodies.length;
      await sink.until(() => sink.bodies.length >= before + 200, "some events");
      for (const connection of proxy.connections) {
        connection.set({ toTarget: { cutAfterBytes: connection.toTarget.passedBytes + 777 } });
        connection.set({ toClient: { cutAfterBytes: connection.toClient.passedBytes + 333 } });
      }
    }
    const outcomes = await publishing;
    assert.deepEqual(
      outcomes.filter(outcome => outcome !== undefined),
      [],
    );
    await sink.until(() => new Set(sink.bodies).size === outcomes.length, "all events");
    assertAllArrived(sink, outcomes);
    await subscription.close();
  });

  it("keeps the order of a single active consumer over reconnects, judged by the first delivery", async () => {
    const topic = uniqueName("orders");
    await using broker = await connect(url);
    const sink = new RecordingSink();
    const specific = { singleActiveConsumer: true };
    const subscription = await broker.driver.subscribe(demand(topic, topic, { specific, order: "key" }), sink);
    const publishing = flood(broker.driver, topic, 2_000);
    await sink.until(() => sink.bodies.length > 100, "some events");
    proxy.cut("reset");
    assert.deepEqual(
      (await publishing).filter(outcome => outcome !== undefined),
      [],
    );
    await sink.until(() => new Set(sink.bodies).size === 2_000, "all events");
    assert.deepEqual(
      [...new Set(sink.bodies)],
      Array.from({ length: 2_000 }, (_, index) => `${index}`),
    );
    await subscription.close();
  });

  it("notices a connection that is half open, and goes on when the line is back", async () => {
    const topic = uniqueName("orders");
    await using broker = await connect(`${url}?heartbeat=1&connection_timeout=1000`);
    const sink = new RecordingSink();
    const subscription = await broker.driver.subscribe(demand(topic, topic), sink);
    proxy.blackHole();
    const publishing = broker.driver.publish([event(topic, "order.created", "1")]);
    while (broker.driver.status().isReady) await new Promise(resolve => setTimeout(resolve, 50));
    assert.match(broker.driver.status().detail, /Heartbeat timeout|does not answer/);
    proxy.cut("reset");
    proxy.heal();
    assert.deepEqual(await publishing, [undefined]);
    await sink.until(() => sink.bodies.length >= 1, "the event");
    await subscription.close();
  });

  it("drops acknowledgements of a dead channel, and gets the records again with an attempt more", async () => {
    const topic = uniqueName("orders");
    await using broker = await connect(url);
    const sink = new RecordingSink(false);
    const subscription = await broker.driver.subscribe(demand(topic, topic), sink);
    await publish(broker.driver, [event(topic, "order.created", "1"), event(topic, "order.created", "2")]);
    await sink.until(() => sink.bodies.length === 2, "the events");
    proxy.cut("reset");
    await sink.until(() => sink.bodies.length === 4, "the events again");
    const [dead, live] = sink.lanes;
    assert.deepEqual(sink.lostLanes, [dead]);
    assert.equal(live?.name, dead?.name);
    for (const { record } of sink.deliveries.slice(0, 2)) dead?.settle(record);
    assert.deepEqual(
      sink.deliveries.map(({ record }) => record.history.attempts),
      [0, 0, 1, 1],
    );
    // Neither the old lane nor old records on the new one may settle what is new.
    for (const { record } of sink.deliveries.slice(0, 2)) live?.settle(record);
    await subscription.close();
    await using guide = await foreign(server.url);
    assert.equal((await guide.channel.checkQueue(topic)).messageCount, 2);
  });

  it("waits while the broker is short of memory, and says so", async () => {
    const topic = uniqueName("orders");
    await using broker = await connect(url);
    const sink = new RecordingSink();
    const subscription = await broker.driver.subscribe(demand(topic, topic), sink);
    await server.rabbitmqctl("set_vm_memory_high_watermark", "absolute", "1000");
    try {
      let isDone = false;
      const publishing = broker.driver.publish([event(topic, "order.created", "1")]).finally(() => {
        isDone = true;
      });
      while (broker.driver.status().isReady) await new Promise(resolve => setTimeout(resolve, 50));
      assert.match(broker.driver.status().detail, /takes no messages: low on memory/);
      const second = broker.driver.publish([event(topic, "order.created", "2")]);
      assert.equal(isDone, false);
      await server.rabbitmqctl("set_vm_memory_high_watermark", "absolute", "1GB");
      assert.deepEqual(await publishing, [undefined]);
      assert.deepEqual(await second, [undefined]);
      await sink.until(() => sink.bodies.length === 2, "the events");
      assert.equal(broker.driver.status().isReady, true);
    } finally {
      await server.rabbitmqctl("set_vm_memory_high_watermark", "absolute", "1GB");
    }
    await subscription.close();
  });

  it("fails a publish, retryably, that waited too long for a blocked broker", async () => {
    const topic = uniqueName("orders");
    await using broker = await connect(`${url}?publish_timeout=500`);
    const sink = new RecordingSink();
    const subscription = await broker.driver.subscribe(demand(topic, topic), sink);
    await server.rabbitmqctl("set_vm_memory_high_watermark", "absolute", "1000");
    try {
      const [first] = await broker.driver.publish([event(topic, "order.created", "1")]);
      assert.equal(first?.isRetryable, true);
      const [second] = await broker.driver.publish([event(topic, "order.created", "2")]);
      assert.match(second?.error.message ?? "", /not sent within 500 ms: the broker takes no messages: low on memory/);
    } finally {
      await server.rabbitmqctl("set_vm_memory_high_watermark", "absolute", "1GB");
    }
    await subscription.close();
  });

  it("refuses one event that is too large, and confirms its neighbours", async () => {
    await server.rabbitmqctl(
      "eval",
      "application:set_env(rabbit, max_message_size, 100000), persistent_term:erase(max_message_size).",
    );
    try {
      const topic = uniqueName("orders");
      await using broker = await connect(url);
      const sink = new RecordingSink();
      const subscription = await broker.driver.subscribe(demand(topic, topic), sink);
      const outcomes = await broker.driver.publish(
        ["1", "x".repeat(200_000), "3"].map(body => event(topic, "order.created", body)),
      );
      assert.deepEqual(
        outcomes.map(outcome => outcome?.isRetryable),
        [undefined, false, undefined],
      );
      assert.match(outcomes[1]?.error.message ?? "", /message size 200000 is larger than configured max size 100000/);
      await sink.until(() => new Set(sink.bodies).size === 2, "the small ones");
      await subscription.close();
    } finally {
      await server.rabbitmqctl(
        "eval",
        "application:set_env(rabbit, max_message_size, 134217728), persistent_term:erase(max_message_size).",
      );
    }
  });

  it("makes its queue again when somebody deletes it", async () => {
    const topic = uniqueName("orders");
    await using broker = await connect(url);
    const sink = new RecordingSink();
    const subscription = await broker.driver.subscribe(demand(topic, topic), sink);
    await using guide = await foreign(server.url);
    await guide.channel.deleteQueue(topic);
    await sink.until(() => sink.lanes.length === 2, "a new lane");
    await publish(broker.driver, [event(topic, "order.created", "1")]);
    await sink.until(() => sink.bodies.length === 1, "the event");
    const lost = broker.events.find(one => one.type === "rabbitmq.consumer_lost");
    assert.match(lost?.error.message ?? "", /was deleted/);
    await subscription.close();
  });

  it("does not fall into a loop when a queue has come back as something else", async () => {
    const topic = uniqueName("orders");
    await using broker = await connect(url);
    const sink = new RecordingSink();
    const specific = { singleActiveConsumer: true };
    const subscription = await broker.driver.subscribe(demand(topic, topic, { specific, order: "key" }), sink);
    await using guide = await foreign(server.url);
    await guide.channel.deleteQueue(topic);
    await guide.channel.assertQueue(topic, { durable: true });
    const isTold = () =>
      broker.events.some(
        one => one.type === "rabbitmq.consumer_lost" && /without x-single-active-consumer/.test(one.error.message),
      );
    while (!isTold()) await new Promise(resolve => setTimeout(resolve, 50));
    assert.ok(broker.events.filter(one => one.type === "rabbitmq.consumer_lost").length < 6);
    await guide.channel.deleteQueue(topic);
    await sink.until(() => sink.lanes.length === 2, "the lane again");
    await subscription.close();
  });

  it("loses nothing when the broker restarts in the middle", async () => {
    const topic = uniqueName("orders");
    await using broker = await connect(url);
    const sink = new RecordingSink();
    const subscription = await broker.driver.subscribe(demand(topic, topic), sink);
    const held = sink.deliveries;
    const publishing = flood(broker.driver, topic, 10_000);
    await sink.until(() => sink.bodies.length > 500, "some events");
    const delayed = held[0]?.record ?? assert.fail();
    await subscription.retryLater(delayed, 2_000, { attempts: 1, firstFailedAtMs: 1 });
    await subscription.deadLetter(held[1]?.record ?? assert.fail(), {
      attempts: 1,
      firstFailedAtMs: undefined,
      reason: "discarded",
      exception: undefined,
      consumer: "test",
      contract: undefined,
    });
    await server.restart();
    const outcomes = await publishing;
    assert.deepEqual(
      outcomes.filter(outcome => outcome !== undefined),
      [],
    );
    await sink.until(() => new Set(sink.bodies).size === 10_000, "all events", 60_000);
    assertAllArrived(sink, outcomes);
    await sink.until(
      () => held.some(({ record }) => record.history.attempts === 1 && record.history.firstFailedAtMs === 1),
      "the delayed event",
    );
    assert.equal((await letters(broker.driver, topic)).length, 1);
    await subscription.close();
  });

  it("loses nothing when the broker is killed in the middle", async () => {
    const topic = uniqueName("orders");
    await using broker = await connect(url);
    const sink = new RecordingSink();
    const subscription = await broker.driver.subscribe(demand(topic, topic), sink);
    // RabbitMQ 3.10 itself forgets the files of a quorum queue that was made less than half a second before it is killed.
    await new Promise(resolve => setTimeout(resolve, 1_500));
    const publishing = flood(broker.driver, topic, 5_000);
    await sink.until(() => sink.bodies.length > 500, "some events");
    await server.kill();
    await server.start();
    const outcomes = await publishing;
    const confirmed = outcomes.flatMap((outcome, index) => (outcome === undefined ? [`${index}`] : []));
    const isAllThere = () => {
      const there = new Set(sink.bodies);
      return confirmed.every(body => there.has(body));
    };
    await sink.until(isAllThere, "all confirmed events", 60_000);
    await subscription.close();
  });
});
