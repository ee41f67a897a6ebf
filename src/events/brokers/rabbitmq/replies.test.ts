import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { ObservedEvent } from "../../../platform/index.ts";
import { virtualPlatform } from "../../../platform/virtual/index.ts";
import type { PublishFailure } from "../../driver.ts";
import type { StoredRecord } from "../../record.ts";
import { record } from "../../test-record.fixture.ts";
import { type AmqpDelivery, AmqpError, type AmqpMessage, type ConsumeOptions, type QueueDeclaration } from "./amqp.ts";
import { endpoint, FakeAmqp, FakeChannel, type FakeConnection } from "./fake-amqp.fixture.ts";
import { failure, unroutable } from "./pending-publish.ts";
import { RabbitmqReplies } from "./replies.ts";
import { SupervisedConnection } from "./supervised-connection.ts";

type Deliver = (delivery: AmqpDelivery | undefined) => void;

/** A broker that knows who has which exclusive queue. */
class QueueBroker extends FakeAmqp {
  /** Declarations that are refused, in order. */
  readonly refusals: AmqpError[] = [];
  readonly declared: { readonly queue: string; readonly options: QueueDeclaration }[] = [];
  consumer: { readonly queue: string; readonly options: ConsumeOptions; readonly deliver: Deliver } | undefined;

  override async open(where: Parameters<FakeAmqp["open"]>[0]) {
    const connection = (await super.open(where)) as FakeConnection;
    const broker = this;
    connection.channel = async () => {
      await Promise.resolve();
      if (connection.isClosed) throw new AmqpError("the connection is closed", undefined);
      const channel = new (class extends FakeChannel {
        override async declareQueue(queue: string, options?: QueueDeclaration) {
          await Promise.resolve();
          if (this.isClosed) throw new AmqpError("the channel is closed", undefined);
          const refusal = broker.refusals.shift();
          if (refusal !== undefined) {
            this.end(refusal);
            throw refusal;
          }
          if (options !== undefined) broker.declared.push({ queue, options });
          return { queue, messages: 0, consumers: 0 };
        }
        override async consume(queue?: string, options?: ConsumeOptions, deliver?: Deliver) {
          if (this.isClosed) throw new AmqpError("the channel is closed", undefined);
          broker.consumer = { queue: queue ?? "", options: options ?? {}, deliver: deliver ?? (() => {}) };
          return "tag";
        }
      })();
      connection.channels.push(channel);
      return channel;
    };
    return connection;
  }

  deliver(text: string, correlationId = "c"): void {
    const { queue = "", deliver = () => {} } = this.consumer ?? {};
    deliver({
      tag: 1,
      isRedelivered: false,
      exchange: "",
      routingKey: queue,
      properties: { correlationId },
      body: Buffer.from(text),
    });
  }
}

async function scene({ seed = 1, answer = (_message: AmqpMessage): PublishFailure | undefined => undefined } = {}) {
  const platform = virtualPlatform({ seed });
  const client = new QueueBroker();
  const events: ObservedEvent[] = [];
  const observer = { emit: (event: ObservedEvent) => void events.push(event) };
  const connection = new SupervisedConnection({
    name: "consumer",
    client,
    endpoints: [endpoint("a")],
    platform,
    observer,
  });
  await connection.start();
  const sent: AmqpMessage[] = [];
  const replies = new RabbitmqReplies({
    prefix: "trunkline",
    connection,
    whenUp: () => connection.whenUp(1_000),
    send: async message => {
      sent.push(message);
      return answer(message);
    },
    platform,
    observer,
  });
  const received: StoredRecord[] = [];
  const receive = (reply: StoredRecord) => void received.push(reply);
  return { platform, clock: platform.clock, client, connection, replies, sent, received, receive, events };
}

const returned = (exchange: string, routingKey: string) =>
  unroutable({ tag: 0, isRedelivered: false, exchange, routingKey, properties: {}, body: Buffer.alloc(0) }, "NO_ROUTE");

describe("replies over RabbitMQ", () => {
  it("come by an exclusive queue, bounded and without acknowledgements", async () => {
    const { client, replies, received, receive } = await scene();
    const address = await replies.open(receive);
    assert.match(address, /^trunkline\.replies\.[0-9a-f]{32}$/);
    assert.equal(client.declared[0]?.queue, address);
    assert.deepEqual(client.declared[0].options, {
      isDurable: false,
      isExclusive: true,
      args: { "x-max-length": 100_000, "x-overflow": "drop-head" },
    });
    assert.deepEqual(client.consumer?.options, { isExclusive: true, isNoAck: true });
    client.deliver("one", "c-1");
    const [reply] = received;
    assert.equal(Buffer.from(reply?.body ?? []).toString(), "one");
    assert.equal(reply?.attributes.correlationId, "c-1");
  });

  it("are sent to the default exchange, with the address as the routing key", async () => {
    const { replies, sent } = await scene();
    const address = `trunkline.replies.${"a".repeat(32)}`;
    assert.equal(await replies.send({ ...record("1"), topic: address, correlationId: "c" }), undefined);
    const [message] = sent;
    assert.deepEqual(
      [message?.exchange, message?.routingKey, message?.isMandatory, message?.properties.correlationId],
      ["", address, true, "c"],
    );
    // The broker returns what goes there if it is mandatory, and delivers it all the same.
    await replies.send({ ...record("2"), topic: "amq.rabbitmq.reply-to.g1h2" });
    assert.equal(sent[1]?.isMandatory, false);
  });

  it("wait for an address of ours that is missing, and for no other", async () => {
    const { replies } = await scene({ answer: message => returned(message.exchange, message.routingKey) });
    const ours = await replies.send({ ...record("1"), topic: `trunkline.replies.${"a".repeat(32)}` });
    assert.deepEqual([ours?.isRetryable, ours?.isUnroutable], [true, true]);
    assert.match(ours?.error.message ?? "", /there is no queue "trunkline\.replies\.a+" \(NO_ROUTE\)/);
    const theirs = await replies.send({ ...record("1"), topic: "amq.gen-JzTY20BRgKO-HjmUJj0wLg" });
    assert.equal(theirs?.isRetryable, false);
    const lost = await scene({ answer: () => failure("not sent", true) });
    const gone = await lost.replies.send({ ...record("1"), topic: "amq.gen-JzTY20BRgKO-HjmUJj0wLg" });
    assert.equal(gone?.isRetryable, true);
  });

  const names: readonly (readonly [address: string, isOne: boolean])[] = [
    [`trunkline.replies.${"0123456789abcdef".repeat(2)}`, true],
    ["amq.gen-JzTY20BRgKO-HjmUJj0wLg", true],
    ["amq.rabbitmq.reply-to.g1h2AA5yZXBseUAyMDY0NDg1NQAABFIAAAAA.Zm9v+Yg==", true],
    ["", false],
    ["orders", false],
    ["order_processing", false],
    ["amq.topic", false],
    ["amq.gen-", false],
    ["amq.gen-JzTY20BRgKO-HjmUJj0wLg\nx", false],
    ["amq.rabbitmq.reply-to", false],
    ["amq.rabbitmq.reply-to.", false],
    ["amq.rabbitmq.reply-to. x", false],
    ["amq.rabbitmq.trace", false],
    ["trunklineXreplies.0123456789abcdef0123456789abcdef", false],
    [`x.trunkline.replies.${"0".repeat(32)}`, false],
  ];
  for (const [address, isOne] of names) {
    it(`${JSON.stringify(address)} is ${isOne ? "an" : "no"} address for them`, async () => {
      const { replies } = await scene();
      assert.equal(replies.accepts(address), isOne);
    });
  }

  it("come to the same address after a reconnect, also when the broker has not noticed the end of the old one yet", async () => {
    const { client, clock, replies, received, receive } = await scene();
    const address = await replies.open(receive);
    const locked = "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue";
    client.refusals.push(new AmqpError(locked, 405), new AmqpError(locked, 405));
    client.live[0]?.cut();
    client.consumer = undefined;
    await clock.advance(5_000);
    assert.deepEqual(
      client.declared.map(({ queue }) => queue),
      [address, address],
    );
    client.deliver("after");
    assert.equal(received.length, 1);
  });

  it("go on when the queue was deleted, or its channel closed", async () => {
    const { client, clock, replies, received, receive, events } = await scene();
    await replies.open(receive);
    client.consumer?.deliver(undefined);
    await clock.advance(2_000);
    client.deliver("one");
    client.live[0]?.live?.end(new AmqpError("PRECONDITION_FAILED", 406));
    await clock.advance(2_000);
    client.deliver("two");
    assert.deepEqual(
      received.map(({ body }) => Buffer.from(body).toString()),
      ["one", "two"],
    );
    assert.equal(events.filter(({ type }) => type === "rabbitmq.consumer_lost").length, 2);
  });

  it("say why they cannot be opened, and can be later", async () => {
    const { client, replies, receive } = await scene();
    client.refusals.push(new AmqpError("ACCESS_REFUSED - configure access to queue refused", 403));
    await assert.rejects(
      replies.open(receive),
      /the queue "trunkline\.replies\.[0-9a-f]+" for replies.*ACCESS_REFUSED/,
    );
    await replies.open(receive);
    client.deliver("one");
  });

  it("end with the driver, and nothing is opened again", async () => {
    const { client, clock, replies, received, receive } = await scene();
    await replies.open(receive);
    await replies.close();
    client.live[0]?.cut();
    await clock.advance(60_000);
    client.deliver("late");
    assert.equal(client.declared.length, 1);
    assert.deepEqual(received, []);
  });

  it("whatever is cut, deleted or refused, one consumer reads the one queue in the end", async () => {
    const trouble = fc.array(
      fc.oneof(
        fc.constantFrom("cut", "channel", "deleted", "locked", "no-connection"),
        fc.integer({ min: 0, max: 3_000 }),
      ),
      { maxLength: 20 },
    );
    await fc.assert(
      fc.asyncProperty(trouble, fc.integer({ min: 1, max: 1_000 }), async (steps, seed) => {
        const { client, clock, replies, received, receive } = await scene({ seed });
        const address = await replies.open(receive);
        for (const step of steps) {
          if (typeof step === "number") await clock.advance(step);
          else if (step === "cut") client.live[0]?.cut();
          else if (step === "channel") client.live[0]?.live?.end(new AmqpError("INTERNAL_ERROR", 541));
          else if (step === "deleted") client.consumer?.deliver(undefined);
          else if (step === "locked") client.refusals.push(new AmqpError("RESOURCE_LOCKED", 405));
          else client.plan.push(new AmqpError("connect ECONNREFUSED", undefined));
        }
        client.refusals.length = 0;
        client.plan.length = 0;
        await clock.advance(120_000);
        received.length = 0;
        client.deliver("in the end");
        assert.equal(received.length, 1);
        assert.ok(client.declared.every(({ queue }) => queue === address));
        const open = client.live.flatMap(({ channels }) => channels.filter(({ isClosed }) => !isClosed));
        assert.equal(open.length, 1, "one channel, and none left over");
      }),
      { numRuns: 200 },
    );
  });
});
