import type { DatabaseSync } from "node:sqlite";
import { type Platform, systemPlatform } from "../../platform/index.ts";
import { isSqlite, type PostgresClient, type PostgresPool } from "../database/index.ts";
import type { Inbox } from "./inbox-model.ts";
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
