import { type Priority, traceOf } from "../platform/index.ts";
import type { AttemptHistory, EventAttributes, EventRecord } from "./record.ts";

/**
 * Attributes of events as headers of brokers: CloudEvents 1.0 in binary mode with `ce_` (Kafka protocol binding) or
 * `cloudEvents_` (AMQP binding) before each name, W3C trace context, and `trunkline-` for what neither of them has.
 */
export type AttributePrefix = "ce_" | "cloudEvents_";

export const contentTypeName = "content-type";

const names = {
  priority: "trunkline-priority",
  expiresAt: "trunkline-expires-at",
  notBefore: "trunkline-not-before",
  replyTo: "trunkline-reply-to",
  correlationId: "trunkline-correlation-id",
  attempts: "trunkline-attempts",
  firstFailedAt: "trunkline-first-failed-at",
} as const;

/** What AMQP has properties for, by the names of those. */
export const requestNames = { replyTo: names.replyTo, correlationId: names.correlationId } as const;

/** Names that the publisher's own headers cannot have, because they say something else. */
export function isReservedHeader(name: string): boolean {
  return (
    /^(?:ce_|cloudevents_|cloudevents:|trunkline-|x-death|x-delivery-)/i.test(name) || reserved.has(name.toLowerCase())
  );
}

/** What a reply says of an error (`requests/reply-error.ts`): nobody else may say it, and it arrives among the headers. */
const errorPrefix = "trunkline-error-";

const reserved = new Set([contentTypeName, "traceparent", "tracestate", "baggage"]);

/**
 * The headers of a record, names and values in turns. `content-type` is among them, for brokers that have no property for
 * it. Hot path: a list of texts, and no object for each header.
 */
export function headersOf(record: EventRecord, prefix: AttributePrefix): string[] {
  const name = prefix === "ce_" ? kafkaNames : amqpNames;
  const list = [name.specversion, "1.0", name.id, record.id, name.source, record.source, name.type, record.type];
  list.push(name.time, isoTime(record.timeMs));
  if (record.key !== undefined) list.push(name.subject, record.key);
  list.push(contentTypeName, record.contentType);
  if (record.trace !== undefined) {
    const { traceparent, tracestate, baggage } = record.trace;
    list.push("traceparent", traceparent);
    if (tracestate !== undefined) list.push("tracestate", tracestate);
    if (baggage !== undefined) list.push("baggage", baggage);
  }
  if (record.priority !== "default") list.push(names.priority, record.priority);
  if (record.expiresAtMs !== undefined) list.push(names.expiresAt, String(record.expiresAtMs));
  if (record.notBeforeMs !== undefined) list.push(names.notBefore, String(record.notBeforeMs));
  if (record.replyTo !== undefined) list.push(names.replyTo, record.replyTo);
  if (record.correlationId !== undefined) list.push(names.correlationId, record.correlationId);
  for (const own of Object.keys(record.headers)) list.push(own, record.headers[own] as string);
  return list;
}

/** Names and values in turns, as pairs. */
export function* pairsOf(list: readonly string[]): Generator<[name: string, value: string]> {
  for (let index = 0; index < list.length; index += 2) yield [list[index] as string, list[index + 1] as string];
}

const kafkaNames = namesWith("ce_");
const amqpNames = namesWith("cloudEvents_");

function namesWith(prefix: AttributePrefix) {
  return {
    specversion: `${prefix}specversion`,
    id: `${prefix}id`,
    source: `${prefix}source`,
    type: `${prefix}type`,
    time: `${prefix}time`,
    subject: `${prefix}subject`,
  };
}

/** What earlier attempts have left, as headers of a record that comes back: names and values in turns. */
export function historyHeaders(history: AttemptHistory): string[] {
  const list = [names.attempts, String(history.attempts)];
  if (history.firstFailedAtMs !== undefined) list.push(names.firstFailedAt, String(history.firstFailedAtMs));
  return list;
}

// Times are written and read once for each millisecond: the events of one follow each other.
let written = { ms: 0, text: new Date(0).toISOString() };
let read = { ms: 0, text: written.text };

function isoTime(ms: number): string {
  if (ms !== written.ms) written = { ms, text: new Date(ms).toISOString() };
  return written.text;
}

function timeMsOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (text !== read.text) read = { ms: Date.parse(text), text };
  return Number.isNaN(read.ms) ? undefined : read.ms;
}

/** What the headers of a record say. */
export interface SaidByHeaders {
  /** What was not said is missing. */
  readonly attributes: Readonly<Partial<EventAttributes>>;
  readonly subject: string | undefined;
  readonly history: AttemptHistory;
}

/** What a broker says of a record in words of its own. */
export type SaidElsewhere = { readonly [K in keyof EventAttributes]?: EventAttributes[K] | undefined };

/** What headers mean to us, each with a place in {@link HeaderReader}. */
const known = [
  "ce:id",
  "ce:source",
  "ce:type",
  "ce:time",
  "ce:datacontenttype",
  "ce:subject",
  contentTypeName,
  "traceparent",
  "tracestate",
  "baggage",
  ...Object.values(names),
] as const;

type Known = (typeof known)[number];
const placeOf = Object.fromEntries(known.map((name, place) => [name, place])) as Readonly<Record<Known, number>>;

const nothing: SaidElsewhere = Object.freeze({});
const noHeaders: Readonly<Record<string, string>> = Object.freeze(Object.create(null));
const noAttempts: AttemptHistory = Object.freeze({ attempts: 0, firstFailedAtMs: undefined });

/**
 * Reads what headers say, one record after the other: each header by `add`, then `take`. Values that make no sense are left
 * out. Hot path: one reader for all records of a driver, and no object for a header.
 */
export class HeaderReader {
  readonly #values: (string | undefined)[] = known.map(() => undefined);
  #own: Record<string, string> | undefined;

  /** A name may be in any case; of two headers that mean the same the later counts. */
  add(name: string, value: string): void {
    const { place, as } = meanings.get(name) ?? meaningOf(name);
    if (place !== undefined) this.#values[place] = value;
    else if (as !== undefined) {
      this.#own ??= Object.create(null) as Record<string, string>;
      this.#own[as] = value;
    }
  }

  /** @param otherwise what was said elsewhere: it counts where no header says it */
  take(otherwise: SaidElsewhere = nothing): SaidByHeaders {
    const said = {
      attributes: this.#attributes(otherwise),
      subject: this.#text("ce:subject"),
      history: this.#history(),
    };
    this.#values.fill(undefined);
    this.#own = undefined;
    return said;
  }

  #attributes(otherwise: SaidElsewhere): Readonly<Partial<EventAttributes>> {
    const id = this.#text("ce:id") ?? otherwise.id;
    const source = this.#text("ce:source") ?? otherwise.source;
    const type = this.#text("ce:type") ?? otherwise.type;
    const timeMs = timeMsOf(this.#text("ce:time")) ?? otherwise.timeMs;
    const contentType = this.#text(contentTypeName) ?? this.#text("ce:datacontenttype") ?? otherwise.contentType;
    const headers = this.#own ?? noHeaders;
    // Records of ours say all of these, and have one shape.
    const isUsual =
      id !== undefined &&
      source !== undefined &&
      type !== undefined &&
      timeMs !== undefined &&
      contentType !== undefined;
    const attributes: { -readonly [K in keyof EventAttributes]?: EventAttributes[K] } = isUsual
      ? { id, source, type, timeMs, contentType, headers }
      : withoutGaps({ id, source, type, timeMs, contentType, headers });
    const trace = traceOf(name => this.#values[placeOf[name as Known]]);
    const priority = priorityFrom(this.#text(names.priority));
    const expiresAtMs = wholeNumber(this.#text(names.expiresAt));
    const notBeforeMs = wholeNumber(this.#text(names.notBefore));
    const replyTo = this.#text(names.replyTo) ?? otherwise.replyTo;
    const correlationId = this.#text(names.correlationId) ?? otherwise.correlationId;
    if (trace !== undefined) attributes.trace = trace;
    if (priority !== undefined) attributes.priority = priority;
    if (expiresAtMs !== undefined) attributes.expiresAtMs = expiresAtMs;
    if (notBeforeMs !== undefined) attributes.notBeforeMs = notBeforeMs;
    if (replyTo !== undefined) attributes.replyTo = replyTo;
    if (correlationId !== undefined) attributes.correlationId = correlationId;
    return attributes;
  }

  #history(): AttemptHistory {
    const attempts = wholeNumber(this.#text(names.attempts)) ?? 0;
    const firstFailedAtMs = wholeNumber(this.#text(names.firstFailedAt));
    return attempts === 0 && firstFailedAtMs === undefined ? noAttempts : { attempts, firstFailedAtMs };
  }

  /** An empty value says nothing. */
  #text(name: Known): string | undefined {
    const value = this.#values[placeOf[name]];
    return value === "" ? undefined : value;
  }
}

interface Meaning {
  /** Of a value that is looked at. */
  readonly place: number | undefined;
  /** The name of a header of the publisher's own, in lower case. A header of ours that nobody reads has neither. */
  readonly as: string | undefined;
}

/** Of names that were seen: all records of a producer have the same, and taking them apart is most of the work. */
const meanings = new Map<string, Meaning>();
/** Foreign producers may make names up. */
const meaningsMax = 256;

function meaningOf(name: string): Meaning {
  const lower = name.toLowerCase();
  const attribute = /^(?:ce_|cloudevents[_:])(.+)$/.exec(lower)?.[1];
  const as = attribute === undefined ? lower : `ce:${attribute}`;
  const isOurs = attribute !== undefined || (isReservedHeader(lower) && !lower.startsWith(errorPrefix));
  const place = isOurs && Object.hasOwn(placeOf, as) ? placeOf[as as Known] : undefined;
  const meaning = { place, as: isOurs ? undefined : as };
  if (meanings.size < meaningsMax && name.length <= 64) meanings.set(name, meaning);
  return meaning;
}

function withoutGaps<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  for (const name of Object.keys(value) as (keyof T)[]) if (value[name] === undefined) delete value[name];
  return value as { [K in keyof T]?: Exclude<T[K], undefined> };
}

function wholeNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^[0-9]{1,15}$/.test(text) ? Number(text) : undefined;
}

function priorityFrom(text: string | undefined): Priority | undefined {
  return text === "critical" || text === "default" || text === "sheddable" ? text : undefined;
}
