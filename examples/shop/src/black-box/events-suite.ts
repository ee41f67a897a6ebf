/**
 * What a caller sees of events that travel through the shop, whatever broker carries them: it needs the addresses of a shop
 * that was started fresh, and knows nothing else of it.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { systemPlatform } from "trunkline";

export interface EventsAddresses {
  readonly orders: string;
  readonly inventory: string;
  readonly notifications: string;
  readonly analytics: string;
}

type Json = Record<string, unknown>;

interface Order {
  readonly id: string;
  readonly status: string;
  readonly total: number;
}

interface Level {
  readonly product_id: string;
  readonly available: number;
  readonly reserved: number;
}

interface Summary {
  readonly orders_created: number;
  readonly orders_confirmed: number;
  readonly orders_rejected: number;
  readonly revenue: number;
}

/** What the design promises on the embedded broker; a machine that does much else at the same time gets more. */
export interface EventsSuiteOptions {
  /** Within so many milliseconds of the order all services have heard of it. */
  readonly withinMs: number;
}

const stockOf = { "product-1": 1000, "product-2": 1000, "product-3": 1000, "product-rare": 1 } as const;

const pause = (ms: number) =>
  new Promise<void>(resolve => {
    systemPlatform.clock.after(ms, resolve, true);
  });

/** Registers the tests of a shop that is there when they run. @param send the `fetch` that they use */
export function eventsSuite(
  name: string,
  addresses: () => EventsAddresses,
  send: typeof globalThis.fetch,
  { withinMs }: EventsSuiteOptions,
): void {
  const get = async <T>(of: keyof EventsAddresses, path: string): Promise<T> => {
    const response = await send(addresses()[of] + path);
    assert.equal(response.status, 200, path);
    return (await response.json()) as T;
  };
  const post = async (path: string, body?: object): Promise<Order> => {
    const response = await send(addresses().orders + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    assert.ok(response.ok, `${path}: ${response.status} ${text}`);
    return JSON.parse(text) as Order;
  };
  const place = (productId: string, { quantity = 1, price = 2.5, customer = "customer-456" } = {}) =>
    post("/api/orders", { customer_id: customer, items: [{ product_id: productId, quantity, price }] });
  const order = (id: string) => get<Order>("orders", `/api/orders/${id}`);
  const summary = () => get<Summary>("analytics", "/analytics/summary");
  const level = (product: string) => get<Level>("inventory", `/inventory/${product}`);
  const told = async (customer: string) =>
    (await get<{ notifications: Json[] }>("notifications", `/notifications?customer_id=${customer}&page_size=1000`))
      .notifications;

  /** Asks until `check` holds. Resolves with the milliseconds that it took. */
  async function until(what: string, check: () => Promise<boolean>, limitMs = withinMs): Promise<number> {
    const begin = systemPlatform.clock.now();
    while (!(await check())) {
      const tookMs = systemPlatform.clock.now() - begin;
      if (tookMs > limitMs) assert.fail(`${what}: not within ${limitMs} ms`);
      await pause(10);
    }
    return systemPlatform.clock.now() - begin;
  }
  const hasStatus = (id: string, status: string) => async () => (await order(id)).status === status;
  const isTold = (customer: string, id: string, type: string) => async () =>
    (await told(customer)).some(one => one["order_id"] === id && one["type"] === type);

  async function assertConserved(): Promise<void> {
    for (const [product, count] of Object.entries(stockOf)) {
      const { available, reserved } = await level(product);
      assert.ok(available >= 0 && reserved >= 0, product);
      assert.equal(available + reserved, count, product);
    }
  }

  describe(name, () => {
    test("an order that nobody published is counted nowhere", async () => {
      assert.deepEqual(await summary(), { orders_created: 0, orders_confirmed: 0, orders_rejected: 0, revenue: 0 });
      assert.equal((await order("123")).status, "pending");
      assert.deepEqual(await told("customer-456"), []);
    });

    test("a new order is confirmed, its goods are reserved, its customer is told and it is counted", async () => {
      const before = await level("product-1");
      const { id, status, total } = await place("product-1", { quantity: 3, price: 9.99, customer: "customer-first" });
      assert.deepEqual([status, total], ["pending", 29.97]);
      await until("all have heard", async () => {
        const counted = await summary();
        return (
          (await order(id)).status === "confirmed" &&
          counted.orders_created === 1 &&
          counted.orders_confirmed === 1 &&
          (await isTold("customer-first", id, "order.confirmed")())
        );
      });
      const after = await level("product-1");
      assert.deepEqual([after.available, after.reserved], [before.available - 3, before.reserved + 3]);
      assert.equal((await summary()).revenue, 29.97);
      const types = (await told("customer-first")).map(one => one["type"]);
      assert.deepEqual(types.sort(), ["order.confirmed", "order.created"]);
    });

    test("of two orders of the last piece one is confirmed and one is rejected", async () => {
      const orders = await Promise.all([place("product-rare"), place("product-rare")]);
      const settled = async () =>
        Promise.all(orders.map(async ({ id }) => (await order(id)).status)).then(all => all.sort().join(" "));
      await until("both are settled", async () => (await settled()) === "confirmed rejected");
      const { available, reserved } = await level("product-rare");
      assert.deepEqual([available, reserved], [0, 1]);
      await until("the rejection is counted", async () => (await summary()).orders_rejected === 1);
      await assertConserved();
    });

    test("an order with a product that nobody has is rejected, and nothing of it is reserved", async () => {
      const before = await level("product-2");
      const { id } = await post("/api/orders", {
        customer_id: "customer-odd",
        items: [
          { product_id: "product-2", quantity: 1, price: 1 },
          { product_id: "unicorn", quantity: 1, price: 1 },
        ],
      });
      await until("it is rejected", hasStatus(id, "rejected"));
      assert.deepEqual(await level("product-2"), before);
      await until("its customer is told", isTold("customer-odd", id, "order.rejected"));
      const why = (await told("customer-odd")).find(one => one["type"] === "order.rejected");
      assert.match(String(why?.["text"]), /there is no product unicorn/);
    });

    test("a cancelled order gives its goods back", async () => {
      const before = await level("product-3");
      const { id } = await place("product-3", { quantity: 7, customer: "customer-fickle" });
      await until("it is confirmed", hasStatus(id, "confirmed"));
      assert.equal((await post(`/api/orders/${id}:cancel`)).status, "cancelled");
      await until("its goods are back", async () => (await level("product-3")).available === before.available);
      assert.deepEqual(await level("product-3"), before);
      await until("its customer is told", isTold("customer-fickle", id, "order.cancelled"));
    });

    test("an order that is cancelled at once holds nothing in the end", async () => {
      const before = await level("product-3");
      const { id } = await place("product-3", { quantity: 2, customer: "customer-hasty" });
      await post(`/api/orders/${id}:cancel`);
      await until("both events have come", isTold("customer-hasty", id, "order.cancelled"));
      await until("nothing is held", async () => (await level("product-3")).reserved === before.reserved);
      assert.equal((await order(id)).status, "cancelled");
      await assertConserved();
    });

    test("a product that does not exist is 404", async () => {
      const response = await send(`${addresses().inventory}/inventory/unicorn`);
      assert.equal(response.status, 404);
    });

    test("many orders at once are all settled once, and what is reserved is what they ordered", async () => {
      const [before, stock] = [await summary(), await level("product-2")];
      const count = 100;
      const placed = await Promise.all(
        Array.from({ length: count }, (_, index) =>
          place("product-2", { price: 1, customer: `customer-${index % 5}` }),
        ),
      );
      await until(
        "all are counted",
        async () => (await summary()).orders_confirmed === before.orders_confirmed + count,
        withinMs + 20_000,
      );
      for (const { id } of placed) {
        await until(`${id} is confirmed`, hasStatus(id, "confirmed"));
      }
      const after = await summary();
      assert.deepEqual(
        [after.orders_created - before.orders_created, Math.round((after.revenue - before.revenue) * 100)],
        [count, count * 100],
      );
      const { available, reserved } = await level("product-2");
      assert.deepEqual([available, reserved], [stock.available - count, stock.reserved + count]);
      await until("all are told", async () => {
        const all = (await told("")).filter(one => one["type"] === "order.confirmed");
        return placed.every(({ id }) => all.filter(one => one["order_id"] === id).length === 1);
      });
      await assertConserved();
    });
  });
}
