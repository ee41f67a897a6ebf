import type { DatabaseSync, StatementSync } from "node:sqlite";
import { sqliteTransaction } from "../../platform/index.ts";

/** Grows with every change of the tables. */
const version = 1;

/** `holder` is null once the run has settled; `answer` while there is none. Times are milliseconds since 1970. */
const tables = `
  CREATE TABLE trunkline_idempotency (
    id INTEGER PRIMARY KEY,
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    operation TEXT NOT NULL,
    holder TEXT,
    lease_until INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    answer BLOB,
    UNIQUE (scope, key)
  ) STRICT;
  CREATE INDEX trunkline_idempotency_expiry ON trunkline_idempotency (expires_at);
`;

export interface Statements {
  readonly select: StatementSync;
  readonly insert: StatementSync;
  readonly take: StatementSync;
  readonly renew: StatementSync;
  readonly settle: StatementSync;
  readonly remove: StatementSync;
  readonly sweep: StatementSync;
}

/**
 * Makes the tables where they are missing, and prepares what is done with them.
 * @throws Error when a newer version of this package has made them
 */
export function openTables(database: DatabaseSync): Statements {
  if (versionOf(database) !== version) sqliteTransaction(database, () => makeTables(database));
  // What has expired may have been removed already or not: it counts as removed.
  const held = "scope = ? AND key = ? AND holder = ? AND max(lease_until, expires_at) > ?";
  return {
    select: database.prepare("SELECT * FROM trunkline_idempotency WHERE scope = ? AND key = ?"),
    insert: database.prepare(
      "INSERT INTO trunkline_idempotency (scope, key, fingerprint, operation, holder, lease_until, expires_at) " +
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
    ),
    take: database.prepare("UPDATE trunkline_idempotency SET holder = ?, lease_until = ?, expires_at = ? WHERE id = ?"),
    renew: database.prepare(`UPDATE trunkline_idempotency SET lease_until = ?, expires_at = ? WHERE ${held}`),
    settle: database.prepare(
      `UPDATE trunkline_idempotency SET holder = NULL, lease_until = 0, answer = ?, expires_at = ? WHERE ${held}`,
    ),
    remove: database.prepare("DELETE FROM trunkline_idempotency WHERE id = ?"),
    sweep: database.prepare(
      "DELETE FROM trunkline_idempotency WHERE id IN (SELECT id FROM trunkline_idempotency " +
        "WHERE expires_at <= ? AND (holder IS NULL OR lease_until <= ?) ORDER BY expires_at LIMIT ?)",
    ),
  };
}

/** The version of the tables in the file; `undefined`: there are none. `user_version` is the application's. */
function versionOf(database: DatabaseSync): number | undefined {
  const exists = database.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?");
  if (exists.get("trunkline_schema") === undefined) return undefined;
  const row = database.prepare("SELECT version FROM trunkline_schema WHERE part = 'idempotency'").get();
  return row === undefined ? undefined : Number(row["version"]);
}

function makeTables(database: DatabaseSync): void {
  // Looked at again, now that nobody else writes.
  const found = versionOf(database);
  if (found === version) return;
  if (found !== undefined) {
    throw new Error(
      `the tables of sqliteIdempotencyStore have version ${found}, this package knows up to ${version}: update it`,
    );
  }
  database.exec("CREATE TABLE IF NOT EXISTS trunkline_schema (part TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT");
  database.exec(tables);
  database.prepare("INSERT INTO trunkline_schema (part, version) VALUES ('idempotency', ?)").run(version);
}
