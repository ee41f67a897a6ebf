import type { DatabaseSync, StatementSync } from "node:sqlite";
import { type Platform, sqliteTransaction } from "../../platform/index.ts";
import { whenUnused } from "../database/index.ts";
import type { Inbox, InboxSource } from "../inbox/index.ts";
import type { Outbox } from "../outbox/index.ts";
import { Conflict, type InstanceRow, type ProcessStore, type Worked } from "./store.ts";

const table = `
  CREATE TABLE IF NOT EXISTS trunkline_process_v1 (
    process TEXT NOT NULL,
    instance TEXT NOT NULL,
    version INTEGER NOT NULL,
    state TEXT NOT NULL,
    timeouts TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    completed_at INTEGER,
    PRIMARY KEY (process, instance)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS trunkline_process_v1_completed ON trunkline_process_v1 (process, completed_at)
    WHERE completed_at IS NOT NULL;
`;

/** How long an operation tries again while another connection writes. */
const busyMs = 5_000;

/** Instances in a database of node:sqlite. Events that come in one turn of the event loop share a transaction. */
export class SqliteProcessStore implements ProcessStore {
  readonly #process: string;
  readonly #database: DatabaseSync;
  readonly #inbox: Inbox<DatabaseSync>;
  readonly #outbox: Pick<Outbox<DatabaseSync, undefined>, "publish">;
  readonly #platform: Platform;
  readonly #statements = new Map<string, StatementSync>();

  constructor(
    process: string,
    database: DatabaseSync,
    inbox: Inbox<DatabaseSync>,
    outbox: Pick<Outbox<DatabaseSync, undefined>, "publish">,
    platform: Platform,
  ) {
    this.#process = process;
    this.#database = database;
    this.#inbox = inbox;
    this.#outbox = outbox;
    this.#platform = platform;
  }

  open(): Promise<void> {
    return whenUnused(this.#database, this.#platform, busyMs, () =>
      sqliteTransaction(this.#database, () => this.#database.exec(table)),
    );
  }

  run<T extends object>(
    delivery: InboxSource,
    instance: string,
    work: (row: InstanceRow | undefined) => Worked<T>,
  ): Promise<T | undefined> {
    return this.#inbox.run<T>(delivery, tx => {
      const before = this.#read(instance);
      const { change, result } = work(before);
      if (change !== undefined) {
        this.#write(instance, before, change.row);
        for (const { schema, event, options } of change.events) this.#outbox.publish(tx, schema, event, options);
      }
      return result;
    });
  }

  find(instance: string): Promise<InstanceRow | undefined> {
    return whenUnused(this.#database, this.#platform, busyMs, () => this.#read(instance));
  }

  cleanUp(keepMs: number, rowsMax: number): Promise<void> {
    return whenUnused(this.#database, this.#platform, busyMs, () => {
      this.#prepared(
        "DELETE FROM trunkline_process_v1 WHERE (process, instance) IN (SELECT process, instance FROM " +
          "trunkline_process_v1 WHERE process = ? AND completed_at <= ? ORDER BY completed_at LIMIT ?)",
      ).run(this.#process, this.#now() - keepMs, rowsMax);
    });
  }

  #read(instance: string): InstanceRow | undefined {
    const row = this.#prepared(
      "SELECT version, state, timeouts, completed_at FROM trunkline_process_v1 WHERE process = ? AND instance = ?",
    ).get(this.#process, instance);
    if (row === undefined) return undefined;
    return {
      version: Number(row["version"]),
      state: String(row["state"]),
      timeouts: String(row["timeouts"]),
      isCompleted: row["completed_at"] !== null,
    };
  }

  /** The transaction has the write lock since it began, so that nobody comes between; the version is held against it all the same. */
  #write(instance: string, before: InstanceRow | undefined, row: InstanceRow): void {
    const now = this.#now();
    const values = [row.version, row.state, row.timeouts, now, row.isCompleted ? now : null];
    const { changes } =
      before === undefined
        ? this.#prepared(
            "INSERT OR IGNORE INTO trunkline_process_v1 (version, state, timeouts, changed_at, completed_at, process, " +
              "instance) VALUES (?, ?, ?, ?, ?, ?, ?)",
          ).run(...values, this.#process, instance)
        : this.#prepared(
            "UPDATE trunkline_process_v1 SET version = ?, state = ?, timeouts = ?, changed_at = ?, completed_at = ? " +
              "WHERE process = ? AND instance = ? AND version = ?",
          ).run(...values, this.#process, instance, before.version);
    if (Number(changes) === 0) throw new Conflict(this.#process, instance);
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
