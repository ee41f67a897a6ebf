import { type DescField, type DescMessage, getOption, hasOption, type Message, ScalarType } from "@bufbuild/protobuf";
import { type BinaryCodec, binaryCodec, type JsonCodec, type JsonDialect, jsonCodec } from "./codec/index.ts";
import { registryOf } from "./compile.ts";
import { ContractError } from "./contract-error.ts";
import { event as eventOption } from "./gen/trunkline/v1/options_pb.ts";

/** The compiled view of a message with the option `trunkline.v1.event`. Built once; publishing never looks at descriptors. */
export interface EventContract {
  /** Full name of the message, for example `order.OrderCreated`. */
  readonly typeName: string;
  /** Where it is published: a Kafka topic, a topic exchange of RabbitMQ. */
  readonly topic: string;
  /** What it is, for example `order.created`: CloudEvents' type, the routing key on RabbitMQ. */
  readonly type: string;
  /** Version of its schema; 0 where the contract is silent. */
  readonly version: number;
  /** The field that keeps events in order, for example `order.id`; `undefined` where the contract names none. */
  readonly keyPath: string | undefined;
  /** What keeps events in order: the value of the key field; `undefined` where it is empty or the contract names none. */
  readonly keyOf: (event: object) => string | undefined;
  readonly binary: BinaryCodec<Message>;
  /** Names as in the .proto, zero values written, unknown members ignored: what consumers of any language expect. */
  readonly json: JsonCodec<Message>;
  readonly desc: DescMessage;
}

/** Kafka's rule for topics, which every other broker can hold too. */
const topicRule = /^[A-Za-z0-9._-]{1,249}$/;
/** A routing key of AMQP has at most 255 bytes, and `*` and `#` stand for others in bindings. */
const typeRule = /^[A-Za-z0-9._-]{1,255}$/;

/** How bodies of events are written. */
export const eventDialect: JsonDialect = { fieldNames: "proto", enumValues: "full", emitDefaultValues: true };

const events = new WeakMap<DescMessage, EventContract>();

/** Whether a message is an event by its contract. */
export function isEvent(desc: DescMessage): boolean {
  return hasOption(desc, eventOption);
}

/**
 * The compiled view of an event, the same object for the same descriptor.
 * @throws ContractError when the message has no `event` option, or one that cannot be used
 */
export function compileEvent(desc: DescMessage): EventContract {
  let event = events.get(desc);
  if (event === undefined) {
    event = compile(desc);
    events.set(desc, event);
  }
  return event;
}

function compile(desc: DescMessage): EventContract {
  if (!isEvent(desc)) {
    throw contractError(desc, "it is no event; give it option (trunkline.v1.event) = {topic: …, type: …}");
  }
  const { topic, type, key, version } = getOption(desc, eventOption);
  if (!isTopicName(topic)) {
    throw contractError(desc, `event.topic is "${topic}"; it must be 1 to 249 of A-Z a-z 0-9 . _ - and not . or ..`);
  }
  if (!isEventTypeName(type)) {
    throw contractError(desc, `event.type is "${type}"; it must be 1 to 255 of A-Z a-z 0-9 . _ -`);
  }
  return {
    typeName: desc.typeName,
    topic,
    type,
    version,
    keyPath: key === "" ? undefined : key,
    keyOf: key === "" ? () => undefined : keyReader(desc, key),
    binary: binaryCodec(desc),
    json: jsonCodec(desc, { dialect: eventDialect, unknownFields: "ignore", registry: registryOf(desc.file) }),
    desc,
  };
}

/** The JSON of an event as people write it: a member that the contract does not have is an error. */
export function strictEventJson({ desc }: EventContract): JsonCodec<Message> {
  return jsonCodec(desc, { dialect: eventDialect, unknownFields: "reject", registry: registryOf(desc.file) });
}

/** Whether every broker can have a topic of this name. */
export function isTopicName(name: string): boolean {
  return topicRule.test(name) && name !== "." && name !== "..";
}

/** Whether every broker can carry events of this type. */
export function isEventTypeName(name: string): boolean {
  return typeRule.test(name);
}

/** Reads the field at a path such as `order.id`. */
function keyReader(desc: DescMessage, path: string): (event: object) => string | undefined {
  const names: string[] = [];
  let message: DescMessage | undefined = desc;
  let field: DescField | undefined;
  for (const name of path.split(".")) {
    field = message?.fields.find(one => one.name === name);
    if (field === undefined) {
      throw contractError(
        desc,
        `event.key is "${path}", but ${message?.typeName ?? "a scalar"} has no field "${name}"`,
      );
    }
    if (field.oneof !== undefined) throw contractError(desc, `event.key is "${path}", but "${name}" is in a oneof`);
    names.push(field.localName);
    message = field.fieldKind === "message" ? field.message : undefined;
  }
  if (field?.fieldKind !== "scalar" || !keyScalars.has(field.scalar)) {
    throw contractError(desc, `event.key is "${path}"; the field must be a string or an integer`);
  }
  return event => {
    let value: unknown = event;
    for (const name of names) value = (value as Record<string, unknown> | undefined)?.[name];
    return value === undefined || value === "" ? undefined : String(value);
  };
}

const keyScalars: ReadonlySet<ScalarType> = new Set([
  ScalarType.STRING,
  ScalarType.INT32,
  ScalarType.INT64,
  ScalarType.UINT32,
  ScalarType.UINT64,
  ScalarType.SINT32,
  ScalarType.SINT64,
  ScalarType.FIXED32,
  ScalarType.FIXED64,
  ScalarType.SFIXED32,
  ScalarType.SFIXED64,
]);

function contractError(desc: DescMessage, problem: string): ContractError {
  return new ContractError(`${desc.file.name}.proto: ${desc.typeName}: ${problem}`);
}
