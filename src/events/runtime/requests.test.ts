import assert from "node:assert/strict";
import { test } from "node:test";
import { compileEvent } from "../../contract/index.ts";
import { ledger } from "../conformance/ledger.ts";
import type { DeadLetterReason } from "../dead-letter.ts";
import { Discard } from "../errors.ts";
import type { Delivery } from "../handler.ts";
import type { EventAttributes, StoredRecord } from "../record.ts";
import { ConsumerScene, Later, placedRecord } from "./consumer.fixture.ts";
import type { Answering } from "./handling.ts";
import type { ConsumerPlan } from "./plan.ts";

/** A consumer of requests, whose answers the test holds back. */
function scene(handle: (delivery: Delivery) => unknown, plan: Partial<ConsumerPlan> = {}) {
  const told: { readonly reason: DeadLetterReason | "late"; readonly answered: Later }[] = [];
  const answering: Answering = {
    refusal: ({ attributes }) => (attributes.replyTo === "orders" ? "its reply_to is none" : undefined),
    giveUp(_request: StoredRecord, reason) {
      const answered = new Later();
      told.push({ reason, answered });
      return answered.promise;
    },
  };
  const contract = compileEvent(ledger("ledger").PlacedSchema);
  const handling = {
    contract,
    validate: undefined,
    invoke: (_event: object, delivery: Delivery) => handle(delivery),
    answering,
    batch: undefined,
  };
  const handlings = new Map([["ledger", new Map([["ledger.placed", handling]])]]);
  const consumer = new ConsumerScene(() => {}, { handlings, ...plan });
  const { clock } = consumer.platform;
  function ask(timeoutMs: number, attributes: Partial<EventAttributes> = {}): StoredRecord {
    const expiresAtMs = clock.wall() + timeoutMs;
    const record = placedRecord("a", 1, { replyTo: "me", correlationId: "c", expiresAtMs, ...attributes });
    consumer.consumer.records(consumer.lane, [record]);
    return record;
  }
  return { scene: consumer, clock, told, ask, lane: consumer.lane, broker: consumer.broker };
}

test("the requester is told of a dead letter when it is durable, and the request is settled afterwards", async () => {
  const { clock, told, ask, lane, broker } = scene(() => {
    throw new Discard("no");
  });
  const request = ask(10_000);
  await clock.settle();
  assert.equal(broker.dead.length, 1);
  assert.deepEqual(
    told.map(({ reason }) => reason),
    ["discarded"],
  );
  assert.deepEqual(lane.settled, []);
  told[0]?.answered.resolve();
  await clock.settle();
  assert.deepEqual(lane.settled, [request]);
});

test("a dead letter that the broker does not take is told of once, when it does", async () => {
  const { clock, told, ask, broker } = scene(() => {
    throw new Discard("no");
  });
  broker.failure = new Error("down");
  ask(60_000);
  await clock.advance(5_000);
  assert.deepEqual(told, []);
  broker.failure = undefined;
  await clock.advance(60_000);
  assert.equal(told.length, 1);
});

test("a drain waits until the requester has been told", async () => {
  const {
    scene: consumer,
    clock,
    told,
    ask,
    lane,
  } = scene(() => {
    throw new Error("no");
  });
  // The third attempt would come after a second.
  ask(500);
  await clock.advance(100);
  assert.deepEqual(
    told.map(({ reason }) => reason),
    ["late"],
  );
  consumer.consumer.stop();
  let isIdle = false;
  void consumer.consumer.idle(60_000).then(isAll => {
    isIdle = isAll;
  });
  await clock.settle();
  assert.equal(isIdle, false);
  told[0]?.answered.resolve();
  await clock.settle();
  assert.equal(isIdle, true);
  assert.equal(lane.settled.length, 1);
  assert.equal(consumer.consumer.stats().expiredRequests, 1);
});

test("when the lane has gone meanwhile, nothing is settled on it", async () => {
  const {
    scene: consumer,
    clock,
    told,
    ask,
    lane,
  } = scene(() => {
    throw new Error("no");
  });
  ask(500);
  await clock.advance(100);
  consumer.consumer.lost(lane);
  lane.isGone = true;
  told[0]?.answered.resolve();
  await clock.settle();
  assert.deepEqual(lane.settled, []);
  assert.equal(consumer.consumer.stats().running, 0);
});

test("a request whose address is refused is a dead letter before its handler or its attempts are looked at", async () => {
  let calls = 0;
  const { clock, ask, broker, lane } = scene(() => {
    calls++;
  });
  ask(10_000, { replyTo: "orders" });
  await clock.settle();
  const [letter] = broker.dead;
  assert.deepEqual(
    [letter?.details.reason, letter?.details.exception, letter?.details.attempts],
    ["invalid", "its reply_to is none", 0],
  );
  assert.equal(calls, 0);
  assert.deepEqual(lane.begun, []);
});

test("an expired request is dropped, before its attempts are counted; an expired event is a dead letter", async () => {
  const { scene: consumer, clock, told, ask, broker, lane } = scene(() => {});
  const request = ask(0);
  await clock.settle();
  assert.deepEqual([lane.settled, lane.begun, broker.dead, told], [[request], [], [], []]);
  assert.equal(consumer.seen("events.request.expired").length, 1);
  ask(0, { replyTo: undefined });
  await clock.settle();
  assert.equal(broker.dead[0]?.details.reason, "expired");
});

test("the time of a handler is the request's where that is less, and it is reported when it goes on", async () => {
  const { scene: consumer, clock, ask } = scene(() => new Promise(() => {}));
  const signals: AbortSignal[] = [];
  const { clock: other, ask: askOther } = scene(delivery => {
    signals.push(delivery.signal);
    assert.ok(delivery.timeLeftMs <= 200);
    return new Promise(() => {});
  });
  askOther(200);
  await other.advance(199);
  assert.equal(signals[0]?.aborted, false);
  await other.advance(2);
  assert.match(String(signals[0]?.reason), /the handler had 200 ms/);
  ask(200);
  await clock.advance(201 + 30_001);
  assert.equal(consumer.seen("events.handler.abandoned").length, 1);
});

test("a handler that ends leaves no timer of its deadline", async () => {
  const { clock, ask } = scene(() => {});
  for (let count = 0; count < 10; count++) ask(200);
  await clock.settle();
  assert.equal(clock.pendingTimers, 0);
});
