import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { isRpcError } from "../../src/errors/index.ts";
import { type Balance, ledger, type Placed } from "../../src/events/conformance/ledger.ts";
import { type BrokerOptions, connectBroker, on, onRequest, RetryLater } from "../../src/events/index.ts";
import { sharedRabbitmq, skipWithout, uniqueName } from "../servers/index.ts";
import { foreign } from "./rabbitmq-driver.ts";

describe("requests over RabbitMQ", { skip: skipWithout("rabbitmq") }, () => {
  let server: Awaited<ReturnType<typeof sharedRabbitmq>>;
  before(async () => {
    server = await sharedRabbitmq();
  });
  after(() => server[Symbol.asyncDispose]());

  const connect = (options: BrokerOptions = {}, query = "") => connectBroker(`${server.url}${query}`, options);

  /** A requester that knows nothing of us, with a queue of the name that it gets. */
  async function guest(queue = "") {
    const client = await foreign(server.url);
    const { channel } = client;
    const declared = await channel.assertQueue(queue, { exclusive: true });
    const replies: { body: string; correlationId: unknown }[] = [];
    let wake = () => {};
    await channel.consume(
      declared.queue,
      message => {
        replies.push({ body: message?.content.toString() ?? "", correlationId: message?.properties.correlationId });
        wake();
      },
      { noAck: true },
    );
    return {
      channel,
      replyTo: declared.queue,
      async reply() {
        while (replies.length === 0) {
          await new Promise<void>(resolve => {
            wake = resolve;
          });
        }
        return replies.shift();
      },
      [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
    };
  }

  const balance = (body: string | undefined) => JSON.parse(body ?? "{}") as Balance;

  for (const query of ["", "?mandatory=false"]) {
    it(`fail at once with unavailable when no queue is bound for them, with "${query}"`, async () => {
      const { BalanceSchema, PlacedSchema } = ledger(uniqueName("accounts"));
      await using client = await connect({}, query);
      const beganMs = performance.now();
      await assert.rejects(client.request(PlacedSchema, BalanceSchema, { account: "a" }), error => {
        assert.ok(isRpcError(error, "unavailable"), String(error));
        assert.match(error.message, /no queue is bound to the exchange/);
        return true;
      });
      assert.ok(performance.now() - beganMs < 5_000);
    });
  }

  it("come back by a queue that nobody else can read, and that goes with its connection", async () => {
    const { BalanceSchema, PlacedSchema, topic } = ledger(uniqueName("accounts"));
    await using bank = await connect();
    const addresses: string[] = [];
    await bank.subscribe(
      { group: topic },
      onRequest(PlacedSchema, BalanceSchema, (_request, { raw }) => {
        addresses.push(raw.attributes.replyTo ?? "");
        return { total: 1 };
      }),
    );
    const client = await connect();
    for (let count = 0; count < 2; count++) await client.request(PlacedSchema, BalanceSchema, {});
    const [address = ""] = addresses;
    assert.deepEqual(addresses, [address, address]);
    {
      await using other = await foreign(server.url);
      await assert.rejects(other.channel.checkQueue(address), /RESOURCE_LOCKED/);
    }
    await client.close();
    await using other = await foreign(server.url);
    await assert.rejects(other.channel.checkQueue(address), /NOT_FOUND/);
  });

  it("of other programs are answered in the group's queue itself, also after a delayed retry", async () => {
    const { BalanceSchema, PlacedSchema, topic } = ledger(uniqueName("accounts"));
    await using bank = await connect();
    let attempts = 0;
    await bank.subscribe(
      { group: topic },
      onRequest(PlacedSchema, BalanceSchema, ({ number }, delivery) => {
        attempts++;
        if (delivery.attempt === 0) throw new RetryLater(300);
        return { total: number * 2 };
      }),
    );
    await using client = await guest();
    const body = Buffer.from(JSON.stringify({ number: 21 }));
    client.channel.sendToQueue(topic, body, { replyTo: client.replyTo, correlationId: "c-1" });
    const reply = await client.reply();
    assert.equal(balance(reply?.body).total, 42);
    assert.equal(reply?.correlationId, "c-1");
    assert.equal(attempts, 2);
  });

  it("say their type by AMQP's property or in the body where the group has several", async () => {
    const { BalanceSchema, NotedSchema, PlacedSchema, topic } = ledger(uniqueName("accounts"));
    await using bank = await connect();
    const asked: string[] = [];
    const answer = (name: string) => (_request: Placed) => {
      asked.push(name);
      return { account: name };
    };
    await bank.subscribe(
      { group: topic },
      onRequest(PlacedSchema, BalanceSchema, answer("placed")),
      onRequest(NotedSchema, BalanceSchema, answer("noted")),
    );
    await using client = await guest();
    const { channel, replyTo } = client;
    channel.sendToQueue(topic, Buffer.from("{}"), { replyTo, correlationId: "1", type: "ledger.noted" });
    assert.equal(balance((await client.reply())?.body).account, "noted");
    channel.sendToQueue(topic, Buffer.from('{"event_type":"LEDGER_PLACED"}'), { replyTo, correlationId: "2" });
    assert.equal(balance((await client.reply())?.body).account, "placed");
    assert.deepEqual(asked, ["noted", "placed"]);
  });

  it("that want their reply in a queue of their own choice are refused, unless the group's process allows it", async () => {
    const { BalanceSchema, PlacedSchema, topic } = ledger(uniqueName("accounts"));
    const handler = onRequest(PlacedSchema, BalanceSchema, () => ({ total: 1 }));
    await using client = await guest(uniqueName("my_replies"));
    const ask = () =>
      client.channel.sendToQueue(topic, Buffer.from("{}"), { replyTo: client.replyTo, correlationId: "1" });
    {
      await using strict = await connect();
      const subscription = await strict.subscribe({ group: topic }, handler);
      ask();
      // A plain request behind it, which is answered.
      await strict.request(PlacedSchema, BalanceSchema, {});
      while (subscription.stats().deadLettered === 0) await new Promise(resolve => setImmediate(resolve));
      for await (const { reason, exception } of strict.deadLetters({ group: topic })) {
        assert.equal(reason, "invalid");
        assert.ok(exception?.includes(client.replyTo));
      }
    }
    await using open = await connect({ isReplyAddress: address => address.startsWith("my_replies") });
    await open.subscribe({ group: topic }, handler);
    ask();
    assert.equal(balance((await client.reply())?.body).total, 1);
  });

  it("of a client that has gone do not hold up those of others", async () => {
    const { BalanceSchema, PlacedSchema, NotedSchema, topic } = ledger(uniqueName("accounts"));
    await using bank = await connect();
    await bank.subscribe(
      { group: topic, concurrency: 2 },
      onRequest(PlacedSchema, BalanceSchema, () => ({ total: 1 })),
      on(NotedSchema, () => {}),
    );
    await using client = await connect();
    const gone = Array.from({ length: 20 }, (_, number) => ({
      ...client.encode(PlacedSchema, { number }),
      replyTo: `trunkline.replies.${"0".repeat(32)}`,
      correlationId: String(number),
    }));
    await client.forward(gone);
    // Each by itself would take 5 s, and two go at once.
    const beganMs = performance.now();
    await client.request(PlacedSchema, BalanceSchema, {});
    assert.ok(performance.now() - beganMs < 15_000);
  });
});
