import type { DatabaseSync } from "node:sqlite";
import { sqliteTransaction } from "../../../platform/index.ts";
import { BrokerError } from "../../errors.ts";

/** Grows with every change of the tables. */
const version = 2;

const returnedIndexes = `
  CREATE INDEX trunkline_returned_due ON trunkline_returned (group_name, partition_id, due_at, id)
    WHERE parked_key IS NULL;
  CREATE INDEX trunkline_parked ON trunkline_returned (group_name, partition_id, id) WHERE parked_key IS NOT NULL;
`;

/** From version 1, which had nothing parked. */
const addParked = `
  ALTER TABLE trunkline_returned ADD COLUMN parked_key TEXT;
  ALTER TABLE trunkline_returned ADD COLUMN parked_position INTEGER;
  DROP INDEX trunkline_returned_due;
  ${returnedIndexes}
`;

/**
 * Times are milliseconds since 1970. `log` has a row for each batch (`batch-codec.ts`) of a partition, found by the offset of
 * its last record. A lane is what a group has of a partition: `owner` is the member that has it, `epoch` counts how often
 * it changed hands. `generation` and `held` of a group count what its members have to look at again. What waits beside the log for another attempt is
 * in `returned`: by its time, or parked in the line of a key.
 */
const tables = `
  CREATE TABLE trunkline_partition (
    id INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    first_offset INTEGER NOT NULL DEFAULT 0,
    next_offset INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    UNIQUE (topic, partition)
  ) STRICT;
  CREATE TABLE trunkline_log (
    id INTEGER PRIMARY KEY,
    partition_id INTEGER NOT NULL,
    last_offset INTEGER NOT NULL,
    stored_at INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    batch BLOB NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX trunkline_log_offset ON trunkline_log (partition_id, last_offset);
  CREATE TABLE trunkline_group (
    name TEXT PRIMARY KEY,
    generation INTEGER NOT NULL DEFAULT 0,
    held INTEGER NOT NULL DEFAULT 0,
    seen_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE trunkline_member (
    group_name TEXT NOT NULL,
    member TEXT NOT NULL,
    topics TEXT NOT NULL,
    alive_until INTEGER NOT NULL,
    PRIMARY KEY (group_name, member)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE trunkline_lane (
    group_name TEXT NOT NULL,
    partition_id INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    metadata TEXT NOT NULL DEFAULT '',
    epoch INTEGER NOT NULL DEFAULT 0,
    owner TEXT,
    PRIMARY KEY (group_name, partition_id)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE trunkline_returned (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    group_name TEXT NOT NULL,
    partition_id INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    first_failed_at INTEGER,
    place_partition INTEGER NOT NULL,
    place_offset INTEGER NOT NULL,
    stored_at INTEGER,
    record BLOB NOT NULL,
    parked_key TEXT,
    parked_position INTEGER
  ) STRICT;
  ${returnedIndexes}
  CREATE TABLE trunkline_scheduled (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    due_at INTEGER NOT NULL,
    partition_id INTEGER NOT NULL,
    record BLOB NOT NULL
  ) STRICT;
  CREATE INDEX trunkline_scheduled_due ON trunkline_scheduled (due_at, id);
  CREATE TABLE trunkline_letter (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    letter_id TEXT NOT NULL UNIQUE,
    group_name TEXT NOT NULL,
    topic TEXT NOT NULL,
    place_partition INTEGER NOT NULL,
    place_offset INTEGER NOT NULL,
    details TEXT NOT NULL,
    died_at INTEGER NOT NULL,
    record BLOB NOT NULL
  ) STRICT;
  CREATE INDEX trunkline_letter_group ON trunkline_letter (group_name, id);
`;

/**
 * Makes the tables where they are missing, and what is missing of them.
 * @throws BrokerError when a newer version of this package has made them
 */
export function makeTables(database: DatabaseSync, file: string): void {
  if (versionOf(database) === version) return;
  sqliteTransaction(database, () => {
    // Looked at again, now that nobody else writes.
    const found = versionOf(database);
    if (found === version) return;
    if (found === 1) {
      database.exec(addParked);
      database.prepare("UPDATE trunkline_schema SET version = ? WHERE part = 'events'").run(version);
      return;
    }
    if (found !== undefined) {
      throw new BrokerError(
        `sqlite: the events in ${file} have version ${found}, this package knows up to ${version}: update it, or use another file`,
      );
    }
    database.exec(
      "CREATE TABLE IF NOT EXISTS trunkline_schema (part TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT",
    );
    database.exec(tables);
    database.prepare("INSERT INTO trunkline_schema (part, version) VALUES ('events', ?)").run(version);
  });
}

/** The version of the tables in the file; `undefined`: there are none. `user_version` is the application's. */
function versionOf(database: DatabaseSync): number | undefined {
  const exists = database.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?");
  if (exists.get("trunkline_schema") === undefined) return undefined;
  const row = database.prepare("SELECT version FROM trunkline_schema WHERE part = 'events'").get();
  return row === undefined ? undefined : Number(row["version"]);
}
