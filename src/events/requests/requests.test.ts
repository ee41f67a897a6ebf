import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { StringValueSchema } from "@bufbuild/protobuf/wkt";
import { type ErrorCode, isRpcError, RpcError } from "../../errors/index.ts";
import { contextValue, currentWork, type ObservedEvent, runInContext, type Work } from "../../platform/index.ts";
import { virtualPlatform } from "../../platform/virtual/index.ts";
import type { Broker, BrokerOptions, SubscribeOptions } from "../broker.ts";
import { type Balance, ledger, type Placed } from "../conformance/ledger.ts";
import { connectBroker } from "../connect.ts";
import { BrokerError, Discard, RetryLater } from "../errors.ts";
import { type Delivery, on } from "../handler.ts";
import type { StoredRecord } from "../record.ts";
import { onRequest } from "./on-request.ts";

const { PlacedSchema, NotedSchema, BalanceSchema, file } = ledger("ledger");

/** Connections to one memory broker on a clock that the test moves. */
function scene(t: TestContext) {
  const platform = virtualPlatform();
  const { clock } = platform;
  const events: ObservedEvent[] = [];
  const observer = { emit: (event: ObservedEvent) => void events.push(event) };
  const all: Broker[] = [];
  async function connect(options: BrokerOptions = {}): Promise<Broker> {
    const broker = await connectBroker("memory:shop", {
      platform,
      observer,
      source: "/test",
      contracts: [file],
      ...options,
    });
    all.push(broker);
    return broker;
  }
  t.after(async () => {
    const closing = Promise.allSettled(all.map(broker => broker.close({ timeoutMs: 10 })));
    await clock.advance(60_000);
    await closing;
  });
  /** Answers as a group of a service would. */
  async function serve(
    handle: (request: Placed, delivery: Delivery) => Partial<Balance> | Promise<Partial<Balance>>,
    options: Partial<SubscribeOptions> = {},
    connection: BrokerOptions = {},
  ) {
    const broker = await connect(connection);
    const handler = onRequest(PlacedSchema, BalanceSchema, async (request, delivery) => {
      const { account = "", total = 0 } = await handle(request, delivery);
      return { account, total };
    });
    const subscription = await broker.subscribe({ group: "bank", ...options }, handler);
    return { broker, subscription };
  }
  const seen = (type: string) => events.filter(event => event.type === type) as unknown as Record<string, unknown>[];
  return { platform, clock, connect, serve, events, seen };
}

/** What became of a promise, without waiting for it. */
function watch<T>(promise: Promise<T>) {
  const outcome: { value?: T; error?: unknown; isOver: boolean } = { isOver: false };
  promise.then(
    value => Object.assign(outcome, { value, isOver: true }),
    error => Object.assign(outcome, { error, isOver: true }),
  );
  return outcome;
}

function assertCode(error: unknown, code: ErrorCode, text?: RegExp): RpcError {
  assert.ok(isRpcError(error, code), String(error));
  if (text !== undefined) assert.match(error.message, text);
  return error;
}

async function lettersOf(broker: Broker) {
  const letters = [];
  for await (const letter of broker.deadLetters()) letters.push(letter);
  return letters;
}

/** What lies on a topic, as it is. */
async function recordsOf(broker: Broker, topic: string, count: number): Promise<StoredRecord[]> {
  const records: StoredRecord[] = [];
  for await (const record of broker.tail([topic], { from: "beginning" })) if (records.push(record) === count) break;
  return records;
}

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

test("an RpcError is a reply: its code, message and details arrive, its cause does not, and nothing is tried again", async t => {
  const { clock, connect, serve } = scene(t);
  let calls = 0;
  const { subscription, broker } = await serve(() => {
    calls++;
    const details = [
      [StringValueSchema, { value: "why" }],
      { type: "shop.Other", value: Uint8Array.of(1, 2) },
    ] as const;
    throw new RpcError("not_found", "no account ✓", { details, retryAfterMs: 1_500, cause: new Error("secret") });
  });
  const client = await connect();
  const outcome = watch(client.request(PlacedSchema, BalanceSchema, {}));
  await clock.advance(20);
  const error = assertCode(outcome.error, "not_found");
  assert.equal(error.message, "no account ✓");
  assert.equal(error.retryAfterMs, 1_500);
  assert.equal(error.cause, undefined);
  assert.deepEqual(
    error.details.map(detail => ("type" in detail ? [detail.type, [...detail.value]] : detail)),
    [
      ["google.protobuf.StringValue", [10, 3, 119, 104, 121]],
      ["shop.Other", [1, 2]],
    ],
  );
  assert.equal(calls, 1);
  assert.equal(subscription.stats().handled, 1);
  assert.deepEqual(await lettersOf(broker), []);
});

test("details that are too large are left out, and a long message is cut", async t => {
  const { clock, connect, serve } = scene(t);
  await serve(() => {
    throw new RpcError("aborted", "x".repeat(10_000), { details: [{ type: "a.B", value: new Uint8Array(20_000) }] });
  });
  const client = await connect();
  const outcome = watch(client.request(PlacedSchema, BalanceSchema, {}));
  await clock.advance(20);
  const error = assertCode(outcome.error, "aborted");
  assert.equal(error.message.length, 4_096);
  assert.deepEqual(error.details, []);
});

test("what a handler throws is tried again while somebody waits", async t => {
  const { clock, connect, serve } = scene(t);
  let calls = 0;
  const { subscription } = await serve(() => {
    if (++calls < 4) throw new Error("not yet");
    return { total: calls };
  });
  const client = await connect();
  const outcome = watch(client.request(PlacedSchema, BalanceSchema, {}));
  await clock.advance(6_000);
  assert.equal(outcome.value?.total, 4);
  assert.equal(subscription.stats().failedAttempts, 3);
});

test("a request that cannot be tried again in its time is answered with internal, which says nothing of the cause", async t => {
  const { clock, connect, serve, seen } = scene(t);
  const { subscription, broker } = await serve(() => {
    throw new Error("secret");
  });
  const client = await connect();
  // Two immediate attempts, and the next would be after 3 s.
  const outcome = watch(client.request(PlacedSchema, BalanceSchema, {}, { timeoutMs: 2_000 }));
  await clock.advance(200);
  const error = assertCode(outcome.error, "internal", /^internal error$/);
  assert.equal(JSON.stringify(error).includes("secret"), false);
  await clock.advance(10_000);
  const { expiredRequests, deadLettered, failedAttempts } = subscription.stats();
  assert.deepEqual(
    { expiredRequests, deadLettered, failedAttempts },
    { expiredRequests: 1, deadLettered: 0, failedAttempts: 3 },
  );
  assert.deepEqual(await lettersOf(broker), []);
  assert.equal(seen("events.request.expired").length, 1);
});

for (const [what, fault, reason, options] of [
  ["is out of attempts", () => new Error("secret"), "attempts", { retry: { maxAttempts: 2 } }],
  ["is discarded", () => new Discard("secret"), "discarded", {}],
] as const) {
  test(`a request that ${what} is a dead letter, and the requester gets internal`, async t => {
    const { clock, connect, serve } = scene(t);
    const { broker } = await serve(() => {
      throw fault();
    }, options);
    const client = await connect();
    const outcome = watch(client.request(PlacedSchema, BalanceSchema, {}));
    await clock.advance(500);
    assertCode(outcome.error, "internal", /^internal error$/);
    const [letter] = await lettersOf(broker);
    assert.equal(letter?.reason, reason);
    assert.match(letter.exception ?? "", /secret/);
  });
}

test("RetryLater beyond the deadline ends the request, and within it does not", async t => {
  const { clock, connect, serve } = scene(t);
  let calls = 0;
  await serve(({ number }) => {
    if (++calls % 2 === 1) throw new RetryLater(number);
    return { total: number };
  });
  const client = await connect();
  const within = watch(
    client.request(PlacedSchema, BalanceSchema, { account: "a", number: 900 }, { timeoutMs: 1_000 }),
  );
  await clock.advance(990);
  assert.equal(within.value?.total, 900);
  const beyond = watch(
    client.request(PlacedSchema, BalanceSchema, { account: "b", number: 1_100 }, { timeoutMs: 1_000 }),
  );
  await clock.advance(20);
  assertCode(beyond.error, "internal");
});

test("a request that breaks the rules of its contract, or is none, is told so and is a dead letter", async t => {
  const { clock, connect, serve } = scene(t);
  const { broker } = await serve(() => ({}));
  const client = await connect();
  const outcome = watch(client.request(PlacedSchema, BalanceSchema, { note: "far too long a note" }));
  const broken = ledger("ledger", "string");
  const other = watch(client.request(broken.PlacedSchema, BalanceSchema, { number: "many" as unknown as number }));
  await clock.advance(50);
  assertCode(outcome.error, "invalid_argument", /note/);
  assertCode(other.error, "invalid_argument", /number/);
  assert.deepEqual((await lettersOf(broker)).map(({ reason }) => reason).toSorted(), ["invalid", "undecodable"]);
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

test("a reply that is late, and one that comes twice, is counted and dropped", async t => {
  const { clock, connect, seen } = scene(t);
  const server = await connect();
  const client = await connect();
  const requests: StoredRecord[] = [];
  await server.subscribe(
    { group: "g" },
    on(PlacedSchema, (_event, { raw }) => void requests.push(raw)),
    // Answers in its own way, twice.
  );
  // Two groups that both reply: the first one counts.
  const handler = onRequest(PlacedSchema, BalanceSchema, () => ({ total: 1 }));
  await server.subscribe({ group: "one" }, handler);
  await (await connect()).subscribe({ group: "two" }, handler);
  const outcome = watch(client.request(PlacedSchema, BalanceSchema, {}));
  await clock.advance(50);
  assert.equal(outcome.value?.total, 1);
  const dropped = seen("events.reply.dropped");
  assert.equal(dropped.length, 1);
  assert.equal(dropped[0]?.["correlationId"], requests[0]?.attributes.id);
});

test("a reply of another type is an error, and so is one that cannot be decoded", async t => {
  const { clock, connect } = scene(t);
  const server = await connect();
  await server.subscribe(
    { group: "g" },
    onRequest(PlacedSchema, NotedSchema, () => ({ account: "a" })),
  );
  const client = await connect();
  const outcome = watch(client.request(PlacedSchema, BalanceSchema, {}));
  await clock.advance(50);
  assertCode(
    outcome.error,
    "internal",
    /ledger\.placed cannot be read: it is conformance\.Noted, and conformance\.Balance was expected/,
  );
});

const hostile = [
  "ledger",
  "trunkline.replies.1",
  "trunkline.replies.",
  `x${"a".repeat(300)}`,
  "order_processing",
  "../../etc",
];
for (const replyTo of hostile) {
  test(`a request that wants its reply at ${replyTo.slice(0, 30)} is refused and never answered there`, async t => {
    const { clock, connect, serve } = scene(t);
    let calls = 0;
    const { broker } = await serve(() => {
      calls++;
      return {};
    });
    const client = await connect();
    const record = { ...client.encode(PlacedSchema, { account: "a" }), replyTo, correlationId: "1" };
    // Undecodable ones are not answered there either.
    const broken = { ...record, id: "2", body: Buffer.from("{") };
    assert.deepEqual(await Promise.all([client.forward([record, broken]), clock.advance(50)]).then(([all]) => all), [
      undefined,
      undefined,
    ]);
    await clock.advance(100);
    assert.equal(calls, 0);
    const letters = await lettersOf(broker);
    assert.deepEqual(
      letters.map(({ reason }) => reason),
      ["invalid", "invalid"],
    );
    assert.match(letters[0]?.exception ?? "", /its reply_to "[^"]+" is no address for replies on memory/);
    assert.equal((await recordsOf(broker, "ledger", 2)).length, 2);
    if (replyTo !== "ledger") {
      const tail = broker.tail([replyTo], { from: "beginning" })[Symbol.asyncIterator]();
      await assert.rejects(tail.next(), /there is no topic/);
    }
  });
}

test("a reply to somebody who has left makes no topic and does not hold up the handler", async t => {
  const { clock, connect, serve, seen } = scene(t);
  const { broker, subscription } = await serve(() => ({}));
  const client = await connect();
  const replyTo = `trunkline.replies.${"0".repeat(32)}`;
  const record = { ...client.encode(PlacedSchema, { account: "a" }), replyTo, correlationId: "1" };
  const forwarded = client.forward([record]);
  await clock.advance(50);
  await forwarded;
  assert.equal(subscription.stats().handled, 1);
  assert.match(String(seen("events.reply.unsent")[0]?.["why"]), /whoever asked has left/);
  await assert.rejects(broker.tail([replyTo])[Symbol.asyncIterator]().next(), /there is no topic/);
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

test("what a plain publish causes is handled, and its RpcError is a failure like any other", async t => {
  const { clock, connect, serve } = scene(t);
  let calls = 0;
  const { broker } = await serve(
    () => {
      calls++;
      throw new RpcError("not_found", "no account");
    },
    { retry: { maxAttempts: 2 } },
  );
  const client = await connect();
  void client.publish(PlacedSchema, { account: "a" });
  await clock.advance(100);
  assert.equal(calls, 2);
  assert.equal((await lettersOf(broker))[0]?.reason, "attempts");
});

test("a handler that returns nothing has failed", async t => {
  const { clock, connect } = scene(t);
  const server = await connect();
  const handler = onRequest(PlacedSchema, BalanceSchema, () => undefined as unknown as Balance);
  await server.subscribe({ group: "g", retry: { maxAttempts: 1 } }, handler);
  const client = await connect();
  const outcome = watch(client.request(PlacedSchema, BalanceSchema, {}));
  await clock.advance(50);
  assertCode(outcome.error, "internal");
  assert.match((await lettersOf(server))[0]?.exception ?? "", /returned undefined instead of conformance\.Balance/);
});

test("a program of its own may reply: by the correlation id alone, in JSON, or with an error in headers", async t => {
  const { clock, connect, seen } = scene(t);
  const server = await connect();
  await server.subscribe(
    { group: "g" },
    on(PlacedSchema, async (event, { raw }) => {
      const { replyTo = "", correlationId } = raw.attributes;
      // Of its own it says nothing: no source, no type.
      const unsaid = { source: undefined as unknown as string, type: undefined as unknown as string };
      const plain = {
        ...server.encode(PlacedSchema, event),
        ...unsaid,
        topic: replyTo,

        key: undefined,
        correlationId,
      };
      const headers: Record<string, string> = {
        "trunkline-error-code": "no_such_code",
        "trunkline-error-message": "m",
        "trunkline-error-details": "%%%",
      };
      const body = Buffer.from(event.account === "broken" ? "{" : '{"account":"by hand","total":3}');
      await server.forward([{ ...plain, body, headers: event.account === "error" ? headers : {} }]);
    }),
  );
  const client = await connect();
  const outcomes = ["good", "broken", "error"].map(account =>
    watch(client.request(PlacedSchema, BalanceSchema, { account })),
  );
  await clock.advance(100);
  assert.equal(outcomes[0]?.value?.total, 3);
  assertCode(outcomes[1]?.error, "internal", /cannot be read/);
  assertCode(outcomes[2]?.error, "unknown", /^m$/);
  assert.deepEqual(seen("events.reply.dropped"), []);
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
