import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { EventRecord } from "../../record.ts";
import type { AmqpDelivery, AmqpProperties } from "./amqp.ts";
import { again, type DirectMessages, messageOf, RabbitmqRecord, whyNotSendable } from "./message.ts";
import { ownHeader, queueNames } from "./names.ts";

const record: EventRecord = {
  topic: "orders",
  type: "order.created",
  key: "order-1",
  body: Buffer.from("{}"),
  id: "01a21c72-a389-706d-b0e4-02df0e795a28",
  source: "/order-service",
  timeMs: 1_795_772_785_123,
  contentType: "application/json",
  trace: undefined,
  priority: "default",
  expiresAtMs: undefined,
  notBeforeMs: undefined,
  replyTo: undefined,
  correlationId: undefined,
  headers: { tenant: "blue" },
};

function delivery(properties: AmqpProperties, rest: Partial<AmqpDelivery> = {}): AmqpDelivery {
  return {
    tag: 7,
    isRedelivered: false,
    exchange: "orders",
    routingKey: "order.created",
    body: Buffer.from("{}"),
    properties,
    ...rest,
  };
}

const delivered = (properties: AmqpProperties, rest?: Partial<AmqpDelivery>) =>
  new RabbitmqRecord(delivery(properties, rest), "orders-queue", queueNames("orders-queue"));

describe("an event as an AMQP message", () => {
  it("says its attributes in AMQP's words where there are, and in headers of CloudEvents", () => {
    assert.deepEqual(messageOf(record, true), {
      exchange: "orders",
      routingKey: "order.created",
      body: record.body,
      isMandatory: true,
      properties: {
        headers: {
          cloudEvents_specversion: "1.0",
          cloudEvents_id: record.id,
          cloudEvents_source: "/order-service",
          cloudEvents_type: "order.created",
          cloudEvents_time: "2026-11-27T09:46:25.123Z",
          cloudEvents_subject: "order-1",
          tenant: "blue",
        },
        contentType: "application/json",
        timestamp: 1_795_772_785,
        messageId: record.id,
      },
    });
  });

  it("comes back as it was", () => {
    const { properties, routingKey } = messageOf(record, true);
    const back = delivered(properties, { routingKey });
    assert.equal(back.topic, "orders");
    assert.equal(back.key, "order-1");
    assert.equal(back.place, "orders-queue#7");
    assert.equal(back.attributes.timeMs, record.timeMs);
    assert.equal(back.attributes.id, record.id);
    assert.deepEqual({ ...back.attributes.headers }, { tenant: "blue" });
  });

  it("is read from what a plain producer says", () => {
    const back = delivered({
      messageId: "m-1",
      contentType: "application/json",
      timestamp: 1_700_000_000,
      correlationId: "c",
    });
    assert.deepEqual(
      { ...back.attributes, headers: undefined },
      {
        id: "m-1",
        type: "order.created",
        contentType: "application/json",
        timeMs: 1_700_000_000_000,
        correlationId: "c",
        headers: undefined,
      },
    );
    assert.equal(back.key, undefined);
  });

  it("has the same fallback id again after a retry", () => {
    const first = delivered({});
    const retried = again(
      first,
      { exchange: "trunkline.delay.due", routingKey: first.routingKey },
      {},
      { attempts: 1, firstFailedAtMs: 5 },
    );
    const back = delivered(retried.properties, { exchange: "trunkline.delay.due" });
    assert.equal(back.fallbackId, first.fallbackId);
    assert.notEqual(back.fallbackId, delivered({}, { body: Buffer.from("[]") }).fallbackId);
    assert.equal(back.topic, "orders");
    assert.deepEqual(back.history, { attempts: 1, firstFailedAtMs: 5 });
  });

  it("takes what its producer said along, and leaves the trip's own behind", () => {
    const nested = { list: [1, 2] };
    const first = delivered({
      headers: {
        nested,
        number: 5,
        "x-death": [{ queue: "q" }],
        "x-first-death-queue": "q",
        "x-delivery-count": 3,
        [ownHeader.due]: "queue q",
        [`${ownHeader.step}2`]: "1",
        "trunkline-attempts": "2",
      },
      contentEncoding: "gzip",
      appId: "shop",
    });
    assert.equal(first.history.attempts, 5, "earlier attempts and returns to this queue");
    const { properties } = again(first, { exchange: "x", routingKey: "k" }, {}, first.history);
    assert.deepEqual(properties.headers, {
      nested,
      number: 5,
      "trunkline-topic": "orders",
      "trunkline-attempts": "5",
    });
    assert.equal(properties.contentEncoding, "gzip");
    assert.equal(properties.appId, "shop");
    assert.deepEqual({ ...first.attributes.headers }, { number: "5" });
  });

  it("is made of whatever a stranger sends, without an exception", () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.anything()),
        fc.record({
          messageId: fc.anything(),
          contentType: fc.anything(),
          timestamp: fc.anything(),
          replyTo: fc.anything(),
        }),
        (headers, properties) => {
          const strange = delivered({ headers, ...properties });
          assert.equal(typeof strange.topic, "string");
          assert.ok(Number.isSafeInteger(strange.history.attempts));
          assert.match(strange.fallbackId, /^[0-9a-f]{64}$/);
          again(strange, { exchange: "x", routingKey: "k" }, {}, strange.history);
        },
      ),
    );
  });

  it("says what cannot be sent", () => {
    assert.equal(whyNotSendable(record, 10), undefined);
    assert.match(whyNotSendable({ ...record, type: "é".repeat(128) }, 10) ?? "", /type is longer than 255 bytes/);
    assert.match(
      whyNotSendable({ ...record, body: Buffer.alloc(11) }, 10) ?? "",
      /has 11 bytes and the broker takes 10/,
    );
  });
});

describe("a request as an AMQP message", () => {
  it("says where its reply is awaited in AMQP's own properties, which count before its headers", () => {
    const { properties } = messageOf({ ...record, replyTo: "amq.gen-1", correlationId: "c-1" }, true);
    assert.equal(properties.replyTo, "amq.gen-1");
    assert.equal(properties.correlationId, "c-1");
    const { attributes } = delivered(properties);
    assert.deepEqual([attributes.replyTo, attributes.correlationId], ["amq.gen-1", "c-1"]);
    // Somebody between has put its own address in.
    const passedOn = delivered({ ...properties, replyTo: "amq.gen-2", correlationId: "c-2" }).attributes;
    assert.deepEqual([passedOn.replyTo, passedOn.correlationId], ["amq.gen-2", "c-2"]);
    const long = "x".repeat(300);
    const said = messageOf({ ...record, replyTo: long }, true).properties;
    assert.equal(said.replyTo, undefined);
    assert.equal(delivered(said).attributes.replyTo, long);
  });

  const direct = (properties: AmqpProperties, messages: DirectMessages, rest: Partial<AmqpDelivery> = {}) =>
    new RabbitmqRecord(
      delivery(properties, { exchange: "", routingKey: "rpc_queue", ...rest }),
      "rpc_queue",
      queueNames("rpc_queue"),
      messages,
    );
  const one: DirectMessages = { topic: "orders", type: "order.priced" };
  const several: DirectMessages = { topic: "orders", type: undefined };

  it("that was sent to the queue itself is of the topic and the type that the group has, where it has one", () => {
    const { topic, attributes, routingKey } = direct({ replyTo: "amq.gen-1" }, one);
    assert.deepEqual([topic, attributes.type, routingKey], ["orders", "order.priced", "order.priced"]);
    const open = direct({}, several);
    assert.deepEqual([open.topic, open.attributes.type], ["orders", undefined]);
    assert.equal(direct({}, { topic: undefined, type: undefined }).topic, "");
  });

  it("may name its type itself: by AMQP's property, or by CloudEvents", () => {
    assert.equal(direct({ type: "order.asked" }, several).attributes.type, "order.asked");
    assert.equal(direct({ type: "order.asked" }, one).attributes.type, "order.asked");
    assert.equal(direct({ headers: { cloudEvents_type: "order.said" } }, one).attributes.type, "order.said");
  });

  it("keeps both on its way through retries", () => {
    const first = direct({ correlationId: "c", replyTo: "amq.gen-1" }, one);
    const target = { exchange: "trunkline.delay.0", routingKey: first.routingKey };
    const { properties } = again(first, target, {}, { attempts: 1, firstFailedAtMs: 1 });
    const back = direct(properties, one, { exchange: "trunkline.delay.due", routingKey: first.routingKey });
    assert.deepEqual([back.topic, back.attributes.type, back.history.attempts], ["orders", "order.priced", 1]);
    assert.deepEqual([back.attributes.replyTo, back.attributes.correlationId], ["amq.gen-1", "c"]);
  });

  it("what comes by a topic exchange is what it says, whatever its routing key", () => {
    const { topic, attributes } = direct({}, one, { exchange: "orders" });
    assert.deepEqual([topic, attributes.type], ["orders", "rpc_queue"]);
    const other = direct({}, one, { routingKey: "another_queue" });
    assert.deepEqual([other.topic, other.attributes.type], ["", "another_queue"]);
  });
});
