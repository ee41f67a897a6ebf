import type { DatabaseSync } from "node:sqlite";
import { type Platform, systemPlatform } from "../../platform/index.ts";
import { isSqlite, type PostgresClient, type PostgresPool } from "../database/index.ts";
import type { Delivery } from "../handler.ts";
import { keepMsDefault } from "./limits.ts";
import { PostgresInbox } from "./postgres-inbox.ts";
import { SqliteInbox } from "./sqlite-inbox.ts";

export interface InboxOptions {
  /** Whose inbox it is: each group handles an event once. */
  readonly group: string;
  /** How long ids are remembered; longer than retries and dead letters are kept. @default 14 days */
  readonly keepMs?: number | undefined;
  readonly platform?: Platform | undefined;
}

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

/**
 * An inbox in the user's database, whose table is made where it is missing. On SQLite `work` is synchronous, and handlers
 * that run at the same time share a transaction, each in a savepoint of its own.
 *
 * ```ts
 * const once = await inbox({ database, group: "order-processor" });
 * on(OrderCreatedSchema, (event, delivery) => once.run(delivery, tx => reserve(tx, event)));
 * ```
 * @throws RangeError for times that are not above 0; Error when a newer version of this package made the table
 */
export function inbox(options: InboxOptions & { readonly database: DatabaseSync }): Promise<Inbox<DatabaseSync>>;
export function inbox(options: InboxOptions & { readonly database: PostgresPool }): Promise<Inbox<PostgresClient>>;
export async function inbox(
  options: InboxOptions & { readonly database: DatabaseSync | PostgresPool },
): Promise<Inbox<never>> {
  const { database, group, keepMs = keepMsDefault, platform = systemPlatform } = options;
  if (!(keepMs > 0 && keepMs <= Number.MAX_SAFE_INTEGER)) {
    throw new RangeError(`inbox: keepMs is ${keepMs}; it must be a number of milliseconds above 0`);
  }
  if (group === "") throw new TypeError("inbox: group is empty; it names who handles each event once");
  const made = isSqlite(database)
    ? new SqliteInbox(database, group, keepMs, platform)
    : new PostgresInbox(database, group, keepMs, platform);
  await made.open();
  return made as unknown as Inbox<never>;
}

/** CloudEvents: `source` and `id` together are unique. */
export function messageKey({ source, id }: InboxSource): string {
  return source === undefined ? id : `${source} ${id}`;
}
