import assert from "node:assert/strict";
import { test } from "node:test";
import { RpcError } from "../../errors/index.ts";
import type { ObservedEvent } from "../../platform/index.ts";
import { virtualPlatform } from "../../platform/virtual/index.ts";
import { ledger } from "../conformance/ledger.ts";
import type { PublishFailure, ReplyPort } from "../driver.ts";
import { EventIds } from "../event-id.ts";
import { EventWriter } from "../event-writer.ts";
import type { EventAttributes, EventRecord } from "../record.ts";
import { storedRecord } from "../runtime/fake-lane.fixture.ts";
import { replyContract } from "./reply-contract.ts";
import { Responder } from "./responder.ts";

const { BalanceSchema } = ledger("ledger");
const contract = replyContract(BalanceSchema);
const missing: PublishFailure = { isRetryable: true, isUnroutable: true, error: new Error("there is no such queue") };

/** A responder whose broker takes a reply or says why not, as `answer` has it. */
function scene(
  answer: (reply: EventRecord, attempt: number) => PublishFailure | undefined | Promise<PublishFailure | undefined>,
  isReplyAddress?: (address: string) => boolean,
) {
  const platform = virtualPlatform();
  const { clock } = platform;
  const events: ObservedEvent[] = [];
  const sent: EventRecord[] = [];
  const attempts = new Map<string, number>();
  const port: ReplyPort = {
    open: async () => "mine",
    accepts: address => address.startsWith("reply-"),
    async send(reply) {
      sent.push(reply);
      const attempt = (attempts.get(reply.topic) ?? 0) + 1;
      attempts.set(reply.topic, attempt);
      return answer(reply, attempt);
    },
  };
  const writer = new EventWriter(platform, new EventIds(platform), {
    source: "/test",
    contentType: "application/json",
    bodyBytesMax: 100,
    canDelay: true,
    brokerName: "fake",
  });
  const observer = { emit: (event: ObservedEvent) => void events.push(event) };
  const responder = new Responder({ port, isReplyAddress, writer, platform, observer, brokerName: "fake" });
  const request = (attributes: Partial<EventAttributes> = {}) =>
    storedRecord("ledger", "a", {}, { replyTo: "reply-1", correlationId: "c", ...attributes });
  const types = () => events.map(({ type }) => type);
  return { clock, responder, request, sent, events, types };
}

test("a reply has what the requester needs to find it, and the trace, priority and expiry of the request", async () => {
  const { clock, responder, request, sent, types } = scene(() => undefined);
  const trace = { traceparent: "00-1-2-01", tracestate: undefined, baggage: undefined };
  const expiresAtMs = clock.wall() + 1_000;
  await responder.reply(request({ trace, priority: "critical", expiresAtMs }), contract, { account: "a", total: 1 });
  const [reply] = sent;
  assert.equal(reply?.topic, "reply-1");
  assert.equal(reply.correlationId, "c");
  assert.equal(reply.type, "conformance.Balance");
  assert.equal(reply.replyTo, undefined);
  assert.deepEqual([reply.trace, reply.priority, reply.expiresAtMs], [trace, "critical", expiresAtMs]);
  assert.equal(Buffer.from(reply.body).toString(), '{"account":"a","total":1}');
  assert.deepEqual(types(), ["events.replied"]);
});

test("without a correlation id the id of the request stands for it; one that is too long is left out", async () => {
  const { responder, request, sent } = scene(() => undefined);
  await responder.reply(request({ correlationId: undefined, id: "r-1" }), contract, {});
  await responder.reply(request({ correlationId: "x".repeat(256) }), contract, {});
  assert.deepEqual(
    sent.map(({ correlationId }) => correlationId),
    ["r-1", undefined],
  );
});

test("a reply that is too large is an error that says so", async () => {
  const { responder, request, sent } = scene(() => undefined);
  await responder.reply(request(), contract, { account: "a".repeat(200) });
  assert.equal(sent[0]?.headers["trunkline-error-code"], "resource_exhausted");
  assert.match(sent[0]?.headers["trunkline-error-message"] ?? "", /the reply has \d+ bytes; fake takes 100/);
});

test("an address that is missing for a moment gets its reply when it is there again", async () => {
  const { clock, responder, request, sent, types } = scene((_reply, attempt) => (attempt < 4 ? missing : undefined));
  const replied = responder.reply(request(), contract, {});
  await clock.advance(5_000);
  await replied;
  assert.equal(sent.length, 4);
  assert.deepEqual(types(), ["events.replied"]);
});

test("one that stays away is given up after 5 s, and no later than the deadline of the request", async () => {
  const { clock, responder, request, events } = scene(() => missing);
  let isOver = false;
  const patient = responder.reply(request(), contract, {}).then(() => {
    isOver = true;
  });
  await clock.advance(3_000);
  assert.equal(isOver, false);
  await clock.advance(2_001);
  await patient;
  const expiresAtMs = clock.wall() + 200;
  const short = responder.reply(request({ replyTo: "reply-2", expiresAtMs }), contract, {});
  await clock.advance(201);
  await short;
  assert.deepEqual(
    events.map(event => [event.type, (event as unknown as { why: string }).why]),
    [
      ["events.reply.unsent", "there is no such queue"],
      ["events.reply.unsent", "there is no such queue"],
    ],
  );
});

test("replies to one that has gone share one patience; then each is tried once, until one arrives", async () => {
  let isThere = false;
  const { clock, responder, request, sent, types } = scene(() => (isThere ? undefined : missing));
  const reply = () => responder.reply(request(), contract, {});
  const first = reply();
  await clock.advance(4_000);
  const beganMs = clock.now();
  const second = reply();
  await clock.advance(1_001);
  await Promise.all([first, second]);
  assert.ok(clock.now() - beganMs <= 1_001);
  const before = sent.length;
  // No time passes.
  for (let count = 0; count < 100; count++) await reply();
  assert.equal(sent.length, before + 100);
  isThere = true;
  await reply();
  isThere = false;
  const later = reply();
  await clock.advance(1_000);
  isThere = true;
  await clock.advance(4_000);
  await later;
  assert.deepEqual(types().slice(-2), ["events.replied", "events.replied"]);
});

test("a broker that does not answer, and one that throws, hold up nobody", async () => {
  const { clock, responder, request, events } = scene(reply =>
    reply.topic === "reply-1" ? new Promise(() => {}) : Promise.reject(new Error("closed")),
  );
  const silent = responder.reply(request(), contract, {});
  await clock.advance(5_001);
  await silent;
  await responder.reply(request({ replyTo: "reply-2" }), contract, {});
  assert.deepEqual(
    events.map(event => (event as unknown as { why: string }).why),
    ["the broker did not take it within 5000 ms", "closed"],
  );
  assert.equal(clock.pendingTimers, 0);
});

test("nothing is sent to an address that is none, after the deadline, or where none is named", async () => {
  const { clock, responder, request, sent, types } = scene(() => undefined);
  await responder.reply(request({ replyTo: "orders" }), contract, {});
  await responder.fail(request({ replyTo: `reply-${"x".repeat(255)}` }), new RpcError("aborted", ""));
  await responder.giveUp(request({ expiresAtMs: clock.wall() }), "attempts", "secret");
  await responder.giveUp(request({ replyTo: undefined }), "attempts", "secret");
  assert.deepEqual(sent, []);
  assert.deepEqual(types(), ["events.reply.unsent", "events.reply.unsent", "events.reply.unsent"]);
});

test("addresses of other programs can be allowed", async () => {
  const { responder, request, sent } = scene(
    () => undefined,
    address => address === "theirs",
  );
  assert.equal(responder.refusal(request({ replyTo: "theirs" })), undefined);
  assert.match(responder.refusal(request({ replyTo: "others" })) ?? "", /"others" is no address .* \(isReplyAddress\)/);
  await responder.reply(request({ replyTo: "theirs" }), contract, {});
  assert.equal(sent.length, 1);
});

test("a rule of the user's that throws allows nothing", async () => {
  const { responder, request, sent } = scene(
    () => undefined,
    () => {
      throw new Error("a mistake");
    },
  );
  assert.match(responder.refusal(request({ replyTo: "theirs" })) ?? "", /is no address/);
  await responder.reply(request({ replyTo: "theirs" }), contract, {});
  assert.deepEqual(sent, []);
});

test("what the requester did wrong is told; what went wrong here is not", async () => {
  const { responder, request, sent } = scene(() => undefined);
  await responder.giveUp(request(), "undecodable", "it is no Placed: number");
  for (const reason of ["attempts", "discarded", "late"] as const) await responder.giveUp(request(), reason, "secret");
  const told = sent.map(({ headers }) => [headers["trunkline-error-code"], headers["trunkline-error-message"]]);
  assert.deepEqual(told, [
    ["invalid_argument", "it is no Placed: number"],
    ...new Array(3).fill(["internal", "internal error"]),
  ]);
});
