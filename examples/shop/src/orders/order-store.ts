import { EventEmitter } from "node:events";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { systemPlatform } from "trunkline";
import { transaction } from "trunkline/events";
import { OrderStatus } from "../gen/order/order_pb.ts";
import type { Announce, OrderChange } from "./order-events.ts";
import { totalOf } from "./order-total.ts";

export interface OrderItemRecord {
  readonly productId: string;
  readonly quantity: number;
  readonly price: number;
}

export interface NewOrder {
  readonly customerId: string;
  readonly items: readonly OrderItemRecord[];
}

export interface OrderRecord {
  /** Grows with every order that is stored. */
  readonly sequence: number;
  readonly id: string;
  readonly customerId: string;
  readonly items: readonly OrderItemRecord[];
  readonly status: OrderStatus;
  /** Milliseconds since 1970-01-01 UTC. */
  readonly createdAt: bigint;
  readonly total: number;
}

/** The place of an order in the list of the newest; the next page begins after it. */
export interface OrderPosition {
  readonly createdAt: bigint;
  readonly id: string;
}

interface OrderRow {
  readonly sequence: number;
  readonly id: string;
  readonly customer_id: string;
  readonly items: string;
  readonly status: OrderStatus;
  readonly created_at: number;
  readonly total: number;
}

const schema = `
  CREATE TABLE IF NOT EXISTS orders (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    customer_id TEXT NOT NULL,
    items TEXT NOT NULL,
    status INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    total REAL NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS orders_newest ON orders (created_at DESC, id DESC);
`;

const seedCreatedAtMs = 1_700_000_000_000;
const seedItems: readonly OrderItemRecord[] = [{ productId: "product-1", quantity: 2, price: 9.99 }];
const seedOrders = [
  { id: "123", status: OrderStatus.PENDING },
  { id: "124", status: OrderStatus.SHIPPED },
];

export interface OrderStoreOptions {
  /** Tells others of what changes. @default nobody */
  readonly announce?: Announce | undefined;
  readonly now?: (() => number) | undefined;
}

/** Orders in one SQLite file, which a single process writes. */
export class OrderStore {
  readonly #database: DatabaseSync;
  /** `added`: orders were stored; `changed`, with the order: it has a new status. */
  readonly #events = new EventEmitter<{ added: []; changed: [OrderRecord] }>().setMaxListeners(0);
  readonly #now: () => number;
  readonly #announce: Announce;
  readonly #insert: StatementSync;
  readonly #selectById: StatementSync;
  readonly #count: StatementSync;
  readonly #selectNewest: StatementSync;
  readonly #updateStatus: StatementSync;
  readonly #selectAfter: StatementSync;

  constructor(database: DatabaseSync, { announce = () => {}, now }: OrderStoreOptions = {}) {
    this.#database = database;
    this.#now = now ?? (() => systemPlatform.clock.wall());
    this.#announce = announce;
    this.#database.exec(schema);
    this.#insert = this.#database.prepare(
      "INSERT OR IGNORE INTO orders (id, customer_id, items, status, created_at, total) VALUES (?, ?, ?, ?, ?, ?)",
    );
    this.#count = this.#database.prepare("SELECT count(*) AS count FROM orders");
    this.#selectById = this.#database.prepare("SELECT * FROM orders WHERE id = ?");
    this.#selectNewest = this.#database.prepare(
      "SELECT * FROM orders WHERE (created_at, id) < (?, ?) ORDER BY created_at DESC, id DESC LIMIT ?",
    );
    this.#updateStatus = this.#database.prepare("UPDATE orders SET status = ? WHERE id = ?");
    this.#selectAfter = this.#database.prepare("SELECT * FROM orders WHERE sequence > ? ORDER BY sequence LIMIT ?");
    for (const { id, status } of seedOrders) {
      const total = totalOf(seedItems);
      this.#insert.run(id, "customer-456", JSON.stringify(seedItems), status, seedCreatedAtMs, total);
    }
  }

  get(id: string): OrderRecord | undefined {
    const row = this.#selectById.get(id);
    return row === undefined ? undefined : recordOf(row as unknown as OrderRow);
  }

  /** How many orders there are. @throws when the database does not answer */
  count(): number {
    return Number(this.#count.get()?.["count"]);
  }

  /** Stores a new pending order. @param id when given and there already, nothing is stored: the order is that one */
  async create(customerId: string, items: readonly OrderItemRecord[], id?: string): Promise<OrderRecord> {
    const order = await transaction(this.#database, () => {
      const existing = id === undefined ? undefined : this.get(id);
      return existing ?? this.#insertNew({ customerId, items }, id);
    });
    this.#events.emit("added");
    return order;
  }

  /** Stores new pending orders: all of them, or none when it fails. */
  async createAll(orders: readonly NewOrder[]): Promise<OrderRecord[]> {
    const stored = await transaction(this.#database, () => orders.map(order => this.#insertNew(order)));
    this.#events.emit("added");
    return stored;
  }

  #insertNew({ customerId, items }: NewOrder, id = newId()): OrderRecord {
    const stored = items.map(({ productId, quantity, price }) => ({ productId, quantity, price }));
    this.#insert.run(id, customerId, JSON.stringify(stored), OrderStatus.PENDING, this.#now(), totalOf(stored));
    const order = this.get(id);
    if (order === undefined) throw new Error(`order ${id} was not stored`);
    this.#announce(this.#database, order, "created", "");
    return order;
  }

  /** Cancels an order that is neither shipped nor cancelled. @returns the order as it is then; `undefined`: there is none */
  async cancel(id: string): Promise<OrderRecord | undefined> {
    const { order, isChanged } = await transaction(this.#database, () => {
      const order = this.get(id);
      const isOver = order?.status === OrderStatus.SHIPPED || order?.status === OrderStatus.CANCELLED;
      if (order === undefined || isOver) return { order, isChanged: false };
      return { order: this.#change(order, OrderStatus.CANCELLED, "cancelled", "by the customer"), isChanged: true };
    });
    if (order !== undefined && isChanged) this.tell(order);
    return order;
  }

  /**
   * Confirms or rejects an order that waits for its goods. Runs in the caller's transaction; `tell` belongs behind its commit.
   * @returns the changed order; `undefined` when there was nothing to change
   */
  settle(id: string, reserved: boolean, reason: string): OrderRecord | undefined {
    const order = this.get(id);
    if (order?.status !== OrderStatus.PENDING) return undefined;
    return reserved
      ? this.#change(order, OrderStatus.CONFIRMED, "confirmed", "")
      : this.#change(order, OrderStatus.REJECTED, "rejected", reason);
  }

  /** Tells those who follow an order here that it has changed. */
  tell(order: OrderRecord): void {
    this.#events.emit("changed", order);
  }

  #change(order: OrderRecord, status: OrderStatus, change: OrderChange, reason: string): OrderRecord {
    this.#updateStatus.run(status, order.id);
    const changed = { ...order, status };
    this.#announce(this.#database, changed, change, reason);
    return changed;
  }

  /** Calls `listener` for each order that gets another status, until the returned function is called. */
  onChanged(listener: (order: OrderRecord) => void): () => void {
    this.#events.on("changed", listener);
    return () => this.#events.off("changed", listener);
  }

  /** The newest orders first; after a position, those that are older. */
  listNewest(countMax: number, after?: OrderPosition): OrderRecord[] {
    const createdAt = after?.createdAt ?? BigInt(Number.MAX_SAFE_INTEGER);
    const rows = this.#selectNewest.all(createdAt, after?.id ?? "", countMax);
    return (rows as unknown as OrderRow[]).map(recordOf);
  }

  /** Orders in the sequence in which they were stored, after the given one. */
  listAfter(sequence: number, countMax: number): OrderRecord[] {
    const rows = this.#selectAfter.all(sequence, countMax);
    return (rows as unknown as OrderRow[]).map(recordOf);
  }

  /** Resolves when the next order has been stored or the signal is aborted. */
  nextAdded(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise(resolve => {
      const done = () => {
        this.#events.off("added", done);
        signal.removeEventListener("abort", done);
        resolve();
      };
      this.#events.on("added", done);
      signal.addEventListener("abort", done);
    });
  }
}

function newId(): string {
  return Buffer.from(systemPlatform.random.bytes(16)).toString("hex");
}

function recordOf(row: OrderRow): OrderRecord {
  return {
    sequence: row.sequence,
    id: row.id,
    customerId: row.customer_id,
    items: JSON.parse(row.items) as OrderItemRecord[],
    status: row.status,
    createdAt: BigInt(row.created_at),
    total: row.total,
  };
}
