import type { Delivery } from "../handler.ts";

/** As much of a delivery as tells an event from others. */
export type InboxSource = Pick<Delivery, "id" | "source">;

export interface Inbox<Tx> {
  /**
   * Runs `work` in a transaction, unless this group has done so for the same event: then it resolves with `undefined`, and
   * the delivery is as good as handled. What `work` writes and the note that it has run are committed together.
   * @throws what `work` throws, after a rollback: the event will be handled again
   */
  run<T>(delivery: InboxSource, work: (tx: Tx) => T): Promise<Awaited<T> | undefined>;
  /**
   * `run` for many events in one transaction, for batch handlers: `work` gets the indices of those that this group has not
   * handled before, and is not run when there is none.
   *
   * ```ts
   * onBatch(OrderCreatedSchema, {}, (events, { deliveries }) =>
   *   once.runBatch(deliveries, (tx, fresh) => insertAll(tx, fresh.map(index => events[index]))));
   * ```
   * What `work` throws undoes all of it: a batch handler then gets each event alone. Not together with `batch.fail` for one of
   * `fresh`: it is noted as handled when `work` returns, and its next attempt would do nothing.
   * @throws what `work` throws, after a rollback
   */
  runBatch<T>(
    deliveries: readonly InboxSource[],
    work: (tx: Tx, fresh: readonly number[]) => T,
  ): Promise<Awaited<T> | undefined>;
}

/** CloudEvents: `source` and `id` together are unique. */
export function messageKey({ source, id }: InboxSource): string {
  return source === undefined ? id : `${source} ${id}`;
}

/** The first index of each event: one that is in a batch twice is handled once. */
export function firstIndices(deliveries: readonly InboxSource[]): Map<string, number> {
  const indices = new Map<string, number>();
  for (const [index, delivery] of deliveries.entries()) {
    const key = messageKey(delivery);
    if (!indices.has(key)) indices.set(key, index);
  }
  return indices;
}
