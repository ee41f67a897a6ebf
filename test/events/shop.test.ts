/** The shop is the same to its callers whatever broker carries its events. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { eventsSuite } from "../../examples/shop/src/black-box/events-suite.ts";
import { type RunningShop, runShop } from "../../examples/shop/src/black-box/running-shop.ts";
import { portOf, type ServiceName } from "../../examples/shop/src/processes/services.ts";
import type { AsyncApiDocument } from "../../src/events/asyncapi/asyncapi.ts";
import { assertSound } from "../asyncapi/referee.ts";
import { skipWithoutOwn, startKafka, startRabbitmq } from "../servers/index.ts";

interface Carrier {
  readonly name: string;
  /** Of its own, so that the shops could run at the same time. */
  readonly offset: number;
  readonly skip: string | false;
  /** Its address for `EVENTS_URL`, and how it is ended; `undefined` for the shop's own file. */
  readonly start: () => Promise<({ readonly url: string } & AsyncDisposable) | undefined>;
  /** Alone on a quiet machine an order takes a fifth of a second; here other tests run beside it. */
  readonly withinMs: number;
}

const carriers: readonly Carrier[] = [
  { name: "the embedded broker", offset: -26_100, skip: false, start: async () => undefined, withinMs: 10_000 },
  { name: "RabbitMQ", offset: -25_800, skip: skipWithoutOwn("rabbitmq"), start: startRabbitmq, withinMs: 10_000 },
  { name: "Kafka", offset: -25_900, skip: skipWithoutOwn("kafka"), start: startKafka, withinMs: 10_000 },
];

/** What the services say of themselves at `/asyncapi.json`. */
const documented: readonly (readonly [service: ServiceName, operations: readonly string[]])[] = [
  [
    "order-service",
    [
      ...["Cancelled", "Confirmed", "Created", "Rejected"].map(change => `send.order.Order${change}`),
      "receive.order-inventory.inventory",
    ],
  ],
  ["inventory-service", ["send.inventory.InventoryUpdated", "receive.order-processor.orders"]],
  ["notification-service", ["receive.notification.orders"]],
  ["analytics-service", ["receive.analytics.orders"]],
];

for (const { name, offset, skip, start, withinMs } of carriers) {
  describe(`a shop on ${name}`, { skip }, () => {
    let carrier: Awaited<ReturnType<Carrier["start"]>>;
    let shop: RunningShop;
    const address = (service: ServiceName) => `http://127.0.0.1:${portOf(service, offset)}`;
    before(async () => {
      carrier = await start();
      const environment = carrier === undefined ? {} : { EVENTS_URL: carrier.url };
      shop = runShop("start.ts", offset, ["--fresh"], environment);
      await shop.until("shop is ready");
    });
    after(async () => {
      shop.child.kill("SIGTERM");
      assert.deepEqual(await shop.closed, [0, null]);
      await carrier?.[Symbol.asyncDispose]();
    });
    eventsSuite(
      "events",
      () => ({
        orders: address("order-service"),
        inventory: address("inventory-service"),
        notifications: address("notification-service"),
        analytics: address("analytics-service"),
      }),
      fetch,
      { withinMs },
    );

    test("each of its services has a sound AsyncAPI document, the same on each request, without a secret", async () => {
      for (const [service, operations] of documented) {
        const read = async () => (await fetch(`${address(service)}/asyncapi.json`)).text();
        const text = await read();
        const document = JSON.parse(text) as AsyncApiDocument;
        assertSound(document);
        assert.equal(document.info.title, service);
        assert.deepEqual(Object.keys(document.operations), operations);
        assert.equal(await read(), text);
        const server = document.servers?.["events"];
        assert.ok(server);
        const [, secret] = /\/\/([^@/]*)@/.exec(carrier?.url ?? "") ?? [];
        if (secret !== undefined) assert.ok(!text.includes(secret));
      }
      assert.equal((await fetch(`${address("customer-service")}/asyncapi.json`)).status, 404);
    });
  });
}
