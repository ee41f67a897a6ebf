import type { Priority } from "../../../platform/index.ts";
import type { EventAttributes } from "../../record.ts";

/**
 * Records as rows hold them: some at a time, because a row costs more than a record. Texts that repeat (source, type, content
 * type, names of headers) are written once. Version 1:
 *
 *     batch  = 1, count, texts, {text}, {record}      numbers are LEB128, texts are length and UTF-8
 *     record = flags, id, source#, type#, content type#, time (f64), [key], [traceparent, [tracestate], [baggage]],
 *              [expires at (f64)], [not before (f64)], [reply to], [correlation id], [headers, {name#, value}], body
 */

export interface CodedRecord {
  readonly key: string | undefined;
  readonly attributes: Readonly<Partial<EventAttributes>>;
  readonly body: Uint8Array;
}

const version = 1;

const has = {
  key: 1,
  trace: 1 << 1,
  tracestate: 1 << 2,
  baggage: 1 << 3,
  expiresAt: 1 << 4,
  notBefore: 1 << 5,
  replyTo: 1 << 6,
  correlationId: 1 << 7,
  headers: 1 << 8,
  critical: 1 << 9,
  sheddable: 1 << 10,
} as const;

/** Bytes that a record takes at most beside its texts, each of which is counted with three bytes a character. */
const fixedBytes = 96;

export function encodeBatch(records: readonly CodedRecord[]): Uint8Array {
  const texts = new Map<string, number>();
  for (const { attributes } of records) {
    addText(texts, attributes.source);
    addText(texts, attributes.type);
    addText(texts, attributes.contentType);
    for (const name in attributes.headers) addText(texts, name);
  }
  const writer = new BatchWriter(bytesOf(records, texts));
  writer.number(version);
  writer.number(records.length);
  writer.number(texts.size);
  for (const text of texts.keys()) writer.text(text);
  for (const record of records) writeRecord(writer, record, texts);
  return writer.finish();
}

function addText(texts: Map<string, number>, text = ""): void {
  if (!texts.has(text)) texts.set(text, texts.size);
}

function bytesOf(records: readonly CodedRecord[], texts: ReadonlyMap<string, number>): number {
  let characters = 0;
  let bytes = 32;
  for (const text of texts.keys()) characters += text.length + 4;
  for (const { key, attributes, body } of records) {
    const { id, trace, replyTo, correlationId, headers } = attributes;
    bytes += fixedBytes + body.length;
    characters += (id?.length ?? 0) + (key?.length ?? 0) + (replyTo?.length ?? 0) + (correlationId?.length ?? 0);
    if (trace !== undefined) {
      characters += trace.traceparent.length + (trace.tracestate?.length ?? 0) + (trace.baggage?.length ?? 0);
    }
    for (const name in headers) characters += (headers[name] as string).length + 8;
  }
  return bytes + characters * 3;
}

function writeRecord(
  writer: BatchWriter,
  { key, attributes, body }: CodedRecord,
  texts: ReadonlyMap<string, number>,
): void {
  const { trace, expiresAtMs, notBeforeMs, replyTo, correlationId, headers, priority } = attributes;
  const headerCount = headers === undefined ? 0 : Object.keys(headers).length;
  let flags = key === undefined ? 0 : has.key;
  if (trace !== undefined) {
    flags |= has.trace;
    if (trace.tracestate !== undefined) flags |= has.tracestate;
    if (trace.baggage !== undefined) flags |= has.baggage;
  }
  if (expiresAtMs !== undefined) flags |= has.expiresAt;
  if (notBeforeMs !== undefined) flags |= has.notBefore;
  if (replyTo !== undefined) flags |= has.replyTo;
  if (correlationId !== undefined) flags |= has.correlationId;
  if (headerCount > 0) flags |= has.headers;
  if (priority === "critical") flags |= has.critical;
  if (priority === "sheddable") flags |= has.sheddable;
  writer.number(flags);
  writer.text(attributes.id ?? "");
  writer.number(texts.get(attributes.source ?? "") as number);
  writer.number(texts.get(attributes.type ?? "") as number);
  writer.number(texts.get(attributes.contentType ?? "") as number);
  writer.double(attributes.timeMs ?? Number.NaN);
  if (key !== undefined) writer.text(key);
  if (trace !== undefined) {
    writer.text(trace.traceparent);
    if (trace.tracestate !== undefined) writer.text(trace.tracestate);
    if (trace.baggage !== undefined) writer.text(trace.baggage);
  }
  if (expiresAtMs !== undefined) writer.double(expiresAtMs);
  if (notBeforeMs !== undefined) writer.double(notBeforeMs);
  if (replyTo !== undefined) writer.text(replyTo);
  if (correlationId !== undefined) writer.text(correlationId);
  if (headerCount > 0) {
    writer.number(headerCount);
    for (const name in headers) {
      writer.number(texts.get(name) as number);
      writer.text(headers[name] as string);
    }
  }
  writer.bytes(body);
}

class BatchWriter {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(bytes: number) {
    // Of its own, not from Node's pool: it may be handed over to another thread as it is.
    this.#buffer = Buffer.allocUnsafeSlow(bytes);
  }

  number(value: number): void {
    let rest = value;
    while (rest > 0x7f) {
      this.#buffer[this.#at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#buffer[this.#at++] = rest;
  }

  double(value: number): void {
    this.#at = this.#buffer.writeDoubleLE(value, this.#at);
  }

  text(value: string): void {
    const { length } = value;
    if (length < 0x80 / 3) {
      // The length takes one byte, whatever it turns out to be.
      const written = this.#buffer.write(value, this.#at + 1);
      this.#buffer[this.#at] = written;
      this.#at += written + 1;
      return;
    }
    this.number(Buffer.byteLength(value));
    this.#at += this.#buffer.write(value, this.#at);
  }

  bytes(value: Uint8Array): void {
    this.number(value.length);
    this.#buffer.set(value, this.#at);
    this.#at += value.length;
  }

  finish(): Uint8Array {
    return this.#buffer.subarray(0, this.#at);
  }
}

/**
 * The bodies share the memory of the batch.
 * @throws RangeError for bytes that are no batch, or one of a later version
 */
export function decodeBatch(bytes: Uint8Array): readonly CodedRecord[] {
  const reader = new BatchReader(bytes);
  const found = reader.number();
  if (found !== version) throw new RangeError(`a batch has version ${found}, this package knows ${version}`);
  const count = reader.number();
  const texts = Array.from({ length: Math.min(reader.number(), bytes.length) }, () => reader.text());
  const records: CodedRecord[] = [];
  for (let index = 0; index < count; index++) records.push(readRecord(reader, texts));
  return records;
}

function readRecord(reader: BatchReader, texts: readonly string[]): CodedRecord {
  const flags = reader.number();
  const id = reader.text();
  const source = textOf(texts, reader.number());
  const type = textOf(texts, reader.number());
  const contentType = textOf(texts, reader.number());
  const timeMs = reader.double();
  const key = flags & has.key ? reader.text() : undefined;
  const trace =
    flags & has.trace
      ? {
          traceparent: reader.text(),
          tracestate: flags & has.tracestate ? reader.text() : undefined,
          baggage: flags & has.baggage ? reader.text() : undefined,
        }
      : undefined;
  const attributes: EventAttributes = {
    id,
    source,
    type,
    timeMs,
    contentType,
    trace,
    priority: priorityOf(flags),
    expiresAtMs: flags & has.expiresAt ? reader.double() : undefined,
    notBeforeMs: flags & has.notBefore ? reader.double() : undefined,
    replyTo: flags & has.replyTo ? reader.text() : undefined,
    correlationId: flags & has.correlationId ? reader.text() : undefined,
    headers: flags & has.headers ? readHeaders(reader, texts) : noHeaders,
  };
  return { key, attributes, body: reader.bytes() };
}

const noHeaders: Readonly<Record<string, string>> = Object.freeze(Object.create(null));

function readHeaders(reader: BatchReader, texts: readonly string[]): Readonly<Record<string, string>> {
  const headers: Record<string, string> = Object.create(null);
  for (let left = reader.number(); left > 0; left--) headers[textOf(texts, reader.number())] = reader.text();
  return headers;
}

function priorityOf(flags: number): Priority {
  return flags & has.critical ? "critical" : flags & has.sheddable ? "sheddable" : "default";
}

function textOf(texts: readonly string[], index: number): string {
  const text = texts[index];
  if (text === undefined) throw new RangeError(`a batch has no text ${index}`);
  return text;
}

class BatchReader {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  number(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#buffer[this.#at++];
      if (byte === undefined) break;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    throw new RangeError("a batch ends within a number");
  }

  double(): number {
    const value = this.#buffer.readDoubleLE(this.#at);
    this.#at += 8;
    return value;
  }

  text(): string {
    const start = this.#skip(this.number());
    return this.#buffer.toString("utf8", start, this.#at);
  }

  bytes(): Uint8Array {
    const start = this.#skip(this.number());
    return this.#buffer.subarray(start, this.#at);
  }

  #skip(length: number): number {
    const start = this.#at;
    if (start + length > this.#buffer.length) throw new RangeError("a batch is shorter than it says");
    this.#at = start + length;
    return start;
  }
}
