/**
 * Programs written from the guide, with pika and kafka-python, beside the shop: `run.ts [rabbitmq] [kafka] [requests]`. What they
 * publish arrives in all services, what the shop publishes is what they expect, and a consumer in a group or on a queue of
 * the shop shares its events. `requests` is RPC over queues in both roles, without the shop.
 */
import assert from "node:assert/strict";
import process from "node:process";
import { startKafka, startRabbitmq } from "../../test/servers/index.ts";
import { Children } from "../grpc/children.ts";
import { Tally } from "../tally.ts";
import { Guest } from "./guest.ts";
import { guideProgram, providePython, pythonEnvironment } from "./python.ts";
import { requests } from "./requests.ts";
import { Shop, until } from "./shop.ts";

const tally = new Tally();
const { check } = tally;
const brokers = { rabbitmq, kafka, requests: (children: Children) => requests(children, check) } as const;
type BrokerName = keyof typeof brokers;

const isoTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const guestOrder = (id: string, customer: string, quantity?: number) => ({
  id,
  customer_id: customer,
  total: 5,
  ...(quantity === undefined ? {} : { items: [{ product_id: "product-2", quantity, price: 2.5 }] }),
});

/** What the guide's consumers read of `order.created`. */
function assertCreated(body: Readonly<Record<string, unknown>>, id: string): void {
  assert.equal(body["event_type"], "ORDER_CREATED");
  assert.equal(body["order_id"], id);
  assert.equal(body["customer_id"], "customer-456");
  assert.equal(typeof body["total"], "number");
  assert.match(String(body["timestamp"]), isoTime);
  assert.deepEqual(body["items"], [{ product_id: "product-1", quantity: 1, price: 2.5 }]);
}

/** A guest that takes some of the shop's events: each new order is handled either by it or by inventory-service. */
async function sharesWith(shop: Shop, guest: Guest): Promise<void> {
  const before = guest.createdIds.length;
  const orders = await Promise.all(Array.from({ length: 60 }, () => shop.place()));
  const taken = () => new Set(guest.createdIds.slice(before));
  await until("every order is handled by one of both", async () => {
    const settled = await Promise.all(
      orders.map(async ({ id }) => taken().has(id) || (await shop.statusOf(id)) === "confirmed"),
    );
    return settled.every(Boolean);
  });
  const both = [];
  for (const { id } of orders) if (taken().has(id) && (await shop.statusOf(id)) === "confirmed") both.push(id);
  assert.ok(taken().size > 0, "the guest has had some");
  assert.ok(taken().size < orders.length, "inventory-service has had some");
  return assert.deepEqual(both, [], "nobody has had what the other had");
}

async function confirmsAll(shop: Shop): Promise<void> {
  const orders = await Promise.all(Array.from({ length: 20 }, () => shop.place()));
  for (const { id } of orders) await until(`${id} is confirmed`, async () => (await shop.statusOf(id)) === "confirmed");
}

async function hearsOf(shop: Shop, customer: string, order: string): Promise<void> {
  await until(`notification of ${order}`, async () =>
    (await shop.notifications(customer)).some(one => one["order_id"] === order && one["type"] === "order.created"),
  );
}

async function noDeadLetters(shop: Shop): Promise<void> {
  assert.deepEqual(await shop.deadLetters(), []);
}

async function rabbitmq(children: Children): Promise<void> {
  await using server = await startRabbitmq();
  const env = { RABBITMQ_URL: server.url };
  const publish = (order: object) =>
    children.run("python3", [guideProgram("rabbitmq_producer.py"), JSON.stringify(order)], {
      ...pythonEnvironment,
      ...env,
    });
  const first = new Guest(children, "rabbitmq_consumer.py", [], env);
  await first.ready();
  await first.stop();
  const shop = new Shop(server.url);
  try {
    await shop.start();
    const observer = new Guest(children, "rabbitmq_consumer.py", ["observer"], env);
    await observer.ready();
    await check("rabbitmq: the shop works on the queue that the guide's consumer has declared", () =>
      confirmsAll(shop),
    );
    await check("rabbitmq: a consumer with a queue of its own gets every event, as the guide reads it", async () => {
      const { id } = await shop.place();
      await until("it has seen created and confirmed", () =>
        ["order.created", "order.confirmed"].every(type =>
          observer.seen.some(one => one.routing_key === type && one.body["order_id"] === id),
        ),
      );
      const created = observer.seen.find(
        ({ body }) => body["order_id"] === id && body["event_type"] === "ORDER_CREATED",
      );
      assert.ok(created !== undefined);
      assertCreated(created.body, id);
      assert.deepEqual([created.content_type, created.delivery_mode], ["application/json", 2]);
      assert.equal(created.message_id, created.headers["cloudEvents_id"]);
      assert.equal(created.headers["cloudEvents_source"], "/order-service");
      assert.equal(created.headers["cloudEvents_subject"], id);
    });
    await check("rabbitmq: an order that the guide's producer publishes is reserved, told of and counted", async () => {
      const [stock, { orders_created }] = [await shop.available("product-2"), await shop.summary()];
      await publish(guestOrder("guest-1", "customer-guest", 4));
      await until("goods are reserved", async () => (await shop.available("product-2")) === stock - 4);
      await hearsOf(shop, "customer-guest", "guest-1");
      await until("it is counted", async () => (await shop.summary()).orders_created === orders_created + 1);
    });
    await check("rabbitmq: the same message again changes nothing", async () => {
      const [stock, { orders_created }] = [await shop.available("product-2"), await shop.summary()];
      await publish(guestOrder("guest-1", "customer-guest", 4));
      await publish(guestOrder("guest-2", "customer-guest"));
      await hearsOf(shop, "customer-guest", "guest-2");
      await until("the next one is counted", async () => (await shop.summary()).orders_created === orders_created + 1);
      assert.equal(await shop.available("product-2"), stock);
    });
    await check("rabbitmq: the guide's consumer on the shop's queue shares its events", async () => {
      const guest = new Guest(children, "rabbitmq_consumer.py", [], env);
      await guest.ready();
      await sharesWith(shop, guest);
      await guest.stop();
      await confirmsAll(shop);
    });
    await check("rabbitmq: nothing has become a dead letter", () => noDeadLetters(shop));
    await observer.stop();
  } finally {
    await shop.stop();
  }
}

async function kafka(children: Children): Promise<void> {
  // With one partition nobody could share anything.
  await using server = await startKafka({ config: { "num.partitions": "4" } });
  const env = { KAFKA_SERVER: new URL(server.url).host };
  const publish = (order: object) =>
    children.run("python3", [guideProgram("kafka_producer.py"), JSON.stringify(order)], {
      ...pythonEnvironment,
      ...env,
    });
  const shop = new Shop(server.url);
  try {
    await shop.start();
    const observer = new Guest(children, "kafka_consumer.py", ["observer"], env);
    await check("kafka: a consumer in a group of its own gets every new order, as the guide reads it", async () => {
      await observer.ready();
      const { id } = await shop.place();
      await until("it has seen it", () => observer.createdIds.includes(id));
      const created = observer.seen.find(({ body }) => body["order_id"] === id);
      assert.ok(created !== undefined);
      assertCreated(created.body, id);
      assert.equal(created.key, id);
      assert.equal(created.headers["ce_type"], "order.created");
      assert.equal(created.headers["ce_source"], "/order-service");
      await until("it is counted", async () => (await shop.summary()).orders_created === 1);
    });
    await check("kafka: an order that the guide's producer publishes is told of and counted", async () => {
      const { orders_created } = await shop.summary();
      await publish(guestOrder("guest-1", "customer-guest"));
      await hearsOf(shop, "customer-guest", "guest-1");
      await until("it is counted", async () => (await shop.summary()).orders_created === orders_created + 1);
    });
    await check("kafka: the guide's consumer in the shop's group shares its events", async () => {
      const guest = new Guest(children, "kafka_consumer.py", [], env);
      await guest.ready();
      await sharesWith(shop, guest);
      await guest.stop();
      await confirmsAll(shop);
    });
    await check("kafka: nothing has become a dead letter", () => noDeadLetters(shop));
    await observer.stop();
  } finally {
    await shop.stop();
  }
}

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(brokers);
const unknown = names.filter(name => !(name in brokers));
if (unknown.length > 0) {
  process.stderr.write(`usage: run.ts [${Object.keys(brokers).join("] [")}]\n`);
  process.exit(2);
}
providePython();
{
  using children = new Children();
  for (const name of names) await brokers[name as BrokerName](children);
}
tally.end();
