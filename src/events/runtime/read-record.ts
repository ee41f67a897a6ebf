import { isUtf8 } from "node:buffer";
import { CodecError, type EventContract, type RuleViolation, type Validate } from "../../contract/index.ts";
import type { DeadLetterReason } from "../dead-letter.ts";
import type { StoredRecord } from "../record.ts";
import type { TopicTypes } from "./catalog.ts";

/** Where the type of an event stands in bodies of producers that say it nowhere else. */
const typeField = "event_type";

/** As much of a record, or of a dead letter, as its message is read from. */
type Read = Pick<StoredRecord, "attributes" | "body" | "wrapped">;

/** As much of a contract as reading needs. */
type Readable = Pick<EventContract, "typeName" | "binary" | "json">;

/**
 * Finds the contract of a record. CloudEvents' type decides where there is one. A record of a plain producer has no
 * attributes, or only a type that its driver took from the routing key; its body's `event_type` counts then, in the spelling
 * of constants too.
 */
export function contractOf(record: Read, types: TopicTypes): EventContract | undefined {
  const { wrapped } = record;
  // A frame names the very message that is in it.
  if (wrapped?.format === "none") return undefined;
  if (wrapped?.typeName !== undefined) return types.byTypeName(wrapped.typeName);
  const { type, source } = record.attributes;
  if (type !== undefined) {
    const contract = types.byType(type);
    // CloudEvents require a source: what has one has said its type itself.
    if (contract !== undefined || source !== undefined) return contract;
  }
  const name = namedType(record);
  return name === undefined ? undefined : types.byFieldText(name);
}

/** What the record itself says about its type, for messages. */
export function typeText(record: Read): string {
  const { wrapped } = record;
  if (wrapped?.format === "none") return wrapped.problem;
  if (wrapped?.typeName !== undefined) return `its message is ${wrapped.typeName}`;
  const name = record.attributes.type ?? namedType(record);
  return name === undefined ? "it has no type, neither as an attribute nor in event_type" : `its type is "${name}"`;
}

function namedType(record: Read): string | undefined {
  const { wrapped } = record;
  if (wrapped === undefined && isBinary(record.attributes.contentType)) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(textOf(wrapped?.format === "json" ? wrapped.payload : record.body));
  } catch {
    // Not JSON: it names no type. Whoever asked makes an unknown type of it.
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const name = (value as Record<string, unknown>)[typeField];
  return typeof name === "string" && name !== "" && name.length <= 255 ? name : undefined;
}

/** Whether a content type means the binary encoding of protobuf. */
function isBinary(contentType: string | undefined): boolean {
  return contentType !== undefined && binaryTypes.has(mediaType(contentType));
}

const binaryTypes: ReadonlySet<string> = new Set([
  "application/protobuf",
  "application/x-protobuf",
  "application/vnd.google.protobuf",
]);

function mediaType(contentType: string): string {
  const end = contentType.indexOf(";");
  return (end === -1 ? contentType : contentType.slice(0, end)).trim().toLowerCase();
}

/**
 * The message of a record. Without a content type it is JSON if it parses as such.
 * @throws Unreadable
 */
export function readEvent(record: Read, contract: Readable): object {
  const { wrapped } = record;
  if (wrapped?.format === "protobuf") return readBinary(wrapped.payload, contract);
  if (wrapped?.format === "json") return readJson(wrapped.payload, contract);
  const { contentType } = record.attributes;
  // The common spelling first, without looking at it in detail.
  if (contentType !== "application/json" && contentType !== undefined) {
    if (isBinary(contentType)) return readBinary(record.body, contract);
    const media = mediaType(contentType);
    if (media !== "application/json" && !media.endsWith("+json") && media !== "text/plain" && media !== "text/json") {
      throw new Unreadable(
        "undecodable",
        `the content type is "${contentType.slice(0, 100)}"; it must be application/json or application/protobuf`,
      );
    }
  }
  return readJson(record.body, contract);
}

function readJson(body: Uint8Array, contract: Readable): object {
  try {
    return contract.json.decode(textOf(body));
  } catch (cause) {
    throw undecodable(contract, cause);
  }
}

function readBinary(body: Uint8Array, contract: Readable): object {
  try {
    return contract.binary.decode(body, 0, body.length);
  } catch (cause) {
    throw undecodable(contract, cause);
  }
}

function undecodable(contract: Readable, cause: unknown): Unreadable {
  const field = cause instanceof CodecError && cause.path !== "" ? `${cause.path}: ` : "";
  return new Unreadable("undecodable", `it is no ${contract.typeName}: ${field}${(cause as Error).message}`, { cause });
}

/** @throws Error for bytes that are not UTF-8 */
function textOf(body: Uint8Array): string {
  if (!isUtf8(body)) throw new Error("the body is not UTF-8");
  return asBuffer(body).toString("utf8");
}

function asBuffer(body: Uint8Array): Buffer {
  return Buffer.isBuffer(body) ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength);
}

/** Holds a message against the rules of its contract. @throws Unreadable */
export function judgeEvent(event: object, contract: EventContract, validate: Validate): void {
  const violations = validate(event);
  if (violations.length > 0) throw new Unreadable("invalid", `${contract.typeName}: ${listed(violations)}`);
}

function listed(violations: readonly RuleViolation[]): string {
  return violations
    .slice(0, 10)
    .map(({ field, message, rule }) => `${field("proto") || "the message"}: ${message} (${rule})`)
    .join("; ");
}

/** A record that no handler can be given, now or later. */
export class Unreadable extends Error {
  override readonly name = "Unreadable";
  readonly reason: DeadLetterReason;

  constructor(reason: DeadLetterReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}
