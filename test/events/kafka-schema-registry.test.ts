import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { Producer } from "@platformatic/kafka";
import { ledger } from "../../src/events/conformance/ledger.ts";
import { type Broker, type BrokerOptions, connectBroker, on, PublishError } from "../../src/events/index.ts";
import { systemPlatform } from "../../src/platform/index.ts";
import { type Kafka, skipWithoutOwn, startKafka, uniqueName } from "../servers/index.ts";
import { SchemaRegistryServer } from "./schema-registry-server.ts";

const pause = (ms: number) => new Promise<void>(resolve => systemPlatform.clock.after(ms, resolve, true));

async function eventually(isThere: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const untilMs = systemPlatform.clock.now() + 60_000;
  while (!(await isThere())) {
    assert.ok(systemPlatform.clock.now() < untilMs, `waited a minute for ${what}`);
    await pause(20);
  }
}

describe("events of Kafka with a schema registry", { skip: skipWithoutOwn("kafka") }, () => {
  let kafka: Kafka;
  before(async () => {
    kafka = await startKafka();
  });
  after(() => kafka.stop());

  const connect = (registry: SchemaRegistryServer, more: object = {}, options: BrokerOptions = {}) =>
    connectBroker(kafka.url, {
      createTopics: true,
      source: "/test",
      kafka: { schemaRegistry: { url: registry.url, registers: true, ...more } },
      ...options,
    });

  async function bodies(broker: Broker, topic: string, count: number): Promise<Buffer[]> {
    const found: Buffer[] = [];
    for await (const { body } of broker.tail([topic], { from: "beginning" })) {
      if (found.push(Buffer.from(body)) === count) break;
    }
    return found;
  }

  /** A producer that knows nothing of us: no headers. */
  async function send(topic: string, ...values: Buffer[]): Promise<void> {
    const producer = new Producer({ clientId: "plain", bootstrapBrokers: [kafka.url.replace("kafka://", "")] });
    await producer.send({ messages: values.map(value => ({ topic, key: Buffer.from("a"), value })) });
    await producer.close();
  }

  test("are published with the id of their schema, and handled wherever they come from", async () => {
    await using registry = await SchemaRegistryServer.start();
    await using broker = await connect(registry);
    const { PlacedSchema, NotedSchema, topic } = ledger(uniqueName("orders"));
    await Promise.all(
      Array.from({ length: 50 }, (_, number) => broker.publish(PlacedSchema, { account: `a${number % 4}`, number })),
    );
    await broker.publish(NotedSchema, { account: "noted", number: 1 });
    const id = registry.subjects.get(`${topic}-value`)?.[0] ?? 0;
    assert.equal(registry.requests.filter(one => one === `POST subjects/${topic}-value/versions`).length, 1);
    const placed = (await bodies(broker, topic, 51)).filter(body => body[5] === 0);
    assert.equal(placed.length, 50);
    assert.ok(placed.every(body => body[0] === 0 && body.readUInt32BE(1) === id));
    // Of another program, whose registry gives text: a frame, a frame of the second message, and bare JSON.
    const foreign = registry.add(
      "foreign",
      'syntax = "proto3"; package conformance; message Placed { string account = 2; } message Noted {}',
    );
    const head = Buffer.of(0, 0, 0, 0, foreign);
    const payload = Buffer.from(toBinary(PlacedSchema, create(PlacedSchema, { account: "foreign", number: 77 })));
    await send(topic, Buffer.concat([head, Buffer.of(0), payload]));
    await send(topic, Buffer.concat([head, Buffer.of(2, 2), payload]));
    await send(topic, Buffer.from('{"event_type":"ledger.placed","account":"bare","number":78}'));
    const seen: string[] = [];
    const subscription = await broker.subscribe(
      { group: uniqueName("billing") },
      on(PlacedSchema, ({ account, number }) => seen.push(`placed ${account} ${number}`)),
      on(NotedSchema, ({ account, number }) => seen.push(`noted ${account} ${number}`)),
    );
    await eventually(() => seen.length >= 54, "all events");
    for (const one of ["placed foreign 77", "noted foreign 77", "placed bare 78", "noted noted 1"]) {
      assert.ok(seen.includes(one), one);
    }
    assert.equal(new Set(seen).size, 54);
    assert.equal(registry.requests.filter(one => one === `GET schemas/ids/${foreign}`).length, 1);
    await subscription.drain();
  });

  test("are published by transactions, and come again from the retry topic", async () => {
    await using registry = await SchemaRegistryServer.start();
    await using broker = await connect(registry);
    const from = ledger(uniqueName("orders"));
    const to = ledger(uniqueName("payments"));
    await broker.publish(from.PlacedSchema, { account: "a", number: 5 });
    const attempts: number[] = [];
    const subscription = await broker.subscribe(
      {
        group: uniqueName("billing"),
        transactions: true,
        onFailure: "unordered",
        retry: { immediate: 0, initialDelayMs: 50 },
      },
      on(from.PlacedSchema, async ({ account, number }, { attempt }) => {
        attempts.push(attempt);
        await broker.publish(to.PlacedSchema, { account, number });
        if (attempt === 0) throw new Error("later");
      }),
    );
    await eventually(() => attempts.length === 2, "the second attempt");
    const [body] = await bodies(broker, to.topic, 1);
    assert.deepEqual(attempts, [0, 1]);
    assert.equal(body?.[0], 0);
    assert.equal(body?.readUInt32BE(1), registry.subjects.get(`${to.topic}-value`)?.[0]);
    await subscription.drain();
  });

  test("that nobody can read are dead letters with the bytes that they had", async () => {
    await using registry = await SchemaRegistryServer.start();
    await using broker = await connect(registry);
    const { PlacedSchema, topic } = ledger(uniqueName("orders"));
    await broker.publish(PlacedSchema, { account: "a", number: 1 });
    const avro = registry.add("avro", '{"type":"record"}', "AVRO");
    const other = registry.add("other", "message Other {}");
    const frames = [
      Buffer.of(0, 0x7f, 0xff, 0xff, 0xff, 0, 1),
      Buffer.of(0, 0, 0, 0, avro, 1, 2),
      Buffer.of(0, 0, 0, 0, other, 0),
      Buffer.of(0, 0, 0, 0, other, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
      Buffer.of(0, 0, 0, 0, registry.subjects.get(`${topic}-value`)?.[0] ?? 0, 0, 0xff),
    ];
    await send(topic, ...frames);
    const group = uniqueName("billing");
    const seen: number[] = [];
    const subscription = await broker.subscribe(
      { group },
      on(PlacedSchema, ({ number }) => seen.push(number)),
    );
    await broker.publish(PlacedSchema, { account: "a", number: 2 });
    await eventually(() => seen.length === 2, "the others");
    await subscription.drain();
    const letters: string[] = [];
    for await (const { reason, exception = "", body } of broker.deadLetters({ group })) {
      assert.ok(frames.some(frame => frame.equals(body)));
      letters.push(`${reason}: ${exception.split("\n")[0]}`);
    }
    const all = letters.join("\n");
    assert.equal(letters.length, 5);
    assert.match(all, /unknown_type: .*does not know schema 2147483647/);
    assert.match(all, /unknown_type: .*schema \d+ of the registry is AVRO/);
    assert.match(all, /unknown_type: .*its message is Other/);
    assert.match(all, /unknown_type: .*its message is not in schema/);
    assert.match(all, /undecodable: it is no conformance\.Placed/);
  });

  test("wait for a registry that is away: publishes go when it is back, partitions are read on", async () => {
    await using registry = await SchemaRegistryServer.start();
    await using broker = await connect(registry);
    const { PlacedSchema, topic } = ledger(uniqueName("orders"));
    await registry.stop();
    const published = Promise.all(
      Array.from({ length: 10 }, (_, number) => broker.publish(PlacedSchema, { account: "a", number })),
    );
    await pause(400);
    await registry.listen();
    await published;
    await registry.stop();
    // A process that knows no schema yet.
    await using other = await connect(registry);
    const seen: number[] = [];
    await other.subscribe(
      { group: uniqueName("billing") },
      on(PlacedSchema, ({ number }) => seen.push(number)),
    );
    await eventually(() => !other.status().isReady, "the status to say so");
    assert.match(other.status().detail, /the schema registry http:\/\/127\.0\.0\.1:\d+ did not answer/);
    assert.deepEqual(seen, []);
    await registry.listen();
    await eventually(() => seen.length === 10, "all events");
    assert.deepEqual(seen, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert.equal(other.status().isReady, true);
    assert.equal((await bodies(other, topic, 10)).length, 10);
  });

  test("are refused with a reason when the registry does not take their schema", async () => {
    await using registry = await SchemaRegistryServer.start();
    const { PlacedSchema, topic } = ledger(uniqueName("orders"));
    const refusal = async (more: object, publish = true) => {
      await using broker = await connect(registry, more);
      if (!publish) return "";
      return broker.publish(PlacedSchema, { account: "a", number: 1 }).then(
        () => "published",
        (error: Error) => {
          assert.ok(error instanceof PublishError && !error.isRetryable);
          assert.ok(!error.message.includes("s3cret"));
          return error.message;
        },
      );
    };
    assert.match(await refusal({ registers: false }), /does not know .*; register the contract when it is released/);
    registry.add(`${topic}-value`, "message Former {}");
    registry.incompatible = () => 'Schema being registered is incompatible: {errorType:"MESSAGE_REMOVED"}';
    assert.match(await refusal({}), /not compatible with what is registered: .*MESSAGE_REMOVED.*; change the contract/);
    registry.authorization = `Basic ${Buffer.from("shop:s3cret").toString("base64")}`;
    assert.match(await refusal({}), /check kafka\.schemaRegistry\.auth/);
    registry.incompatible = () => undefined;
    assert.equal(await refusal({ auth: { username: "shop", password: "s3cret" } }), "published");
    registry.authorization = "Bearer s3cret";
    assert.equal(await refusal({ auth: { token: () => Promise.resolve("s3cret") } }), "published");
    for (const [more, says] of [
      [{ url: "registry:8081" }, /begins with registry:; it must be http: or https:/],
      [{ url: "nowhere" }, /is no URL/],
      [{ url: "http://a:s3cret@h" }, /has a user; name it in kafka\.schemaRegistry\.auth/],
      [{ ca: "x" }, /ca is set, but the url is not https:/],
      [{ auth: { username: "x" } }, /auth must be \{ username, password \} or \{ token \}/],
      [{ subjects: "any" }, /subjects is "any"/],
    ] as const) {
      await assert.rejects(refusal(more, false), (error: Error) => says.test(error.message));
    }
    await assert.rejects(connect(registry, {}, { contentType: "application/json" }), /schemaRegistry frames Protobuf/);
  });
});
