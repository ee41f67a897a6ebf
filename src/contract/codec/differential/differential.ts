import { deepStrictEqual } from "node:assert";
import {
  create,
  type DescMessage,
  fromBinary,
  fromJson,
  fromJsonString,
  type JsonValue,
  type Message,
  setExtension,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";
import { ByteWriter } from "../../../platform/index.ts";
import { type BinaryCodec, BinaryCodecs } from "../binary/index.ts";
import type { Backend } from "../code-generation.ts";
import { CodecError } from "../codec-error.ts";
import { type JsonCodec, JsonCodecs } from "../json/index.ts";
import { setOwn } from "../plan.ts";
import { Dice } from "./dice.ts";
import { randomMessage } from "./random-message.ts";
import { type RandomSchema, randomSchema } from "./random-schema.ts";

/** What came of a comparison. */
export interface Tally {
  passed: number;
  readonly failures: string[];
}

/** Either a result or the failure that came instead. */
type Outcome<T> = { readonly value: T } | { readonly failure: unknown };

function attempt<T>(run: () => T): Outcome<T> {
  try {
    return { value: run() };
  } catch (failure) {
    return { failure };
  }
}

/**
 * Compares our codecs with protobuf-es on one random schema: the same bytes and JSON for random messages, the same
 * message or a refusal for mutated bytes and JSON.
 */
export function compareWithReferee(seed: number, backends: readonly Backend[], rounds: number, tally: Tally): void {
  const dice = new Dice(seed);
  const schema = randomSchema(dice);
  for (const backend of backends) {
    const binary = new BinaryCodecs(backend).get(schema.root);
    const codecs = new JsonCodecs(backend);
    const strict = codecs.get(schema.root, { registry: schema.registry });
    const lenient = codecs.get(schema.root, { registry: schema.registry, unknownFields: "ignore" });
    const round = new Dice(seed ^ 0x5bd1e995);
    for (let index = 0; index < rounds; index++) {
      const label = `seed ${seed}, round ${index}, ${backend}`;
      const message = randomMessage(round, schema.root);
      addExtensions(round, schema, message);
      check(tally, `${label}: binary`, () => compareBinary(round, schema.root, binary, message));
      check(tally, `${label}: JSON`, () => compareJson(round, schema, strict, lenient, message));
    }
  }
}

/** Sets the extensions of a proto2 schema; they are kept as unknown fields and named in JSON. */
function addExtensions(dice: Dice, { root, registry }: RandomSchema, message: Message): void {
  for (const extension of registry) {
    if (extension.kind !== "extension" || extension.extendee.typeName !== root.typeName || dice.chance(0.5)) continue;
    const value = { extra_text: "text", extra_numbers: [1, -2], extra_leaf: undefined }[extension.name];
    if (value !== undefined) setExtension(message, extension, value as never);
    else if (extension.message !== undefined)
      setExtension(message, extension, randomMessage(dice, extension.message, 3) as never);
  }
}

function check(tally: Tally, label: string, run: () => void): void {
  try {
    run();
    tally.passed++;
  } catch (failure) {
    tally.failures.push(`${label}: ${failure instanceof Error ? failure.stack : String(failure)}`);
  }
}

function encodeBinary(codec: BinaryCodec<unknown>, message: object): Uint8Array {
  // A small capacity makes the writer grow in the middle of messages.
  const writer = new ByteWriter(16);
  writer.append(Uint8Array.of(1, 2, 3));
  codec.encode(message, writer);
  return new Uint8Array(writer.copyFrom(3));
}

/** The plain object with which a message could have been created: own properties, no type names, no unknown fields. */
function initialiserOf(value: object): object {
  const copy: Record<string, unknown> = {};
  for (const [key, part] of Object.entries(value) as [string, unknown][]) {
    if (key !== "$typeName" && key !== "$unknown") setOwn(copy, key, initialPart(part));
  }
  return copy;
}

function initialPart(part: unknown): unknown {
  if (typeof part !== "object" || part === null || part instanceof Uint8Array) return part;
  return Array.isArray(part) ? part.map(initialPart) : initialiserOf(part);
}

/** Decodes from the middle of a larger chunk, which is overwritten afterwards: nothing may refer to it. */
function decodeBinary(codec: BinaryCodec<unknown>, bytes: Uint8Array, dice: Dice): unknown {
  const before = dice.upTo(3);
  const chunk = Buffer.alloc(before + bytes.length + dice.upTo(12), dice.pick([0, 0x80, 0xff, 0x0a]));
  chunk.set(bytes, before);
  const message = codec.decode(chunk, before, before + bytes.length);
  chunk.fill(0xee);
  return message;
}

function compareBinary(dice: Dice, schema: DescMessage, codec: BinaryCodec<unknown>, message: object): void {
  const expected = toBinary(schema, message as never);
  deepStrictEqual(encodeBinary(codec, message), expected);
  const init = initialiserOf(message);
  deepStrictEqual(encodeBinary(codec, init), toBinary(schema, create(schema, initialiserOf(message) as never)));
  deepStrictEqual(decodeBinary(codec, expected, dice), fromBinary(schema, expected));
  for (let count = 0; count < 4; count++) {
    const mutated = mutateBytes(dice, expected);
    const theirs = attempt(() => fromBinary(schema, mutated));
    const ours = attempt(() => decodeBinary(codec, mutated, dice));
    const numbers = closedEnumNumbers(schema);
    const kept = (outcome: Outcome<unknown>): Outcome<unknown> =>
      "value" in outcome ? { value: withoutUnknown(outcome.value, numbers) } : outcome;
    const hex = (): string => Buffer.from(mutated).toString("hex");
    sameOutcome(kept(ours), kept(theirs), hex);
    if ("value" in ours && "value" in theirs) {
      const again = attempt(() => toBinary(schema, ours.value as never));
      const ourAgain = attempt(() => encodeBinary(codec, ours.value as object));
      if (!("value" in again) || !("value" in ourAgain)) sameOutcome(ourAgain, again, hex);
      else sameExceptNan(schema, ourAgain.value, again.value, hex);
    }
  }
}

/** The bits of a NaN need not survive: engines may change them whenever a number moves. */
function sameExceptNan(schema: DescMessage, ours: Uint8Array, theirs: Uint8Array, input: () => string): void {
  if (Buffer.compare(ours, theirs) === 0) return;
  sameOutcome({ value: ours.length }, { value: theirs.length }, input);
  sameOutcome({ value: fromBinary(schema, ours) }, { value: fromBinary(schema, theirs) }, input);
}

/**
 * The numbers of fields with closed enums. protobuf-es keeps an unknown value of such a field as an unknown field, but
 * loses it when the same message also has a field of an unknown number; we keep both. Only there it is no referee.
 */
function closedEnumNumbers(root: DescMessage): Set<number> {
  const fields = root.file.messages.flatMap(message => message.fields);
  return new Set(fields.filter(field => field.enum?.open === false).map(field => field.number));
}

/** A copy of a message, with prototypes, that lacks unknown fields of the given numbers. */
function withoutUnknown(value: unknown, numbers: ReadonlySet<number>): unknown {
  if (numbers.size === 0 || typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map(item => withoutUnknown(item, numbers));
  const copy: Record<string, unknown> = Object.create(Object.getPrototypeOf(value) as object | null);
  for (const key of Object.keys(value)) {
    const part: unknown = (value as Record<string, unknown>)[key];
    const kept = key === "$unknown" ? (part as { no: number }[]).filter(field => !numbers.has(field.no)) : part;
    if (key === "$unknown" && (kept as unknown[]).length === 0) continue;
    setOwn(copy, key, key === "$unknown" ? kept : withoutUnknown(kept, numbers));
  }
  return copy;
}

function sameOutcome(ours: Outcome<unknown>, theirs: Outcome<unknown>, input: () => string): void {
  if ("failure" in ours && !(ours.failure instanceof CodecError)) throw ours.failure;
  if ("failure" in ours !== "failure" in theirs) {
    const reason = "failure" in ours ? ours.failure : "failure" in theirs ? theirs.failure : undefined;
    const who = "failure" in ours ? "we refuse" : "the referee refuses";
    throw new Error(`${who}: ${String(reason)}\ninput: ${input()}`);
  }
  if (!("value" in ours) || !("value" in theirs)) return;
  try {
    deepStrictEqual(ours.value, theirs.value);
  } catch (cause) {
    throw new Error(`${(cause as Error).message}\ninput: ${input()}`, { cause });
  }
}

function mutateBytes(dice: Dice, bytes: Uint8Array): Uint8Array {
  let mutated = [...bytes];
  for (let count = 1 + dice.upTo(3); count > 0; count--) {
    const at = dice.upTo(mutated.length + 1);
    switch (dice.upTo(6)) {
      case 0:
        mutated = mutated.slice(0, at);
        break;
      case 1:
        mutated[at] = dice.upTo(256);
        break;
      case 2:
        mutated.splice(at, 1);
        break;
      case 3:
        mutated.splice(at, 0, dice.pick([0, 0x0a, 0x80, 0xff, 0x7f, 0x0b, 0x0c, dice.upTo(256)]));
        break;
      case 4:
        mutated = [...mutated, ...mutated.slice(at)];
        break;
      default:
        mutated = [...mutated.slice(at), ...mutated.slice(0, at)];
    }
  }
  return Uint8Array.from(mutated);
}

function compareJson(
  dice: Dice,
  { root, registry }: RandomSchema,
  strict: JsonCodec<unknown>,
  lenient: JsonCodec<unknown>,
  message: object,
): void {
  const theirs = attempt(() => toJson(root, message as never, { registry }) as unknown);
  const init = initialiserOf(message);
  const fromInit = attempt(() => JSON.parse(strict.encode(init)) as unknown);
  sameOutcome(
    fromInit,
    attempt(() => JSON.parse(JSON.stringify(toJson(root, create(root, init as never), { registry }))) as unknown),
    () => "an initialiser",
  );
  const ours = attempt(() => JSON.parse(strict.encode(message)) as unknown);
  const normal = "value" in theirs ? { value: JSON.parse(JSON.stringify(theirs.value)) as unknown } : theirs;
  sameOutcome(ours, normal, () => "a message");
  if (!("value" in normal)) return;
  const text = JSON.stringify(normal.value);
  sameOutcome(
    attempt(() => strict.decode(text)),
    attempt(() => fromJsonString(root, text, { registry })),
    () => text,
  );
  for (let count = 0; count < 4; count++) {
    const mutated = mutateJson(dice, text);
    sameOutcome(
      attempt(() => strict.decode(mutated)),
      attempt(() => fromJsonString(root, mutated, { registry })),
      () => mutated,
    );
    sameOutcome(
      attempt(() => lenient.decode(mutated)),
      attempt(() => fromJsonString(root, mutated, { registry, ignoreUnknownFields: true })),
      () => `${mutated} (unknown fields ignored)`,
    );
    const value = attempt(() => JSON.parse(mutated) as JsonValue);
    if ("value" in value) {
      sameOutcome(
        attempt(() => strict.decodeValue(value.value)),
        attempt(() => fromJson(root, value.value, { registry })),
        () => `${mutated} (parsed)`,
      );
    }
  }
}

const fragments = [
  ...["null", "true", "0", "-1", "1.5", "1e400", "-0", '""', '"1"', '"x"', "[]", "[null]", "{}", '{"a":1}', '"NaN"'],
  ...['"Infinity"', '"0x1F"', '" 1"', '"1e3"', "4294967296", "9007199254740993", '"18446744073709551616"', '"AA=="'],
  ...['"-_8"', '"A"', '"\\ud800"', '"OPEN_ONE"', "200", '"2024-02-30T00:00:00Z"', '"1s"', '"fooBar"', '"foo_bar"'],
  ...['{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1s"}', '{"__proto__":1}', "[[[[[]]]]]"],
  ...['{"@type":"type.googleapis.com/random.Leaf"}', '{"@type":"a/google.protobuf.Empty"}', '{"@type":"x"}'],
];

/** Replaces a value, doubles a member, renames one, or breaks the text. */
function mutateJson(dice: Dice, text: string): string {
  const values = [...text.matchAll(/(?<=[:[,])("(?:[^"\\]|\\.)*"|-?[\d.eE+-]+|true|false|null)(?=[,\]}])/g)];
  const members = [...text.matchAll(/(?<=[{,])"((?:[^"\\]|\\.)*)":/g)];
  const value = values[dice.upTo(values.length)];
  const name = members[dice.upTo(members.length)];
  switch (dice.upTo(6)) {
    case 0:
      if (name === undefined) return `{"unknown":${dice.pick(fragments)}}`;
      return `${text.slice(0, name.index)}"unknown":${dice.pick(fragments)},${text.slice(name.index)}`;
    case 1:
      if (name === undefined) return dice.pick(fragments);
      return `${text.slice(0, name.index)}${name[0]}${dice.pick(fragments)},${text.slice(name.index)}`;
    case 2: {
      if (name === undefined) return text;
      const other = dice.pick(members)[0];
      return text.slice(0, name.index) + other + text.slice(name.index + name[0].length);
    }
    case 3:
      return dice.chance(0.3) ? text.slice(0, dice.upTo(text.length)) : `${text} ${dice.pick(["", "}", "x"])}`;
    default:
      if (value === undefined) return dice.pick(fragments);
      return text.slice(0, value.index) + dice.pick(fragments) + text.slice(value.index + value[0].length);
  }
}
