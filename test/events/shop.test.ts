/** The shop is the same to its callers whatever broker carries its events. */
import assert from "node:assert/strict";
import { after, before, describe } from "node:test";
import { eventsSuite } from "../../examples/shop/src/black-box/events-suite.ts";
import { type RunningShop, runShop } from "../../examples/shop/src/black-box/running-shop.ts";
import { portOf, type ServiceName } from "../../examples/shop/src/processes/services.ts";
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
  });
}
