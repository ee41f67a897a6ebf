import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { compileEvent, type EventContract } from "../contract/index.ts";
import type { Work } from "../platform/index.ts";
import type { BatchHandling } from "./batch.ts";
import type { StoredRecord } from "./record.ts";
import type { ReplyContract } from "./requests/reply-contract.ts";

/** What a handler sees of an event beside its message. */
export interface Delivery extends Work {
  readonly group: string;
  readonly topic: string;
  /** Of the event; the broker's or one made from the content where the publisher gave none. */
  readonly id: string;
  /** Whether `id` was made from the content: two equal events have the same then. */
  readonly idIsSynthetic: boolean;
  readonly source: string | undefined;
  readonly type: string;
  readonly key: string | undefined;
  /** When it happened, in milliseconds since 1970-01-01 UTC; `undefined` when nobody says. */
  readonly timeMs: number | undefined;
  /** Attempts that this group has begun before; 0 for the first. */
  readonly attempt: number;
  /** Aborted at the handler's deadline, when its lane is taken away, and when a drain has waited long enough. Made when asked for. */
  readonly signal: AbortSignal;
  /** The publisher's own headers, names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** As the broker holds it. */
  readonly raw: StoredRecord;
}

/** Handles one event. Returning settles it, throwing fails it; `Discard` and `RetryLater` say more. */
export type Handle<T> = (event: T, delivery: Delivery) => unknown;

/** Made by {@link on}, `onBatch` and `onRequest`. */
export interface EventHandler {
  readonly event: EventContract;
  /** One event alone; of a batch handler too. */
  readonly handle: Handle<never>;
  /** What it replies with; only of those made by `onRequest`. */
  readonly reply?: ReplyContract | undefined;
  readonly batch?: BatchHandling | undefined;
}

/**
 * A handler for a type of event.
 *
 * ```ts
 * on(OrderCreatedSchema, async event => { await reserve(event.orderId); })
 * ```
 * @throws ContractError when the message is no event
 */
export function on<D extends DescMessage>(schema: D, handle: Handle<MessageShape<D>>): EventHandler {
  return { event: compileEvent(schema), handle };
}
