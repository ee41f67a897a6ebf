import assert from "node:assert/strict";
import { test } from "node:test";
import { StringValueSchema } from "@bufbuild/protobuf/wkt";
import { RpcError } from "../../errors/index.ts";
import { type Balance, ledger } from "../conformance/ledger.ts";
import { Discard, RetryLater } from "../errors.ts";
import { onRequest } from "./on-request.ts";
import { assertCode, BalanceSchema, lettersOf, PlacedSchema, scene, watch } from "./request-scene.fixture.ts";

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
