import assert from "node:assert/strict";
import { test } from "node:test";
import { on } from "../handler.ts";
import type { StoredRecord } from "../record.ts";
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

test("of the replies of two groups the first counts, and the second is counted and dropped", async t => {
  const { clock, connect, seen } = scene(t);
  const server = await connect();
  const client = await connect();
  const requests: StoredRecord[] = [];
  await server.subscribe(
    { group: "g" },
    on(PlacedSchema, (_event, { raw }) => void requests.push(raw)),
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
  assert.equal(dropped[0]?.correlationId, requests[0]?.attributes.id);
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
  assert.match(String(seen("events.reply.unsent")[0]?.why), /whoever asked has left/);
  await assert.rejects(broker.tail([replyTo])[Symbol.asyncIterator]().next(), /there is no topic/);
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
