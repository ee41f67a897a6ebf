import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { compileEvent } from "../contract/index.ts";
import type { TraceContext, Work } from "../platform/index.ts";
import { BrokerError } from "./errors.ts";
import type { Delivery, EventHandler } from "./handler.ts";
import { number, onlyKnown } from "./option-checks.ts";
import { HandlerBatch } from "./runtime/handler-batch.ts";
import * as limits from "./runtime/limits.ts";

/** What a batch handler sees beside the events. */
export interface Batch extends Work {
  /** Of each event, at the same index. */
  readonly deliveries: readonly Delivery[];
  /**
   * Aborted at the deadline of the batch, when a drain has waited long enough, and when the lanes of all its events have been
   * taken away; of one event only, its delivery's own signal is. Made when asked for.
   */
  readonly signal: AbortSignal;
  /** `undefined` for more than one event: they have no common parent, but {@link Work.links}. */
  readonly trace: TraceContext | undefined;
  /**
   * Says that one event has failed, by an error that counts for it as one that a handler throws: `Discard` and `RetryLater`
   * too. Its attempt has failed; the others are settled when the handler returns. But later events of its key are not, where
   * the order of keys is kept (`onFailure` is not "unordered"): they come again behind it, each alone, and no attempt of
   * theirs is counted. So a handler passes over the rest of a key when one has failed. The last error for an index stays.
   * @throws RangeError for an index that no event has; Error after the handler has ended
   */
  fail(index: number, error: unknown): void;
}

/** Handles several events. Returning settles all but those that `batch.fail` was told of. */
export type HandleBatch<T> = (events: readonly T[], batch: Batch) => unknown;

/** When the handler gets what has been gathered: at whichever limit comes first. */
export interface BatchOptions {
  /** Events in a batch: 1 to 10,000. @default 100 */
  readonly eventsMax?: number | undefined;
  /**
   * How long the first event of a batch waits for others, in milliseconds: 0 to 60,000. Later ones never prolong it; with 0 a
   * batch is what is there at the moment. @default 50
   */
  readonly waitMs?: number | undefined;
  /** Bodies of a batch together, in bytes; a larger event comes alone: 1 to 8 MiB. @default 1 MiB */
  readonly bytesMax?: number | undefined;
}

/** Checked, with all defaults. */
export interface BatchLimits {
  readonly eventsMax: number;
  readonly waitMs: number;
  readonly bytesMax: number;
}

/** How the events of a handler are handled together. */
export interface BatchHandling {
  readonly limits: BatchLimits;
  readonly handle: HandleBatch<never>;
}

/**
 * A handler for many events of a type at once, for what costs little more for a hundred than for one, such as an INSERT.
 *
 * ```ts
 * onBatch(OrderCreatedSchema, { eventsMax: 500, waitMs: 20 }, async (events, batch) => { await insertAll(events); })
 * ```
 *
 * The order of keys holds: events of one key stand in a batch one after the other, and never in two batches at once. A batch
 * has one of the subscription's `concurrency` places and one deadline. When the handler throws for more than one event, it
 * gets each again in a batch of its own, and what failed together counts for none of them: one bad event does not use up
 * the attempts of its neighbours. Alone, an event has the attempts and delays that every other has. An event that has been
 * tried before always comes alone, after a crash too. Where the fault is in none of them, such as a database that is away,
 * throw `RetryLater`: it means all events of the batch, each comes again later, alone, and the attempt counts.
 *
 * Middleware sees one event and says by throwing what becomes of it, which it could not around a batch: a subscription with
 * both is an error. Put what belongs around the handler into a function that calls it.
 * @throws ContractError when the message is no event; BrokerError for an option out of range
 */
export function onBatch<D extends DescMessage>(
  schema: D,
  options: BatchOptions,
  handle: HandleBatch<MessageShape<D>>,
): EventHandler {
  const event = compileEvent(schema);
  if (typeof handle !== "function") {
    throw new BrokerError(`onBatch (${event.type}): the third argument must be the handler, (events, batch) => …`);
  }
  return {
    event,
    handle: (message: MessageShape<D>, delivery: Delivery) => handleAlone(handle, message, delivery),
    batch: { limits: checkLimits(`onBatch (${event.type})`, options), handle },
  };
}

async function handleAlone<T>(handle: HandleBatch<T>, event: T, delivery: Delivery): Promise<void> {
  const batch = new HandlerBatch([delivery], delivery);
  try {
    await handle([event], batch);
  } finally {
    batch.end();
  }
  if (batch.failures.has(0)) throw batch.failures.get(0);
}

function checkLimits(where: string, options: BatchOptions): BatchLimits {
  onlyKnown(where, options, ["eventsMax", "waitMs", "bytesMax"]);
  const { batchEventsDefault, batchEventsMax, batchWaitMs, batchWaitMsMax, batchBytesDefault, batchBytesMax } = limits;
  return {
    eventsMax: number(where, "eventsMax", options.eventsMax, batchEventsDefault, 1, batchEventsMax, true),
    waitMs: number(where, "waitMs", options.waitMs, batchWaitMs, 0, batchWaitMsMax),
    bytesMax: number(where, "bytesMax", options.bytesMax, batchBytesDefault, 1, batchBytesMax, true),
  };
}
