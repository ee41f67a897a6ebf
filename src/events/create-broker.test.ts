import assert from "node:assert/strict";
import { test } from "node:test";
import { currentWork, type ObservedEvent, runInContext, type Work } from "../platform/index.ts";
import { virtualPlatform } from "../platform/virtual/index.ts";
import type { Broker, BrokerOptions, Middleware } from "./broker.ts";
import { ledger } from "./conformance/ledger.ts";
import { connectBroker, sourceOf } from "./connect.ts";
import { createBroker } from "./create-broker.ts";
import type { BrokerCapabilities } from "./driver.ts";
import { BrokerError, PublishError } from "./errors.ts";
import { FakeDriver } from "./fake-driver.fixture.ts";
import { on } from "./handler.ts";
import { Later, placedRecord } from "./runtime/consumer.fixture.ts";
import { FakeLane } from "./runtime/fake-lane.fixture.ts";

const { PlacedSchema, NotedSchema } = ledger("ledger");

function scene(options: BrokerOptions = {}, capabilities: Partial<BrokerCapabilities> = {}) {
  const platform = virtualPlatform();
  const driver = new FakeDriver(capabilities);
  const events: ObservedEvent[] = [];
  const observer = { emit: (event: ObservedEvent) => void events.push(event) };
  const broker: Broker = createBroker(driver, { platform, observer, source: "/test", ...options });
  return { clock: platform.clock, driver, broker, events };
}

test("a publish resolves when the driver says that it is durable, and asks for its topic once", async () => {
  const { clock, driver, broker } = scene();
  let published: { id: string } | undefined;
  const first = broker.publish(PlacedSchema, { account: "a", number: 1 }).then(value => {
    published = value;
  });
  void broker.publish(PlacedSchema, { account: "b", number: 2 });
  await clock.settle();
  assert.deepEqual(driver.prepared, [["ledger"]]);
  assert.equal(published, undefined);
  const [record] = driver.batches[0]?.records ?? [];
  assert.equal(record?.key, "a");
  assert.equal(record.type, "ledger.placed");
  assert.equal(record.source, "/test");
  assert.equal(record.timeMs, clock.wall());
  assert.match(record.id, /^[0-9a-f]{8}-[0-9a-f]{4}-7/);
  const body = JSON.parse(Buffer.from(record.body).toString());
  assert.deepEqual(body, { event_type: "", account: "a", number: 1, padding: "", note: "" });
  driver.batches[0]?.answer();
  await first;
  assert.deepEqual(published, { id: record.id });
});

test("bodies do not share what a later one overwrites", async () => {
  const { clock, driver, broker } = scene({ contentType: "application/protobuf" });
  for (let number = 0; number < 3; number++) void broker.publish(PlacedSchema, { account: "same", number });
  await clock.settle();
  const bodies = driver.batches[0]?.records.map(({ body }) => Buffer.from(body).toString("hex"));
  assert.equal(new Set(bodies).size, 3);
  const json = scene();
  for (let number = 0; number < 3_000; number++) {
    void json.broker.publish(PlacedSchema, { account: "ä€𐍈".repeat(number % 40), number });
  }
  await json.clock.settle();
  const records = json.driver.batches.flatMap(one => one.records);
  assert.ok(records.length >= 500);
  for (const { body } of records) {
    const { account, number } = JSON.parse(Buffer.from(body).toString());
    assert.equal(account, "ä€𐍈".repeat(number % 40));
  }
});

test("a publish inherits trace and priority of the work that causes it, never its deadline", async () => {
  const { clock, driver, broker } = scene();
  const trace = { traceparent: "00-1-2-01", tracestate: undefined, baggage: "a=b" };
  const work: Work = { timeLeftMs: 10, priority: "sheddable", attempt: 1, trace };
  runInContext(currentWork, work, () => void broker.publish(PlacedSchema, { account: "a" }));
  runInContext(currentWork, work, () => void broker.publish(PlacedSchema, { account: "b" }, { priority: "critical" }));
  await clock.settle();
  const [first, second] = driver.batches[0]?.records ?? [];
  assert.deepEqual([first?.trace, first?.priority, first?.expiresAtMs], [trace, "sheddable", undefined]);
  assert.equal(second?.priority, "critical");
});

const refusals: readonly (readonly [what: string, options: object, text: RegExp])[] = [
  ["an empty key", { key: "" }, /key must be a text of 1 to/],
  ["an id that is too long", { id: "x".repeat(300) }, /id must be a text/],
  ["a time that is none", { timeMs: Number.NaN }, /timeMs is NaN/],
  ["a header of our own", { headers: { "ce-id": "1", CE_ID: "1" } }, /CE_ID is Trunkline's own/],
  ["a header that is no text", { headers: { "x-a": 1 } }, /x-a is a number; it must be a text/],
  ["a header that has no name", { headers: { "a b": "1" } }, /has no name of an HTTP header/],
  ["headers without end", { headers: { "x-a": "a".repeat(40_000) } }, /32768 are the most/],
];
for (const [what, options, text] of refusals) {
  test(`${what} is refused`, async () => {
    const { broker } = scene();
    await assert.rejects(broker.publish(PlacedSchema, { account: "a" }, options), error => {
      assert.ok(error instanceof PublishError && !error.isRetryable, String(error));
      assert.match(error.message, text);
      return true;
    });
  });
}

test("a schedule needs a broker that can deliver later", async () => {
  const { broker } = scene({}, { delay: "none" });
  await assert.rejects(broker.publish(PlacedSchema, {}, { notBeforeMs: 1 }), /capabilities\.delay is "none"/);
});

test("a signal ends the wait of a publish; what has not left never leaves", async () => {
  const { clock, driver, broker } = scene();
  driver.preparing = () => Promise.resolve();
  const controller = new AbortController();
  const published = broker.publish(PlacedSchema, { account: "a" }, { signal: controller.signal });
  const other = broker.publish(PlacedSchema, { account: "a", number: 2 });
  controller.abort(new Error("enough"));
  await assert.rejects(published, /enough/);
  await clock.settle();
  assert.equal(driver.batches[0]?.records.length, 1);
  driver.batches[0]?.answer();
  await other;
  await assert.rejects(broker.publish(PlacedSchema, {}, { signal: controller.signal }), /enough/);
});

test("a topic that is not there: its publishes are told, and the next one asks again", async () => {
  const { clock, driver, broker } = scene();
  driver.preparing = () => Promise.reject(new BrokerError("there is no topic ledger"));
  await assert.rejects(broker.publish(PlacedSchema, { account: "a" }), /there is no topic ledger/);
  driver.preparing = undefined;
  void broker.publish(PlacedSchema, { account: "a" });
  await clock.settle();
  assert.equal(driver.prepared.length, 2);
  assert.equal(driver.batches.length, 1);
});

test("publishAll takes no further event while there is no room, and names those that failed", async () => {
  const { clock, driver, broker } = scene({ gather: { pendingBytesMax: 2_000, recordsMax: 5 } });
  let taken = 0;
  function* events() {
    for (; taken < 100; taken++) yield { account: `account-${taken}`, number: taken };
  }
  const all = broker.publishAll(PlacedSchema, events());
  await clock.settle();
  assert.ok(taken < 40, `${taken} were taken`);
  let isFirst = true;
  const ended = assert.rejects(all, (error: AggregateError) => {
    assert.match(error.message, /2 events are not durable; all are listed/);
    assert.deepEqual(
      error.errors.map(({ message }) => /^event \d+/.exec(message)?.[0]),
      ["event 1", "event 3"],
    );
    return true;
  });
  for (let rounds = 0; rounds < 100; rounds++) {
    const failure = { isRetryable: false, error: new Error("refused") };
    driver.batches[0]?.answer(isFirst ? { 1: failure, 3: failure } : {});
    isFirst = false;
    await clock.advance(5);
  }
  await ended;
  assert.equal(taken, 100);
});

test("publishAll ends with its signal, and with what its sequence throws", async () => {
  const { clock, broker } = scene({ gather: { pendingBytesMax: 2_000 } });
  const controller = new AbortController();
  function* endless() {
    for (let number = 0; ; number++) yield { account: "a", number };
  }
  const aborted = assert.rejects(broker.publishAll(PlacedSchema, endless(), { signal: controller.signal }), /enough/);
  await clock.settle();
  controller.abort(new Error("enough"));
  await aborted;
  function* broken(): Generator<{ account: string }> {
    yield { account: "a" };
    throw new Error("broken off");
  }
  await assert.rejects(scene().broker.publishAll(PlacedSchema, broken()), /broken off/);
});

async function subscribed(options: { middleware?: Middleware[] } = {}, handle: (event: object) => unknown = () => {}) {
  const all = scene();
  const subscription = await all.broker.subscribe({ group: "bookkeeping", ...options }, on(PlacedSchema, handle));
  const lane = new FakeLane();
  all.driver.sink?.opened(lane);
  return { ...all, subscription, lane };
}

test("middleware runs around the handler, the first outermost, and may keep it from running", async () => {
  const order: string[] = [];
  const named =
    (name: string): Middleware =>
    async (_event, delivery, next) => {
      order.push(`${name} ${delivery.type}`);
      await next();
      order.push(`${name} ended`);
    };
  const { clock, driver, lane } = await subscribed({ middleware: [named("outer"), named("inner")] }, async () => {
    order.push("handler");
  });
  driver.sink?.records(lane, [placedRecord("a", 1)]);
  await clock.settle();
  assert.deepEqual(order, ["outer ledger.placed", "inner ledger.placed", "handler", "inner ended", "outer ended"]);
  assert.equal(lane.settled.length, 1);
});

test("an event that breaks the rules of its contract never reaches the handler", async () => {
  let calls = 0;
  const { clock, driver, lane } = await subscribed({}, () => calls++);
  const record = placedRecord("a", 1);
  const body = Buffer.from(JSON.stringify({ account: "a", note: "longer than ten" }));
  driver.sink?.records(lane, [{ ...record, body }]);
  await clock.settle();
  assert.equal(calls, 0);
  assert.equal(driver.subscription.dead[0]?.details.reason, "invalid");
  assert.equal(driver.subscription.dead[0]?.details.contract, "conformance.Placed");
});

test("shutdown before handlers end: a close waits for handlers, then for publishes, then closes the driver", async () => {
  const later = new Later();
  const all = await subscribed({}, () => later.promise);
  const { clock, driver, broker, lane } = all;
  driver.sink?.records(lane, [placedRecord("a", 1)]);
  let isPublished = false;
  void broker.publish(PlacedSchema, { account: "a" }).then(() => {
    isPublished = true;
  });
  await clock.settle();
  let isClosed = false;
  const closed = broker.close().then(() => {
    isClosed = true;
  });
  assert.equal(broker.status().isReady, false);
  await assert.rejects(broker.publish(PlacedSchema, {}), /closed/);
  await clock.advance(10_000);
  assert.deepEqual(driver.subscription.calls, ["stop"]);
  later.resolve();
  await clock.settle();
  assert.deepEqual(driver.subscription.calls, ["stop", "close"]);
  assert.deepEqual([lane.settled.length, isClosed, driver.isClosed], [1, false, false], "a publish has no answer yet");
  driver.batches[0]?.answer();
  await closed;
  assert.deepEqual([isPublished, driver.isClosed], [true, true]);
  await all.subscription.ended;
});

test("a close waits no longer than it may: handlers are told, then left", async () => {
  let signal: AbortSignal | undefined;
  const all = scene();
  await all.broker.subscribe(
    { group: "bookkeeping" },
    on(PlacedSchema, (_event, delivery) => {
      signal = delivery.signal;
      return new Promise(() => {});
    }),
  );
  const lane = new FakeLane();
  all.driver.sink?.opened(lane);
  all.driver.sink?.records(lane, [placedRecord("a", 1)]);
  const closed = all.broker.close({ timeoutMs: 1_000 });
  await all.clock.advance(999);
  assert.equal(signal?.aborted, false);
  await all.clock.advance(1);
  assert.equal(signal.aborted, true);
  await all.clock.advance(10_000);
  await closed;
  assert.equal(lane.settled.length, 0);
  assert.equal(all.driver.isClosed, true);
});

test("a subscription that cannot go on ends with the reason, and the broker is not ready", async () => {
  const { driver, broker, subscription, events } = await subscribed();
  driver.sink?.failed(new BrokerError("the queue was deleted"));
  await assert.rejects(subscription.ended, /the queue was deleted/);
  assert.match(broker.status().detail, /subscription of bookkeeping has ended: the queue was deleted/);
  assert.equal(broker.status().isReady, false);
  assert.ok(events.some(({ type }) => type === "events.subscription.failed"));
  await broker.close();
});

test("a tail from the beginning needs a broker that keeps it", async () => {
  const { broker } = scene({}, { replay: false });
  await assert.rejects(broker.tail(["ledger"], { from: "beginning" })[Symbol.asyncIterator]().next(), BrokerError);
});

test("events of files that were never used are known when their file was given", async () => {
  const other = ledger("ledger", "int32", ["closed", "opened"]);
  const all = scene({ contracts: [other.file] });
  const subscription = await all.broker.subscribe(
    { group: "bookkeeping" },
    on(PlacedSchema, () => {}),
  );
  const lane = new FakeLane();
  all.driver.sink?.opened(lane);
  all.driver.sink?.records(lane, [
    placedRecord("a", 1, { type: "ledger.closed" }),
    placedRecord("a", 2, { type: "ledger.noted" }),
    placedRecord("a", 3, { type: "ledger.burnt" }),
  ]);
  await all.clock.settle();
  assert.equal(subscription.stats().ignored, 2);
  assert.equal(all.driver.subscription.dead.length, 1);
  assert.equal(NotedSchema.typeName, "conformance.Noted");
});

test("options of brokers that make no sense are refused", () => {
  assert.throws(() => scene({ contentType: "text/xml" as "application/json" }), /contentType is "text\/xml"/);
});

test("a URL names the broker; another scheme is told which there are, and no password is repeated", async () => {
  await assert.rejects(connectBroker("nats://user:secret@host"), error => {
    assert.ok(error instanceof BrokerError);
    assert.match(error.message, /the scheme "nats:" names no broker; URLs are "memory:", "sqlite:/);
    assert.doesNotMatch(error.message, /secret/);
    return true;
  });
  await assert.rejects(connectBroker("./events.db"), /a URL without a scheme names no broker/);
  assert.equal(sourceOf("/srv/order-service/main.ts"), "/order-service");
  assert.equal(sourceOf(undefined), "/trunkline");
});
