import { createHash } from "node:crypto";
import {
  contentTypeName,
  HeaderReader,
  headersOf,
  historyHeaders,
  pairsOf,
  requestNames,
  type SaidElsewhere,
} from "../../attributes.ts";
import type { AttemptHistory, EventAttributes, EventRecord, StoredRecord } from "../../record.ts";
import type { AmqpDelivery, AmqpMessage, AmqpProperties, AmqpTable } from "./amqp.ts";
import { shortStringBytesMax } from "./limits.ts";
import { ownHeader, type QueueNames } from "./names.ts";

/**
 * Events as AMQP 0-9-1 messages: exchange = topic, routing key = type, `message_id` = id, `content_type`; the other
 * attributes are headers.
 */
export function messageOf(record: EventRecord, isMandatory: boolean): AmqpMessage {
  const headers: Record<string, string> = {};
  const list = headersOf(record, "cloudEvents_");
  for (let index = 0; index < list.length; index += 2) {
    const name = list[index] as string;
    const value = list[index + 1] as string;
    if (name !== contentTypeName) headers[name] = value;
  }
  const properties: { -readonly [K in keyof AmqpProperties]: AmqpProperties[K] } = {
    headers,
    contentType: record.contentType,
    timestamp: Math.floor(record.timeMs / 1_000),
  };
  // These properties are short strings; a longer text is among the headers.
  if (!isLong(record.id)) properties.messageId = record.id;
  const { correlationId, replyTo } = record;
  if (correlationId !== undefined && !isLong(correlationId)) properties.correlationId = correlationId;
  if (replyTo !== undefined && !isLong(replyTo)) properties.replyTo = replyTo;
  return { exchange: record.topic, routingKey: record.type, body: record.body, isMandatory, properties };
}

/** Whether a text is no short string of AMQP. A UTF-16 unit has at most three bytes: most texts need no counting. */
function isLong(text: string): boolean {
  return text.length * 3 > shortStringBytesMax && Buffer.byteLength(text) > shortStringBytesMax;
}

/** Why a record cannot be a message, whatever the broker says. */
export function whyNotSendable(record: EventRecord, bodyBytesMax: number): string | undefined {
  if (isLong(record.type)) return `the type is longer than ${shortStringBytesMax} bytes`;
  if (isLong(record.topic)) return `the topic is longer than ${shortStringBytesMax} bytes`;
  if (isLong(record.contentType)) return `the content type is longer than ${shortStringBytesMax} bytes`;
  if (record.body.length > bodyBytesMax) {
    return (
      `the body has ${record.body.length} bytes and the broker takes ${bodyBytesMax}: keep large content elsewhere and ` +
      "publish where it is, or raise max_message_size"
    );
  }
  return undefined;
}

/**
 * What a message is that was sent to the queue itself, by the default exchange, as clients of RPC over queues do it: it names
 * no topic, and its routing key is the queue. `undefined`: the group has several, so that only the message can tell.
 */
export interface DirectMessages {
  readonly topic: string | undefined;
  /** Where neither CloudEvents nor AMQP's own `type` say it. */
  readonly type: string | undefined;
}

const reader = new HeaderReader();

/** A delivered message as the runtime sees it. */
export class RabbitmqRecord implements StoredRecord {
  readonly topic: string;
  readonly key: string | undefined;
  readonly attributes: Readonly<Partial<EventAttributes>>;
  readonly body: Uint8Array;
  readonly storedAtMs: number | undefined;
  readonly history: AttemptHistory;
  readonly fallbackIsSynthetic = true;
  /** Stays the event's on all its ways. */
  readonly routingKey: string;
  readonly delivery: AmqpDelivery;
  /** The queues of the group that got it; `undefined` outside of groups. */
  readonly names: QueueNames | undefined;
  /** Set by the lane that delivers it. */
  lane: object | undefined = undefined;
  readonly #queue: string;
  #fallbackId: string | undefined;

  constructor(delivery: AmqpDelivery, queue: string, names?: QueueNames, direct?: DirectMessages) {
    const { exchange, properties } = delivery;
    const headers = properties.headers ?? {};
    const isDirect = exchange === "" && delivery.routingKey === names?.queue && !(ownHeader.topic in headers);
    const routingKey = isDirect ? (textOf(properties.type) ?? direct?.type ?? "") : delivery.routingKey;
    addTexts(headers, properties);
    const { attributes, subject, history } = reader.take(saidByProperties(properties, routingKey));
    const attempts = attemptsBefore(delivery, headers);
    this.delivery = delivery;
    this.names = names;
    this.topic = textOf(headers[ownHeader.topic]) ?? (isDirect ? (direct?.topic ?? exchange) : exchange);
    this.routingKey = routingKey;
    this.key = subject;
    this.body = delivery.body;
    this.attributes = attributes;
    this.#queue = queue;
    this.storedAtMs = wholeNumber(headers.timestamp_in_ms);
    this.history =
      attempts === 0 ? history : { attempts: history.attempts + attempts, firstFailedAtMs: history.firstFailedAtMs };
  }

  get place(): string {
    return `${this.#queue}#${this.delivery.tag}`;
  }

  /** Two equal messages have the same: there is nothing else to tell them apart by. Few need it, so it is made when asked for. */
  get fallbackId(): string {
    this.#fallbackId ??= createHash("sha256")
      .update(`${this.topic}\n${this.routingKey}\n`)
      .update(this.body)
      .digest("hex");
    return this.#fallbackId;
  }
}

/** Attempts that the broker has counted. A classic queue only says that it was out before, maybe to a process that has ended. */
function attemptsBefore({ isRedelivered }: AmqpDelivery, headers: AmqpTable): number {
  return deliveryCount(headers) ?? (isRedelivered ? 1 : 0);
}

/** What a producer without CloudEvents has said in AMQP's own words. */
function saidByProperties(properties: AmqpProperties, routingKey: string): SaidElsewhere {
  const { timestamp } = properties;
  const isTime = typeof timestamp === "number" && timestamp > 0 && timestamp < 1e11;
  return {
    id: textOf(properties.messageId),
    type: textOf(routingKey),
    timeMs: isTime ? timestamp * 1_000 : undefined,
    contentType: textOf(properties.contentType),
    replyTo: textOf(properties.replyTo),
    correlationId: textOf(properties.correlationId),
  };
}

/** Returns to the queue so far; only quorum queues say. */
export function deliveryCount(headers: AmqpTable): number | undefined {
  return wholeNumber(headers["x-delivery-count"]);
}

function wholeNumber(value: unknown): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

/** Headers that are text, or can be written as such; tables and lists are left out. */
function addTexts(headers: AmqpTable, properties: AmqpProperties): void {
  for (const name of Object.keys(headers)) {
    const value = headers[name];
    if (isOfTheTrip(name)) continue;
    // Whoever passes a request on under an address of its own changes the property, and may not know the header.
    if (name === requestNames.replyTo && textOf(properties.replyTo) !== undefined) continue;
    if (name === requestNames.correlationId && textOf(properties.correlationId) !== undefined) continue;
    if (typeof value === "string") reader.add(name, value);
    else if (typeof value === "number" || typeof value === "boolean" || typeof value === "bigint")
      reader.add(name, `${value}`);
    else if (value instanceof Uint8Array) reader.add(name, Buffer.from(value).toString("utf8"));
  }
}

export function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** Headers that the broker or an earlier trip has left, and that must not come along on the next. */
function isOfTheTrip(name: string): boolean {
  return (
    (name.startsWith("x-") &&
      /^x-(?:death$|first-death-|last-death-|delivery-count$|acquired-count$|opt-)/.test(name)) ||
    name.startsWith(ownHeader.step) ||
    name === ownHeader.due ||
    name === "CC" ||
    name === "BCC"
  );
}

/** The message again, for another trip: everything that its producer said stays. */
export function again(
  record: RabbitmqRecord,
  target: { readonly exchange: string; readonly routingKey: string },
  added: AmqpTable,
  history?: AttemptHistory,
): AmqpMessage {
  const { properties, body } = record.delivery;
  const headers: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(properties.headers ?? {})) {
    if (!isOfTheTrip(name) && !historyNames.has(name)) headers[name] = value;
  }
  if (record.topic !== "") headers[ownHeader.topic] = record.topic;
  if (history !== undefined) Object.assign(headers, Object.fromEntries(pairsOf(historyHeaders(history))));
  for (const [name, value] of Object.entries(added)) {
    if (value === undefined) delete headers[name];
    else headers[name] = value;
  }
  return {
    ...target,
    body,
    isMandatory: true,
    // The user id would have to be ours, and an expiry counted from now would not be the publisher's.
    properties: {
      headers,
      messageId: properties.messageId,
      contentType: properties.contentType,
      contentEncoding: properties.contentEncoding,
      correlationId: properties.correlationId,
      replyTo: properties.replyTo,
      type: properties.type,
      appId: properties.appId,
      timestamp: properties.timestamp,
      priority: properties.priority,
    },
  };
}

const historyNames: ReadonlySet<string> = new Set(
  [...pairsOf(historyHeaders({ attempts: 0, firstFailedAtMs: 0 }))].map(([name]) => name),
);
