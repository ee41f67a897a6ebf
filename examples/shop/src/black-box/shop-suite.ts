/**
 * What a caller of the shop relies on, route by route, as one table: it needs the addresses of a shop that was started
 * fresh, and knows nothing else of it.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { systemPlatform } from "trunkline";

export interface ShopAddresses {
  readonly orders: string;
  readonly customers: string;
}

interface Asked {
  /** Method and path. */
  readonly line: string;
  readonly of?: keyof ShopAddresses;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

interface Row extends Asked {
  readonly status: number;
  /** The answer's JSON has these members, equal to the last one. */
  readonly has?: Readonly<Record<string, unknown>>;
  /** The first violation, `field rule`. */
  readonly violation?: string;
  readonly code?: string;
  readonly head?: Readonly<Record<string, RegExp | null>>;
}

const item = { product_id: "product-1", quantity: 2, price: 9.99 };
const order = (changes: object = {}) => JSON.stringify({ customer_id: "customer-123", items: [item], ...changes });
const withItem = (changes: object) => order({ items: [{ ...item, ...changes }] });
/** JSON text with a value that JavaScript cannot write. */
const withPrice = (text: string) => order().replace("9.99", text);

const order123 = {
  id: "123",
  customer_id: "customer-456",
  items: [item],
  status: "pending",
  created_at: "1700000000000",
  total: 19.98,
};
const customer456 = { id: "customer-456", name: "Grace Okafor", email: "grace@example.com" };

const reading: readonly Row[] = [
  ...["/api/orders", "/orders"].flatMap((base): readonly Row[] => [
    { line: `GET ${base}/123`, status: 200, has: { ...order123, customer: customer456 }, head: { "x-degraded": null } },
    { line: `GET ${base}/124`, status: 200, has: { id: "124", status: "shipped", customer_id: "customer-456" } },
    { line: `GET ${base}/unknown`, status: 404, code: "not_found" },
    { line: `DELETE ${base}/123`, status: 405, code: "unimplemented", head: { allow: /^GET, HEAD, OPTIONS$/ } },
    { line: `GET ${base}?page_size=1`, status: 200, has: {} },
    { line: `GET ${base}?page_size=1000`, status: 200, has: { next_page_token: "" } },
    ...["0", "-1", "1001", "x", "1.5", "99999999999"].map(
      (size): Row => ({ line: `GET ${base}?page_size=${size}`, status: 400, code: "invalid_argument" }),
    ),
    { line: `GET ${base}?page_size=0`, status: 400, violation: "page_size int32.gte_lte" },
    { line: `GET ${base}?page_token=nonsense`, status: 400, violation: "page_token page_token" },
    { line: `GET ${base}?unknown=1`, status: 400, violation: "unknown query.unknown" },
    { line: `POST ${base}/124:cancel`, status: 400, code: "failed_precondition" },
    { line: `POST ${base}/unknown:cancel`, status: 404, code: "not_found" },
  ]),
  { of: "customers", line: "GET /customers/customer-456", status: 200, has: customer456 },
  { of: "customers", line: "GET /customers/unknown", status: 404, code: "not_found" },
  { of: "customers", line: "GET /customers", status: 200, has: {} },
  { of: "customers", line: "GET /users", status: 200, has: {} },
  ...(["orders", "customers"] as const).flatMap((of): readonly Row[] => [
    { of, line: "GET /healthz", status: 200, has: { status: "alive" } },
    { of, line: "GET /livez", status: 200 },
    { of, line: "GET /readyz", status: 200, has: { status: "ready" } },
    { of, line: "GET /openapi.json", status: 200, has: { openapi: "3.1.0" } },
    { of, line: "GET /docs", status: 200, head: { "content-type": /^text\/html/ } },
    { of, line: "GET /nothing", status: 404, code: "not_found" },
  ]),
];

const refusedOrders: readonly (readonly [body: string, violation: string])[] = [
  [order({ items: [] }), "items repeated.min_items"],
  [order({ items: Array.from({ length: 101 }, () => item) }), "items repeated.max_items"],
  [order({ customer_id: "" }), "customer_id string.min_len"],
  ["{}", "customer_id string.min_len"],
  [withItem({ product_id: "" }), "items[0].product_id string.min_len"],
  [order({ items: [item, { ...item, quantity: 0 }] }), "items[1].quantity int32.gt"],
  [withItem({ quantity: -1 }), "items[0].quantity int32.gt"],
  [withItem({ quantity: 1.5 }), "items[0].quantity int32.type"],
  [withItem({ price: -0.01 }), "items[0].price double.gte_lte"],
  [withItem({ price: "NaN" }), "items[0].price double.gte_lte"],
  [withItem({ price: "Infinity" }), "items[0].price double.gte_lte"],
  [withPrice("1e999"), "items[0].price double.finite"],
  [withPrice("NaN"), " json.syntax"],
  ['{"customer_id":', " json.syntax"],
  ["[]", " message.type"],
  [order({ customer: "c" }), "customer json.unknown_field"],
];

/** Rounding of totals: half up to cents, after the sum. */
const totals: readonly (readonly [items: readonly object[], total: number])[] = [
  [[{ ...item, quantity: 1, price: 1.005 }], 1.01],
  [[{ ...item, quantity: 3, price: 0.1 }], 0.3],
  [[{ ...item, quantity: 1, price: 0.0049 }], 0],
  [[0.004, 0.004].map(price => ({ ...item, quantity: 1, price })), 0.01],
  [[{ ...item, quantity: 1, price: 0 }], 0],
  [Array.from({ length: 100 }, () => ({ ...item, quantity: 1, price: 1 })), 100],
];

type Json = Record<string, unknown>;

/** Registers the tests of a shop that is there when they run. @param send the `fetch` that they use */
export function shopSuite(name: string, addresses: () => ShopAddresses, send: typeof globalThis.fetch): void {
  const ask = ({ line, of = "orders", body, headers }: Asked): Promise<Response> => {
    const [method = "GET", path = "/"] = line.split(" ");
    const type = body === undefined ? {} : { "content-type": "application/json" };
    return send(addresses()[of] + path, {
      method,
      headers: { ...type, ...headers },
      ...(body === undefined ? {} : { body }),
    });
  };
  const jsonOf = async (response: Response) => (await response.json()) as Json;
  const create = (body = order(), headers: Readonly<Record<string, string>> = {}) =>
    ask({ line: "POST /api/orders", body, headers });

  async function assertRow(row: Row): Promise<void> {
    const response = await ask(row);
    const text = await response.text();
    assert.equal(response.status, row.status, text);
    for (const [field, expected] of Object.entries(row.head ?? {})) {
      if (expected === null) assert.equal(response.headers.get(field), null);
      else assert.match(response.headers.get(field) ?? "", expected);
    }
    if (row.status >= 400) {
      const problem = JSON.parse(text) as Json;
      assert.equal(response.headers.get("content-type"), "application/problem+json");
      assert.equal(problem["status"], row.status);
      assert.equal(problem["instance"], row.line.split(" ")[1]?.split("?")[0]);
      if (row.code !== undefined) assert.equal(problem["code"], row.code);
      if (row.violation !== undefined) {
        const [first] = problem["violations"] as { field: string; rule: string }[];
        assert.equal(`${first?.field} ${first?.rule}`, row.violation);
      }
    } else if (row.has !== undefined) {
      const answer = JSON.parse(text) as Json;
      for (const [member, expected] of Object.entries(row.has)) assert.deepEqual(answer[member], expected, member);
    }
  }

  describe(name, () => {
    for (const row of reading) {
      test(`${row.line} of ${row.of ?? "orders"} is ${row.status}`, () => assertRow(row));
    }

    for (const [body, violation] of refusedOrders) {
      const shown = body.length > 60 ? `${body.slice(0, 60)}…` : body;
      test(`an order ${shown} is refused for ${violation}`, () =>
        assertRow({ line: "POST /orders", body, status: 400, code: "invalid_argument", violation }));
    }

    for (const base of ["/api/orders", "/orders"]) {
      test(`POST ${base} makes a pending order that is there at its Location`, async () => {
        const response = await ask({ line: `POST ${base}`, body: order() });
        assert.equal(response.status, 201);
        const made = await jsonOf(response);
        assert.deepEqual(Object.keys(made), ["id", "customer_id", "items", "status", "created_at", "total"]);
        assert.deepEqual([made["customer_id"], made["items"], made["total"]], ["customer-123", [item], 19.98]);
        assert.equal(made["status"], "pending");
        assert.match(String(made["created_at"]), /^1[0-9]{12}$/);
        assert.equal(response.headers.get("location"), `/api/orders/${made["id"]}`);
        const found = await jsonOf(await ask({ line: `GET ${response.headers.get("location")}` }));
        assert.deepEqual([found["id"], (found["customer"] as Json)["id"]], [made["id"], "customer-123"]);
      });
    }

    for (const [items, total] of totals) {
      test(`the total of ${JSON.stringify(items).slice(0, 70)} is ${total}`, async () => {
        const made = await jsonOf(await create(order({ items })));
        assert.equal(made["total"], total);
      });
    }

    test("a repeat with its Idempotency-Key gets the first answer, on both routes; another order is 422", async () => {
      const key = { "idempotency-key": `suite-${Buffer.from(systemPlatform.random.bytes(16)).toString("hex")}` };
      const first = await create(order(), key);
      const again = await ask({ line: "POST /orders", body: order(), headers: key });
      assert.deepEqual([first.status, again.status], [201, 201]);
      assert.equal(again.headers.get("location"), first.headers.get("location"));
      assert.equal(again.headers.get("idempotent-replayed"), "true");
      assert.equal(await again.text(), await first.text());
      assert.equal((await create(order({ customer_id: "customer-789" }), key)).status, 422);
      await assertRow({ line: "POST /orders", body: order(), headers: { "idempotency-key": "a b" }, status: 400 });
    });

    test("an order of a customer who does not exist has none, and that is no degradation", async () => {
      const made = await jsonOf(await create(order({ customer_id: "nobody" })));
      const response = await ask({ line: `GET /orders/${made["id"]}` });
      assert.equal(response.headers.get("x-degraded"), null);
      assert.equal("customer" in (await jsonOf(response)), false);
    });

    test("pages follow each other, newest first, until the token is empty", async () => {
      for (let count = 0; count < 3; count++) await create();
      const seen: { created_at: string; id: string }[] = [];
      let token = "";
      do {
        const page = await jsonOf(await ask({ line: `GET /api/orders?page_size=2&page_token=${token}` }));
        const orders = page["orders"] as typeof seen;
        assert.ok(orders.length >= 1 && orders.length <= 2);
        seen.push(...orders);
        token = String(page["next_page_token"]);
      } while (token !== "");
      const sorted = seen.toSorted((a, b) => Number(b.created_at) - Number(a.created_at) || (a.id < b.id ? 1 : -1));
      assert.deepEqual(seen, sorted);
      assert.equal(new Set(seen.map(({ id }) => id)).size, seen.length);
      assert.deepEqual(
        seen.slice(-2).map(({ id }) => id),
        ["124", "123"],
      );
    });

    test("orders stream as lines, or as events by Accept", async () => {
      const lines = await ask({ line: "GET /api/orders:stream?customer_id=customer-456" });
      assert.equal(lines.headers.get("content-type"), "application/x-ndjson");
      const orders = (await lines.text())
        .trimEnd()
        .split("\n")
        .map(line => JSON.parse(line) as Json);
      assert.deepEqual(
        orders.map(({ id }) => id),
        ["123", "124"],
      );
      assert.deepEqual(orders[0], order123);
      const accept = { accept: "text/event-stream" };
      const events = await ask({ line: "GET /api/orders:stream?status=shipped", headers: accept });
      assert.equal(events.headers.get("content-type"), "text/event-stream");
      assert.match(await events.text(), /^id: 1\ndata: \{"id":"124".*\}\n\n$/);
      await assertRow({ line: "GET /api/orders:stream", headers: { accept: "text/plain" }, status: 406 });
    });

    test("a stream that follows goes on with new orders", { timeout: 10_000 }, async () => {
      const response = await ask({ line: "GET /api/orders:stream?follow=true&customer_id=customer-followed" });
      const made = await jsonOf(await create(order({ customer_id: "customer-followed" })));
      const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      while (!text.includes("\n")) text += (await reader?.read())?.value ?? "";
      await reader?.cancel();
      assert.equal((JSON.parse(text) as Json)["id"], made["id"]);
    });

    test("an order is cancelled once; again is the same answer", async () => {
      const made = await jsonOf(await create());
      const line = `POST /api/orders/${made["id"]}:cancel`;
      const first = await ask({ line });
      const text = await first.text();
      assert.deepEqual([first.status, (JSON.parse(text) as Json)["status"]], [200, "cancelled"]);
      assert.equal(await (await ask({ line })).text(), text);
    });

    test("an import stores all orders of its lines, or none", async () => {
      const headers = { "content-type": "application/x-ndjson" };
      const ids = async (customer: string) => {
        const stream = await ask({ line: `GET /api/orders:stream?customer_id=${customer}` });
        return (await stream.text())
          .split("\n")
          .filter(Boolean)
          .map(line => (JSON.parse(line) as Json)["id"]);
      };
      const good = order({ customer_id: "customer-imported" });
      const imported = await ask({ line: "POST /api/orders:import", body: `${good}\n${good}\n`, headers });
      const summary = await jsonOf(imported);
      assert.deepEqual([imported.status, summary["imported"]], [200, 2]);
      assert.deepEqual(summary["order_ids"], await ids("customer-imported"));
      const bad = order({ customer_id: "customer-imported", items: [] });
      await assertRow({ line: "POST /api/orders:import", body: `${good}\n${bad}\n`, headers, status: 400 });
      assert.equal((await ids("customer-imported")).length, 2);
    });

    test("a tracked order tells its status", async () => {
      const body = '{"subscribe":"124"}\n';
      const headers = { "content-type": "application/x-ndjson" };
      const response = await ask({ line: "POST /api/orders:track", body, headers });
      assert.equal(response.status, 200);
      const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
      assert.equal((await reader?.read())?.value, '{"order_id":"124","status":"shipped"}\n');
      await reader?.cancel();
      await assertRow({
        line: "POST /api/orders:track",
        body: '{"subscribe":"unknown"}\n',
        headers,
        status: 404,
        code: "not_found",
      });
    });
  });
}
