import { mkdirSync, rmSync } from "node:fs";
import type { Writable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { portOf, type ServiceName, services } from "../../examples/shop/src/processes/services.ts";
import { stateFolder } from "../../examples/shop/src/processes/state.ts";
import { Supervisor } from "../../examples/shop/src/processes/supervisor.ts";
import type { Random } from "../../src/platform/index.ts";

/** Requests of which nobody knows yet what became of them. */
const openMax = 100;
const requestTimeoutMs = 5_000;
const againMsMin = 100;
const againMsMax = 1_000;
const pageSize = 1_000;
/** Orders of one customer: their notifications are one page. */
const ordersPerCustomer = 100;
const cancelledOf10 = 3;
const host = "127.0.0.1";
const stock: Readonly<Record<string, number>> = {
  "product-1": 1_000,
  "product-2": 1_000,
  "product-3": 1_000,
  "product-rare": 1,
};
const products = Object.keys(stock);
/** Those of a fresh shop. */
const seededOrders = 2;

interface Order {
  readonly id: string;
  readonly status: string;
  readonly customer_id: string;
  readonly items: readonly { readonly product_id: string; readonly quantity: number }[];
  readonly total: number;
}

interface Summary {
  readonly orders_created: number;
  readonly orders_confirmed: number;
  readonly orders_rejected: number;
  readonly revenue: number;
}

interface Notification {
  readonly order_id: string;
  readonly type: string;
}

/** The example shop on the broker under test, with callers who repeat each request until it is answered. */
export class SoakedShop {
  readonly #supervisor: Supervisor;
  readonly #offset: number;
  readonly #random: Random;
  readonly #open = new Set<Promise<void>>();
  /** Ids of the orders that callers were told of. */
  readonly #placed: string[] = [];
  readonly #refusals: string[] = [];
  #isOver = false;
  #running: Promise<void> = Promise.resolve();
  #begun = 0;
  #repeats = 0;

  constructor(eventsUrl: string, offset: number, random: Random, output: Writable) {
    this.#offset = offset;
    this.#random = random;
    this.#supervisor = new Supervisor({
      replicas: new Map(services.map(({ name }) => [name, 1])),
      offset,
      host,
      environment: { ...process.env, EVENTS_URL: eventsUrl, DISCOVERY: "static", CUSTOMER_ADDRESS: "" },
      output: { stdout: output, stderr: output },
    });
  }

  get folder(): string {
    return stateFolder(this.#offset);
  }

  get placed(): number {
    return this.#placed.length;
  }

  /** Requests that were sent again. */
  get repeats(): number {
    return this.#repeats;
  }

  /** Processes that were started again. */
  get restarts(): number {
    return this.#supervisor.services.reduce((sum, { restarts }) => sum + restarts, 0);
  }

  /** @throws Error when it does not start */
  async start(): Promise<void> {
    rmSync(this.folder, { recursive: true, force: true });
    mkdirSync(this.folder, { recursive: true });
    const failed = await this.#supervisor.start();
    if (failed === undefined) return;
    const { service, reason } = failed;
    throw new Error(`${service.name} of the shop did not start: ${reason}; PORT_OFFSET (now ${this.#offset}) moves it`);
  }

  /** Kills one process; its supervisor starts it again. */
  killOne(random: Random): string {
    const all = this.#supervisor.services;
    const victim = all[random.below(all.length)];
    victim?.kill();
    return victim?.name ?? "nobody";
  }

  order(perSecond: number): void {
    this.#running = this.#order(perSecond);
  }

  /** No further orders. Resolves when those that were begun are answered; with `false` when some are not in time. */
  async stopOrdering(withinMs: number): Promise<boolean> {
    this.#isOver = true;
    await this.#running;
    const late = pause(withinMs, false, { ref: false });
    return Promise.race([Promise.all(this.#open).then(() => true), late]);
  }

  stop(): Promise<void> {
    return this.#supervisor.stop();
  }

  kill(): void {
    this.#supervisor.kill();
  }

  async #order(perSecond: number): Promise<void> {
    while (!this.#isOver) {
      await pause(this.#random.below(2_000 / perSecond));
      if (this.#open.size >= openMax) continue;
      const placing = this.#place(this.#begun++).finally(() => this.#open.delete(placing));
      this.#open.add(placing);
    }
  }

  /** Places an order, and cancels some of them, each until it is answered. */
  async #place(number: number): Promise<void> {
    const random = this.#random;
    const item = () => ({
      product_id: products[random.below(20) === 0 ? 3 : random.below(3)],
      quantity: 1 + random.below(3),
      price: 2.5,
    });
    const body = {
      customer_id: `customer-${Math.floor(number / ordersPerCustomer)}`,
      items: Array.from({ length: 1 + random.below(2) }, item),
    };
    const isCancelled = random.below(10) < cancelledOf10;
    const cancelAfterMs = random.below(2) * random.below(3_000);
    const order = await this.#until("/api/orders", 201, { "idempotency-key": `soak-${number}` }, body);
    if (order === undefined) return;
    this.#placed.push(order.id);
    if (!isCancelled) return;
    await pause(cancelAfterMs);
    await this.#until(`/api/orders/${order.id}:cancel`, 200, {}, undefined);
  }

  /** Repeats a request until it has the wanted answer, or one that no repetition changes. */
  async #until(
    path: string,
    wanted: number,
    headers: Readonly<Record<string, string>>,
    body: object | undefined,
  ): Promise<Order | undefined> {
    for (let isFirst = true; ; isFirst = false) {
      if (!isFirst) this.#repeats++;
      try {
        const response = await fetch(this.#address("order-service", path), {
          method: "POST",
          headers: { "content-type": "application/json", ...headers },
          body: body === undefined ? null : JSON.stringify(body),
          signal: AbortSignal.timeout(requestTimeoutMs),
        });
        const text = await response.text();
        if (response.status === wanted) return JSON.parse(text) as Order;
        // 409: the first one still runs. Other refusals are no matter of luck.
        if (response.status < 500 && response.status !== 409 && response.status !== 429) {
          this.#refusals.push(`${path}: ${response.status} ${text}`);
          return undefined;
        }
      } catch {
        // The service was killed, or starts again.
      }
      await pause(againMsMin + this.#random.below(againMsMax - againMsMin));
    }
  }

  #address(service: ServiceName, path: string): string {
    return `http://${host}:${portOf(service, this.#offset)}${path}`;
  }

  async #get<T>(service: ServiceName, path: string): Promise<T> {
    const response = await fetch(this.#address(service, path), { signal: AbortSignal.timeout(requestTimeoutMs) });
    if (response.status !== 200) throw new Error(`${service}${path}: ${response.status}`);
    return (await response.json()) as T;
  }

  async #orders(): Promise<Order[]> {
    const all: Order[] = [];
    let token = "";
    do {
      const path = `/api/orders?page_size=${pageSize}${token === "" ? "" : `&page_token=${encodeURIComponent(token)}`}`;
      const page = await this.#get<{ orders: Order[]; next_page_token?: string }>("order-service", path);
      all.push(...page.orders);
      token = page.next_page_token ?? "";
    } while (token !== "");
    return all;
  }

  async #notifications(orders: readonly Order[]): Promise<Notification[]> {
    const all: Notification[] = [];
    for (const customer of new Set(orders.map(order => order.customer_id))) {
      const path = `/notifications?customer_id=${customer}&page_size=${pageSize}`;
      all.push(...(await this.#get<{ notifications: Notification[] }>("notification-service", path)).notifications);
    }
    return all;
  }

  /** Waits until nothing is wrong, for as long as something still changes. */
  async settled(stillMs: number): Promise<readonly string[]> {
    let before: unknown;
    let sinceMs = performance.now();
    for (;;) {
      const wrong = await this.#wrong().catch((error: unknown) => [`the shop does not answer: ${String(error)}`]);
      if (wrong.length === 0) return [];
      if (!isDeepStrictEqual(before, wrong)) sinceMs = performance.now();
      else if (performance.now() - sinceMs > stillMs) return wrong;
      before = wrong;
      await pause(1_000);
    }
  }

  /** What is not as it should be, in words. */
  async #wrong(): Promise<readonly string[]> {
    const everything = await this.#orders();
    // The seeded ones were never announced.
    const orders = everything.filter(({ id }) => id !== "123" && id !== "124");
    const wrong = [...this.#refusals];
    const expect = (what: string, got: unknown, wanted: unknown) => {
      if (!isDeepStrictEqual(got, wanted))
        wrong.push(`${what}: ${JSON.stringify(got)} instead of ${JSON.stringify(wanted)}`);
    };
    expect("orders, one for each key", everything.length - seededOrders, this.#placed.length);
    const ids = new Set(orders.map(({ id }) => id));
    expect("orders that callers know and the shop does not", this.#placed.filter(id => !ids.has(id)).length, 0);
    const open = orders.filter(({ status }) => !["confirmed", "rejected", "cancelled"].includes(status));
    expect("orders neither confirmed, rejected nor cancelled", open.length, 0);

    const confirmed = orders.filter(({ status }) => status === "confirmed");
    for (const [product, count] of Object.entries(stock)) {
      const level = await this.#get<{ available: number; reserved: number }>(
        "inventory-service",
        `/inventory/${product}`,
      );
      expect(`available + reserved of ${product}`, level.available + level.reserved, count);
      expect(`reserved of ${product}`, level.reserved, quantityOf(product, confirmed));
    }

    const told = Map.groupBy(await this.#notifications(orders), ({ type }) => type);
    const of = (type: string) => (told.get(type) ?? []).map(({ order_id }) => order_id).sort();
    const idsOf = (status: string) => orders.filter(order => order.status === status).map(({ id }) => id);
    expect("orders told of", of("order.created"), [...ids].sort());
    expect("cancelled orders told of", of("order.cancelled"), idsOf("cancelled").sort());
    // A cancelled order may have been confirmed or rejected before.
    const toldConfirmed = new Set(of("order.confirmed"));
    const toldRejected = new Set(of("order.rejected"));
    expect("confirmed orders not told of", idsOf("confirmed").filter(id => !toldConfirmed.has(id)).length, 0);
    expect("rejected orders not told of", idsOf("rejected").filter(id => !toldRejected.has(id)).length, 0);
    expect("confirmations told of twice", of("order.confirmed").length - toldConfirmed.size, 0);
    expect("rejections told of twice", of("order.rejected").length - toldRejected.size, 0);
    expect("orders confirmed and rejected", [...toldConfirmed].filter(id => toldRejected.has(id)).length, 0);

    const summary = await this.#get<Summary>("analytics-service", "/analytics/summary");
    const revenue = orders.filter(({ id }) => toldConfirmed.has(id)).reduce((sum, { total }) => sum + total, 0);
    expect("orders counted", summary.orders_created, ids.size);
    expect("confirmed orders counted", summary.orders_confirmed, toldConfirmed.size);
    expect("rejected orders counted", summary.orders_rejected, toldRejected.size);
    expect("revenue in cents", Math.round(summary.revenue * 100), Math.round(revenue * 100));
    return wrong.map(text => (text.length > 400 ? `${text.slice(0, 400)} …` : text));
  }
}

function quantityOf(product: string, orders: readonly Order[]): number {
  let sum = 0;
  for (const { items } of orders) {
    for (const item of items) if (item.product_id === product) sum += item.quantity;
  }
  return sum;
}
