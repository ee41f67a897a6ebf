import { HeaderReader, headersOf, historyHeaders, pairsOf } from "../../attributes.ts";
import { LogRecord, noHistory } from "../../log/index.ts";
import type { AttemptHistory, EventAttributes, EventRecord, StoredRecord } from "../../record.ts";
import type { BatchHeader, RecordCursor } from "./batch-reader.ts";
import type { OutgoingRecord } from "./batch-writer.ts";
import { copiedBodyBytesMax } from "./limits.ts";

/** Where a record of the retry topic had been first. */
const topicHeader = "trunkline-topic";
const fallbackIdHeader = "trunkline-fallback-id";
const none: Readonly<Partial<EventAttributes>> = Object.freeze({});

/** An event as a Kafka record: CloudEvents' Kafka protocol binding, binary content mode. */
export function outgoingEvent(record: EventRecord, timestampMs: number): OutgoingRecord {
  return { topic: record.topic, key: record.key, value: record.body, headers: headersOf(record, "ce_"), timestampMs };
}

/**
 * A received record for another topic of its group, with all that it had.
 * @param more headers beside its own
 */
export function outgoingCopy(
  record: Pick<StoredRecord, "key" | "attributes" | "body">,
  topic: string,
  key: string | undefined,
  more: readonly string[],
  timestampMs: number,
): OutgoingRecord {
  const { attributes } = record;
  const headers = [...more];
  const isForeign = attributes.id === undefined && attributes.source === undefined && attributes.type === undefined;
  const complete = { ...gaps, ...attributes, topic, key: record.key, body: record.body };
  for (const [name, value] of pairsOf(headersOf(complete, "ce_"))) {
    if ((value === "" && isAttribute(name)) || (name === "ce_time" && attributes.timeMs === undefined)) continue;
    if (isForeign && (name === "ce_specversion" || name === "ce_subject")) continue;
    headers.push(name, value);
  }
  return { topic, key, value: record.body, headers, timestampMs };
}

/** An empty header of the publisher's own is one all the same. */
function isAttribute(name: string): boolean {
  return name.startsWith("ce_") || name === "content-type";
}

/** What a foreign record does not say stays unsaid: these are left out again. */
const gaps = {
  id: "",
  source: "",
  type: "",
  timeMs: 0,
  contentType: "",
  trace: undefined,
  priority: "default",
  expiresAtMs: undefined,
  notBeforeMs: undefined,
  replyTo: undefined,
  correlationId: undefined,
  headers: {},
} as const;

/** A record that a group gets again from its retry topic. */
export function outgoingRetry(
  record: Pick<StoredRecord, "topic" | "key" | "attributes" | "body" | "fallbackId">,
  retryTopic: string,
  dueMs: number,
  history: AttemptHistory,
  timestampMs: number,
): OutgoingRecord {
  const more = [topicHeader, record.topic, fallbackIdHeader, record.fallbackId, dueHeader, String(Math.ceil(dueMs))];
  more.push(...historyHeaders(history));
  return outgoingCopy(record, retryTopic, record.key, more, timestampMs);
}

/** When a record of the retry topic may be handled; milliseconds since 1970-01-01 UTC. */
const dueHeader = "trunkline-due";

/** A record of the retry topic: it counts as one of its first topic. */
export class RetriedRecord extends LogRecord {
  readonly dueMs: number;
  readonly #retryTopic: string;
  readonly #fallbackId: string;

  constructor(retryTopic: string, fallbackId: string, dueMs: number, ...rest: ConstructorParameters<typeof LogRecord>) {
    super(...rest);
    this.#retryTopic = retryTopic;
    this.#fallbackId = fallbackId;
    this.dueMs = dueMs;
  }

  override get place(): string {
    return `${this.#retryTopic}/${this.partition}@${this.offset}`;
  }

  override get fallbackId(): string {
    return this.#fallbackId;
  }
}

type Header = readonly [name: string, value: string];

const reader = new HeaderReader();
const addHeader = (name: string, value: string) => reader.add(name, value);

/** The record that a cursor stands at. Bodies are copied where a small one would keep a large answer in memory. */
export function recordAt(cursor: RecordCursor, header: BatchHeader, topic: string, partition: number): LogRecord {
  const { bytes } = cursor;
  const offset = header.baseOffset + cursor.offsetDelta;
  const storedAtMs = header.appendedAtMs ?? header.baseTimestampMs + cursor.timestampDelta;
  const key = cursor.keyStart < 0 ? undefined : bytes.toString("utf8", cursor.keyStart, cursor.keyEnd);
  const body = cursor.valueStart < 0 ? emptyBody : ownBytes(bytes, cursor.valueStart, cursor.valueEnd);
  if (cursor.headers.length === 0) return new LogRecord(topic, partition, offset, key, none, body, storedAtMs);
  eachHeader(cursor, addHeader);
  const { attributes, subject, history } = reader.take();
  const carried = history.attempts === 0 && history.firstFailedAtMs === undefined ? noHistory : history;
  return new LogRecord(topic, partition, offset, key ?? subject, attributes, body, storedAtMs, carried);
}

/** The record of a retry topic that a cursor stands at. */
export function retriedAt(cursor: RecordCursor, header: BatchHeader, topic: string, partition: number): LogRecord {
  const record = recordAt(cursor, header, topic, partition);
  const headers = new Map(textHeaders(cursor));
  const first = headers.get(topicHeader);
  if (first === undefined) return record;
  return new RetriedRecord(
    topic,
    headers.get(fallbackIdHeader) ?? record.fallbackId,
    Number(headers.get(dueHeader) ?? 0) || 0,
    first,
    partition,
    record.offset,
    record.key,
    record.attributes,
    record.body,
    record.storedAtMs,
    record.carried,
  );
}

const emptyBody = new Uint8Array(0);

function ownBytes(bytes: Buffer, start: number, end: number): Uint8Array {
  const view = bytes.subarray(start, end);
  return end - start <= copiedBodyBytesMax ? Buffer.from(view) : view;
}

/** Values that are missing are left out; bytes that are no UTF-8 become replacement characters, as names of ours never have. */
export function textHeaders(cursor: RecordCursor): Header[] {
  const found: Header[] = [];
  eachHeader(cursor, (name, value) => found.push([name, value]));
  return found;
}

function eachHeader({ bytes, headers }: RecordCursor, take: (name: string, value: string) => void): void {
  for (let index = 0; index < headers.length; index += 4) {
    const valueStart = headers[index + 2] as number;
    if (valueStart < 0) continue;
    const name = headerName(bytes, headers[index] as number, headers[index + 1] as number);
    take(name, bytes.toString("utf8", valueStart, headers[index + 3] as number));
  }
}

/** Names by their length and last byte: nearly every record has the same few, and comparing costs less than decoding. */
const nameCache = new Map<number, { readonly bytes: Buffer; readonly name: string }>();

function headerName(bytes: Buffer, start: number, end: number): string {
  const length = end - start;
  if (length === 0 || length > 64) return bytes.toString("utf8", start, end);
  const slot = (length << 8) | (bytes[end - 1] as number);
  const cached = nameCache.get(slot);
  if (cached !== undefined) {
    let index = 0;
    while (index < length && cached.bytes[index] === bytes[start + index]) index++;
    if (index === length) return cached.name;
  }
  const name = bytes.toString("utf8", start, end);
  // At most 64 × 256 slots, so that it cannot grow for ever.
  if (cached === undefined) nameCache.set(slot, { bytes: Buffer.from(bytes.subarray(start, end)), name });
  return name;
}
