import assert from "node:assert/strict";
import { test } from "node:test";
import { continuedBy, defineProcess, startedBy } from "./definition.ts";
import {
  fulfilment,
  PaidSchema,
  PlacedSchema,
  ReleaseSchema,
  ReservedSchema,
  ReserveSchema,
  ShipSchema,
  TouchedSchema,
} from "./fulfilment.fixture.ts";
import { given, published } from "./scenario.ts";

const order = { orderId: "1" };
const placed = given(fulfilment).event(PlacedSchema, order);
const paying = placed.event(ReservedSchema, order);

test("an event that starts the process makes an instance, publishes and starts a time-out", () => {
  given(fulfilment)
    .when(PlacedSchema, { ...order, number: 7 })
    .expect({
      publishes: [published(ReserveSchema, order)],
      timeouts: { stock: 60_000 },
      state: { orderId: "1", status: "reserving", seen: [7] },
      isCompleted: false,
    });
});

test("events without an instance follow their policies", () => {
  given(fulfilment).when(ReservedSchema, order).expect({ notFound: "retry" });
  given(fulfilment).when(PaidSchema, order).expect({ notFound: "dead-letter" });
  given(fulfilment).when(TouchedSchema, order).expect({ passedOver: "not_found" });
});

test("a time-out runs on while other events come, and is gone when it was stopped", () => {
  placed
    .passed(10_000)
    .event(PlacedSchema, order)
    .expect({ timeouts: { stock: 50_000 } });
  paying.expect({ timeouts: { payment: 600_000 }, publishes: [] });
  assert.throws(() => paying.whenTimeout("stock"), /the time-out stock does not run/);
});

test("a time-out that is started again begins anew", () => {
  placed
    .passed(59_000)
    .event(TouchedSchema, order)
    .expect({ timeouts: { stock: 60_000 } });
});

test("a payment that does not come gives back what was reserved, and the process is over", () => {
  paying
    .whenTimeout("payment")
    .expect({ publishes: [published(ReleaseSchema, order)], timeouts: {}, isCompleted: true });
  paying.whenTimeout("payment").when(PaidSchema, order).expect({ passedOver: "completed", publishes: [] });
  paying.when(PaidSchema, order).expect({ publishes: [published(ShipSchema, order)], timeouts: {}, isCompleted: true });
});

test("a scenario tells what was published instead", () => {
  assert.throws(() => paying.when(PaidSchema, order).expect({ publishes: [] }), /what is published/);
  assert.throws(
    () => paying.when(PaidSchema, order).expect({ publishes: [published(ShipSchema, { orderId: "2" })] }),
    /what is published/,
  );
  assert.throws(() => given(fulfilment, "2").event(PlacedSchema, order), /another instance/);
  assert.throws(
    () => given(fulfilment).state({ orderId: "1", status: "paying", seen: [] }).expect({}),
    /nothing has come/,
  );
});

test("definitions that make no process are errors", () => {
  const state = { initial: () => ({}) };
  const nothing = { state, decide: () => [], evolve: (before: object) => before };
  assert.throws(() => defineProcess({ ...nothing, name: "a b", events: [startedBy(PlacedSchema)] }), /name is "a b"/);
  assert.throws(
    () => defineProcess({ ...nothing, name: "a", events: [continuedBy(PaidSchema)] }),
    /no event begins it/,
  );
  assert.throws(
    () => defineProcess({ ...nothing, name: "a", events: [startedBy(PlacedSchema), continuedBy(PlacedSchema)] }),
    /listed twice/,
  );
  assert.throws(() => continuedBy(PaidSchema, { notFound: "start" as "retry" }), /notFound is "start"/);
});

test("functions that are not pure, and states that cannot be kept, are errors that name the process", () => {
  const events = [startedBy(PlacedSchema)] as const;
  const begin = (process: Parameters<typeof defineProcess>[0]) =>
    given(defineProcess({ ...process, events })).when(PlacedSchema, order);
  const good = { name: "a", events, state: { initial: () => ({}) as unknown }, decide: () => [], evolve: () => ({}) };
  assert.throws(() => begin({ ...good, evolve: async () => ({}) }), /process a: evolve must return.*promise/);
  assert.throws(() => begin({ ...good, decide: (async () => []) as never }), /process a: decide must return.*promise/);
  assert.throws(() => begin({ ...good, evolve: () => ({ n: 1n }) }), /process a: the state is no JSON/);
  assert.throws(() => begin({ ...good, evolve: () => "x".repeat(1_048_576) }), /1048578 characters/);
  assert.throws(
    () => begin({ ...good, decide: (_state, _event, { startTimeout }) => [startTimeout("x" as never, 1)] }),
    /there is no time-out "x"/,
  );
});
