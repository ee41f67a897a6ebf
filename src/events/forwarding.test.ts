import assert from "node:assert/strict";
import { test } from "node:test";
import { silentObserver } from "../platform/index.ts";
import { virtualPlatform } from "../platform/virtual/index.ts";
import type { PublishFailure } from "./driver.ts";
import { FakeDriver } from "./fake-driver.fixture.ts";
import { Forwarding } from "./forwarding.ts";
import { Publisher } from "./publisher.ts";
import type { EventRecord } from "./record.ts";
import { record } from "./test-record.fixture.ts";
import { TopicGate } from "./topic-gate.ts";

const later: PublishFailure = { isRetryable: true, error: new Error("no leader") };
const never: PublishFailure = { isRetryable: false, error: new Error("too large") };

function scene() {
  const { clock, ...rest } = virtualPlatform({ seed: 1 });
  const driver = new FakeDriver();
  const publisher = new Publisher(driver, { clock, ...rest }, silentObserver, {});
  const topics = new TopicGate(driver, publisher);
  /** What became of each: `sent`, `later` or `never`. */
  const forward = async (records: readonly EventRecord[]) => {
    const failures = await Forwarding.run(publisher, topics, records);
    return failures.map(failure => (failure === undefined ? "sent" : failure.isRetryable ? "later" : "never"));
  };
  return { clock, driver, publisher, forward };
}

test("each record is answered at its index", async () => {
  const { clock, driver, forward } = scene();
  const outcome = forward([record("1"), record("2"), record("3")]);
  await clock.settle();
  driver.batches[0]?.answer({ 1: never });
  assert.deepEqual(await outcome, ["sent", "never", "sent"]);
  assert.deepEqual(await forward([]), []);
});

test("behind a record that fails for now the rest of its key is called back; other keys go on", async () => {
  const { clock, driver, forward } = scene();
  const outcome = forward([record("1", "a"), record("2", "b")]);
  await clock.settle();
  const second = forward([record("3", "a"), record("4", "a"), record("5", "c")]);
  await clock.settle();
  driver.batches[0]?.answer();
  await clock.settle();
  assert.deepEqual(await outcome, ["sent", "sent"]);
  // The publisher repeats it by itself, until it has had enough.
  for (let ms = 0; ms < 60_000 && driver.batches.length > 0; ms += 100) {
    for (const batch of [...driver.batches]) {
      batch.answer(
        Object.fromEntries(batch.records.flatMap(({ key }, index) => (key === "a" ? [[index, later]] : []))),
      );
    }
    await clock.advance(100);
    if (driver.batches.length === 0) await clock.advance(10_000);
  }
  assert.deepEqual(await second, ["later", "later", "sent"]);
});

test("a topic that cannot be prepared, and a broker that is closed, are failures for now", async () => {
  const { clock, driver, publisher, forward } = scene();
  driver.preparing = () => Promise.reject(new Error("no connection"));
  assert.deepEqual(await forward([record("1", "a"), record("2", "a")]), ["later", "later"]);
  driver.preparing = undefined;
  const outcome = forward([record("1", "a")]);
  await clock.settle();
  driver.batches[0]?.answer();
  assert.deepEqual(await outcome, ["sent"]);
  publisher.close();
  assert.deepEqual(await forward([record("3", "a"), record("4", "a")]), ["later", "later"]);
});
