import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { OrderStatus } from "../gen/order/order_pb.ts";
import { openDatabase } from "../processes/database.ts";
import { OrderStore } from "./order-store.ts";
import { totalOf } from "./order-total.ts";

test("totals are summed exactly and rounded half up to cents", () => {
  const cases: [number, number, number][] = [
    [2, 9.99, 19.98],
    [1, 1.005, 1.01],
    [1, 0.005, 0.01],
    [1, 0.0049999, 0],
    [3, 0.1, 0.3],
    [1, 1e21, 1e21],
    [1, 5e-324, 0],
    [7, 0, 0],
    [2, Number.MAX_VALUE, Number.POSITIVE_INFINITY],
  ];
  for (const [quantity, price, total] of cases) assert.equal(totalOf([{ quantity, price }]), total, `${price}`);
  // Rounded once, after the sum.
  assert.equal(
    totalOf([
      { quantity: 1, price: 0.004 },
      { quantity: 1, price: 0.004 },
    ]),
    0.01,
  );
});

test("a fresh store holds orders 123 and 124; what is created survives, and the seeds are stored once", async t => {
  const folder = mkdtempSync(join(tmpdir(), "shop-store-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "deep/orders.db");
  let created = "";
  {
    const database = openDatabase(path);
    const store = new OrderStore(database);
    const order = store.get("123");
    assert.equal(order?.customerId, "customer-456");
    assert.equal(order?.status, OrderStatus.PENDING);
    assert.equal(order?.createdAt, 1_700_000_000_000n);
    assert.equal(order?.total, 19.98);
    assert.deepEqual(order?.items, [{ productId: "product-1", quantity: 2, price: 9.99 }]);
    assert.equal(store.get("124")?.status, OrderStatus.SHIPPED);
    assert.equal(store.get("125"), undefined);
    created = (await store.create("customer-1", [{ productId: "p", quantity: 1, price: 3 }])).id;
    database.close();
  }
  const database = openDatabase(path);
  t.after(() => database.close());
  const store = new OrderStore(database);
  assert.deepEqual(
    store.listNewest(10).map(order => order.id),
    [created, "124", "123"],
  );
});

test("pages follow each other without gaps when orders share a millisecond", async () => {
  const store = new OrderStore(openDatabase(":memory:"), { now: () => 1_800_000_000_000 });
  for (let count = 0; count < 9; count++) await store.create("c", [{ productId: "p", quantity: 1, price: 1 }]);
  const all = store.listNewest(100).map(order => order.id);
  assert.equal(all.length, 11);
  const paged: string[] = [];
  for (let page = store.listNewest(2); page.length > 0; page = store.listNewest(2, page.at(-1))) {
    paged.push(...page.map(order => order.id));
  }
  assert.deepEqual(paged, all);
});
