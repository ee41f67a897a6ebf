import assert from "node:assert/strict";
import { test } from "node:test";
import { onBatch } from "../batch.ts";
import type { SubscribeOptions } from "../broker.ts";
import { ledger } from "../conformance/ledger.ts";
import type { BrokerCapabilities } from "../driver.ts";
import { BrokerError } from "../errors.ts";
import { on } from "../handler.ts";
import { batchedEventsAtOnceMax, initialDelayMs, maxAttempts, maxDelayMs } from "./limits.ts";
import { checkSubscription } from "./subscribe-options.ts";

const { PlacedSchema, NotedSchema } = ledger("ledger");
const placed = on(PlacedSchema, () => {});
const noted = on(NotedSchema, () => {});

function check(
  options: Partial<SubscribeOptions> = {},
  capabilities: Partial<BrokerCapabilities> = {},
  handlers = [placed],
  name = "fake",
) {
  const full = { delay: "native", replay: true, transactions: false, order: "key", bodyBytesMax: 1, ...capabilities };
  return checkSubscription({ group: "bookkeeping", ...options }, handlers, {
    name,
    capabilities: full as BrokerCapabilities,
  });
}

test("a group and handlers are enough: everything else follows from the broker", () => {
  const { demand, onFailure, schedule, unknownTypes, handlerTimeoutMs } = check({}, {}, [placed, noted]);
  assert.deepEqual(demand, {
    group: "bookkeeping",
    topics: ["ledger"],
    types: ["ledger.placed", "ledger.noted"],
    order: "key",
    concurrency: 16,
    largestBatch: 1,
    eventsAtOnce: 16,
    from: "beginning",
    isTransactional: false,
    specific: {},
  });
  assert.deepEqual([onFailure, unknownTypes, handlerTimeoutMs], ["park-key", "dead-letter", 30_000]);
  assert.equal(schedule.maxAttempts, 8);
});

test("the default attempts take about ten minutes", () => {
  const { schedule } = check();
  let totalMs = 0;
  for (let delayed = 0; delayed < maxAttempts - 1 - schedule.immediate; delayed++) {
    totalMs += Math.min(initialDelayMs * schedule.factor ** delayed, maxDelayMs);
  }
  assert.ok(totalMs > 9 * 60_000 && totalMs < 11 * 60_000, `${totalMs} ms`);
});

test("on a broker whose consumers compete there is no order, and what fails goes on by itself", () => {
  const { demand, onFailure } = check({}, { order: "none", replay: false });
  assert.deepEqual([demand.order, demand.from, onFailure], ["none", "now", "unordered"]);
});

test("transactions are for brokers that have them", () => {
  assert.equal(check({ transactions: true }, { transactions: true }).demand.isTransactional, true);
  assert.throws(
    () => check({ transactions: true }, {}, [placed], "rabbitmq"),
    /transactions is true, and rabbitmq cannot .*outbox/,
  );
  const all = onBatch(PlacedSchema, { eventsMax: 10 }, () => {});
  assert.throws(() => check({ transactions: true }, { transactions: true }, [all]), /has a batch handler/);
  assert.throws(() => check({ transactions: 1 as never }), /transactions is 1; it must be true or false/);
});

test("a partition that keeps its order is blocked by a failure", () => {
  assert.equal(check({ order: "partition" }).onFailure, "block");
});

test("RabbitMQ keeps the order of keys where one consumer has a queue", () => {
  const { demand, onFailure } = check(
    { rabbitmq: { singleActiveConsumer: true } },
    { order: "none" },
    [placed],
    "rabbitmq",
  );
  assert.deepEqual([demand.order, onFailure], ["key", "park-key"]);
  assert.deepEqual(demand.specific, { singleActiveConsumer: true });
});

test("what is said of other brokers changes nothing, so that a URL alone chooses", () => {
  const { demand } = check(
    { rabbitmq: { singleActiveConsumer: true }, kafka: { protocol: "classic" } },
    { order: "none" },
  );
  assert.deepEqual([demand.order, demand.specific], ["none", {}]);
});

const mistakes: readonly (readonly [
  what: string,
  text: RegExp,
  options: Partial<SubscribeOptions>,
  capabilities?: Partial<BrokerCapabilities>,
  name?: string,
])[] = [
  ["a group with a slash", /group is "a\/b"; it must be 1 to 200 of/, { group: "a/b" }],
  [
    "an option that is not there",
    /there is no option "concurency"; the options are group,/,
    { concurency: 4 } as object,
  ],
  ["a retry option that is not there", /retry: there is no option "attempts"/, { retry: { attempts: 4 } as object }],
  ["no concurrency", /concurrency is 0; it must be a whole number from 1 to/, { concurrency: 0 }],
  ["half a handler", /concurrency is 1\.5/, { concurrency: 1.5 }],
  [
    "an order that is not there",
    /order is "fifo"; it must be one of "key", "partition", "none"/,
    { order: "fifo" as "key" },
  ],
  [
    "order where there is none",
    /order is "key", which fake does not keep as it is asked: use "none"/,
    { order: "key" },
    { order: "none" },
  ],
  [
    "order on a shared queue",
    /set rabbitmq\.singleActiveConsumer or rabbitmq\.partitions/,
    { order: "key" },
    { order: "none" },
    "rabbitmq",
  ],
  [
    "keys of a broker of partitions",
    /keeps order only within a partition; use "partition"/,
    { order: "key" },
    { order: "partition" },
  ],
  [
    "the beginning without replay",
    /from is "beginning", and fake keeps nothing/,
    { from: "beginning" },
    { replay: false },
  ],
  [
    "parked keys without order",
    /onFailure is "park-key".* order is "none"; use "unordered"/,
    { order: "none", onFailure: "park-key" },
  ],
  [
    "delays that shrink",
    /retry\.maxDelayMs \(5\) is below retry\.initialDelayMs \(10\)/,
    { retry: { initialDelayMs: 10, maxDelayMs: 5 } },
  ],
  ["a time-out that is none", /handlerTimeoutMs is NaN/, { handlerTimeoutMs: Number.NaN }],
  ["middleware that is none", /middleware must be a list of functions/, { middleware: ["log"] as unknown as [] }],
];
for (const [what, text, options, capabilities, name] of mistakes) {
  test(`${what} is an error that says what to do`, () => {
    assert.throws(
      () => check(options, capabilities, [placed], name),
      error => {
        assert.ok(error instanceof BrokerError, String(error));
        assert.match(error.message, text);
        return true;
      },
    );
  });
}

const batched = (eventsMax: number) => onBatch(PlacedSchema, { eventsMax }, () => {});

test("batches: a broker gives as many events as their handlers can have at once, within bounds", () => {
  const atOnce = (eventsMax: number, concurrency: number) => {
    const { demand } = check({ concurrency }, {}, [batched(eventsMax), noted]);
    assert.equal(demand.largestBatch, eventsMax);
    return demand.eventsAtOnce;
  };
  assert.equal(atOnce(1, 16), 16);
  assert.equal(atOnce(100, 16), 1_600);
  assert.equal(atOnce(100, 1), 200, "one fills while another is handled");
  assert.equal(atOnce(1_000, 16), batchedEventsAtOnceMax);
  assert.equal(atOnce(10_000, 16), 20_000);
  assert.equal(atOnce(2, 10_000), 10_000);
});

test("middleware around a batch handler is an error that says where it goes instead", () => {
  const middleware = [async (_event: object, _delivery: object, next: () => Promise<void>) => next()];
  assert.throws(
    () => check({ middleware }, {}, [noted, batched(10)]),
    /middleware runs around single events, and ledger\.placed has a batch handler; call what belongs around the batch in/,
  );
  assert.doesNotThrow(() => check({ middleware: [] }, {}, [batched(10)]));
});

test("a batch handler without a second attempt is an error: a crash would make dead letters of innocents", () => {
  assert.throws(
    () => check({ retry: { maxAttempts: 1 } }, {}, [batched(10)]),
    /retry\.maxAttempts is 1, and ledger\.placed has a batch handler.*use at least 2, or on/,
  );
});

test("no handler, and two for the same type, are errors", () => {
  assert.throws(() => check({}, {}, []), /there is no handler; pass at least one, made by on/);
  assert.throws(() => check({}, {}, [placed, noted, placed]), /two handlers for ledger\.placed on ledger/);
});
