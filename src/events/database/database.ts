import type { DatabaseSync } from "node:sqlite";

/** As much of `pg`'s results as is needed here. */
export interface PostgresResult {
  readonly rows: readonly Readonly<Record<string, unknown>>[];
  readonly rowCount: number | null;
}

/** As much of a client of `pg` as is needed here; what runs on it belongs to one transaction. */
export interface PostgresClient {
  query(text: string, values?: unknown[]): Promise<PostgresResult>;
  release(error?: Error | boolean): void;
  on(event: "notification" | "error" | "end", listener: (argument: Error) => void): unknown;
  removeListener(event: string, listener: (argument: Error) => void): unknown;
}

/** A `Pool` of `pg`, or anything that does the same. */
export interface PostgresPool {
  query(text: string, values?: unknown[]): Promise<PostgresResult>;
  connect(): Promise<PostgresClient>;
}

/** Tells a database of node:sqlite, also of another version or realm, from a pool. */
export function isSqlite(database: DatabaseSync | PostgresPool): database is DatabaseSync {
  return typeof (database as DatabaseSync).prepare === "function";
}
