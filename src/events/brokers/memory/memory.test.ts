import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { virtualPlatform } from "../../../platform/virtual/index.ts";
import { PublishError } from "../../errors.ts";
import { driverSuite } from "../../log/driver-suite.fixture.ts";
import type { LogRecord } from "../../log/index.ts";
import { demand, driverContext, eventRecord, member, RecordingSink } from "../../log/recording-sink.fixture.ts";
import { connectMemory } from "./index.ts";

async function broker(t: TestContext, url = "memory:shop", platform = virtualPlatform()) {
  const driver = await connectMemory(url, driverContext(platform));
  t.after(() => driver.close());
  return { driver, platform, settle: () => platform.clock.settle() };
}

driverSuite("memory", async (t, platform) => async () => (await broker(t, "memory:shop", platform)).driver);

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
  await assert.rejects(driver.subscribe(demand(), new RecordingSink()), /no topic/);
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
