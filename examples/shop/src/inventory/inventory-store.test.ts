import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { openDatabase } from "../processes/database.ts";
import { InventoryStore, type WantedItem } from "./inventory-store.ts";

const products = ["product-1", "product-2", "product-rare", "unicorn"] as const;

const item = fc.record({
  productId: fc.constantFrom(...products),
  quantity: fc.oneof({ weight: 5, arbitrary: fc.integer({ min: 1, max: 400 }) }, fc.integer({ min: -3, max: 0 })),
});
const orderId = fc.integer({ min: 1, max: 12 }).map(String);
const step = fc.oneof(
  fc.record({ do: fc.constant("reserve" as const), orderId, items: fc.array(item, { maxLength: 4 }) }),
  fc.record({ do: fc.constant("release" as const), orderId }),
);

test("whatever comes in whatever sequence, each order is decided once and stock adds up, as in a plain model", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), steps => {
      const store = new InventoryStore(openDatabase(":memory:"));
      const available = new Map<string, number>([
        ["product-1", 1000],
        ["product-2", 1000],
        ["product-rare", 1],
      ]);
      const decided = new Map<string, Map<string, number>>();
      for (const one of steps) {
        if (one.do === "release") {
          store.release(one.orderId);
          for (const [id, count] of decided.get(one.orderId) ?? []) available.set(id, (available.get(id) ?? 0) + count);
          decided.set(one.orderId, new Map());
          continue;
        }
        const outcome = store.reserve(one.orderId, one.items);
        assert.equal(outcome === undefined, decided.has(one.orderId), "an order is decided upon once");
        if (outcome === undefined) continue;
        const wanted = sums(one.items);
        const fits =
          one.items.every(({ quantity }) => quantity > 0) &&
          [...wanted].every(([id, count]) => (available.get(id) ?? -1) >= count);
        assert.equal(outcome.reserved, fits, outcome.reason);
        assert.equal(outcome.reason === "", fits);
        decided.set(one.orderId, fits ? wanted : new Map());
        if (fits) for (const [id, count] of wanted) available.set(id, (available.get(id) ?? 0) - count);
      }
      for (const level of store.levels()) {
        if (!available.has(level.productId)) continue;
        assert.equal(level.available, available.get(level.productId), level.productId);
        assert.equal(level.available + level.reserved, level.productId === "product-rare" ? 1 : 1000);
      }
    }),
  );
});

function sums(items: readonly WantedItem[]): Map<string, number> {
  const all = new Map<string, number>();
  for (const { productId, quantity } of items) all.set(productId, (all.get(productId) ?? 0) + quantity);
  return all;
}

test("an order without items holds nothing and can be delivered", () => {
  const store = new InventoryStore(openDatabase(":memory:"));
  assert.deepEqual(store.reserve("1", []), { reserved: true, reason: "", levels: [] });
});

test("an order that was cancelled before it came is refused nothing, because it is decided upon already", () => {
  const store = new InventoryStore(openDatabase(":memory:"));
  store.release("1");
  assert.equal(store.reserve("1", [{ productId: "product-1", quantity: 1 }]), undefined);
  assert.equal(store.level("product-1")?.reserved, 0);
});
