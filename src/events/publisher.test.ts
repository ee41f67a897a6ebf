import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { silentObserver } from "../platform/index.ts";
import { virtualPlatform } from "../platform/virtual/index.ts";
import type { GatherOptions } from "./broker.ts";
import type { PublishFailure } from "./driver.ts";
import { BrokerError, type PublishError } from "./errors.ts";
import { FakeDriver } from "./fake-driver.fixture.ts";
import { publishAttemptsMax } from "./limits.ts";
import { type PendingRecord, Publisher, type PublishListener } from "./publisher.ts";
import type { EventRecord } from "./record.ts";
import { record } from "./test-record.fixture.ts";

class Answers implements PublishListener {
  readonly published_: string[] = [];
  readonly failed_: { readonly id: string; readonly error: PublishError }[] = [];

  published(pending: PendingRecord): void {
    this.published_.push(pending.record.id);
  }

  failed(pending: PendingRecord, error: Error): void {
    this.failed_.push({ id: pending.record.id, error: error as PublishError });
  }
}

function scene(options: GatherOptions = {}, seed = 1) {
  const platform = virtualPlatform({ seed });
  const driver = new FakeDriver();
  const publisher = new Publisher(driver, platform, silentObserver, options);
  const answers = new Answers();
  return { clock: platform.clock, driver, publisher, answers };
}

const ids = (records: readonly EventRecord[] | undefined) => records?.map(({ id }) => id);
const later: PublishFailure = { isRetryable: true, error: new Error("no leader") };
const never: PublishFailure = { isRetryable: false, error: new Error("too large") };

test("what is published in one turn goes together, at once when nothing is on the way", async () => {
  const { clock, driver, publisher, answers } = scene();
  for (const id of ["1", "2", "3"]) publisher.add(record(id), answers);
  assert.equal(driver.batches.length, 0);
  await clock.settle();
  assert.deepEqual(ids(driver.batches[0]?.records), ["1", "2", "3"]);
  assert.deepEqual(answers.published_, [], "not before the broker has confirmed");
  driver.batches[0]?.answer();
  await clock.settle();
  assert.deepEqual(answers.published_, ["1", "2", "3"]);
});

test("debounce that resets its timer on every message: the age of the first decides, however many follow", async () => {
  const { clock, driver, publisher, answers } = scene({ maxAgeMs: 10 });
  publisher.add(record("on the way"), answers);
  await clock.settle();
  for (let ms = 0; ms < 10; ms++) {
    publisher.add(record(String(ms)), answers);
    assert.equal(driver.batches.length, 1, `at ${ms} ms`);
    await clock.advance(1);
  }
  assert.equal(driver.batches.length, 2);
  assert.equal(driver.batches[1]?.records.length, 10);
});

test("a batch leaves when it is full, by count or by bytes, and several are on the way at once", async () => {
  const { clock, driver, publisher, answers } = scene({ recordsMax: 3, bytesMax: 100 });
  for (let id = 0; id < 7; id++) publisher.add(record(String(id)), answers);
  assert.deepEqual(
    driver.batches.map(({ records }) => ids(records)),
    [
      ["0", "1", "2"],
      ["3", "4", "5"],
    ],
  );
  publisher.add(record("large", undefined, 95), answers);
  assert.deepEqual(ids(driver.batches[2]?.records), ["6"], "it would not have fitted");
  publisher.add(record("huge", undefined, 200), answers);
  assert.deepEqual(ids(driver.batches[3]?.records), ["large"]);
  assert.deepEqual(ids(driver.batches[4]?.records), ["huge"], "what is larger than a batch goes alone");
  await clock.settle();
});

test("an answer sends what has gathered meanwhile", async () => {
  const { clock, driver, publisher, answers } = scene({ maxAgeMs: 1_000 });
  publisher.add(record("1"), answers);
  await clock.settle();
  publisher.add(record("2"), answers);
  await clock.settle();
  assert.equal(driver.batches.length, 1);
  driver.batches[0]?.answer();
  await clock.settle();
  assert.deepEqual(ids(driver.batches[0]?.records), ["2"]);
});

test("keys: one that is on the way waits for its answer, others go", async () => {
  const { clock, driver, publisher, answers } = scene({ recordsMax: 2 });
  for (const [id, key] of [
    ["a1", "a"],
    ["a2", "a"],
    ["a3", "a"],
    ["b1", "b"],
    ["c1", "c"],
  ] as const) {
    publisher.add(record(id, key), answers);
  }
  assert.deepEqual(
    driver.batches.map(({ records }) => ids(records)),
    [
      ["a1", "a2"],
      ["b1", "c1"],
    ],
  );
  driver.batches[0]?.answer();
  await clock.advance(2);
  assert.deepEqual(ids(driver.batches[1]?.records), ["a3"]);
});

test("a record that is refused for the moment holds back later ones of its key, also those that went with it", async () => {
  const { clock, driver, publisher, answers } = scene();
  for (const [id, key] of [
    ["a1", "a"],
    ["b1", "b"],
    ["a2", "a"],
  ] as const)
    publisher.add(record(id, key), answers);
  await clock.settle();
  driver.batches[0]?.answer({ 0: later, 2: later });
  publisher.add(record("a3", "a"), answers);
  publisher.add(record("b2", "b"), answers);
  await clock.advance(2);
  assert.deepEqual(answers.published_, ["b1"]);
  assert.deepEqual(ids(driver.batches[0]?.records), ["b2"]);
  driver.batches[0]?.answer();
  await clock.advance(200);
  assert.deepEqual(ids(driver.batches[0]?.records), ["a1", "a2", "a3"]);
  driver.batches[0]?.answer();
  await clock.settle();
  assert.deepEqual(answers.published_, ["b1", "b2", "a1", "a2", "a3"]);
});

test("refused for good: its publisher is told, and its key goes on", async () => {
  const { clock, driver, publisher, answers } = scene();
  publisher.add(record("a1", "a"), answers);
  await clock.settle();
  publisher.add(record("a2", "a"), answers);
  driver.batches[0]?.answer({ 0: never });
  await clock.settle();
  assert.equal(answers.failed_[0]?.error.isRetryable, false);
  assert.match(answers.failed_[0]?.error.message ?? "", /ledger\.placed on ledger: .*too large/);
  assert.deepEqual(ids(driver.batches[0]?.records), ["a2"]);
});

test("a broker that never takes it: the publisher is told in the end, and may try again", async () => {
  const { clock, driver, publisher, answers } = scene();
  publisher.add(record("1", "a"), answers);
  let handovers = 0;
  for (let ms = 0; ms < 120_000; ms += 100) {
    await clock.advance(100);
    if (driver.batches.length === 0) continue;
    handovers++;
    driver.batches[0]?.answer({ 0: later });
  }
  assert.equal(handovers, publishAttemptsMax);
  assert.equal(answers.failed_[0]?.error.isRetryable, true);
  assert.equal(publisher.pending, 0);
});

test("memory is bounded: what has no room waits outside, in its order", async () => {
  const { clock, driver, publisher, answers } = scene({ pendingBytesMax: 100, recordsMax: 5 });
  for (let id = 0; id < 25; id++) publisher.add(record(String(id)), answers);
  assert.equal(publisher.hasRoom, false);
  let hasRoom = false;
  const room = publisher.room().then(() => {
    hasRoom = true;
  });
  assert.equal(driver.batches.length, 2);
  driver.batches[0]?.answer();
  await clock.settle();
  assert.deepEqual(ids(driver.batches[1]?.records), ["10", "11", "12", "13", "14"]);
  for (let rounds = 0; rounds < 10; rounds++) {
    driver.batches[0]?.answer();
    await clock.settle();
  }
  await room;
  assert.equal(hasRoom, true);
  assert.equal(answers.published_.length, 25);
  assert.deepEqual(
    answers.published_,
    Array.from({ length: 25 }, (_, id) => String(id)),
  );
});

test("given up before it has left, a record never leaves", async () => {
  const { clock, driver, publisher, answers } = scene();
  publisher.giveUp(publisher.add(record("1", "a"), answers));
  publisher.add(record("2", "a"), answers);
  await clock.settle();
  assert.deepEqual(ids(driver.batches[0]?.records), ["2"]);
  driver.batches[0]?.answer();
  await publisher.flush();
  assert.deepEqual(answers.published_, ["2"]);
});

test("a flush waits for every answer, those of repeated records too", async () => {
  const { clock, driver, publisher, answers } = scene({ maxAgeMs: 1_000 });
  publisher.add(record("1", "a"), answers);
  let isFlushed = false;
  const flushed = publisher.flush().then(() => {
    isFlushed = true;
  });
  assert.equal(driver.batches.length, 1, "at once");
  driver.batches[0]?.answer({ 0: later });
  await clock.advance(1_000);
  assert.equal(isFlushed, false);
  driver.batches[0]?.answer();
  await flushed;
});

test("a closed publisher fails what has not left, and what comes afterwards", async () => {
  const { clock, driver, publisher, answers } = scene({ pendingBytesMax: 30 });
  publisher.add(record("on the way", "a"), answers);
  await clock.settle();
  publisher.add(record("behind it", "a"), answers);
  publisher.add(record("gathered", "b"), answers);
  publisher.add(record("without room", "c"), answers);
  publisher.close();
  publisher.add(record("late"), answers);
  driver.batches[0]?.answer();
  await clock.settle();
  assert.deepEqual(answers.published_, ["on the way"]);
  assert.deepEqual(
    new Set(answers.failed_.map(({ id }) => id)),
    new Set(["behind it", "gathered", "without room", "late"]),
  );
  assert.equal(publisher.pending, 0);
  assert.equal(driver.batches.length, 0);
});

test("a driver that rejects a whole batch fails its records", async () => {
  const { clock, driver, publisher, answers } = scene();
  publisher.add(record("1"), answers);
  await clock.settle();
  driver.batches[0]?.reject(new Error("closed"));
  await clock.settle();
  assert.match(answers.failed_[0]?.error.message ?? "", /closed/);
});

test("limits that make no sense are refused", () => {
  assert.throws(() => scene({ recordsMax: 0 }), BrokerError);
  assert.throws(() => scene({ maxAgeMs: Number.NaN }), /gather\.maxAgeMs is NaN/);
});

const scripts = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        step: fc.constant("publish" as const),
        key: fc.option(fc.nat(3), { nil: undefined }),
        bytes: fc.integer({ min: 1, max: 40 }),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        step: fc.constant("answer" as const),
        which: fc.nat(),
        results: fc.array(fc.nat(5), { minLength: 1 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ step: fc.constant("advance" as const), ms: fc.nat(300) }) },
    { weight: 1, arbitrary: fc.record({ step: fc.constant("give up" as const), which: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ step: fc.constant("turn" as const) }) },
  ),
  { maxLength: 150, size: "max" },
);

test("unconfirmed lost on reconnect: every record gets one answer, in order for each key, whatever the broker does", async () => {
  await fc.assert(
    fc.asyncProperty(scripts, fc.integer({ min: 1, max: 1_000 }), async (script, seed) => {
      const options = { recordsMax: 4, bytesMax: 60, pendingBytesMax: 200, maxAgeMs: 5 };
      const { clock, driver, publisher, answers } = scene(options, seed);
      const pendings: PendingRecord[] = [];
      const durable: EventRecord[] = [];
      const answerOne = (which: number, results: readonly number[]) => {
        const batch = driver.batches[which % driver.batches.length];
        if (batch === undefined) return;
        const failures: Record<number, PublishFailure> = {};
        const failedKeys = new Set<string | undefined>();
        for (const [index, one] of batch.records.entries()) {
          const result = results[index % results.length] as number;
          // A broker that refuses one of a key refuses the later ones of that batch too.
          if (result === 0 || (one.key !== undefined && failedKeys.has(one.key))) {
            failures[index] = later;
            failedKeys.add(one.key);
          } else if (result === 1) failures[index] = never;
          else durable.push(one);
        }
        batch.answer(failures);
      };
      const check = () => {
        const keys = new Set<string>();
        for (const { records } of driver.batches) {
          assert.ok(records.length <= 4);
          const own = new Set(records.map(({ key }) => key));
          for (const key of own) {
            if (key === undefined) continue;
            assert.ok(!keys.has(key), "a key is on the way once");
            keys.add(key);
          }
        }
        const bytes = driver.batches.flatMap(({ records }) => records).reduce((sum, { body }) => sum + body.length, 0);
        assert.ok(bytes <= 200);
      };
      for (const step of script) {
        if (step.step === "publish") {
          const key = step.key === undefined ? undefined : `key-${step.key}`;
          pendings.push(publisher.add(record(String(pendings.length), key, step.bytes), answers));
        } else if (step.step === "answer") answerOne(step.which, step.results);
        else if (step.step === "advance") await clock.advance(step.ms);
        else if (step.step === "turn") await clock.settle();
        else if (pendings.length > 0) {
          const pending = pendings[step.which % pendings.length] as PendingRecord;
          const { id } = pending.record;
          const isAnswered = answers.published_.includes(id) || answers.failed_.some(one => one.id === id);
          if (!isAnswered) publisher.giveUp(pending);
        }
        check();
      }
      const flushed = publisher.flush();
      for (let rounds = 0; rounds < 1_000 && publisher.pending > 0; rounds++) {
        answerOne(0, [2]);
        await clock.advance(100);
        check();
      }
      await flushed;
      const answered = [...answers.published_, ...answers.failed_.map(({ id }) => id)];
      assert.equal(new Set(answered).size, answered.length, "one answer");
      for (const { record: one, isGivenUp } of pendings) {
        if (!isGivenUp) assert.ok(answered.includes(one.id), `${one.id} has an answer`);
      }
      for (const id of answers.published_)
        assert.ok(
          durable.some(one => one.id === id),
          "confirmed means durable",
        );
      for (let key = 0; key < 4; key++) {
        const numbers = durable.filter(one => one.key === `key-${key}`).map(({ id }) => Number(id));
        assert.deepEqual(
          numbers,
          numbers.toSorted((a, b) => a - b),
          "in the order of the calls",
        );
      }
    }),
    { numRuns: 300 },
  );
});

test("a request that reaches nobody fails at once; an event waits for somebody to come", async () => {
  const { clock, driver, publisher, answers } = scene();
  const nobody: PublishFailure = { ...later, isUnroutable: true };
  publisher.add({ ...record("request"), replyTo: "me" }, answers);
  publisher.add(record("event"), answers);
  await clock.settle();
  driver.batches[0]?.answer({ 0: nobody, 1: nobody });
  await clock.settle();
  assert.deepEqual(
    answers.failed_.map(({ id, error }) => [id, error.isRetryable]),
    [["request", true]],
  );
  await clock.advance(1_000);
  assert.deepEqual(ids(driver.batches[0]?.records), ["event"]);
});
