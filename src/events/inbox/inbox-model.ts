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
}

/** CloudEvents: `source` and `id` together are unique. */
export function messageKey({ source, id }: InboxSource): string {
  return source === undefined ? id : `${source} ${id}`;
}
