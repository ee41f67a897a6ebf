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

/** What AMQP has properties for. */
export const requestNames: readonly string[] = [names.replyTo, names.correlationId];

/** Names that the publisher's own headers cannot have, because they say something else. */
export function isReservedHeader(name: string): boolean {
  return (
    /^(?:ce_|cloudevents_|cloudevents:|trunkline-|x-death|x-delivery-)/i.test(name) || reserved.has(name.toLowerCase())
  );
}

/** What a reply says of an error (`requests/reply-error.ts`): nobody else may say it, and it arrives among the headers. */
const errorPrefix = "trunkline-error-";

const reserved = new Set([contentTypeName, "traceparent", "tracestate", "baggage"]);

/** The headers of a record, without the body's content type where the broker has a property for it. */
export function* headersOf(record: EventRecord, prefix: AttributePrefix): Generator<[name: string, value: string]> {
  yield [`${prefix}specversion`, "1.0"];
  yield [`${prefix}id`, record.id];
  yield [`${prefix}source`, record.source];
  yield [`${prefix}type`, record.type];
  yield [`${prefix}time`, new Date(record.timeMs).toISOString()];
  if (record.key !== undefined) yield [`${prefix}subject`, record.key];
  yield [contentTypeName, record.contentType];
  if (record.trace !== undefined) {
    const { traceparent, tracestate, baggage } = record.trace;
    yield ["traceparent", traceparent];
    if (tracestate !== undefined) yield ["tracestate", tracestate];
    if (baggage !== undefined) yield ["baggage", baggage];
  }
  if (record.priority !== "default") yield [names.priority, record.priority];
  if (record.expiresAtMs !== undefined) yield [names.expiresAt, String(record.expiresAtMs)];
  if (record.notBeforeMs !== undefined) yield [names.notBefore, String(record.notBeforeMs)];
  if (record.replyTo !== undefined) yield [names.replyTo, record.replyTo];
  if (record.correlationId !== undefined) yield [names.correlationId, record.correlationId];
  for (const name of Object.keys(record.headers)) yield [name, record.headers[name] as string];
}

/** What earlier attempts have left, as headers of a record that comes back. */
export function* historyHeaders(history: AttemptHistory): Generator<[name: string, value: string]> {
  yield [names.attempts, String(history.attempts)];
  if (history.firstFailedAtMs !== undefined) yield [names.firstFailedAt, String(history.firstFailedAtMs)];
}

/** What received headers say; `get` is given names in lower case. Values that make no sense are left out. */
export function attributesFrom(headers: Iterable<readonly [name: string, value: string]>): {
  attributes: Partial<EventAttributes>;
  subject: string | undefined;
  history: AttemptHistory;
} {
  const known = new Map<string, string>();
  const own: Record<string, string> = Object.create(null);
  for (const [name, value] of headers) {
    const { as, isKnown } = meanings.get(name) ?? meaningOf(name);
    if (isKnown) known.set(as, value);
    else own[as] = value;
  }
  const get = (name: string) => known.get(name);
  const time = Date.parse(get("ce:time") ?? "");
  const attributes = {
    id: nonEmpty(get("ce:id")),
    source: nonEmpty(get("ce:source")),
    type: nonEmpty(get("ce:type")),
    timeMs: Number.isNaN(time) ? undefined : time,
    contentType: nonEmpty(get(contentTypeName)) ?? nonEmpty(get("ce:datacontenttype")),
    trace: traceOf(get),
    priority: priorityFrom(get(names.priority)),
    expiresAtMs: wholeNumber(get(names.expiresAt)),
    notBeforeMs: wholeNumber(get(names.notBefore)),
    replyTo: nonEmpty(get(names.replyTo)),
    correlationId: nonEmpty(get(names.correlationId)),
    headers: own,
  };
  return {
    attributes: withoutGaps(attributes),
    subject: nonEmpty(get("ce:subject")),
    history: {
      attempts: wholeNumber(get(names.attempts)) ?? 0,
      firstFailedAtMs: wholeNumber(get(names.firstFailedAt)),
    },
  };
}

interface Meaning {
  readonly as: string;
  readonly isKnown: boolean;
}

/** Of names that were seen: all records of a producer have the same, and taking them apart is most of the work. */
const meanings = new Map<string, Meaning>();
/** Foreign producers may make names up. */
const meaningsMax = 256;

function meaningOf(name: string): Meaning {
  const lower = name.toLowerCase();
  const attribute = /^(?:ce_|cloudevents[_:])(.+)$/.exec(lower)?.[1];
  const isKnown = attribute !== undefined || (isReservedHeader(lower) && !lower.startsWith(errorPrefix));
  const meaning = { as: attribute === undefined ? lower : `ce:${attribute}`, isKnown };
  if (meanings.size < meaningsMax && name.length <= 64) meanings.set(name, meaning);
  return meaning;
}

function withoutGaps<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  for (const name of Object.keys(value) as (keyof T)[]) if (value[name] === undefined) delete value[name];
  return value as { [K in keyof T]?: Exclude<T[K], undefined> };
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}

function wholeNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^[0-9]{1,15}$/.test(text) ? Number(text) : undefined;
}

function priorityFrom(text: string | undefined): Priority | undefined {
  return text === "critical" || text === "default" || text === "sheddable" ? text : undefined;
}
