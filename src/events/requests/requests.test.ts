import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { StringValueSchema } from "@bufbuild/protobuf/wkt";
import { isRpcError, RpcError } from "../../errors/index.ts";
import { contextValue, currentWork, runInContext, type Work } from "../../platform/index.ts";
import type { Placed } from "../conformance/ledger.ts";
import { BrokerError } from "../errors.ts";
import { type Delivery, on } from "../handler.ts";
import { onRequest } from "./on-request.ts";
import {
  assertCode,
  BalanceSchema,
  lettersOf,
  NotedSchema,
  PlacedSchema,
  recordsOf,
  scene,
  watch,
} from "./request-scene.fixture.ts";

test("a request gets the reply of its handler", async t => {
  const { clock, connect, serve, seen } = scene(t);
  const { subscription } = await serve(({ account, number }) => ({ account, total: number * 2 }));
  const client = await connect({ contentType: "application/protobuf" });
  const outcome = watch(client.request(PlacedSchema, BalanceSchema, { account: "a", number: 21 }));
  await clock.advance(20);
  assert.equal(outcome.value?.account, "a");
  assert.equal(outcome.value?.total, 42);
  assert.equal(subscription.stats().handled, 1);
  assert.deepEqual(
    seen("events.requested").map(({ code, eventType }) => [eventType, code]),
    [["ledger.placed", "ok"]],
  );
  assert.deepEqual(
    seen("events.replied").map(({ code }) => code),
    ["ok"],
  );
});

test("a request carries where its reply is awaited, its own id, and its deadline as wall time", async t => {
  const { clock, connect, serve } = scene(t);
  const deliveries: Delivery[] = [];
  await serve((_request, delivery) => {
    deliveries.push(delivery);
    return {};
  });
  const client = await connect();
  const beganMs = clock.wall();
  watch(
    client.request(
      PlacedSchema,
      BalanceSchema,
      { account: "a" },
      { timeoutMs: 7_000, headers: { "x-tenant": "blue" } },
    ),
  );
  await clock.advance(20);
  const { attributes } = (deliveries[0] as Delivery).raw;
  assert.match(attributes.replyTo ?? "", /^trunkline\.replies\.[0-9a-f]{32}$/);
  assert.equal(attributes.correlationId, attributes.id);
  assert.equal(attributes.expiresAtMs, beganMs + 7_000);
  assert.equal(deliveries[0]?.headers["x-tenant"], "blue");
  assert.ok((deliveries[0]?.timeLeftMs ?? 0) <= 7_000);
});

test("trace and priority travel with the request and come back with the reply; the deadline is inherited", async t => {
  const { clock, connect, serve } = scene(t);
  const works: (Work | undefined)[] = [];
  await serve(() => {
    works.push(contextValue(currentWork));
    return {};
  });
  const client = await connect();
  const trace = { traceparent: "00-1-2-01", tracestate: undefined, baggage: "a=b" };
  const work: Work = { timeLeftMs: 500, priority: "critical", attempt: 0, trace };
  const outcome = runInContext(currentWork, work, () => watch(client.request(PlacedSchema, BalanceSchema, {})));
  await clock.advance(20);
  assert.equal(outcome.isOver, true);
  const [seen] = works;
  assert.equal(seen?.priority, "critical");
  assert.deepEqual(seen.trace?.traceparent, trace.traceparent);
  assert.ok(seen.timeLeftMs <= 500);
});

test("a reply may be any message, also one of the well-known types", async t => {
  const { clock, connect } = scene(t);
  const server = await connect();
  await server.subscribe(
    { group: "g" },
    onRequest(PlacedSchema, StringValueSchema, () => ({ value: "größer ✓" })),
  );
  const client = await connect();
  const outcome = watch(client.request(PlacedSchema, StringValueSchema, {}));
  await clock.advance(20);
  assert.equal(outcome.value?.value, "größer ✓");
});

test("nobody there: the deadline ends the request, and its handler does not get it later", async t => {
  const { clock, connect, serve, seen } = scene(t);
  const client = await connect();
  await client.publish(PlacedSchema, { account: "begins the topic" });
  const outcome = watch(client.request(PlacedSchema, BalanceSchema, { account: "a" }, { timeoutMs: 1_000 }));
  await clock.advance(999);
  assert.equal(outcome.isOver, false);
  await clock.advance(2);
  assertCode(outcome.error, "deadline_exceeded", /ledger\.placed on ledger: no reply within 1000 ms/);
  let calls = 0;
  const { subscription, broker } = await serve(() => {
    calls++;
    return {};
  });
  await clock.advance(100);
  assert.equal(calls, 1, "the plain event, which nobody awaits a reply of");
  assert.equal(subscription.stats().expiredRequests, 1);
  assert.equal(seen("events.request.expired").length, 1);
  assert.deepEqual(await lettersOf(broker), []);
});

test("the deadline of a request is its handler's; what comes after it reaches nobody", async t => {
  const { clock, connect, serve, seen } = scene(t);
  let reason: unknown;
  const { promise, resolve } = Promise.withResolvers<void>();
  const { subscription } = await serve(async (_request, { signal }) => {
    signal.addEventListener("abort", () => {
      reason = signal.reason;
    });
    await promise;
    return {};
  });
  const client = await connect();
  const outcome = watch(client.request(PlacedSchema, BalanceSchema, {}, { timeoutMs: 400 }));
  await clock.advance(402);
  assertCode(outcome.error, "deadline_exceeded");
  assert.match(String(reason), /the handler had \d+ ms/);
  resolve();
  await clock.advance(10);
  assert.deepEqual(
    seen("events.reply.unsent").map(({ why }) => why),
    ["the requester has given up by now"],
  );
  assert.equal(subscription.stats().handled, 1);
  assert.equal(subscription.stats().running, 0);
});

test("handlerTimeoutMs stays the handler's deadline where it is shorter", async t => {
  const { clock, connect, serve } = scene(t);
  const aborted: number[] = [];
  const beganMs = clock.now();
  await serve(
    (_request, { signal }) =>
      new Promise(resolve => {
        signal.addEventListener("abort", () => {
          aborted.push(clock.now() - beganMs);
          resolve({});
        });
      }),
    { handlerTimeoutMs: 100 },
  );
  const client = await connect();
  const outcome = watch(client.request(PlacedSchema, BalanceSchema, {}));
  await clock.advance(150);
  assert.ok((aborted[0] ?? 0) < 150);
  assert.equal(outcome.error, undefined);
  assert.equal(outcome.isOver, true);
});

test("a signal ends a request, and what has not left never leaves", async t => {
  const { clock, connect, serve } = scene(t);
  let calls = 0;
  await serve(() => {
    calls++;
    return {};
  });
  const client = await connect();
  const controller = new AbortController();
  const outcome = watch(client.request(PlacedSchema, BalanceSchema, {}, { signal: controller.signal }));
  controller.abort(new Error("enough"));
  await clock.advance(50);
  assert.match(String(assertCode(outcome.error, "cancelled").cause), /enough/);
  assert.equal(calls, 0);
  const aborted = client.request(PlacedSchema, BalanceSchema, {}, { signal: controller.signal });
  await assert.rejects(aborted, error => isRpcError(error, "cancelled"));
});

test("more requests than may wait are refused at once", async t => {
  const { clock, connect } = scene(t);
  const client = await connect({ pendingRequestsMax: 3 });
  const outcomes = Array.from({ length: 4 }, () =>
    watch(client.request(PlacedSchema, BalanceSchema, {}, { timeoutMs: 100 })),
  );
  await clock.settle();
  const error = assertCode(outcomes[3]?.error, "resource_exhausted", /pendingRequestsMax/);
  assert.equal(error.unprocessed, true);
  await clock.advance(101);
  assert.ok(outcomes.slice(0, 3).every(({ error: one }) => isRpcError(one, "deadline_exceeded")));
  await assert.rejects(connect({ pendingRequestsMax: 0 }), BrokerError);
});

test("times that are none are refused", async t => {
  const { connect } = scene(t);
  const client = await connect();
  for (const timeoutMs of [-1, Number.NaN, 3_600_001]) {
    await assert.rejects(client.request(PlacedSchema, BalanceSchema, {}, { timeoutMs }), TypeError);
  }
  await assert.rejects(client.request(PlacedSchema, BalanceSchema, {}, { timeoutMs: 0 }), error =>
    isRpcError(error, "deadline_exceeded"),
  );
  await assert.rejects(client.request(BalanceSchema, BalanceSchema, {}), /it is no event/);
});

test("closing lets handlers that ask end, then ends all that wait", async t => {
  const { clock, connect, serve } = scene(t);
  const gate = Promise.withResolvers<void>();
  await serve(async () => {
    await gate.promise;
    return { total: 7 };
  });
  const middle = await connect();
  const { promise, resolve } = Promise.withResolvers<number>();
  await middle.subscribe(
    { group: "middle" },
    on(NotedSchema, async () => {
      resolve((await middle.request(PlacedSchema, BalanceSchema, { account: "a" })).total);
    }),
  );
  await middle.publish(NotedSchema, { account: "a" });
  await clock.advance(20);
  const outside = watch(middle.request(PlacedSchema, BalanceSchema, { account: "never answered" }));
  await clock.advance(20);
  const closed = middle.close();
  await clock.advance(20);
  const late = middle.request(PlacedSchema, BalanceSchema, {}, { timeoutMs: 5 });
  late.catch(() => {});
  gate.resolve();
  await clock.advance(100);
  await closed;
  assert.equal(await promise, 7);
  assert.equal(outside.isOver, true);
  await assert.rejects(middle.request(PlacedSchema, BalanceSchema, {}), error => isRpcError(error, "unavailable"));
});

test("a broker that closes ends what waits with unavailable and leaves no topic behind", async t => {
  const { clock, connect } = scene(t);
  const observer = await connect();
  const client = await connect();
  await observer.subscribe(
    { group: "silent" },
    on(PlacedSchema, () => {}),
  );
  const outcome = watch(client.request(PlacedSchema, BalanceSchema, { account: "a" }));
  await clock.advance(20);
  const [request] = await recordsOf(observer, "ledger", 1);
  const address = request?.attributes.replyTo ?? "";
  await client.close();
  assertCode(outcome.error, "unavailable", /closed/);
  const tail = observer.tail([address], { from: "beginning" })[Symbol.asyncIterator]();
  await assert.rejects(tail.next(), /there is no topic/);
});

test("middleware goes around handlers that reply; one that does not let the handler run replies nothing", async t => {
  const { clock, connect, serve } = scene(t);
  const steps: string[] = [];
  await serve(
    ({ account }) => {
      if (account === "bad") throw new RpcError("aborted", "no");
      return { total: 1 };
    },
    {
      middleware: [
        async (event, _delivery, next) => {
          const { account } = event as Placed;
          if (account === "skipped") return;
          await next().catch(error => {
            steps.push(`${account} ${(error as RpcError).code}`);
            throw error;
          });
          steps.push(account);
        },
      ],
    },
  );
  const client = await connect();
  const outcomes = ["good", "bad", "skipped"].map(account =>
    watch(client.request(PlacedSchema, BalanceSchema, { account }, { timeoutMs: 1_000 })),
  );
  await clock.advance(1_100);
  assert.equal(outcomes[0]?.value?.total, 1);
  assertCode(outcomes[1]?.error, "aborted");
  assertCode(outcomes[2]?.error, "deadline_exceeded");
  assert.deepEqual(steps.toSorted(), ["bad aborted", "good"]);
});

test("1,000 requests at once each get their own reply", async t => {
  const { clock, connect, serve } = scene(t);
  await serve(({ account, number }) => ({ account, total: number }), { concurrency: 64 });
  const client = await connect();
  const outcomes = Array.from({ length: 1_000 }, (_, number) =>
    watch(client.request(PlacedSchema, BalanceSchema, { account: `a${number % 100}`, number })),
  );
  await clock.advance(2_000);
  assert.deepEqual(
    outcomes.map(({ value }) => value?.total),
    outcomes.map((_, number) => number),
  );
});

test("a reply keeps what create() makes", async t => {
  const { clock, connect } = scene(t);
  const server = await connect();
  await server.subscribe(
    { group: "g" },
    onRequest(PlacedSchema, BalanceSchema, () => create(BalanceSchema, { total: 9 })),
  );
  const client = await connect();
  const outcome = watch(client.request(PlacedSchema, BalanceSchema, {}));
  await clock.advance(50);
  assert.equal(outcome.value?.total, 9);
});
