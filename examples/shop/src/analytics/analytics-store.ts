import type { DatabaseSync, StatementSync } from "node:sqlite";

export type CountedChange = "created" | "confirmed" | "rejected";

export interface SummaryRecord {
  readonly ordersCreated: number;
  readonly ordersConfirmed: number;
  readonly ordersRejected: number;
  readonly revenue: number;
}

/** A row for each change of each order, so that one that is told of twice counts once. */
const schema = `
  CREATE TABLE IF NOT EXISTS changes (
    order_id TEXT NOT NULL,
    change TEXT NOT NULL,
    cents INTEGER NOT NULL,
    PRIMARY KEY (order_id, change)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS totals (
    change TEXT PRIMARY KEY,
    orders INTEGER NOT NULL,
    cents INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
`;

/** What was ordered, counted. Sums are in cents, so that they are exact. */
export class AnalyticsStore {
  readonly #note: StatementSync;
  readonly #add: StatementSync;
  readonly #totals: StatementSync;

  constructor(database: DatabaseSync) {
    database.exec(schema);
    this.#note = database.prepare("INSERT OR IGNORE INTO changes VALUES (?, ?, ?)");
    this.#add = database.prepare(
      "INSERT INTO totals VALUES (?, 1, ?) " +
        "ON CONFLICT (change) DO UPDATE SET orders = orders + 1, cents = cents + excluded.cents",
    );
    this.#totals = database.prepare("SELECT * FROM totals");
  }

  /** Runs in the caller's transaction. */
  count(orderId: string, change: CountedChange, total: number): void {
    // What other producers say is not always a number that counts.
    const exact = Math.round(total * 100);
    const cents = Number.isSafeInteger(exact) ? exact : 0;
    if (Number(this.#note.run(orderId, change, cents).changes) > 0) this.#add.run(change, cents);
  }

  summary(): SummaryRecord {
    const totals = new Map(this.#totals.all().map(row => [String(row["change"]), row]));
    const orders = (change: CountedChange) => Number(totals.get(change)?.["orders"] ?? 0);
    return {
      ordersCreated: orders("created"),
      ordersConfirmed: orders("confirmed"),
      ordersRejected: orders("rejected"),
      revenue: Number(totals.get("confirmed")?.["cents"] ?? 0) / 100,
    };
  }
}
