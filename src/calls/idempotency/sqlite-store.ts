import type { DatabaseSync } from "node:sqlite";
import { isBusy, type Platform, sqliteTransaction, systemPlatform, whenFree } from "../../platform/index.ts";
import { sqliteBusyMs, sqliteSweepRows } from "./limits.ts";
import { openTables, type Statements } from "./sqlite-schema.ts";
import type { IdempotencyClaim, IdempotencyStore, IdempotencyTicket } from "./store.ts";

export interface SqliteIdempotencyStoreOptions {
  /** How long an operation tries again while another connection writes. @default 2,000 */
  readonly busyMs?: number | undefined;
  readonly platform?: Platform | undefined;
}

interface Row {
  readonly id: number | bigint;
  readonly fingerprint: Uint8Array;
  readonly operation: string;
  readonly holder: string | null;
  readonly lease_until: number | bigint;
  readonly expires_at: number | bigint;
  readonly answer: Uint8Array | null;
}

class SqliteIdempotencyStore implements IdempotencyStore {
  readonly #database: DatabaseSync;
  readonly #platform: Platform;
  readonly #busyMs: number;
  #statements: Statements | undefined;

  constructor(database: DatabaseSync, options: SqliteIdempotencyStoreOptions) {
    this.#database = database;
    this.#platform = options.platform ?? systemPlatform;
    this.#busyMs = options.busyMs ?? sqliteBusyMs;
    try {
      this.#statements = openTables(database);
    } catch (error) {
      // Another process that starts at the same time makes them just now: the first operation will find them.
      if (!isBusy(error)) throw error;
    }
  }

  begin(ticket: IdempotencyTicket): Promise<IdempotencyClaim> {
    return this.#try(statements => sqliteTransaction(this.#database, () => this.#claim(statements, ticket)));
  }

  renew({ scope, key, holder, leaseMs, ttlMs }: IdempotencyTicket): Promise<boolean> {
    return this.#try(({ renew }) => {
      const now = this.#now();
      return Number(renew.run(now + leaseMs, now + ttlMs, scope, key, holder, now).changes) === 1;
    });
  }

  complete(ticket: IdempotencyTicket, answer: Uint8Array): Promise<boolean> {
    return this.#settle(ticket, answer);
  }

  abandon(ticket: IdempotencyTicket): Promise<boolean> {
    return this.#settle(ticket, null);
  }

  #settle({ scope, key, holder, ttlMs }: IdempotencyTicket, answer: Uint8Array | null): Promise<boolean> {
    return this.#try(({ settle }) => {
      const now = this.#now();
      return Number(settle.run(answer, now + ttlMs, scope, key, holder, now).changes) === 1;
    });
  }

  #claim(statements: Statements, ticket: IdempotencyTicket): IdempotencyClaim {
    const { scope, key, fingerprint, holder, leaseMs, ttlMs } = ticket;
    const now = this.#now();
    const row = statements.select.get(scope, key) as unknown as Row | undefined;
    if (row === undefined || hasExpired(row, now)) {
      if (row !== undefined) statements.remove.run(row.id);
      statements.sweep.run(now, now, sqliteSweepRows);
      statements.insert.run(scope, key, fingerprint, holder, holder, now + leaseMs, now + ttlMs);
      return { kind: "new", operation: holder };
    }
    if (Buffer.compare(row.fingerprint, fingerprint) !== 0) return { kind: "mismatch" };
    if (row.answer !== null) return { kind: "stored", answer: row.answer };
    if (row.holder !== null && Number(row.lease_until) > now) return { kind: "running" };
    statements.take.run(holder, now + leaseMs, now + ttlMs, row.id);
    return { kind: "new", operation: row.operation };
  }

  #try<T>(work: (statements: Statements) => T): Promise<T> {
    return whenFree(this.#platform, this.#busyMs, () => {
      this.#statements ??= openTables(this.#database);
      return work(this.#statements);
    });
  }

  /** The only clock that processes and restarts share. */
  #now(): number {
    return Math.floor(this.#platform.clock.wall());
  }
}

function hasExpired({ holder, lease_until, expires_at }: Row, now: number): boolean {
  return Number(expires_at) <= now && (holder === null || Number(lease_until) <= now);
}

/**
 * Keys and answers in a SQLite file: they outlive the process, and several processes of one machine may share them. The
 * tables are made where they are missing. The connection should be the store's own, with the `timeout` of 0 that
 * `DatabaseSync` has by default: the store waits without holding up the process.
 *
 * ```ts
 * import { DatabaseSync } from "node:sqlite";
 * idempotency({ store: sqliteIdempotencyStore(new DatabaseSync("keys.db")) });
 * ```
 * @throws Error when the file cannot be written, or a newer version of this package has made its tables
 */
export function sqliteIdempotencyStore(
  database: DatabaseSync,
  options: SqliteIdempotencyStoreOptions = {},
): IdempotencyStore {
  return new SqliteIdempotencyStore(database, options);
}
