import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Client,
  createClient,
  createServer,
  type Interceptor,
  idempotency,
  implement,
  isRpcError,
  memoryIdempotencyStore,
  RpcError,
} from "trunkline";
import { virtualPlatform } from "trunkline/testing";
import { customerHandlers } from "../customers/customer-service.ts";
import { CustomerService } from "../gen/customer/customer_pb.ts";
import { OrderService, OrderStatus } from "../gen/order/order_pb.ts";
import { openDatabase } from "../processes/database.ts";
import { orderHandlers } from "./order-service.ts";
import { OrderStore } from "./order-store.ts";

type Customers = Pick<Client<typeof CustomerService>, "getCustomer">;

/** The service on a real port, with customers as the test wants them. */
async function withOrders(
  customers: Customers,
  use: (orders: Client<typeof OrderService>, store: OrderStore) => Promise<void>,
  interceptors: readonly Interceptor[] = [],
): Promise<void> {
  const store = new OrderStore(openDatabase(":memory:"));
  const server = createServer({
    services: [implement(OrderService, orderHandlers({ store, customers }))],
    interceptors,
  });
  const { port } = await server.listen({ port: 0, host: "127.0.0.1" });
  try {
    await use(createClient(OrderService, `127.0.0.1:${port}`), store);
  } finally {
    await server.drain({ timeoutMs: 200 });
  }
}

function failing(code: "not_found" | "unavailable" | "deadline_exceeded"): Customers {
  return { getCustomer: () => Promise.reject(new RpcError(code, "no customer")) };
}

async function degradedAnswer(customers: Customers) {
  let answer: { customer: unknown; degraded: unknown } = { customer: undefined, degraded: undefined };
  await withOrders(customers, async orders => {
    let degraded: unknown;
    const order = await orders.getOrder(
      { orderId: "123" },
      {
        onHeaders: headers => {
          degraded = headers.get("x-degraded");
        },
      },
    );
    answer = { customer: order.customer, degraded: degraded ?? undefined };
  });
  return answer;
}

test("an order comes with its customer, asked for over the network", async () => {
  const server = createServer({ services: [implement(CustomerService, customerHandlers())] });
  const { port } = await server.listen({ port: 0, host: "127.0.0.1" });
  const customers = createClient(CustomerService, `127.0.0.1:${port}`);
  try {
    await withOrders(customers, async orders => {
      const order = await orders.getOrder({ orderId: "123" });
      assert.equal(order.customer?.id, "customer-456");
      assert.ok(order.customer.name !== "" && order.customer.email !== "");
      await assert.rejects(orders.getOrder({ orderId: "no" }), error => isRpcError(error, "not_found"));
    });
    assert.ok((await customers.listCustomers({})).customers.length > 1);
    await assert.rejects(customers.getCustomer({ id: "x" }), error => isRpcError(error, "not_found"));
  } finally {
    await server.drain({ timeoutMs: 200 });
  }
});

test("a missing customer leaves the field absent; one that cannot be asked for also sets x-degraded", async () => {
  assert.deepEqual(await degradedAnswer(failing("not_found")), { customer: undefined, degraded: undefined });
  assert.deepEqual(await degradedAnswer(failing("unavailable")), { customer: undefined, degraded: "customer" });
  assert.deepEqual(await degradedAnswer(failing("deadline_exceeded")), { customer: undefined, degraded: "customer" });
});

test("what is wrong with a new order is refused and nothing is stored", async () => {
  const item = { productId: "p", quantity: 1, price: 1 };
  const cases: [{ customerId: string; items: (typeof item)[] }, string][] = [
    [{ customerId: "", items: [item] }, "customer_id"],
    [{ customerId: "c", items: [] }, "items"],
    [{ customerId: "c", items: Array.from({ length: 101 }, () => item) }, "items"],
    [{ customerId: "c", items: [item, { ...item, productId: "" }] }, "items[1].product_id"],
    [{ customerId: "c", items: [{ ...item, quantity: 0 }] }, "items[0].quantity"],
    [{ customerId: "c", items: [{ ...item, quantity: -1 }] }, "items[0].quantity"],
    [{ customerId: "c", items: [{ ...item, price: -0.01 }] }, "items[0].price"],
    [{ customerId: "c", items: [{ ...item, price: Number.NaN }] }, "items[0].price"],
    [{ customerId: "c", items: [{ ...item, price: Number.POSITIVE_INFINITY }] }, "items[0].price"],
    [{ customerId: "c", items: [{ ...item, price: Number.NEGATIVE_INFINITY }] }, "items[0].price"],
    [{ customerId: "c", items: [{ ...item, quantity: 2, price: Number.MAX_VALUE }] }, "items[0].price"],
  ];
  await withOrders(failing("not_found"), async (orders, store) => {
    for (const [request, field] of cases) {
      await assert.rejects(orders.createOrder(request), error => {
        assert.ok(isRpcError(error, "invalid_argument"), String(error));
        assert.ok(error.message.startsWith(`${field}: `), error.message);
        assert.equal(error.details.length, 1);
        return true;
      });
    }
    assert.equal(store.listNewest(10).length, 2);
    const created = await orders.createOrder({ customerId: "c", items: Array.from({ length: 100 }, () => item) });
    assert.equal(created.total, 100);
    assert.equal(created.status, OrderStatus.PENDING);
  });
});

test("orders are listed newest first in pages of 1 to 1000", async () => {
  await withOrders(failing("not_found"), async orders => {
    const first = await orders.listOrders({ pageSize: 1 });
    assert.deepEqual(
      first.orders.map(order => order.id),
      ["124"],
    );
    const second = await orders.listOrders({ pageSize: 1, pageToken: first.nextPageToken });
    assert.deepEqual(
      second.orders.map(order => order.id),
      ["123"],
    );
    assert.equal(second.nextPageToken, "");
    assert.equal((await orders.listOrders({ pageSize: 1000 })).orders.length, 2);
    for (const request of [{ pageSize: 0 }, { pageSize: -1 }, { pageSize: 1001 }, { pageToken: "nonsense" }]) {
      await assert.rejects(orders.listOrders(request), error => isRpcError(error, "invalid_argument"));
    }
  });
});

test("a stream ends after the orders that exist, or with follow goes on with new ones until it is left", async () => {
  await withOrders(failing("not_found"), async (orders, store) => {
    const seen: string[] = [];
    for await (const order of orders.streamOrders({ customerId: "customer-456" })) seen.push(order.id);
    assert.deepEqual(seen, ["123", "124"]);
    const shipped: string[] = [];
    for await (const order of orders.streamOrders({ status: OrderStatus.SHIPPED })) shipped.push(order.id);
    assert.deepEqual(shipped, ["124"]);

    const followed: string[] = [];
    let created = "";
    for await (const order of orders.streamOrders({ follow: true })) {
      followed.push(order.id);
      if (order.id === "124") created = (await store.create("c", [{ productId: "p", quantity: 1, price: 1 }])).id;
      if (followed.length === 3) break;
    }
    assert.deepEqual(followed, ["123", "124", created]);
  });
});

test("a shipped order cannot be cancelled, a cancelled one stays cancelled", async () => {
  await withOrders(failing("not_found"), async orders => {
    await assert.rejects(orders.cancelOrder({ orderId: "124" }), error => isRpcError(error, "failed_precondition"));
    await assert.rejects(orders.cancelOrder({ orderId: "no" }), error => isRpcError(error, "not_found"));
    assert.equal((await orders.cancelOrder({ orderId: "123" })).status, OrderStatus.CANCELLED);
    assert.equal((await orders.cancelOrder({ orderId: "123" })).status, OrderStatus.CANCELLED);
  });
});

test("an import stores all orders or none", async () => {
  const order = { customerId: "c", items: [{ productId: "p", quantity: 1, price: 1 }] };
  await withOrders(failing("not_found"), async (orders, store) => {
    const summary = await orders.importOrders([order, order]);
    assert.equal(summary.imported, 2);
    assert.equal(store.get(summary.orderIds[1] ?? "")?.customerId, "c");
    await assert.rejects(orders.importOrders([order, { ...order, customerId: "" }]), error =>
      isRpcError(error, "invalid_argument"),
    );
    assert.equal(store.count(), 4);
  });
});

test("tracked orders tell their status and each change, others do not", async () => {
  await withOrders(failing("not_found"), async (orders, store) => {
    const { promise: enough, resolve: leave } = Promise.withResolvers<void>();
    async function* requests() {
      yield { action: { case: "subscribe" as const, value: "123" } };
      await enough;
      yield { action: { case: "unsubscribe" as const, value: "123" } };
    }
    const seen: OrderStatus[] = [];
    const other = await store.create("c", [{ productId: "p", quantity: 1, price: 1 }]);
    for await (const { orderId, status } of orders.trackOrders(requests())) {
      assert.equal(orderId, "123");
      seen.push(status);
      if (seen.length === 2) leave();
      for (const id of seen.length === 1 ? ["123", other.id] : []) {
        const changed = store.settle(id, true, "");
        if (changed !== undefined) store.tell(changed);
      }
    }
    assert.deepEqual(seen, [OrderStatus.PENDING, OrderStatus.CONFIRMED]);
    await assert.rejects(
      async () => {
        for await (const _ of orders.trackOrders([{ action: { case: "subscribe", value: "no" } }]));
      },
      error => isRpcError(error, "not_found"),
    );
  });
});

test("a request that is run again because its first answer was lost finds the order that its first run stored", async () => {
  const platform = virtualPlatform();
  const inner = memoryIdempotencyStore({ platform });
  let isCrashing = true;
  const keys = idempotency({
    platform,
    store: {
      begin: ticket => inner.begin(ticket),
      renew: ticket => inner.renew(ticket),
      abandon: ticket => inner.abandon(ticket),
      complete(ticket, answer) {
        if (isCrashing) throw new Error("the process is killed just before it writes this");
        return inner.complete(ticket, answer);
      },
    },
  });
  const request = { customerId: "c", items: [{ productId: "p", quantity: 1, price: 1 }] };
  await withOrders(
    failing("not_found"),
    async (orders, store) => {
      const withKey = { metadata: { "idempotency-key": "k" } };
      const first = await orders.createOrder(request, withKey);
      await assert.rejects(orders.createOrder(request, withKey), error => isRpcError(error, "aborted"));
      await platform.clock.advance(60_000);
      isCrashing = false;
      assert.deepEqual(await orders.createOrder(request, withKey), first);
      assert.deepEqual(await orders.createOrder(request, withKey), first);
      assert.equal(store.count(), 3);
    },
    [keys],
  );
});
