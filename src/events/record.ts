import type { Priority, TraceContext } from "../platform/index.ts";

/** What a publisher says of an event beside its body: CloudEvents 1.0 attributes and ours. */
export interface EventAttributes {
  /** CloudEvents `id`: a UUIDv7 where we make it. With `source` it names the event for ever; duplicates have the same. */
  readonly id: string;
  /** CloudEvents `source`, for example `/order-service`. */
  readonly source: string;
  /** CloudEvents `type`, for example `order.created`. */
  readonly type: string;
  /** CloudEvents `time`: when it happened, in milliseconds since 1970-01-01 UTC. */
  readonly timeMs: number;
  /** CloudEvents `datacontenttype`, for example `application/json`. */
  readonly contentType: string;
  readonly trace: TraceContext | undefined;
  readonly priority: Priority;
  /** Not to be handled after this time (milliseconds since 1970-01-01 UTC); `undefined`: always. */
  readonly expiresAtMs: number | undefined;
  /** Not to be handled before this time; `undefined`: at once. */
  readonly notBeforeMs: number | undefined;
  /** Where an answer is awaited, and under which name; only for requests. */
  readonly replyTo: string | undefined;
  readonly correlationId: string | undefined;
  /** The publisher's own headers, names in lower case; never those that carry the attributes above. */
  readonly headers: Readonly<Record<string, string>>;
}

/** An event on its way to a broker. */
export interface EventRecord extends EventAttributes {
  readonly topic: string;
  /** CloudEvents `subject`. Events of one key stay in order; `undefined`: no order is asked for. */
  readonly key: string | undefined;
  readonly body: Uint8Array;
}

/** What a group's earlier attempts at an event have left. */
export interface AttemptHistory {
  /** Attempts that have begun before this one. */
  readonly attempts: number;
  /** When the first one failed, in milliseconds since 1970-01-01 UTC; `undefined` while none has. */
  readonly firstFailedAtMs: number | undefined;
}

/**
 * An event as it came from a broker. What a foreign producer has not said is missing from `attributes`; nothing in it can
 * be trusted to be what it should.
 */
export interface StoredRecord {
  readonly topic: string;
  /** The broker's own key (Kafka), otherwise CloudEvents' subject. */
  readonly key: string | undefined;
  readonly attributes: Readonly<Partial<EventAttributes>>;
  /** May share memory with other records: whoever keeps it longer than the record copies it. */
  readonly body: Uint8Array;
  /** Where it is, for people: `orders/3@1289`, `order_processing#42`. */
  readonly place: string;
  /** An id for a record without one: derived from its place, or from its content. */
  readonly fallbackId: string;
  /** Whether `fallbackId` comes from the content, so that two equal events would have the same one. */
  readonly fallbackIsSynthetic: boolean;
  /** When the broker got it, in milliseconds since 1970-01-01 UTC; `undefined` where it does not say. */
  readonly storedAtMs: number | undefined;
  readonly history: AttemptHistory;
  /** The message, where the body has it in a frame of another format. */
  readonly wrapped?: WrappedMessage | undefined;
}

/** What a frame around a message says of it. */
export type WrappedMessage =
  | {
      readonly format: "protobuf" | "json";
      readonly payload: Uint8Array;
      /** Full name of the message type, where the frame tells. */
      readonly typeName: string | undefined;
    }
  /** Nobody can say what is in it. */
  | { readonly format: "none"; readonly problem: string };
