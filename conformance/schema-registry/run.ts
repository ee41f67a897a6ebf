/**
 * Confluent's Python serializer and deserializer beside ours, with one registry between them: the same message under the same
 * strategy must become the same bytes, each reads what the other has written, and each finds the schemas that the other has
 * registered. The registry is the one of our tests, so that it is no judge here.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { create, createFileRegistry, type DescMessage, setExtension, toBinary } from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  MessageOptionsSchema,
} from "@bufbuild/protobuf/wkt";
import { EventRuleSchema, event as eventOption } from "../../src/contract/gen/trunkline/v1/options_pb.ts";
import { compileEvent } from "../../src/contract/index.ts";
import { FrameReader, FrameWriter, openRegistry } from "../../src/events/schema-registry/index.ts";
import { ByteWriter, silentObserver, systemPlatform } from "../../src/platform/index.ts";
import { SchemaRegistryServer } from "../../test/events/schema-registry-server.ts";
import { Tally } from "../tally.ts";

const packages = ["confluent-kafka[protobuf,schemaregistry]==2.16.1"];
const target = join(import.meta.dirname, "../.tools/python-schema-registry");

if (!existsSync(join(target, "confluent_kafka"))) {
  process.stdout.write(`setup: ${packages.join(" ")}\n`);
  const args = ["-m", "pip", "install", "--quiet", "--no-input", "--target", target, ...packages];
  const { status, stderr, error } = spawnSync("python3", args, { encoding: "utf8" });
  if (status !== 0) {
    process.stderr.write(`installing (are Python 3 and pip there?): ${error?.message ?? stderr}\n`);
    process.exit(1);
  }
}

const { STRING, INT64, MESSAGE } = FieldDescriptorProto_Type;
const { OPTIONAL } = FieldDescriptorProto_Label;
const topic = "parcels";

function eventOptions(type: string) {
  const options = create(MessageOptionsSchema);
  setExtension(options, eventOption, create(EventRuleSchema, { topic, type, key: "id" }));
  return options;
}

const field = (name: string, number: number, type: FieldDescriptorProto_Type, typeName?: string) => ({
  name,
  number,
  type,
  label: OPTIONAL,
  ...(typeName === undefined ? {} : { typeName }),
});
const events = createFileRegistry(
  create(FileDescriptorSetSchema, {
    file: [
      {
        name: "money.proto",
        package: "money",
        syntax: "proto3",
        messageType: [{ name: "Money", field: [field("cents", 1, INT64)] }],
      },
      {
        name: "parcel/v1/parcel.proto",
        package: "parcel.v1",
        syntax: "proto3",
        dependency: ["money.proto"],
        messageType: [
          {
            name: "Sent",
            options: eventOptions("parcel.sent"),
            field: [field("id", 1, STRING), field("price", 2, MESSAGE, ".money.Money")],
            nestedType: [
              { name: "Label", field: [field("text", 1, STRING)] },
              { name: "Lost", options: eventOptions("parcel.lost"), field: [field("id", 1, STRING)] },
            ],
          },
          { name: "Delivered", options: eventOptions("parcel.delivered"), field: [field("id", 1, STRING)] },
        ],
      },
    ],
  }),
);

class Referee {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(url: string) {
    const env = { ...process.env, PYTHONPATH: target };
    const script = join(import.meta.dirname, "confluent.py");
    this.#process = spawn("python3", [script, url], { env, stdio: ["pipe", "pipe", "inherit"] });
    this.#lines = createInterface({ input: this.#process.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  }

  async ask(command: object): Promise<Readonly<Record<string, unknown>>> {
    this.#process.stdin?.write(`${JSON.stringify(command)}\n`);
    const { value, done } = await this.#lines.next();
    assert.ok(done !== true, "the referee has ended");
    const answer = JSON.parse(value) as Readonly<Record<string, unknown>>;
    assert.equal(answer["error"], undefined);
    return answer;
  }

  stop(): void {
    this.#process.stdin?.end();
  }
}

const tally = new Tally();
const { check } = tally;

const messages: readonly (readonly [type: string, ours: object, theirs: object])[] = [
  ["parcel.v1.Sent", { id: "p1", price: { cents: 1_234n } }, { id: "p1", price: { cents: "1234" } }],
  ["parcel.v1.Delivered", { id: "p2" }, { id: "p2" }],
  ["parcel.v1.Sent.Lost", { id: "p3" }, { id: "p3" }],
];

function encoded(desc: DescMessage, message: object): Uint8Array {
  const writer = new ByteWriter();
  compileEvent(desc).binary.encode(message, writer);
  return writer.copyFrom(0);
}

for (const subjects of ["topic-name", "record-name", "topic-record-name"] as const) {
  for (const first of ["ours", "theirs"] as const) {
    await using server = await SchemaRegistryServer.start();
    const referee = new Referee(server.url);
    const options = { url: server.url, subjects };
    const registry = openRegistry(options, systemPlatform, silentObserver);
    const writer = new FrameWriter(registry, systemPlatform.clock, { ...options, registers: first === "ours" });
    const reader = new FrameReader(registry, systemPlatform);
    const files = [...events.files].map(file => toBinary(FileDescriptorProtoSchema, file.proto));
    await referee.ask({ do: "learn", files: files.map(bytes => Buffer.from(bytes).toString("base64")) });
    for (const [type, ours, theirs] of messages) {
      await check(`${subjects}, ${first === "ours" ? "we register" : "they register"}: ${type}`, async () => {
        const desc = events.getMessage(type) as DescMessage;
        const contract = compileEvent(desc);
        const serialize = { do: "serialize", type, topic, subjects, message: theirs, registers: first === "theirs" };
        if (first === "ours") await writer.prepare(contract);
        const { body } = await referee.ask(serialize);
        await writer.prepare(contract);
        const frame = Buffer.from(writer.frame(contract, encoded(desc, ours)));
        assert.equal(frame.toString("hex"), body);
        const { message } = await referee.ask({ do: "deserialize", type, topic, body: frame.toString("hex") });
        assert.deepEqual(message, theirs);
        await new Promise<void>(resolve => {
          const stop = reader.whenLearnt(resolve);
          if (!reader.isReady(frame, 0, frame.length)) return;
          stop();
          resolve();
        });
        const read = reader.unwrap(Buffer.from(String(body), "hex"));
        assert.ok(read?.format === "protobuf" && read.typeName === type);
        assert.deepEqual(Buffer.from(read.payload), Buffer.from(encoded(desc, ours)));
      });
    }
    referee.stop();
    reader.close();
    registry.close();
  }
}

tally.end("schema-registry");
