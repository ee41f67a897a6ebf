import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { virtualPlatform } from "../../../platform/virtual/index.ts";
import type { DeadLetter } from "../../dead-letter.ts";
import { PublishError } from "../../errors.ts";
import type { LogRecord } from "../../log/index.ts";
import { driverContext, eventRecord, member, RecordingSink } from "../../log/recording-sink.fixture.ts";
import { connectMemory } from "./index.ts";

async function broker(t: TestContext, url = "memory:shop", platform = virtualPlatform()) {
  const driver = await connectMemory(url, driverContext(platform));
  t.after(() => driver.close());
  return { driver, platform, settle: () => platform.clock.settle() };
}

const numbered = (count: number, change = {}) =>
  Array.from({ length: count }, (_, i) => eventRecord(String(i), change));

test("events of a key come in the order of their publishes, to each group once", async t => {
  const { driver, settle } = await broker(t);
  const [billing, stock] = [await member(driver), await member(driver, { group: "stock" })];
  for (const sink of [billing, stock]) sink.settleAll();
  await driver.publish(numbered(20));
  await settle();
  const expected = Array.from({ length: 20 }, (_, i) => String(i));
  assert.deepEqual(billing.bodies(), expected);
  assert.deepEqual(stock.bodies(), expected);
  assert.equal(new Set(billing.records_.map(({ place }) => place)).size, 20);
});

test("a key lies in the partition where Kafka's client puts it, events without a key go around", async t => {
  const { driver, settle } = await broker(t);
  const sink = await member(driver);
  await driver.publish([eventRecord("a", { key: "foobar" }), ...numbered(16, { key: undefined })]);
  await settle();
  const [keyed, ...others] = sink.records_;
  const partitions = others.map(({ partition }) => partition).concat(keyed?.partition ?? -1);
  assert.equal(sink.records_.find(({ key }) => key === "foobar")?.partition, (-790332482 & 0x7fffffff) % 8);
  for (let partition = 0; partition < 8; partition++) assert.ok(partitions.includes(partition));
});

test("a new group begins at the beginning or now, and goes on where it was", async t => {
  const { driver, settle } = await broker(t);
  await driver.prepare(["orders"]);
  await driver.publish(numbered(3));
  const [all, late] = [await member(driver), await member(driver, { group: "late", from: "now" })];
  all.settleAll();
  await settle();
  assert.equal(all.records_.length, 3);
  assert.equal(late.records_.length, 0);
  await all.subscription.close();
  await driver.publish(numbered(2));
  const again = await member(driver);
  await settle();
  assert.deepEqual(again.bodies(), ["0", "1"]);
  assert.equal(late.records_.length, 2);
});

test("what was delivered and not settled comes again to the next member", async t => {
  const { driver, settle } = await broker(t);
  const first = await member(driver);
  await driver.publish(numbered(3));
  await settle();
  first.settle(first.records_[0] as LogRecord);
  first.settle(first.records_[2] as LogRecord);
  await first.subscription.close();
  const second = await member(driver);
  await settle();
  assert.deepEqual(second.bodies(), ["1", "2"]);
});

test("a member that joins gets its share when the handlers of the lanes have ended, from where they were settled", async t => {
  const { driver, platform, settle } = await broker(t);
  const other = (await broker(t, "memory:shop", platform)).driver;
  const first = await member(driver);
  await driver.publish(Array.from({ length: 64 }, (_, i) => eventRecord(String(i), { key: `k${i}` })));
  await settle();
  assert.equal(first.lanes.size, 8);
  let finish = () => {};
  const handlersEnd = new Promise<void>(resolve => {
    finish = resolve;
  });
  first.onRevoke = async lane => {
    await handlersEnd;
    for (const record of first.records_) if (record.lane === lane) lane.settle(record);
  };
  const second = await member(other);
  await platform.clock.advance(100);
  assert.equal(first.revoked.length, 4);
  assert.equal(second.lanes.size, 0, "nothing moves while handlers run");
  finish();
  await platform.clock.advance(100);
  assert.equal(second.lanes.size, 4);
  assert.equal(first.lanes.size, 4);
  assert.deepEqual(second.records_, [], "all was settled before the lanes moved");
  await second.subscription.close();
  await platform.clock.advance(100);
  assert.equal(first.lanes.size, 8, "and they come back");
});

test("a retry comes when it is due, with its history, to the same group only, and is gone when settled", async t => {
  const { driver, platform, settle } = await broker(t);
  const [sink, other] = [await member(driver), await member(driver, { group: "other" })];
  await driver.publish([eventRecord("a"), eventRecord("b")]);
  await settle();
  const [a, b] = sink.records_ as [LogRecord, LogRecord];
  await sink.subscription.retryLater(a, 1_000, { attempts: 3, firstFailedAtMs: 7 });
  sink.settle(a);
  sink.settle(b);
  await platform.clock.advance(999);
  assert.equal(sink.records_.length, 2);
  await platform.clock.advance(10);
  const again = sink.records_[2] as LogRecord;
  assert.equal(Buffer.from(again.body).toString(), "a");
  assert.deepEqual(again.history, { attempts: 3, firstFailedAtMs: 7 });
  assert.equal(again.place, a.place);
  assert.equal(other.records_.length, 2);
  sink.settle(again);
  await platform.clock.advance(100);
  assert.ok((await driver.groups()).every(({ group, lag }) => group === "other" || lag === 0));
  await sink.subscription.close();
  assert.equal((await member(driver)).records_.length, 0);
});

test("ten thousand retries come back in the order in which they are due, and no more than a thousand are in work", async t => {
  const { driver, platform, settle } = await broker(t);
  const sink = await member(driver);
  await driver.publish(numbered(10_000));
  for (let i = 0; i < 100 && sink.records_.length < 10_000; i++) await settle();
  for (const [index, record] of sink.records_.slice().entries()) {
    void sink.subscription.retryLater(record, 10_000 - index, { attempts: 1, firstFailedAtMs: 1 });
    sink.settle(record);
  }
  sink.records_.length = 0;
  await platform.clock.advance(20_000);
  assert.equal(sink.records_.length, 1_000);
  sink.settleAll();
  for (const record of sink.records_) sink.settle(record);
  await platform.clock.advance(5_000);
  assert.deepEqual(
    sink.bodies(),
    Array.from({ length: 10_000 }, (_, i) => String(9_999 - i)),
  );
});

test("dead letters are listed, edited, replayed to their group with fresh attempts, and discarded", async t => {
  const { driver, settle } = await broker(t);
  const [sink, other] = [await member(driver), await member(driver, { group: "other" })];
  await driver.publish([eventRecord("a", { headers: { note: "x" } }), eventRecord("b")]);
  await settle();
  for (const record of sink.records_.slice()) {
    await sink.subscription.deadLetter(record, {
      reason: "attempts",
      exception: "Error: no",
      attempts: 8,
      firstFailedAtMs: 5,
      consumer: "test",
      contract: undefined,
    });
    sink.settle(record);
  }
  const list = async (filter = {}) => Array.fromAsync(driver.deadLetters.list(filter));
  const [a, b] = (await list({ group: "billing" })) as [DeadLetter, DeadLetter];
  assert.equal(a.place, sink.records_[0]?.place);
  assert.equal(a.reason, "attempts");
  assert.deepEqual(await list({ group: "other" }), []);
  assert.equal((await list({ limit: 1 })).length, 1);
  assert.equal((await list({ type: "order.gone" })).length, 0);
  assert.deepEqual(await list({ letterIds: [b.letterId] }), [b]);
  const edited = await driver.deadLetters.edit(a, { type: "order.mended", headers: { note: undefined, by: "me" } });
  await driver.deadLetters.replay(edited);
  await driver.deadLetters.discard(b);
  await settle();
  assert.deepEqual(await list(), []);
  const again = sink.records_[2] as LogRecord;
  assert.equal(again.attributes.type, "order.mended");
  assert.deepEqual(again.attributes.headers, { by: "me" });
  assert.equal(again.history.attempts, 0);
  assert.equal(other.records_.length, 2);
  await assert.rejects(driver.deadLetters.replay(a), /no dead letter .* any more/);
});

test("an event that is scheduled comes when it is due, behind what was published before", async t => {
  const { driver, platform, settle } = await broker(t);
  const sink = await member(driver);
  const at = platform.clock.wall();
  await driver.publish([
    eventRecord("late", { notBeforeMs: at + 2_000 }),
    eventRecord("soon", { notBeforeMs: at + 1_000 }),
    eventRecord("now", { notBeforeMs: at - 1 }),
  ]);
  await settle();
  assert.deepEqual(sink.bodies(), ["now"]);
  await platform.clock.advance(1_000);
  assert.deepEqual(sink.bodies(), ["now", "soon"]);
  await platform.clock.advance(1_000);
  assert.deepEqual(sink.bodies(), ["now", "soon", "late"]);
});

test("tail reads what is there and what comes, without a group, until it is told to end", async t => {
  const { driver, settle } = await broker(t);
  await driver.prepare(["orders"]);
  await driver.publish(numbered(2));
  const end = new AbortController();
  const seen: string[] = [];
  const reading = (async () => {
    for await (const { body } of driver.tail(["orders"], "beginning", end.signal))
      seen.push(Buffer.from(body).toString());
  })();
  await settle();
  await driver.publish([eventRecord("more")]);
  await settle();
  end.abort();
  await reading;
  assert.deepEqual(seen, ["0", "1", "more"]);
  await assert.rejects(Array.fromAsync(driver.tail(["nope"], "now", end.signal)), /there is no topic "nope"/);
  const ending = Array.fromAsync(driver.tail(["orders"], "now", new AbortController().signal));
  await settle();
  await driver.close();
  assert.deepEqual(await ending, []);
});

test("groups tell how far they are behind, and for how long", async t => {
  const { driver, platform, settle } = await broker(t);
  const sink = await member(driver);
  await driver.publish(numbered(5));
  await platform.clock.advance(250);
  sink.settle(sink.records_[0] as LogRecord);
  await platform.clock.advance(50);
  const behind = (await driver.groups()).filter(({ lag }) => lag > 0);
  assert.equal(behind.length, 1);
  assert.deepEqual(
    { ...behind[0], lane: "" },
    { group: "billing", topic: "orders", lane: "", lag: 4, oldestAgeMs: 300, consumers: 1 },
  );
  await settle();
});

test("a paused lane holds its records back, and no other", async t => {
  const { driver, settle } = await broker(t);
  const sink = await member(driver);
  await driver.publish([eventRecord("a", { key: "one" })]);
  await settle();
  const lane = sink.records_[0]?.lane as { pause(): void; resume(): void };
  lane.pause();
  await driver.publish([eventRecord("b", { key: "one" }), eventRecord("c", { key: "another" })]);
  await settle();
  assert.deepEqual(sink.bodies(), ["a", "c"]);
  lane.resume();
  await settle();
  assert.deepEqual(sink.bodies(), ["a", "c", "b"]);
});

test("the oldest settled records make room; what a group still has to do is never dropped, publishes are refused instead", async t => {
  const { driver, platform, settle } = await broker(t, "memory:small?partitions=1&bytesMax=100000");
  const sink = (await member(driver)).settleAll();
  const body = "x".repeat(700);
  for (let i = 0; i < 300; i++) {
    assert.deepEqual(await driver.publish([eventRecord(body)]), [undefined]);
    await platform.clock.advance(20);
  }
  assert.equal(sink.records_.length, 300);
  sink.onRecord = () => {};
  let failure: Awaited<ReturnType<typeof driver.publish>>[number];
  let taken = 0;
  while (failure === undefined) {
    [failure] = await driver.publish([eventRecord(body)]);
    taken++;
    await settle();
  }
  assert.ok(taken > 90 && taken <= 101, String(taken));
  assert.ok(failure.error instanceof PublishError && failure.isRetryable);
  assert.match(failure.error.message, /all 100000 bytes are in use \(bytesMax\) and group billing is \d+ behind/);
  for (const record of sink.records_.slice(300)) sink.settle(record);
  await platform.clock.advance(20);
  assert.deepEqual(await driver.publish([eventRecord(body)]), [undefined]);
});

test("`memory:` is a broker of its own; a named one is gone with its last connection", async t => {
  const platform = virtualPlatform();
  const [one, two] = [(await broker(t, "memory:", platform)).driver, (await broker(t, "memory:", platform)).driver];
  await one.prepare(["orders"]);
  await one.publish([eventRecord("a")]);
  assert.deepEqual(await two.groups(), []);
  const sink = await member(two);
  await platform.clock.settle();
  assert.equal(sink.records_.length, 0);
  const named = await connectMemory("memory:x", driverContext(platform));
  await named.publish([eventRecord("a")]);
  await named.close();
  await assert.rejects(named.publish([]), /closed/);
  const again = (await broker(t, "memory:x", platform)).driver;
  assert.equal((await member(again)).records_.length, 0);
});

test("URLs that mean nothing are refused with what would mean something", async () => {
  const context = driverContext(virtualPlatform());
  for (const [url, message] of [
    ["memory://shop", /may be followed by a name/],
    ["memory:shop?partitions=0", /partitions \(1 to 1024\)/],
    ["memory:shop?colour=red", /colour=red is none of/],
  ] as const) {
    await assert.rejects(connectMemory(url, context), message);
  }
});

test("topics that are missing are refused when they may not be made", async t => {
  const platform = virtualPlatform();
  const driver = await connectMemory("memory:", driverContext(platform, { createTopics: false }));
  t.after(() => driver.close());
  await assert.rejects(driver.prepare(["orders"]), /there is no topic "orders", and createTopics is false/);
  const [failure] = await driver.publish([eventRecord("a")]);
  assert.equal(failure?.isRetryable, false);
  await assert.rejects(
    driver.subscribe({ ...(await import("../../log/recording-sink.fixture.ts")).demand() }, new RecordingSink()),
    /no topic/,
  );
});

test("closing leaves no timers", async () => {
  const platform = virtualPlatform();
  const driver = await connectMemory("memory:", driverContext(platform));
  const sink = await member(driver);
  await driver.publish([eventRecord("a"), eventRecord("b", { notBeforeMs: platform.clock.wall() + 60_000 })]);
  await platform.clock.settle();
  await sink.subscription.retryLater(sink.records_[0] as LogRecord, 50_000, { attempts: 1, firstFailedAtMs: 1 });
  await platform.clock.advance(1_000);
  await driver.close();
  assert.equal(platform.clock.pendingTimers, 0);
});
