import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { silentObserver } from "../../../platform/index.ts";
import { virtualPlatform } from "../../../platform/virtual/index.ts";
import type { PublishFailure } from "../../driver.ts";
import { AmqpError, type AmqpMessage } from "./amqp.ts";
import { endpoint, FakeAmqp, type FakeChannel } from "./fake-amqp.fixture.ts";
import { Publisher } from "./publisher.ts";
import { SupervisedConnection } from "./supervised-connection.ts";

const message = (text: string, rest: Partial<AmqpMessage> = {}): AmqpMessage => ({
  exchange: "orders",
  routingKey: "order.created",
  body: Buffer.from(text),
  isMandatory: true,
  properties: { messageId: text },
  ...rest,
});

async function publishing({ timeoutMs = 30_000, pendingBytesMax = 1_000_000, seed = 1 } = {}) {
  const platform = virtualPlatform({ seed });
  const client = new FakeAmqp();
  const endpoints = [endpoint("a")];
  const connection = new SupervisedConnection({ name: "test", client, endpoints, platform, observer: silentObserver });
  await connection.start();
  const publisher = new Publisher({
    connection,
    platform,
    observer: silentObserver,
    timeoutMs,
    pendingBytesMax,
    restore: async () => {},
  });
  await platform.clock.settle();
  const channel = (): FakeChannel => client.live[0]?.live ?? assert.fail("no channel is open");
  return { platform, client, connection, publisher, channel };
}

const bodies = (channel: FakeChannel) => channel.published.map(({ body }) => Buffer.from(body).toString());
const failuresOf = (outcomes: readonly (PublishFailure | undefined)[]) =>
  outcomes.map(outcome => outcome && ([outcome.isRetryable, outcome.error.message] as const));

describe("the publisher", () => {
  it("resolves with the outcome of each, in whatever order they come", async () => {
    const { publisher, channel } = await publishing();
    const sending = publisher.send(["1", "2", "3"].map(text => message(text)));
    channel().handler.confirmed(3, false, false);
    channel().handler.confirmed(2, true, true);
    assert.deepEqual(failuresOf(await sending), [
      undefined,
      undefined,
      [true, "RabbitMQ: the broker could not store it: a queue is full or has failed"],
    ]);
  });

  it("sends what was unconfirmed again, in order and before anything newer, with the same ids", async () => {
    const { publisher, channel, client, platform } = await publishing();
    const sending = publisher.send(["1", "2", "3", "4"].map(text => message(text)));
    const first = channel();
    first.handler.confirmed(2, false, true);
    client.connections[0]?.cut();
    const later = publisher.send([message("5")]);
    await platform.clock.advance(1_000);
    assert.deepEqual(bodies(channel()), ["1", "3", "4", "5"]);
    assert.deepEqual(
      channel().published.map(({ properties }) => properties.messageId),
      ["1", "3", "4", "5"],
    );
    // A word that comes late from the dead channel counts for nothing.
    first.handler.confirmed(4, true, true);
    channel().handler.confirmed(4, true, true);
    assert.deepEqual([...(await sending), ...(await later)], [undefined, undefined, undefined, undefined, undefined]);
  });

  it("knows which message came back", async () => {
    const { publisher, channel } = await publishing();
    const sending = publisher.send([message("1"), message("2")]);
    const returned = channel().published[1] ?? assert.fail();
    channel().handler.returned({ ...returned, tag: 0, isRedelivered: false }, "NO_ROUTE");
    channel().handler.confirmed(2, true, true);
    const [first, second] = await sending;
    assert.equal(first, undefined);
    assert.match(second?.error.message ?? "", /no queue is bound/);
  });

  it("sends nothing while the broker blocks", async () => {
    const { publisher, channel, client } = await publishing();
    client.connections[0]?.handler.blocked("low on memory");
    const sending = publisher.send([message("1")]);
    assert.deepEqual(bodies(channel()), []);
    client.connections[0]?.handler.unblocked();
    channel().handler.confirmed(1, false, true);
    assert.deepEqual(await sending, [undefined]);
  });

  it("fails what waits too long, and says what it waited for", async () => {
    const { publisher, client, platform, connection, channel } = await publishing({ timeoutMs: 1_000 });
    const sent = publisher.send([message("1")]);
    client.connections[0]?.handler.blocked("low on memory");
    const held = publisher.send([message("2")]);
    await platform.clock.advance(1_100);
    assert.match((await sent)[0]?.error.message ?? "", /no confirmation within 1000 ms; it may be stored all the same/);
    assert.match((await held)[0]?.error.message ?? "", /not sent within 1000 ms: .*low on memory/);
    client.connections[0]?.handler.unblocked();
    const next = publisher.send([message("3")]);
    // The broker's late word on the first must not be taken for the third's.
    channel().handler.confirmed(1, false, false);
    channel().handler.confirmed(2, false, true);
    assert.deepEqual(await next, [undefined]);
    await publisher.close();
    await connection.close();
    assert.equal(platform.clock.pendingTimers, 0);
  });

  it("finds the message that makes the broker close the channel, and loses none of its neighbours", async () => {
    const { publisher, channel, platform } = await publishing();
    const sending = publisher.send(["1", "bad", "3"].map(text => message(text)));
    const judge = (error: AmqpError) => channel().end(error);
    judge(new AmqpError("PRECONDITION_FAILED - message size 9 is larger than configured max size 8", 406));
    for (let time = 0; time < 4; time++) {
      await platform.clock.advance(1_000);
      const last = bodies(channel()).at(-1);
      assert.ok(bodies(channel()).length - (time === 0 ? 0 : 0) >= 1);
      if (last === "bad")
        judge(new AmqpError("PRECONDITION_FAILED - message size 9 is larger than configured max size 8", 406));
      else channel().handler.confirmed(channel().published.length, false, true);
    }
    assert.deepEqual(failuresOf(await sending), [
      undefined,
      [false, "RabbitMQ: PRECONDITION_FAILED - message size 9 is larger than configured max size 8"],
      undefined,
    ]);
  });

  it("fails what cannot be encoded, and goes on", async () => {
    const { publisher, channel } = await publishing();
    const sending = publisher.send([message("1", { routingKey: "unencodable" }), message("2")]);
    channel().handler.confirmed(1, false, true);
    const [first, second] = await sending;
    assert.equal(first?.isRetryable, false);
    assert.equal(second, undefined);
  });

  it("takes no more than it may hold", async () => {
    const { publisher, channel } = await publishing({ pendingBytesMax: 2_000 });
    const sending = publisher.send(["1", "2", "3", "4"].map(text => message(text)));
    channel().handler.confirmed(3, true, true);
    assert.deepEqual(failuresOf(await sending), [
      undefined,
      undefined,
      undefined,
      [true, "RabbitMQ: more than 2000 bytes wait to be confirmed"],
    ]);
    assert.equal(publisher.pendingBytes, 0);
  });

  it("flushes before it ends", async () => {
    const { publisher, channel } = await publishing();
    const sending = publisher.send([message("1")]);
    let isClosed = false;
    const closing = publisher.close().then(() => {
      isClosed = true;
    });
    await Promise.resolve();
    assert.equal(isClosed, false);
    channel().handler.confirmed(1, false, true);
    await closing;
    assert.deepEqual(await sending, [undefined]);
    await assert.rejects(publisher.send([message("2")]), /closed/);
  });

  it("confirms only what the broker has, in the order of the calls, over losses of every kind (model)", async () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("send" as const), count: fc.integer({ min: 1, max: 8 }) }),
      fc.record({
        kind: fc.constant("confirm" as const),
        part: fc.double({ min: 0, max: 1, noNaN: true }),
        isMultiple: fc.boolean(),
      }),
      fc.record({ kind: fc.constant("cut" as const) }),
      fc.record({ kind: fc.constant("judge" as const) }),
      fc.record({ kind: fc.constant("block" as const), isBlocked: fc.boolean() }),
      fc.record({ kind: fc.constant("advance" as const), ms: fc.nat(2_000) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.integer(), fc.array(step, { maxLength: 40 }), async (seed, steps) => {
        const { publisher, client, platform, connection } = await publishing({ seed, timeoutMs: 1e9 });
        /** First arrivals at the broker, over all channels. */
        const stored = new Set<string>();
        const arrivals: string[] = [];
        const seen = new Set<string>();
        const taken = new Map<FakeChannel, number>();
        const settled = new Map<FakeChannel, Set<number>>();
        let sent = 0;
        const outcomes: Promise<void>[] = [];
        const look = () => {
          for (const channel of client.connections.flatMap(one => one.channels)) {
            for (const text of bodies(channel).slice(taken.get(channel) ?? 0)) {
              if (!seen.has(text)) arrivals.push(text);
              seen.add(text);
            }
            taken.set(channel, channel.published.length);
          }
        };
        const confirm = (channel: FakeChannel, upTo: number, isMultiple: boolean) => {
          const done = settled.get(channel) ?? new Set();
          settled.set(channel, done);
          for (let tag = isMultiple ? 1 : upTo; tag <= upTo; tag++) {
            stored.add(bodies(channel)[tag - 1] ?? assert.fail());
            done.add(tag);
          }
          channel.handler.confirmed(upTo, isMultiple, true);
        };
        for (const one of steps) {
          const channel = client.live[0]?.live;
          switch (one.kind) {
            case "send": {
              const texts = Array.from({ length: one.count }, () => `${sent++}`);
              outcomes.push(
                publisher.send(texts.map(text => message(text))).then(results => {
                  results.forEach((result, index) => {
                    if (result === undefined) assert.ok(stored.has(texts[index] ?? ""), "confirmed and not stored");
                    else assert.equal(result.isRetryable, false, result.error.message);
                  });
                }),
              );
              break;
            }
            case "confirm":
              if (channel !== undefined && channel.published.length > 0) {
                const tag = 1 + Math.floor(one.part * (channel.published.length - 1));
                if (!settled.get(channel)?.has(tag)) confirm(channel, tag, one.isMultiple);
              }
              break;
            case "cut":
              client.live[0]?.cut();
              break;
            case "judge":
              channel?.end(new AmqpError("NOT_FOUND - no exchange", 404));
              break;
            case "block":
              if (one.isBlocked) client.live[0]?.handler.blocked("memory");
              else client.live[0]?.handler.unblocked();
              break;
            case "advance":
              await platform.clock.advance(one.ms);
              break;
          }
          look();
        }
        // From now on the broker takes everything.
        client.live[0]?.handler.unblocked();
        for (let round = 0; round < 400 && publisher.pendingBytes > 0; round++) {
          await platform.clock.advance(round < 20 ? 1_000 : 20_000);
          look();
          const channel = client.live[0]?.live;
          if (channel === undefined || channel.published.length === 0) continue;
          confirm(channel, channel.published.length, true);
          look();
        }
        await Promise.all(outcomes);
        assert.equal(publisher.pendingBytes, 0);
        assert.deepEqual(
          arrivals,
          [...arrivals].sort((a, b) => Number(a) - Number(b)),
          "in the order of the calls",
        );
        await publisher.close();
        await connection.close();
        assert.equal(platform.clock.pendingTimers, 0);
      }),
      { numRuns: 200 },
    );
  });
});
