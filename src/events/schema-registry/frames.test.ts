import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create, createFileRegistry, type DescMessage, setExtension } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema, file_google_protobuf_timestamp, MessageOptionsSchema } from "@bufbuild/protobuf/wkt";
import { EventRuleSchema, event as eventOption } from "../../contract/gen/trunkline/v1/options_pb.ts";
import { compileEvent } from "../../contract/index.ts";
import { virtualPlatform } from "../../platform/virtual/index.ts";
import type { SchemaRegistryOptions } from "../broker.ts";
import { ledger } from "../conformance/ledger.ts";
import { BrokerError } from "../errors.ts";
import { FakeRegistry } from "./fake-registry.fixture.ts";
import { framePrefix, schemaIdOf } from "./frame.ts";
import { FrameReader } from "./frame-reader.ts";
import { FrameWriter } from "./frame-writer.ts";
import { schemasMax, unknownForMs } from "./limits.ts";
import { RegistryError } from "./registry.ts";

const { PlacedSchema, NotedSchema } = ledger("orders");
const placed = compileEvent(PlacedSchema);
const noted = compileEvent(NotedSchema);
const down = new RegistryError("the schema registry did not answer: refused", true);

/** `parcel.proto`, which imports `item.proto` and `money.proto`, which that imports too, and a file that every registry knows. */
function withImports(): DescMessage {
  const options = create(MessageOptionsSchema);
  setExtension(options, eventOption, create(EventRuleSchema, { topic: "parcels", type: "parcel.sent" }));
  const file = (name: string, dependency: readonly string[], message: { name: string; options?: typeof options }) => ({
    name: `${name}.proto`,
    package: name,
    syntax: "proto3",
    dependency: [...dependency],
    messageType: [message],
  });
  const set = create(FileDescriptorSetSchema, {
    file: [
      file_google_protobuf_timestamp.proto,
      file("money", ["google/protobuf/timestamp.proto"], { name: "Money" }),
      file("item", ["money.proto"], { name: "Item" }),
      file("parcel", ["item.proto", "money.proto"], { name: "Sent", options }),
    ],
  });
  return createFileRegistry(set).getMessage("parcel.Sent") as DescMessage;
}

function scene(options: Partial<SchemaRegistryOptions> = {}) {
  const platform = virtualPlatform({ seed: 1 });
  const { clock } = platform;
  const registry = new FakeRegistry(clock);
  const complete = { url: "http://registry", ...options };
  const writer = new FrameWriter(registry, clock, complete);
  const reader = new FrameReader(registry, platform);
  const settled = async <T>(promise: Promise<T>): Promise<PromiseSettledResult<T>> => {
    const all = Promise.allSettled([promise]);
    await clock.advance(1_000);
    return (await all)[0] as PromiseSettledResult<T>;
  };
  return { clock, registry, writer, reader, settled };
}

describe("framing what is published", () => {
  test("registers the file once, its imports before it, and counts messages", async () => {
    const { registry, writer, settled } = scene({ registers: true });
    assert.equal(writer.isReady(placed), false);
    await settled(Promise.all([writer.prepare(placed), writer.prepare(placed), writer.prepare(noted)]));
    assert.deepEqual(registry.asked, ["register buf/validate/validate.proto", "register orders-value"]);
    const asked = registry.asked.length;
    await settled(writer.prepare(placed));
    assert.equal(registry.asked.length, asked);
    const first = writer.frame(placed, Buffer.of(8, 1));
    const second = writer.frame(noted, Buffer.of(8, 1));
    assert.equal(first[5], 0);
    assert.deepEqual([...second.subarray(5)], [2, 2, 8, 1]);
    assert.equal(schemaIdOf(Buffer.from(first), 0, first.length), schemaIdOf(Buffer.from(second), 0, second.length));
  });

  test("registers imports before it, each once and under its own name, as references", async () => {
    const { registry, writer, settled } = scene({ registers: true });
    await settled(writer.prepare(compileEvent(withImports())));
    assert.deepEqual(registry.asked, ["register money.proto", "register item.proto", "register parcels-value"]);
    const [parcel] = registry.subjects.get("parcels-value") ?? [];
    assert.deepEqual(parcel?.references, [
      { name: "item.proto", subject: "item.proto", version: 1 },
      { name: "money.proto", subject: "money.proto", version: 1 },
    ]);
    assert.deepEqual(registry.subjects.get("item.proto")?.[0]?.references, [
      { name: "money.proto", subject: "money.proto", version: 1 },
    ]);
  });

  for (const [subjects, subject] of [
    ["topic-name", "orders-value"],
    ["record-name", "conformance.Placed"],
    ["topic-record-name", "orders-conformance.Placed"],
  ] as const) {
    test(`names subjects by ${subjects}`, async () => {
      const { registry, writer, settled } = scene({ registers: true, subjects });
      await settled(writer.prepare(placed));
      assert.ok(registry.subjects.has(subject), [...registry.subjects.keys()].join());
    });
  }

  test("without the right to register it looks up, says what is missing, and does not ask again at once", async () => {
    const { registry, writer, settled, clock } = scene();
    const first = await settled(writer.prepare(placed));
    assert.equal(first.status, "rejected");
    assert.match(String(first.reason), /does not know .*register the contract when it is released, or set .*registers/);
    const asked = registry.asked.length;
    await settled(writer.prepare(placed));
    assert.equal(registry.asked.length, asked);
    assert.ok(!registry.asked.some(what => what.startsWith("register")));
    const releasing = new FrameWriter(registry, clock, { url: "", registers: true });
    await settled(releasing.prepare(placed));
    await clock.advance(unknownForMs);
    assert.equal((await settled(writer.prepare(placed))).status, "fulfilled");
  });

  test("a registry that is down is asked again by the next publish", async () => {
    const { registry, writer, settled } = scene({ registers: true });
    registry.fails = () => down;
    const first = await settled(writer.prepare(placed));
    assert.ok(first.status === "rejected" && (first.reason as RegistryError).isRetryable);
    registry.fails = () => undefined;
    assert.equal((await settled(writer.prepare(placed))).status, "fulfilled");
  });

  test("a strategy that does not exist is refused", () => {
    assert.throws(
      () => scene({ subjects: "topic" as never }),
      (error: Error) => {
        assert.ok(error instanceof BrokerError);
        return /"topic-name", "record-name" or "topic-record-name"/.test(error.message);
      },
    );
  });
});

describe("taking bodies out of frames", () => {
  const body = (id: number, ...rest: number[]) => Buffer.concat([framePrefix(id, [0]), Buffer.from(rest)]);
  const schema = "package shop; message Order { message Line {} }";

  test("asks for the schema of an id once, and tells when it is there", async () => {
    const { registry, reader, clock } = scene();
    registry.add(7, schema);
    let learnt = 0;
    const forget = reader.whenLearnt(() => learnt++);
    const one = body(7, 1, 2);
    assert.equal(reader.isReady(one, 0, one.length), false);
    assert.equal(reader.isReady(one, 0, one.length), false);
    await clock.advance(10);
    assert.equal(learnt, 1);
    assert.equal(reader.isReady(one, 0, one.length), true);
    assert.deepEqual(reader.unwrap(one), { format: "protobuf", payload: Buffer.of(1, 2), typeName: "shop.Order" });
    const nested = Buffer.concat([framePrefix(7, [0, 0]), Buffer.of(3)]);
    assert.equal((reader.unwrap(nested) as { typeName?: string }).typeName, "shop.Order.Line");
    assert.deepEqual(registry.asked, ["schema 7"]);
    forget();
  });

  test("leaves bare bodies alone", () => {
    const { registry, reader } = scene();
    for (const bare of [Buffer.from("{}"), Buffer.alloc(0), Buffer.of(8, 1, 0, 0, 0, 0)]) {
      assert.equal(reader.isReady(bare, 0, bare.length), true);
      assert.equal(reader.unwrap(bare), undefined);
    }
    assert.equal(reader.isReady(Buffer.alloc(0), -1, 0), true);
    assert.deepEqual(registry.asked, []);
  });

  test("an id that nobody knows is no reason to wait, and is not asked for again before its time", async () => {
    const { registry, reader, clock } = scene();
    const one = body(9, 1);
    reader.isReady(one, 0, one.length);
    await clock.advance(10);
    for (let count = 0; count < 100; count++) assert.equal(reader.isReady(one, 0, one.length), true);
    assert.deepEqual(reader.unwrap(one), { format: "none", problem: "the schema registry does not know schema 9" });
    assert.equal(registry.asked.length, 1);
    await clock.advance(unknownForMs);
    registry.add(9, schema);
    assert.equal(reader.isReady(one, 0, one.length), false);
    await clock.advance(10);
    assert.equal(reader.unwrap(one)?.format, "protobuf");
  });

  test("a registry that does not answer is asked until it does, ever more rarely; meanwhile it says so", async () => {
    const { registry, reader, clock } = scene();
    registry.add(7, schema);
    registry.fails = () => down;
    const one = body(7, 1);
    reader.isReady(one, 0, one.length);
    await clock.advance(60_000);
    assert.equal(reader.isReady(one, 0, one.length), false);
    assert.match(reader.failure ?? "", /did not answer/);
    assert.ok(registry.asked.length > 5 && registry.asked.length < 40, String(registry.asked.length));
    registry.fails = () => undefined;
    await clock.advance(15_000);
    assert.equal(reader.isReady(one, 0, one.length), true);
    assert.equal(reader.failure, undefined);
    reader.close();
    assert.equal(clock.pendingTimers, 0);
  });

  test("messages that are not in the schema, and schemas of other kinds, are explained", async () => {
    const { registry, reader, clock } = scene();
    registry.add(1, schema);
    registry.add(2, '{"type":"record"}', "AVRO");
    registry.add(3, "message {", "PROTOBUF");
    registry.add(4, "{}", "JSON");
    const missing = Buffer.concat([framePrefix(1, [5]), Buffer.of(1)]);
    const frames = [missing, body(2), body(3), body(4, 0x7b, 0x7d)];
    for (const one of frames) reader.isReady(one, 0, one.length);
    await clock.advance(10);
    const problems = frames.map(one => {
      const wrapped = reader.unwrap(one);
      return wrapped?.format === "none" ? wrapped.problem : wrapped?.format;
    });
    assert.match(problems[0] ?? "", /its message is not in schema 1/);
    assert.match(problems[1] ?? "", /schema 2 of the registry is AVRO/);
    assert.match(problems[2] ?? "", /schema 3 of the registry cannot be understood: it is no \.proto/);
    assert.equal(problems[3], "json");
  });

  test("remembers so many schemas and no more", async () => {
    const { registry, reader, clock } = scene();
    for (let id = 0; id < schemasMax + 50; id++) {
      registry.add(id, schema);
      const one = body(id);
      reader.isReady(one, 0, one.length);
    }
    await clock.advance(10);
    const first = body(0);
    assert.equal(reader.isReady(first, 0, first.length), false);
    const last = body(schemasMax + 49);
    assert.equal(reader.isReady(last, 0, last.length), true);
  });
});
