import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type VirtualPlatform, virtualPlatform } from "../../platform/virtual/index.ts";
import type { DeadLetter } from "../dead-letter.ts";
import type { BrokerDriver, ReplyPort } from "../driver.ts";
import type { StoredRecord } from "../record.ts";
import type { LogLane } from "./lane.ts";
import type { LogRecord } from "./log-record.ts";
import type { LogParking } from "./parking.ts";
import { eventRecord, member, numbered } from "./recording-sink.fixture.ts";

/** A driver, and more connections to the same broker. */
export type Connect = (t: TestContext, platform: VirtualPlatform) => Promise<() => Promise<BrokerDriver>>;

/** What every broker over a log store does, driven by hand: no runtime between. */
export function driverSuite(name: string, connect: Connect): void {
  async function broker(t: TestContext) {
    const platform = virtualPlatform();
    const another = await connect(t, platform);
    const settle = () => platform.clock.advance(50);
    return { driver: await another(), another, platform, settle };
  }

  test(`${name}: events of a key come in the order of their publishes, to each group once`, async t => {
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

  test(`${name}: a key lies in the partition where Kafka's client puts it, events without a key go around`, async t => {
    const { driver, settle } = await broker(t);
    const sink = await member(driver);
    await driver.publish([eventRecord("a", { key: "foobar" }), ...numbered(16, { key: undefined })]);
    await settle();
    const [keyed, ...others] = sink.records_;
    const partitions = others.map(({ partition }) => partition).concat(keyed?.partition ?? -1);
    assert.equal(sink.records_.find(({ key }) => key === "foobar")?.partition, (-790332482 & 0x7fffffff) % 8);
    for (let partition = 0; partition < 8; partition++) assert.ok(partitions.includes(partition));
  });

  test(`${name}: a new group begins at the beginning or now, and goes on where it was`, async t => {
    const { driver, settle } = await broker(t);
    await driver.prepare(["orders"]);
    await driver.publish(numbered(3));
    const all = (await member(driver)).settleAll();
    const late = await member(driver, { group: "late", from: "now" });
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

  test(`${name}: what was delivered and not settled comes again to the next member`, async t => {
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

  test(`${name}: a member that joins gets its share when the handlers of the lanes have ended, from where they were settled`, async t => {
    const { driver, another, platform, settle } = await broker(t);
    const other = await another();
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

  test(`${name}: a retry comes when it is due, with its history, to the same group only, and is gone when settled`, async t => {
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

  test(`${name}: what is parked waits at the broker in the order of each key, whoever has the lane, until it is settled`, async t => {
    const { driver, platform, settle } = await broker(t);
    const one = await member(driver);
    const events = numbered(6).map((event, i) => ({ ...event, key: i % 2 === 0 ? "even" : "odd" }));
    await driver.publish(events);
    await settle();
    const ofKey = (name: string) => one.records_.filter(({ key }) => key === name);
    const dueAtMs = platform.clock.wall() + 5_000;
    for (const key of ["even", "odd"]) {
      const [first, ...others] = ofKey(key) as [LogRecord, ...LogRecord[]];
      const { parking } = first.lane as LogLane;
      assert.deepEqual(parking?.found, []);
      const history = { attempts: 2, firstFailedAtMs: 7 };
      await parking?.park([{ record: first, key, history, dueAtMs }]);
      await parking?.park(others.map(record => ({ record, key, history: record.history, dueAtMs: 0 })));
    }
    for (const record of one.records_) one.settle(record);
    await settle();
    const lags = async () => (await driver.groups()).reduce((sum, { lag }) => sum + lag, 0);
    await platform.clock.advance(200);
    assert.equal(await lags(), 6, "what is parked counts");
    await one.subscription.close();

    const two = await member(driver);
    await settle();
    assert.deepEqual(two.records_, [], "it does not come by itself");
    const lane = [...two.lanes].find(({ parking }) => parking?.found.some(({ key }) => key === "even"));
    const parking = lane?.parking as LogParking;
    const found = parking.found.find(({ key }) => key === "even");
    assert.deepEqual(found, { key: "even", records: 3, dueAtMs });
    const { records, missing } = await parking.recall("even", 2);
    assert.equal(missing, 0);
    assert.deepEqual(
      records.map(({ body, history, place }) => [Buffer.from(body).toString(), history.attempts, place]),
      ofKey("even")
        .slice(0, 2)
        .map(({ body, place }, index) => [Buffer.from(body).toString(), index === 0 ? 2 : 0, place]),
    );
    const [first, second] = records as [LogRecord, LogRecord];
    const known = [...ofKey("even"), first].map(record => parking.knows("even", record));
    assert.deepEqual(known, [true, true, true, false]);
    // The first is done with, the second has been tried and waits again.
    parking.settle(first);
    const begun = parking.begin(second, 0);
    await platform.clock.advance(200);
    await begun;
    parking.putBack([second], dueAtMs + 1_000, { attempts: 1, firstFailedAtMs: 9 });
    await platform.clock.advance(200);
    assert.equal(await lags(), 5);
    await two.subscription.close();

    const three = await member(driver);
    await settle();
    const again = [...three.lanes].find(({ parking }) => parking?.found.some(({ key }) => key === "even"));
    const { key, records: left, dueAtMs: dueAgainMs } = again?.parking?.found.find(({ key }) => key === "even") ?? {};
    assert.deepEqual([key, left, dueAgainMs], ["even", 2, dueAtMs + 1_000]);
    const recalled = (await again?.parking?.recall("even", 10))?.records ?? [];
    assert.deepEqual(
      recalled.map(({ body, history }) => [Buffer.from(body).toString(), history]),
      [
        ["2", { attempts: 1, firstFailedAtMs: 9 }],
        ["4", { attempts: 0, firstFailedAtMs: undefined }],
      ],
    );
    for (const record of recalled) again?.parking?.settle(record as LogRecord);
    await platform.clock.advance(200);
    assert.equal(await lags(), 3);
  });

  test(`${name}: who has lost a lane parks nothing there`, async t => {
    const { driver, another, platform, settle } = await broker(t);
    const one = await member(driver);
    await driver.publish(numbered(1));
    await settle();
    const [record] = one.records_ as [LogRecord];
    const { parking } = record.lane as LogLane;
    await one.subscription.close();
    const two = await member(await another());
    await platform.clock.advance(200);
    const { history } = record;
    const late = parking?.park([{ record, key: "k", history, dueAtMs: 0 }]) ?? Promise.resolve();
    // The clock of the test moves the writer.
    await Promise.all([assert.rejects(late, /has gone to another member/), platform.clock.advance(200)]);
    assert.deepEqual(two.bodies(), ["0"]);
  });

  test(`${name}: ten thousand retries come back in the order in which they are due, and no more than a thousand are in work`, async t => {
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

  test(`${name}: dead letters are listed, edited, replayed to their group with fresh attempts, and discarded`, async t => {
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
    assert.deepEqual({ ...again.attributes.headers }, { by: "me" });
    assert.equal(again.history.attempts, 0);
    assert.equal(other.records_.length, 2);
    await assert.rejects(driver.deadLetters.replay(a), /no dead letter .* any more/);
  });

  test(`${name}: an event that is scheduled comes when it is due, behind what was published before`, async t => {
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

  test(`${name}: tail reads what is there and what comes, without a group, until it is told to end`, async t => {
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

  test(`${name}: groups tell how far they are behind, and for how long`, async t => {
    const { driver, platform, settle } = await broker(t);
    const sink = await member(driver);
    await driver.publish(numbered(5));
    await platform.clock.advance(250);
    sink.settle(sink.records_[0] as LogRecord);
    await platform.clock.advance(150);
    const behind = (await driver.groups()).filter(({ lag }) => lag > 0);
    assert.equal(behind.length, 1);
    assert.deepEqual(
      { ...behind[0], lane: "" },
      { group: "billing", topic: "orders", lane: "", lag: 4, oldestAgeMs: 400, consumers: 1 },
    );
    await settle();
  });

  test(`${name}: a paused lane holds its records back, and no other`, async t => {
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

  test(`${name}: what is sent to the address of a connection comes to it, in order, from any other`, async t => {
    const { another, settle } = await broker(t);
    const [asking, answering, other] = [await another(), await another(), await another()];
    const [received, others]: [StoredRecord[], StoredRecord[]] = [[], []];
    const address = await portOf(asking).open(record => void received.push(record));
    const second = await portOf(other).open(record => void others.push(record));
    assert.match(address, /^trunkline\.replies\.[0-9a-f]{32}$/);
    assert.notEqual(address, second);
    assert.equal(portOf(answering).accepts(address), true);
    for (const name of [
      "orders",
      "billing.dead",
      `${address}0`,
      `x${address}`,
      address.toUpperCase(),
      `${address}\n`,
    ]) {
      assert.equal(portOf(answering).accepts(name), false, name);
    }
    for (let index = 0; index < 20; index++) {
      const reply = eventRecord(String(index), { topic: address, key: undefined, correlationId: `c${index}` });
      assert.equal(await within(portOf(answering).send(reply), settle), undefined);
    }
    await settle();
    assert.deepEqual(
      received.map(({ body, attributes }) => [Buffer.from(body).toString(), attributes.correlationId]),
      Array.from({ length: 20 }, (_, index) => [String(index), `c${index}`]),
    );
    assert.deepEqual(others, []);
  });

  test(`${name}: an address goes with its connection, and nobody makes it again by writing there`, async t => {
    const { another, settle } = await broker(t);
    const [asking, answering] = [await another(), await another()];
    const address = await portOf(asking).open(() => {});
    const reply = eventRecord("late", { topic: address, key: undefined });
    assert.equal(await within(portOf(answering).send(reply), settle), undefined);
    await within(asking.close(), settle);
    await settle();
    const failure = await within(portOf(answering).send(reply), settle);
    assert.equal(failure?.isRetryable, false);
    assert.match(failure.error.message, /whoever asked has left/);
    const tail = answering.tail([address], "beginning", new AbortController().signal);
    await assert.rejects(tail[Symbol.asyncIterator]().next(), /there is no topic/);
    // Others go on.
    await answering.prepare(["orders"]);
    assert.deepEqual(await within(answering.publish(numbered(3)), settle), [undefined, undefined, undefined]);
  });
}

function portOf({ replies }: BrokerDriver): ReplyPort {
  assert.ok(replies !== undefined);
  return replies;
}

/** Some brokers need time to pass. */
async function within<T>(work: Promise<T>, settle: () => Promise<void>): Promise<T> {
  let isOver = false;
  const end = () => {
    isOver = true;
  };
  work.then(end, end);
  for (let turn = 0; turn < 100 && !isOver; turn++) await settle();
  return work;
}
