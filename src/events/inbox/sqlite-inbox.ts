import type { DatabaseSync, StatementSync } from "node:sqlite";
import { type Platform, sqliteTransaction } from "../../platform/index.ts";
import { SharedTransaction, whenUnused } from "../database/index.ts";
import { firstIndices, type Inbox, type InboxSource, messageKey } from "./inbox-model.ts";
import { busyMs, cleanUpMs, cleanUpRowsMax, groupMax } from "./limits.ts";

const table = `
  CREATE TABLE IF NOT EXISTS trunkline_inbox_v1 (
    consumer TEXT NOT NULL,
    message TEXT NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (consumer, message)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS trunkline_inbox_v1_age ON trunkline_inbox_v1 (seen_at);
`;

/** An inbox in node:sqlite. */
export class SqliteInbox implements Inbox<DatabaseSync> {
  readonly #database: DatabaseSync;
  readonly #group: string;
  readonly #keepMs: number;
  readonly #platform: Platform;
  readonly #shared: SharedTransaction;
  #insert: StatementSync | undefined;
  #cleanedAtMs: number;

  constructor(database: DatabaseSync, group: string, keepMs: number, platform: Platform) {
    this.#database = database;
    this.#group = group;
    this.#keepMs = keepMs;
    this.#platform = platform;
    this.#shared = new SharedTransaction(database, platform, { busyMs, workMax: groupMax });
    this.#cleanedAtMs = platform.clock.now();
  }

  open(): Promise<void> {
    return whenUnused(this.#database, this.#platform, busyMs, () =>
      sqliteTransaction(this.#database, () => this.#database.exec(table)),
    );
  }

  run<T>(delivery: InboxSource, work: (tx: DatabaseSync) => T): Promise<Awaited<T> | undefined> {
    return this.#shared.run(() => {
      const now = Math.floor(this.#platform.clock.wall());
      const isFresh = this.#note(messageKey(delivery), now);
      this.#cleanUp(now);
      return isFresh ? work(this.#database) : undefined;
    }) as Promise<Awaited<T> | undefined>;
  }

  runBatch<T>(
    deliveries: readonly InboxSource[],
    work: (tx: DatabaseSync, fresh: readonly number[]) => T,
  ): Promise<Awaited<T> | undefined> {
    return this.#shared.run(() => {
      const now = Math.floor(this.#platform.clock.wall());
      const fresh: number[] = [];
      for (const [key, index] of firstIndices(deliveries)) if (this.#note(key, now)) fresh.push(index);
      this.#cleanUp(now);
      return fresh.length === 0 ? undefined : work(this.#database, fresh);
    }) as Promise<Awaited<T> | undefined>;
  }

  /** Whether it is the first note of this event. */
  #note(key: string, wallMs: number): boolean {
    this.#insert ??= this.#database.prepare("INSERT OR IGNORE INTO trunkline_inbox_v1 VALUES (?, ?, ?)");
    return Number(this.#insert.run(this.#group, key, wallMs).changes) === 1;
  }

  #cleanUp(wallMs: number): void {
    const now = this.#platform.clock.now();
    if (now - this.#cleanedAtMs < cleanUpMs) return;
    this.#cleanedAtMs = now;
    this.#database
      .prepare(
        "DELETE FROM trunkline_inbox_v1 WHERE (consumer, message) IN " +
          "(SELECT consumer, message FROM trunkline_inbox_v1 WHERE seen_at <= ? ORDER BY seen_at LIMIT ?)",
      )
      .run(wallMs - this.#keepMs, cleanUpRowsMax);
  }
}
