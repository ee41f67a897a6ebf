import assert from "node:assert/strict";
import { test } from "node:test";
import type { RabbitmqSubscribeOptions } from "../../broker.ts";
import type { SubscriptionDemand } from "../../driver.ts";
import { prefetchMax } from "./limits.ts";
import { wishOf } from "./subscribe-options.ts";

function wish(specific: RabbitmqSubscribeOptions, rest: Partial<SubscriptionDemand> = {}) {
  return wishOf({
    group: "billing",
    topics: ["orders"],
    types: ["order.created"],
    order: "none",
    concurrency: 8,
    largestBatch: 1,
    eventsAtOnce: 8,
    from: "now",
    specific: { ...specific },
    ...rest,
  });
}

const inBatches = { largestBatch: 100, eventsAtOnce: 800 };

test("prefetch is twice the concurrency, and as much as batches need", () => {
  assert.equal(wish({}).prefetch, 16);
  assert.equal(wish({}, inBatches).prefetch, 800);
  assert.equal(wish({}, { largestBatch: 2, eventsAtOnce: 8 }).prefetch, 16);
  assert.equal(wish({}, { concurrency: 100_000, eventsAtOnce: 100_000 }).prefetch, prefetchMax);
});

test("a batch above the prefetch could never be full: an error says so", () => {
  assert.throws(() => wish({ prefetch: 99 }, inBatches), {
    name: "BrokerError",
    message:
      'RabbitMQ: the subscription of "billing": rabbitmq.prefetch is 99, and a batch handler\'s eventsMax 100: such a batch ' +
      "could never be full; raise rabbitmq.prefetch, leave it out, or lower eventsMax",
  });
});

test("a prefetch that bounds how many handlers run at once is a warning", () => {
  assert.deepEqual(wish({}).warnings, []);
  assert.deepEqual(wish({}, inBatches).warnings, []);
  assert.match(String(wish({ prefetch: 4 }).warnings), /prefetch 4 and concurrency 8: no more than 4 handlers run/);
  assert.match(
    String(wish({ prefetch: 250 }, inBatches).warnings),
    /prefetch 250, and its handlers take batches of up to 100: no more than 2 full ones at once; raise rabbitmq\.prefetch/,
  );
});
