import type { DatabaseSync, StatementSync } from "node:sqlite";

export interface StockLevelRecord {
  readonly productId: string;
  readonly available: number;
  readonly reserved: number;
}

/** So many pieces of a product. */
export interface WantedItem {
  readonly productId: string;
  readonly quantity: number;
}

/** What became of an order's goods. */
export interface Reservation {
  readonly reserved: boolean;
  /** Why not, for people; empty when they are. */
  readonly reason: string;
  /** Of the order's products, afterwards. */
  readonly levels: readonly StockLevelRecord[];
}

const schema = `
  CREATE TABLE IF NOT EXISTS stock (
    product_id TEXT PRIMARY KEY,
    available INTEGER NOT NULL CHECK (available >= 0),
    reserved INTEGER NOT NULL CHECK (reserved >= 0)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS reservations (
    order_id TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('reserved', 'refused', 'released')),
    items TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
`;

const seeds: readonly (readonly [productId: string, available: number])[] = [
  ["product-1", 1000],
  ["product-2", 1000],
  ["product-3", 1000],
  ["product-rare", 1],
];

/**
 * Stock and what is set aside for orders. Each order is decided upon once, whatever is delivered how often; what is available
 * and what is reserved always add up to the same.
 */
export class InventoryStore {
  readonly #level: StatementSync;
  readonly #levels: StatementSync;
  readonly #move: StatementSync;
  readonly #reservation: StatementSync;
  readonly #decide: StatementSync;
  readonly #release: StatementSync;

  constructor(database: DatabaseSync) {
    database.exec(schema);
    const seed = database.prepare("INSERT OR IGNORE INTO stock VALUES (?, ?, 0)");
    for (const [productId, available] of seeds) seed.run(productId, available);
    this.#level = database.prepare("SELECT * FROM stock WHERE product_id = ?");
    this.#levels = database.prepare("SELECT * FROM stock ORDER BY product_id");
    this.#move = database.prepare(
      "UPDATE stock SET available = available - ?, reserved = reserved + ? WHERE product_id = ?",
    );
    this.#reservation = database.prepare("SELECT state, items FROM reservations WHERE order_id = ?");
    this.#decide = database.prepare("INSERT INTO reservations VALUES (?, ?, ?)");
    this.#release = database.prepare("UPDATE reservations SET state = 'released' WHERE order_id = ?");
  }

  level(productId: string): StockLevelRecord | undefined {
    const row = this.#level.get(productId);
    return row === undefined ? undefined : levelOf(row);
  }

  levels(): StockLevelRecord[] {
    return this.#levels.all().map(levelOf);
  }

  /**
   * Sets all items of an order aside, or none. Runs in the caller's transaction.
   * @returns `undefined` when the order has been decided upon before
   */
  reserve(orderId: string, items: readonly WantedItem[]): Reservation | undefined {
    if (this.#reservation.get(orderId) !== undefined) return undefined;
    const wanted = sumByProduct(items);
    const reason = this.#whyNot(items, wanted);
    if (reason === undefined) for (const [productId, quantity] of wanted) this.#move.run(quantity, quantity, productId);
    this.#decide.run(orderId, reason === undefined ? "reserved" : "refused", JSON.stringify([...wanted]));
    return { reserved: reason === undefined, reason: reason ?? "", levels: this.#levelsOf(wanted) };
  }

  /** Gives an order's items back. One that is not known yet will find nothing reserved when it comes. */
  release(orderId: string): void {
    const row = this.#reservation.get(orderId) as { state: string; items: string } | undefined;
    if (row === undefined) this.#decide.run(orderId, "released", "[]");
    if (row?.state !== "reserved") return;
    const items = JSON.parse(row.items) as [productId: string, quantity: number][];
    for (const [productId, quantity] of items) this.#move.run(-quantity, -quantity, productId);
    this.#release.run(orderId);
  }

  #whyNot(items: readonly WantedItem[], wanted: ReadonlyMap<string, number>): string | undefined {
    const odd = items.find(({ quantity }) => quantity <= 0);
    if (odd !== undefined) return `a quantity of ${odd.quantity} of ${odd.productId} means nothing`;
    for (const [productId, quantity] of wanted) {
      const level = this.level(productId);
      if (level === undefined) return `there is no product ${productId}`;
      if (level.available < quantity) return `${quantity} of ${productId} are wanted, ${level.available} are available`;
    }
    return undefined;
  }

  #levelsOf(wanted: ReadonlyMap<string, number>): StockLevelRecord[] {
    return [...wanted.keys()].flatMap(productId => this.level(productId) ?? []);
  }
}

/** An order may name a product more than once. */
function sumByProduct(items: readonly WantedItem[]): ReadonlyMap<string, number> {
  const sums = new Map<string, number>();
  for (const { productId, quantity } of items) sums.set(productId, (sums.get(productId) ?? 0) + quantity);
  return sums;
}

function levelOf(row: Record<string, unknown>): StockLevelRecord {
  return {
    productId: String(row["product_id"]),
    available: Number(row["available"]),
    reserved: Number(row["reserved"]),
  };
}
