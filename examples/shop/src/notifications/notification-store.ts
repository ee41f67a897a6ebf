import type { DatabaseSync, StatementSync } from "node:sqlite";

export interface NotificationRecord {
  readonly id: string;
  readonly customerId: string;
  readonly orderId: string;
  /** The event that it tells of. */
  readonly type: string;
  readonly text: string;
  /** Milliseconds since 1970-01-01 UTC. */
  readonly sentAt: bigint;
}

const schema = `
  CREATE TABLE IF NOT EXISTS notifications (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    customer_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    type TEXT NOT NULL,
    text TEXT NOT NULL,
    sent_at INTEGER NOT NULL,
    UNIQUE (order_id, type)
  ) STRICT;
  CREATE INDEX IF NOT EXISTS notifications_customer ON notifications (customer_id, sequence DESC);
`;

/** The messages that were "sent": each tells of one event of one order. */
export class NotificationStore {
  readonly #insert: StatementSync;
  readonly #newest: StatementSync;
  readonly #newestOf: StatementSync;

  constructor(database: DatabaseSync) {
    database.exec(schema);
    this.#insert = database.prepare(
      "INSERT OR IGNORE INTO notifications (id, customer_id, order_id, type, text, sent_at) VALUES (?, ?, ?, ?, ?, ?)",
    );
    this.#newest = database.prepare("SELECT * FROM notifications ORDER BY sequence DESC LIMIT ?");
    this.#newestOf = database.prepare(
      "SELECT * FROM notifications WHERE customer_id = ? ORDER BY sequence DESC LIMIT ?",
    );
  }

  /** Nothing happens when an order's event has been told of before. Runs in the caller's transaction. */
  send({ id, customerId, orderId, type, text, sentAt }: NotificationRecord): void {
    this.#insert.run(id, customerId, orderId, type, text, sentAt);
  }

  /** The newest first. @param customerId only those to this customer; empty: all */
  list(customerId: string, countMax: number): NotificationRecord[] {
    const rows = customerId === "" ? this.#newest.all(countMax) : this.#newestOf.all(customerId, countMax);
    return rows.map(row => ({
      id: String(row["id"]),
      customerId: String(row["customer_id"]),
      orderId: String(row["order_id"]),
      type: String(row["type"]),
      text: String(row["text"]),
      sentAt: BigInt(Number(row["sent_at"])),
    }));
  }
}
