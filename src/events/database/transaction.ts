import type { DatabaseSync } from "node:sqlite";
import { type Platform, sqliteTransaction, systemPlatform } from "../../platform/index.ts";
import { isSqlite, type PostgresClient, type PostgresPool } from "./database.ts";
import { whenUnused } from "./when-unused.ts";

export interface TransactionOptions {
  /** SQLite: how long it tries again while another connection writes. @default 5,000 */
  readonly busyMs?: number | undefined;
  readonly platform?: Platform | undefined;
}

/** Longer than any transaction of a service should be; a caller's deadline comes before. */
const busyMsDefault = 5_000;

/** What runs after the commit of a transaction that is open, by its connection. */
const afterCommit = new WeakMap<object, (() => void)[]>();

/**
 * Runs `work` as one transaction: what it wrote, and the events that it published through an outbox, are kept together or
 * not at all. On SQLite `work` is synchronous and gets the database; the wait for other connections does not hold up the
 * process. On PostgreSQL it is asynchronous and gets a client of the pool.
 *
 * ```ts
 * await transaction(database, tx => { insertOrder(tx, order); orders.publish(tx, OrderCreatedSchema, { … }); });
 * ```
 * @throws what `work` throws, after a rollback; TypeError when `work` for SQLite returns a promise, because by the time it
 * settled others would have used the connection
 */
export function transaction<T>(
  database: DatabaseSync,
  work: (tx: DatabaseSync) => T,
  options?: TransactionOptions,
): Promise<T>;
export function transaction<T>(
  pool: PostgresPool,
  work: (tx: PostgresClient) => Promise<T>,
  options?: TransactionOptions,
): Promise<T>;
export function transaction<T>(
  database: DatabaseSync | PostgresPool,
  work: (tx: never) => T | Promise<T>,
  options: TransactionOptions = {},
): Promise<T> {
  return isSqlite(database)
    ? onSqlite(database, work as (tx: DatabaseSync) => T, options)
    : onPostgres(database, work as (tx: PostgresClient) => Promise<T>);
}

async function onSqlite<T>(
  database: DatabaseSync,
  work: (tx: DatabaseSync) => T,
  { busyMs = busyMsDefault, platform = systemPlatform }: TransactionOptions,
): Promise<T> {
  const { result, committed } = await whenUnused(database, platform, busyMs, () =>
    collectAfterCommit(database, () => sqliteTransaction(database, () => refusePromise(work(database)))),
  );
  for (const run of committed) run();
  return result;
}

async function onPostgres<T>(pool: PostgresPool, work: (tx: PostgresClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  // A connection that is lost says so to the statement that runs; as an event nobody hears it would end the process.
  client.on("error", hearError);
  const committed: (() => void)[] = [];
  afterCommit.set(client, committed);
  let broken: Error | undefined;
  try {
    await client.query("BEGIN");
    const result = await work(client);
    const { rows: _, ...commit } = (await client.query("COMMIT")) as Awaited<ReturnType<PostgresClient["query"]>> & {
      readonly command?: string;
    };
    // PostgreSQL answers the COMMIT of a transaction that an error has ended with a rollback, and no error.
    if (commit.command === "ROLLBACK")
      throw new Error("the transaction was rolled back, because a statement in it failed");
    for (const run of committed) run();
    return result;
  } catch (error) {
    try {
      await client.query("ROLLBACK");
    } catch (rollbackError) {
      // A connection in an unknown state must not go back to the pool.
      broken = rollbackError as Error;
    }
    throw error;
  } finally {
    afterCommit.delete(client);
    client.removeListener("error", hearError);
    client.release(broken);
  }
}

function hearError(): void {}

/**
 * Runs `run` when the transaction that is open on `tx` has been committed, and not when it is rolled back. Answers whether
 * it is one of {@link transaction}; nobody tells of the end of others.
 */
export function runAfterCommit(tx: object, run: () => void): boolean {
  const listeners = afterCommit.get(tx);
  listeners?.push(run);
  return listeners !== undefined;
}

/** Runs a transaction, with what is to run after its commit. */
export function collectAfterCommit<T>(
  tx: object,
  run: () => T,
): { readonly result: T; readonly committed: readonly (() => void)[] } {
  const committed: (() => void)[] = [];
  afterCommit.set(tx, committed);
  try {
    return { result: run(), committed };
  } finally {
    afterCommit.delete(tx);
  }
}

/** The result of a callback that must be done when it returns. @throws TypeError for a promise */
export function refusePromise<T>(result: T): T {
  if (typeof (result as PromiseLike<unknown> | undefined)?.then !== "function") return result;
  // Nobody will look at it any more.
  void (result as PromiseLike<unknown>).then(undefined, () => {});
  throw new TypeError("a transaction on SQLite is synchronous: its callback must not return a promise");
}
