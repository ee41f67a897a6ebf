import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { RabbitmqEvent } from "../../src/events/brokers/rabbitmq/index.ts";
import { BrokerError, type DeadLetter } from "../../src/events/index.ts";
import { sharedRabbitmq, skipWithout, uniqueName } from "../servers/index.ts";
import { connect, demand, event, foreign, letters, publish } from "./rabbitmq-driver.ts";
import { RecordingSink } from "./recording-sink.ts";

describe("RabbitMQ", { skip: skipWithout("rabbitmq") }, () => {
  let server: Awaited<ReturnType<typeof sharedRabbitmq>>;
  let url: string;
  before(async () => {
    server = await sharedRabbitmq();
    url = server.url;
  });
  after(() => server[Symbol.asyncDispose]());

  it("brings an event with all that its publisher said", async () => {
    await using broker = await connect(url);
    const { driver } = broker;
    const topic = uniqueName("orders");
    const sink = new RecordingSink();
    await using _ = closing(await driver.subscribe(demand(topic, topic), sink));
    const trace = { traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01`, tracestate: "x=1", baggage: "k=v" };
    const sent = event(topic, "order.created", "body", {
      trace,
      priority: "critical",
      expiresAtMs: 2_000_000_000_000,
      correlationId: "c",
      replyTo: "r",
      headers: { "x-tenant": "blue" },
    });
    await publish(driver, [sent]);
    await sink.until(() => sink.bodies.length === 1, "the event");
    const record = sink.deliveries[0]?.record;
    assert.equal(record?.topic, topic);
    assert.equal(record?.key, "order-1");
    assert.deepEqual(record?.history, { attempts: 0, firstFailedAtMs: undefined });
    const { topic: _topic, key: _key, body: _body, notBeforeMs: _notBefore, headers, ...attributes } = sent;
    assert.deepEqual({ ...record?.attributes, headers: { ...record?.attributes.headers } }, { ...attributes, headers });
  });

  it("takes what the guide's producer publishes, beside the guide's own declarations", async () => {
    await using guide = await foreign(url);
    const topic = uniqueName("orders");
    const queue = uniqueName("order_processing");
    await guide.channel.assertExchange(topic, "topic", { durable: true });
    await guide.channel.assertQueue(queue, { durable: true });
    await guide.channel.bindQueue(queue, topic, "order.*");
    await using broker = await connect(url);
    const sink = new RecordingSink();
    const specific = { queue, bindings: ["order.*"], queueType: "classic" };
    await using _ = closing(await broker.driver.subscribe(demand("order-processor", topic, { specific }), sink));
    await guide.publish(topic, "order.created", '{"order_id":"1"}');
    await guide.publish(topic, "order.created", '{"order_id":"1"}');
    await sink.until(() => sink.bodies.length === 2, "the guide's events");
    const [first, second] = sink.deliveries.map(({ record }) => record);
    assert.deepEqual({ ...first?.attributes.headers }, {});
    assert.equal(first?.attributes.type, "order.created");
    assert.equal(first?.attributes.contentType, "application/json");
    assert.equal(first?.attributes.id, undefined);
    assert.equal(first?.fallbackIsSynthetic, true);
    assert.match(first?.fallbackId ?? "", /^[0-9a-f]{64}$/);
    assert.equal(first?.fallbackId, second?.fallbackId);
    // The guide's consumer declares again, after us.
    await guide.channel.assertQueue(queue, { durable: true });
  });

  it("makes the queue as the guide declares it, where it is to be classic", async () => {
    await using guide = await foreign(url);
    await using broker = await connect(url);
    const topic = uniqueName("orders");
    const specific = { queueType: "classic" };
    await using _ = closing(await broker.driver.subscribe(demand(topic, topic, { specific }), new RecordingSink()));
    await guide.channel.assertExchange(topic, "topic", { durable: true });
    await guide.channel.assertQueue(topic, { durable: true });
  });

  it("refuses an event that no queue is bound for, retryably, and says what to do", async () => {
    await using broker = await connect(url);
    const topic = uniqueName("orders");
    await broker.driver.prepare([topic]);
    const [outcome] = await broker.driver.publish([event(topic, "order.created", "1")]);
    assert.equal(outcome?.isRetryable, true);
    assert.match(
      outcome?.error.message ?? "",
      /no queue is bound to the exchange ".*" for "order.created".*mandatory=false/,
    );
    const sink = new RecordingSink();
    await using _ = closing(await broker.driver.subscribe(demand(topic, topic), sink));
    const outcomes = await broker.driver.publish([
      event(topic, "order.created", "1"),
      event(topic, "order.unknown", "2"),
      event(topic, "order.created", "3"),
    ]);
    assert.deepEqual(
      outcomes.map(one => one === undefined),
      [true, false, true],
    );
  });

  it("lets it pass with mandatory=false", async () => {
    await using broker = await connect(`${url}?mandatory=false`);
    const topic = uniqueName("orders");
    await broker.driver.prepare([topic]);
    assert.deepEqual(await broker.driver.publish([event(topic, "order.created", "1")]), [undefined]);
  });

  it("brings a record back to its own group, not before the delay, with its history", async () => {
    await using broker = await connect(url);
    const { driver } = broker;
    const topic = uniqueName("orders");
    const [first, other] = [new RecordingSink(), new RecordingSink()];
    const subscription = await driver.subscribe(demand(`${topic}.a`, topic), first);
    await using _ = closing(subscription);
    await using __ = closing(await driver.subscribe(demand(`${topic}.b`, topic), other));
    await publish(driver, [event(topic, "order.created", "1", { headers: { own: "1" } })]);
    await first.until(() => first.bodies.length === 1, "the event");
    await other.until(() => other.bodies.length === 1, "the event in the other group");
    for (const [attempts, delayMs] of [
      [1, 0],
      [2, 300],
      [3, 1_100],
    ] as const) {
      const record = first.deliveries.at(-1)?.record;
      assert.ok(record);
      const beganMs = performance.now();
      await subscription.retryLater(record, delayMs, { attempts, firstFailedAtMs: 1_700_000_000_000 });
      await first.until(() => first.bodies.length === attempts + 1, `attempt ${attempts}`);
      assert.ok(performance.now() - beganMs >= delayMs, `${performance.now() - beganMs} ms instead of ${delayMs}`);
      const again = first.deliveries.at(-1)?.record;
      assert.deepEqual(again?.history, { attempts, firstFailedAtMs: 1_700_000_000_000 });
      assert.equal(again?.topic, topic);
      assert.equal(again?.attributes.type, "order.created");
      assert.deepEqual({ ...again?.attributes.headers }, { own: "1" });
    }
    assert.equal(other.bodies.length, 1);
  });

  it("holds a scheduled event back until its time, also in front of foreign consumers", async () => {
    await using broker = await connect(url);
    const topic = uniqueName("orders");
    const sink = new RecordingSink();
    await using _ = closing(await broker.driver.subscribe(demand(topic, topic), sink));
    const dueMs = Date.now() + 600;
    await publish(broker.driver, [
      event(topic, "order.created", "later", { notBeforeMs: dueMs }),
      event(topic, "order.created", "now"),
    ]);
    await sink.until(() => sink.bodies.length === 2, "both");
    assert.deepEqual(sink.bodies, ["now", "later"]);
    assert.ok(Date.now() >= dueMs);
    assert.equal(sink.deliveries[1]?.record.topic, topic);
  });

  for (const queueType of ["quorum", "classic"] as const) {
    it(`counts an attempt for what a dead consumer left behind in a ${queueType} queue`, async () => {
      const topic = uniqueName("orders");
      const specific = { queueType };
      const [dying, next] = [new RecordingSink(false), new RecordingSink()];
      await using broker = await connect(url);
      const subscription = await broker.driver.subscribe(demand(topic, topic, { specific }), dying);
      await publish(broker.driver, [event(topic, "order.created", "1")]);
      await dying.until(() => dying.bodies.length === 1, "the event");
      // Unsettled deliveries go back with their channel, as they do with a process.
      await subscription.close();
      await using _ = closing(await broker.driver.subscribe(demand(topic, topic, { specific }), next));
      await next.until(() => next.bodies.length === 1, "the event again");
      assert.equal(next.deliveries[0]?.record.history.attempts, 1);
    });
  }

  it("keeps dead letters, gives them back to their group alone, edits and discards them", async () => {
    await using broker = await connect(url);
    const { driver } = broker;
    const topic = uniqueName("orders");
    const [first, other] = [new RecordingSink(), new RecordingSink()];
    const subscription = await driver.subscribe(demand(`${topic}.a`, topic), first);
    await using _ = closing(subscription);
    await using __ = closing(await driver.subscribe(demand(`${topic}.b`, topic), other));
    await publish(
      driver,
      ["1", "2", "3"].map(body => event(topic, "order.created", body, { headers: { tenant: "blue" } })),
    );
    await first.until(() => first.bodies.length === 3, "the events");
    for (const { record } of first.deliveries) {
      await subscription.deadLetter(record, {
        attempts: 8,
        firstFailedAtMs: 1_700_000_000_000,
        reason: "attempts",
        exception: "Error: no stock\n    at reserve",
        consumer: "inventory-1",
        contract: "shop.OrderCreated",
      });
    }
    const dead = await letters(driver, `${topic}.a`);
    assert.deepEqual(
      dead.map(letter => Buffer.from(letter.body).toString()),
      ["1", "2", "3"],
    );
    const { letterId, diedAtMs, body, attributes, place, ...rest } = dead[0] ?? assert.fail();
    assert.deepEqual(rest, {
      group: `${topic}.a`,
      topic,
      key: "order-1",
      reason: "attempts",
      exception: "Error: no stock\n    at reserve",
      attempts: 8,
      firstFailedAtMs: 1_700_000_000_000,
      consumer: "inventory-1",
      contract: "shop.OrderCreated",
    });
    assert.equal(attributes.type, "order.created");
    assert.deepEqual({ ...attributes.headers }, { tenant: "blue" });
    assert.match(place, /#1$/);
    assert.ok(Math.abs(Date.now() - diedAtMs) < 60_000);
    assert.deepEqual(await letters(driver, `${topic}.a`), dead, "a look changes nothing");

    const edited = await driver.deadLetters.edit(dead[0] ?? assert.fail(), {
      key: "order-9",
      headers: { tenant: undefined },
    });
    assert.equal(edited.letterId, letterId);
    await driver.deadLetters.discard(dead[1] ?? assert.fail());
    await driver.deadLetters.replay(edited);
    await first.until(() => first.bodies.length === 4, "the replayed event");
    const replayed = first.deliveries[3]?.record;
    assert.equal(Buffer.from(replayed?.body ?? body).toString(), "1");
    assert.equal(replayed?.key, "order-9");
    assert.deepEqual({ ...replayed?.attributes.headers }, {});
    assert.deepEqual(replayed?.history, { attempts: 0, firstFailedAtMs: undefined });
    assert.deepEqual(
      (await letters(driver, `${topic}.a`)).map(letter => Buffer.from(letter.body).toString()),
      ["3"],
    );
    await assert.rejects(driver.deadLetters.discard(dead[1] ?? assert.fail()), /is not there any more/);
    assert.equal(other.bodies.length, 3);
  });

  it("dead letters mixed by looking at them: their order stays, whoever looks, corrects and replays some", async () => {
    await using broker = await connect(url);
    const { driver } = broker;
    const topic = uniqueName("orders");
    const sink = new RecordingSink();
    const subscription = await driver.subscribe(demand(topic, topic), sink);
    await using _ = closing(subscription);
    const numbers = Array.from({ length: 60 }, (_, index) => String(index));
    await publish(
      driver,
      numbers.map(body => event(topic, "order.created", body)),
    );
    await sink.until(() => sink.bodies.length === numbers.length, "the events");
    const details = {
      attempts: 1,
      firstFailedAtMs: undefined,
      exception: undefined,
      consumer: "c",
      contract: undefined,
    };
    for (const { record } of sink.deliveries)
      await subscription.deadLetter(record, { ...details, reason: "discarded" });
    const bodiesOf = (found: readonly DeadLetter[]) => found.map(letter => Buffer.from(letter.body).toString());
    for (let look = 0; look < 3; look++) {
      await using other = await connect(url);
      const some = await Array.fromAsync(other.driver.deadLetters.list({ group: topic, limit: 7 }));
      assert.deepEqual(bodiesOf(some), numbers.slice(0, 7));
    }
    const dead = await letters(driver, topic);
    assert.deepEqual(bodiesOf(dead), numbers);
    // One millisecond may have seen several die, and one that is corrected comes behind those.
    await driver.deadLetters.edit(dead[30] ?? assert.fail(), { headers: { mended: "yes" } });
    const edited = bodiesOf(await letters(driver, topic)).indexOf("30");
    assert.ok(edited >= 30 && edited < 40, String(edited));
    for (const letter of dead) await driver.deadLetters.replay(letter);
    await sink.until(() => sink.bodies.length === 2 * numbers.length, "the replayed events");
    assert.deepEqual(sink.bodies.slice(numbers.length), numbers);
    assert.deepEqual(await letters(driver, topic), []);
  });

  it("shows groups and what waits for them to somebody who has not subscribed", async () => {
    const topic = uniqueName("orders");
    const group = uniqueName("group");
    const specific = { queue: `${group}.queue` };
    {
      await using broker = await connect(url);
      const subscription = await broker.driver.subscribe(demand(group, topic, { specific }), new RecordingSink(false));
      await subscription.close();
      await publish(broker.driver, [event(topic, "order.created", "1"), event(topic, "order.created", "2")]);
    }
    await using broker = await connect(url);
    const status = (await broker.driver.groups()).find(one => one.group === group);
    assert.deepEqual(status, {
      group,
      topic,
      lane: `${group}.queue`,
      lag: 2,
      oldestAgeMs: undefined,
      consumers: 0,
    });
  });

  it("reads topics without a group", async () => {
    await using broker = await connect(`${url}?mandatory=false`);
    const { driver } = broker;
    const topic = uniqueName("orders");
    await driver.prepare([topic]);
    const stop = new AbortController();
    const seen: string[] = [];
    const reading = (async () => {
      for await (const record of driver.tail([topic], "now", stop.signal)) {
        seen.push(Buffer.from(record.body).toString());
        if (seen.at(-1) === "end") stop.abort();
      }
    })();
    // The queue of the tail is there once something arrives.
    const trying = setInterval(() => void driver.publish([event(topic, "a.b", "end")]), 20);
    await reading;
    clearInterval(trying);
    assert.deepEqual(new Set(seen), new Set(["end"]));
    assert.throws(() => driver.tail([topic], "beginning", stop.signal), /is not kept/);
  });

  it("keeps order with a single active consumer, also over its end", async () => {
    await using broker = await connect(url);
    const { driver } = broker;
    const topic = uniqueName("orders");
    const specific = { singleActiveConsumer: true, prefetch: 20 };
    const [active, standby] = [new RecordingSink(false), new RecordingSink()];
    const subscription = await driver.subscribe(demand(topic, topic, { specific, order: "key" }), active);
    await using _ = closing(await driver.subscribe(demand(topic, topic, { specific, order: "key" }), standby));
    await publish(
      driver,
      Array.from({ length: 50 }, (_, index) => event(topic, "order.created", `${index}`)),
    );
    await active.until(() => active.bodies.length === 20, "a prefetch of events");
    const lane = active.lanes[0];
    assert.equal(lane?.isOrdered, true);
    for (const { record } of active.deliveries.slice(0, 5)) lane?.settle(record);
    await subscription.stop();
    assert.equal(standby.bodies.length, 0, "the next one begins only when the first has ended");
    await subscription.close();
    await standby.until(() => standby.bodies.length === 45, "the rest");
    assert.deepEqual(
      standby.bodies,
      Array.from({ length: 45 }, (_, index) => `${index + 5}`),
    );
  });

  it("refuses order from a queue that keeps none", async () => {
    await using broker = await connect(url);
    const { driver } = broker;
    const topic = uniqueName("orders");
    await assert.rejects(
      driver.subscribe(demand(topic, topic, { order: "key" }), new RecordingSink()),
      /needs rabbitmq.singleActiveConsumer .* or rabbitmq.partitions/,
    );
    await using _ = closing(await driver.subscribe(demand(topic, topic), new RecordingSink()));
    const specific = { singleActiveConsumer: true };
    await assert.rejects(
      driver.subscribe(demand(topic, topic, { specific, order: "key" }), new RecordingSink()),
      /exists without x-single-active-consumer/,
    );
    assert.deepEqual(await driver.publish([event(topic, "order.created", "1")]), [undefined], "and goes on");
  });

  it("accepts an existing queue with a single active consumer, whatever else it has", async () => {
    await using guide = await foreign(url);
    const topic = uniqueName("orders");
    const args = { "x-single-active-consumer": true, "x-queue-type": "quorum", "x-max-length": 1_000 };
    await guide.channel.assertQueue(topic, { durable: true, arguments: args });
    await using broker = await connect(url);
    const specific = { singleActiveConsumer: true };
    await using _ = closing(
      await broker.driver.subscribe(demand(topic, topic, { specific, order: "key" }), new RecordingSink()),
    );
  });

  it("says which plugin partitions need", async () => {
    await using broker = await connect(url);
    const topic = uniqueName("orders");
    const specific = { partitions: 3 };
    await assert.rejects(
      broker.driver.subscribe(demand(topic, topic, { specific, order: "key" }), new RecordingSink()),
      /rabbitmq-plugins enable rabbitmq_consistent_hash_exchange/,
    );
    assert.equal(broker.driver.status().isReady, true);
  });

  it("refuses to begin before a group was made, and warns when prefetch bounds concurrency", async () => {
    await using broker = await connect(url);
    const topic = uniqueName("orders");
    await assert.rejects(
      broker.driver.subscribe(demand(topic, topic, { from: "beginning" }), new RecordingSink()),
      BrokerError,
    );
    const specific = { prefetch: 1 };
    const sink = new RecordingSink(false);
    await using _ = closing(await broker.driver.subscribe(demand(topic, topic, { specific }), sink));
    const warning = broker.events.find(one => one.type === "rabbitmq.warning") as
      | Extract<RabbitmqEvent, { type: "rabbitmq.warning" }>
      | undefined;
    assert.match(warning?.message ?? "", /prefetch 1 and concurrency 8/);
  });

  it("says so when topics are missing and may not be made", async () => {
    await using broker = await connect(url, { createTopics: false });
    await assert.rejects(broker.driver.prepare([uniqueName("orders")]), /createTopics is false/);
  });

  it("isolates the one event that the broker refuses, and loses none of its neighbours", async () => {
    await using broker = await connect(url);
    const topic = uniqueName("orders");
    const sink = new RecordingSink();
    await using _ = closing(await broker.driver.subscribe(demand(topic, topic), sink));
    const batch = Array.from({ length: 20 }, (_, index) => event(topic, "order.created", `${index}`));
    batch[7] = event(uniqueName("nowhere"), "order.created", "no exchange");
    const outcomes = await broker.driver.publish(batch);
    for (const [index, outcome] of outcomes.entries()) {
      assert.equal(outcome === undefined, index !== 7, `event ${index}: ${outcome?.error.message}`);
    }
    assert.match(outcomes[7]?.error.message ?? "", /NOT_FOUND - no exchange/);
    assert.equal(outcomes[7]?.isRetryable, false);
    await sink.until(() => new Set(sink.bodies).size === 19, "all others");
  });
});

function closing(subscription: { close(): Promise<void> }): AsyncDisposable {
  return { [Symbol.asyncDispose]: () => subscription.close() };
}
