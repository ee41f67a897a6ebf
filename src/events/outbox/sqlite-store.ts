import type { DatabaseSync, StatementSync } from "node:sqlite";
import { type Platform, sqliteTransaction } from "../../platform/index.ts";
import { whenUnused } from "../database/index.ts";
import type { EventRecord } from "../record.ts";
import {
  attributesText,
  bucketCount,
  bucketOf,
  fairShare,
  type Lease,
  type OutboxCounts,
  type OutboxRow,
  type OutboxStore,
  type ParkedRow,
  recordOf,
  rowState,
  type SentRow,
} from "./store.ts";

/** Grows with every change of the tables. */
const version = 1;

const tables = `
  CREATE TABLE trunkline_outbox (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    bucket INTEGER NOT NULL,
    state INTEGER NOT NULL,
    topic TEXT NOT NULL,
    key TEXT,
    attributes TEXT NOT NULL,
    body BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    due_at INTEGER,
    sent_at INTEGER,
    problem TEXT
  ) STRICT;
  CREATE INDEX trunkline_outbox_unsent ON trunkline_outbox (sequence) WHERE state = ${rowState.unsent};
  CREATE INDEX trunkline_outbox_due ON trunkline_outbox (due_at) WHERE state = ${rowState.scheduled};
  CREATE INDEX trunkline_outbox_aside ON trunkline_outbox (topic, key, sequence)
    WHERE state IN (${rowState.parked}, ${rowState.held}, ${rowState.skipped});
  CREATE INDEX trunkline_outbox_sent ON trunkline_outbox (sent_at) WHERE state = ${rowState.sent};
  CREATE TABLE trunkline_outbox_lease (
    bucket INTEGER PRIMARY KEY,
    owner TEXT,
    fence INTEGER NOT NULL,
    until INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE trunkline_outbox_relay (owner TEXT PRIMARY KEY, until INTEGER NOT NULL) STRICT;
  CREATE TABLE trunkline_outbox_version (version INTEGER NOT NULL) STRICT;
  INSERT INTO trunkline_outbox_version VALUES (${version});
`;

interface Row {
  readonly sequence: number;
  readonly bucket: number;
  readonly topic: string;
  readonly key: string | null;
  readonly attributes: string;
  readonly body: Uint8Array;
  readonly problem: string | null;
}

/** How long an operation of the relay tries again while another connection writes. */
const busyMs = 10_000;

/**
 * An outbox in a database of node:sqlite. The relay uses the connection of the user: between their transactions, which are
 * synchronous, it has it for itself. The machine's clock is the one that all processes on a file share.
 */
export class SqliteOutboxStore implements OutboxStore<DatabaseSync> {
  readonly #database: DatabaseSync;
  readonly #platform: Platform;
  readonly #statements = new Map<string, StatementSync>();

  constructor(database: DatabaseSync, platform: Platform) {
    this.#database = database;
    this.#platform = platform;
  }

  open(): Promise<void> {
    return this.#whenFree(() => {
      if (this.#version() === undefined) {
        sqliteTransaction(this.#database, () => {
          if (this.#version() !== undefined) return;
          this.#database.exec(tables);
          const insert = this.#database.prepare("INSERT INTO trunkline_outbox_lease VALUES (?, NULL, 0, 0)");
          for (let bucket = 0; bucket < bucketCount; bucket++) insert.run(bucket);
        });
      }
      const found = this.#version();
      if (found !== version) {
        throw new Error(
          `the outbox has tables of version ${found}, this package knows ${version}: use a newer trunkline`,
        );
      }
    });
  }

  #version(): number | undefined {
    const exists = this.#database
      .prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'trunkline_outbox_version'")
      .get();
    if (exists === undefined) return undefined;
    return Number(this.#database.prepare("SELECT version FROM trunkline_outbox_version").get()?.["version"]);
  }

  insert(database: DatabaseSync, records: readonly EventRecord[]): undefined {
    if (database !== this.#database) {
      throw new TypeError("the outbox belongs to another connection: publish with the database that it was made with");
    }
    const insert = this.#prepared(
      "INSERT INTO trunkline_outbox (bucket, state, topic, key, attributes, body, created_at, due_at) " +
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    );
    const now = this.#now();
    for (const record of records) {
      const dueAt = record.notBeforeMs !== undefined && record.notBeforeMs > now ? record.notBeforeMs : null;
      insert.run(
        bucketOf(record),
        dueAt === null ? rowState.unsent : rowState.scheduled,
        record.topic,
        record.key ?? null,
        attributesText(record),
        record.body,
        now,
        dueAt,
      );
    }
    return undefined;
  }

  lease(owner: string, leaseMs: number, keepAll: boolean): Promise<readonly Lease[]> {
    return this.#transaction(() => {
      const now = this.#now();
      const until = now + leaseMs;
      this.#prepared("UPDATE trunkline_outbox_lease SET until = ? WHERE owner = ? AND until > ?").run(
        until,
        owner,
        now,
      );
      this.#prepared(
        "INSERT INTO trunkline_outbox_relay VALUES (?, ?) ON CONFLICT (owner) DO UPDATE SET until = excluded.until",
      ).run(owner, until);
      if (!keepAll) {
        const others = this.#prepared(
          "SELECT count(*) AS count FROM trunkline_outbox_relay WHERE owner <> ? AND until > ?",
        ).get(owner, now);
        this.#prepared("DELETE FROM trunkline_outbox_relay WHERE until <= ?").run(now);
        const share = fairShare(Number(others?.["count"]));
        const mine = this.#held(owner, now);
        if (mine.length > share) {
          const giveUp = this.#prepared("UPDATE trunkline_outbox_lease SET owner = NULL, until = 0 WHERE bucket = ?");
          for (const { bucket } of mine.slice(share)) giveUp.run(bucket);
        } else if (mine.length < share) {
          this.#prepared(
            "UPDATE trunkline_outbox_lease SET owner = ?, until = ?, fence = fence + 1 WHERE bucket IN " +
              "(SELECT bucket FROM trunkline_outbox_lease WHERE until <= ? ORDER BY bucket LIMIT ?)",
          ).run(owner, until, now, share - mine.length);
        }
      }
      return this.#held(owner, now);
    });
  }

  #held(owner: string, now: number): Lease[] {
    const rows = this.#prepared(
      "SELECT bucket, fence FROM trunkline_outbox_lease WHERE owner = ? AND until > ? ORDER BY bucket",
    ).all(owner, now);
    return rows.map(row => ({ bucket: Number(row["bucket"]), fence: Number(row["fence"]) }));
  }

  release(owner: string): Promise<void> {
    return this.#transaction(() => {
      this.#prepared("UPDATE trunkline_outbox_lease SET owner = NULL, until = 0 WHERE owner = ?").run(owner);
      this.#prepared("DELETE FROM trunkline_outbox_relay WHERE owner = ?").run(owner);
    });
  }

  wakeScheduled(): Promise<number | undefined> {
    return this.#whenFree(() => {
      const { unsent, scheduled } = rowState;
      const next = this.#prepared(`SELECT min(due_at) AS due FROM trunkline_outbox WHERE state = ${scheduled}`);
      const due = () => next.get()?.["due"] as number | null;
      const now = this.#now();
      if ((due() ?? Number.POSITIVE_INFINITY) <= now) {
        sqliteTransaction(this.#database, () => {
          this.#prepared(
            `UPDATE trunkline_outbox SET state = ${unsent} WHERE state = ${scheduled} AND due_at <= ?`,
          ).run(now);
        });
      }
      const later = due();
      return later === null ? undefined : Math.max(0, later - now);
    });
  }

  unsent(
    leases: readonly Lease[],
    rowsMax: number,
    bytesMax: number,
    hasParked: boolean,
  ): Promise<readonly OutboxRow[]> {
    return this.#whenFree(() => {
      const fences = new Map(leases.map(lease => [lease.bucket, lease]));
      const found: OutboxRow[] = [];
      let bytes = 0;
      const rows = this.#prepared(
        `SELECT sequence, bucket, topic, key, attributes, body FROM trunkline_outbox AS later WHERE state = ${rowState.unsent} ` +
          (hasParked ? `AND NOT EXISTS (${parkedBefore}) ` : "") +
          "ORDER BY sequence",
      ).iterate() as IterableIterator<unknown> as IterableIterator<Row>;
      // What is not looked at costs nothing: the rest stays in the database.
      for (const row of rows) {
        const lease = fences.get(row.bucket);
        if (lease === undefined) continue;
        found.push({ sequence: row.sequence, lease, record: recordOf(row) });
        bytes += row.body.length;
        if (found.length === rowsMax || bytes >= bytesMax) break;
      }
      return found;
    });
  }

  holdBack(): Promise<boolean> {
    return this.#whenFree(() => this.#holdBack());
  }

  #holdBack(): boolean {
    const hasParked = this.#prepared(
      `SELECT 1 FROM trunkline_outbox WHERE ${isAside} AND state = ${rowState.parked} LIMIT 1`,
    ).get();
    if (hasParked === undefined) return false;
    sqliteTransaction(this.#database, () => {
      this.#prepared(
        `UPDATE trunkline_outbox AS later SET state = ${rowState.held} WHERE state = ${rowState.unsent} AND EXISTS ` +
          `(${parkedBefore})`,
      ).run();
    });
    return true;
  }

  markSent(rows: readonly SentRow[]): Promise<number> {
    return this.#transaction(() => {
      const now = this.#now();
      const mark = this.#prepared(
        `UPDATE trunkline_outbox SET state = ${rowState.sent}, sent_at = ? WHERE sequence = ? AND ${fenced}`,
      );
      let marked = 0;
      for (const { sequence, lease } of rows) {
        marked += Number(mark.run(now, sequence, lease.bucket, lease.fence).changes);
      }
      return marked;
    });
  }

  park({ sequence, lease }: SentRow, reason: string, holdKey: boolean): Promise<void> {
    return this.#transaction(() => {
      const state = holdKey ? rowState.parked : rowState.skipped;
      this.#prepared(`UPDATE trunkline_outbox SET state = ${state}, problem = ? WHERE sequence = ? AND ${fenced}`).run(
        reason,
        sequence,
        lease.bucket,
        lease.fence,
      );
    });
  }

  cleanUp(keepMs: number, rowsMax: number): Promise<number> {
    return this.#transaction(() => {
      const { changes } = this.#prepared(
        "DELETE FROM trunkline_outbox WHERE sequence IN (SELECT sequence FROM trunkline_outbox " +
          `WHERE state = ${rowState.sent} AND sent_at <= ? ORDER BY sent_at LIMIT ?)`,
      ).run(this.#now() - keepMs, rowsMax);
      return Number(changes);
    });
  }

  counts(): Promise<OutboxCounts> {
    return this.#whenFree(() => {
      const count = (state: number) =>
        Number(
          this.#prepared(`SELECT count(*) AS count FROM trunkline_outbox WHERE state = ${state}`).get()?.["count"],
        );
      const oldest = this.#prepared(
        `SELECT created_at FROM trunkline_outbox WHERE state = ${rowState.unsent} ORDER BY sequence LIMIT 1`,
      ).get()?.["created_at"];
      return {
        unsent: count(rowState.unsent),
        scheduled: count(rowState.scheduled),
        parked: count(rowState.parked) + count(rowState.skipped),
        held: count(rowState.held),
        oldestAgeMs: oldest === undefined ? undefined : Math.max(0, this.#now() - Number(oldest)),
      };
    });
  }

  parked(rowsMax: number): Promise<readonly ParkedRow[]> {
    return this.#whenFree(() => {
      const rows = this.#prepared(
        "SELECT sequence, topic, key, attributes, body, problem FROM trunkline_outbox " +
          `WHERE state IN (${rowState.parked}, ${rowState.skipped}) ORDER BY sequence LIMIT ?`,
      ).all(rowsMax) as unknown as Row[];
      return rows.map(row => ({ sequence: row.sequence, reason: row.problem ?? "", record: recordOf(row) }));
    });
  }

  settleParked(sequence: number, how: "retry" | "discard"): Promise<boolean> {
    return this.#transaction(() => {
      const row = this.#prepared(
        `SELECT topic, key FROM trunkline_outbox WHERE sequence = ? AND state IN (${rowState.parked}, ${rowState.skipped})`,
      ).get(sequence);
      if (row === undefined) return false;
      if (how === "retry") {
        this.#prepared(`UPDATE trunkline_outbox SET state = ${rowState.unsent}, problem = NULL WHERE sequence = ?`).run(
          sequence,
        );
      } else {
        this.#prepared("DELETE FROM trunkline_outbox WHERE sequence = ?").run(sequence);
      }
      this.#prepared(
        `UPDATE trunkline_outbox SET state = ${rowState.unsent} ` +
          `WHERE state = ${rowState.held} AND topic = ? AND key = ? AND sequence > ?`,
      ).run(row["topic"] ?? null, row["key"] ?? null, sequence);
      return true;
    });
  }

  /** Other processes are noticed by the relay's own look at the table. */
  listen(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  notify(): Promise<void> {
    return Promise.resolve();
  }

  isOpen(database: DatabaseSync): boolean {
    return database.isTransaction;
  }

  #transaction<T>(work: () => T): Promise<T> {
    return this.#whenFree(() => sqliteTransaction(this.#database, work));
  }

  #whenFree<T>(work: () => T): Promise<T> {
    return whenUnused(this.#database, this.#platform, busyMs, work);
  }

  #prepared(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #now(): number {
    return Math.floor(this.#platform.clock.wall());
  }
}

/** The row's bucket is still leased to whoever has this fence. Takes bucket and fence. */
/** Of rows that stand aside: the condition of their index. */
const isAside = `state IN (${rowState.parked}, ${rowState.held}, ${rowState.skipped})`;

/** A parked row of the key of `later` that comes before it. */
const parkedBefore =
  `SELECT 1 FROM trunkline_outbox WHERE ${isAside} AND state = ${rowState.parked} ` +
  "AND topic = later.topic AND key = later.key AND sequence < later.sequence";

const fenced = "EXISTS (SELECT 1 FROM trunkline_outbox_lease WHERE bucket = ? AND fence = ?)";
