import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Batch } from "../batch.ts";
import type { OnFailure } from "../broker.ts";
import type { Placed } from "../conformance/ledger.ts";
import type { Order } from "../driver.ts";
import { Discard, RetryLater } from "../errors.ts";
import type { StoredRecord } from "../record.ts";
import { batchScene } from "./batch.fixture.ts";
import { Later, placedRecord } from "./consumer.fixture.ts";
import { FakeLane } from "./fake-lane.fixture.ts";
import type { HandlingFailed } from "./observed.ts";

/** What the handler does at each attempt of one event that is alone; the last goes on for ever. */
const outcomes = fc.array(fc.constantFrom("return", "reject", "discard", "later", "fail", "hang", "stuck", "break"), {
  minLength: 1,
  maxLength: 4,
});
/** What it does with several. `fail`: with the members that fail in the batch; the others succeed. */
const together = fc.array(
  fc.constantFrom("return", "return", "throw", "reject", "fail", "later", "hang", "stuck", "break"),
  {
    minLength: 1,
    maxLength: 8,
  },
);

const steps = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        step: fc.constant("deliver" as const),
        lane: fc.nat(1),
        /** Events of one hand-over: their keys, how they fare, and whether somebody has tried them before. */
        events: fc.array(
          fc.record({ key: fc.nat(2), outcomes, failsInBatch: fc.boolean(), before: fc.constantFrom(0, 0, 0, 1) }),
          { minLength: 1, maxLength: 6 },
        ),
      }),
    },
    { weight: 4, arbitrary: fc.record({ step: fc.constant("advance" as const), ms: fc.nat(40) }) },
    { weight: 1, arbitrary: fc.record({ step: fc.constant("advance" as const), ms: fc.nat(5_000) }) },
    { weight: 3, arbitrary: fc.record({ step: fc.constant("let go" as const) }) },
    { weight: 1, arbitrary: fc.record({ step: fc.constant("broker" as const), isDown: fc.boolean() }) },
    {
      weight: 1,
      arbitrary: fc.record({ step: fc.constant("reassign" as const), lane: fc.nat(1), isGraceful: fc.boolean() }),
    },
  ),
  { maxLength: 40, size: "max" },
);

const policies = fc.constantFrom<{ order: Order; onFailure: OnFailure; canRetryLater: boolean }>(
  { order: "key", onFailure: "park-key", canRetryLater: true },
  { order: "key", onFailure: "block", canRetryLater: true },
  { order: "partition", onFailure: "block", canRetryLater: true },
  { order: "none", onFailure: "unordered", canRetryLater: true },
  { order: "key", onFailure: "unordered", canRetryLater: false },
);

const limits = fc.record({
  eventsMax: fc.integer({ min: 1, max: 6 }),
  waitMs: fc.constantFrom(0, 10, 50),
  /** Of events of the common size. */
  bytesMax: fc.constantFrom(1, 60, 1_000_000),
});

interface Fate {
  readonly record: StoredRecord;
  readonly lane: FakeLane;
  readonly key: string;
  readonly number: number;
  readonly outcomes: readonly string[];
  readonly failsInBatch: boolean;
  /** Attempts that count, of others before too. */
  attempts: number;
  /** Of those, alone here. */
  alone: number;
  isRunning: boolean;
  hasBegun: boolean;
  hasSucceeded: boolean;
  /** Its last attempt failed, and another may follow. */
  mayRepeat: boolean;
  /** It could have begun from then on, as far as its key goes. */
  readySinceMs: number | undefined;
}

test("whatever handlers, brokers and assignments do to batches: keys in order, sizes and waits in bounds, every event leaves once", async () => {
  const seen = { batches: 0, parted: 0, failed: 0, drainedWaiting: 0 };
  await fc.assert(
    fc.asyncProperty(
      policies,
      limits,
      steps,
      together,
      fc.integer({ min: 1, max: 3 }),
      fc.boolean(),
      async (policy, options, script, batchOutcomes, concurrency, endsByDrain) => {
        const fates = new Map<number, Fate>();
        const hanging = new Set<Later>();
        const gone = new Set<FakeLane>();
        const violations: string[] = [];
        const demand = (isTrue: boolean, what: string) => {
          if (!isTrue) violations.push(what);
        };
        let calls = 0;
        let isStopped = false;
        let batchNumber = 0;
        const keeps = policy.onFailure !== "unordered";
        const isOver = ({ record, lane }: Fate) => lane.settled.includes(record);
        const sharesOrder = (one: Fate, other: Fate) =>
          one.lane.name === other.lane.name && (policy.order === "partition" || one.key === other.key);

        /** Whether the consumer has heard of the end of the last attempt. */
        const knowsFailure = ({ record, attempts }: Fate) =>
          scene.seen("events.failed").filter(event => (event as HandlingFailed).place === record.place).length ===
          attempts - record.history.attempts;

        const handle = (events: readonly Placed[], batch: Batch) => {
          const members = events.map(({ number }) => fates.get(number) as Fate);
          calls++;
          demand(calls <= concurrency, "no more calls than places");
          demand(!isStopped, "nothing begins after the stop");
          demand(members.length <= options.eventsMax, "a batch is no larger than it may be");
          const bytes = members.reduce((sum, { record }) => sum + record.body.length, 0);
          demand(members.length === 1 || bytes <= options.bytesMax, "its bodies are no larger than they may be");
          demand(new Set(members).size === members.length, "nothing is in a batch twice");
          for (const [index, fate] of members.entries()) {
            const delivery = batch.deliveries[index];
            demand(delivery?.raw === fate.record, "deliveries stand beside their events");
            demand(
              delivery?.attempt === fate.attempts,
              `${fate.number}: attempt ${delivery?.attempt}, not ${fate.attempts}`,
            );
            demand(members.length === 1 || fate.attempts === 0, "what was tried before is alone");
            demand(!fate.isRunning && !fate.hasSucceeded, "one attempt at a time, none after success");
            demand(!gone.has(fate.lane), "nothing begins on a lane that has gone");
            if (!keeps) continue;
            for (const other of fates.values()) {
              if (other === fate || !sharesOrder(fate, other)) continue;
              demand(!other.isRunning, "a key is never at work twice at once");
              if (other.lane !== fate.lane || other.number > fate.number || isOver(other)) continue;
              const before = members.indexOf(other);
              demand(before !== -1 && before < index, `${fate.number} before ${other.number} of its key`);
            }
          }
          if (policy.onFailure === "block") {
            for (const other of fates.values()) {
              const isWaiting = other.mayRepeat && other.attempts < 4 && !isOver(other) && knowsFailure(other);
              const isNews = members.every(({ hasBegun }) => !hasBegun);
              demand(
                !isNews || !isWaiting || !members.some(({ lane }) => lane === other.lane),
                "a blocked lane is still",
              );
            }
          }
          for (const fate of members) {
            fate.mayRepeat = false;
            fate.isRunning = true;
            fate.hasBegun = true;
          }
          const [first] = members as [Fate];
          const isAlone = members.length === 1;
          if (!isAlone) seen.batches++;
          const outcome = isAlone
            ? first.outcomes[Math.min(first.alone, first.outcomes.length - 1)]
            : batchOutcomes[batchNumber++ % batchOutcomes.length];
          if (isAlone) {
            first.attempts++;
            first.alone++;
          }
          const end = (hasSucceeded: (fate: Fate) => boolean, counts: (fate: Fate) => boolean) => {
            calls--;
            for (const fate of members) {
              fate.isRunning = false;
              fate.hasSucceeded = hasSucceeded(fate);
              if (!isAlone && counts(fate)) fate.attempts++;
              fate.mayRepeat = !fate.hasSucceeded && (isAlone || counts(fate)) && outcome !== "discard";
            }
          };
          const all = () => true;
          const none = () => false;
          switch (outcome) {
            case "return":
              return end(all, all);
            case "fail": {
              // Behind one that fails of its key there is neither success nor an attempt, where order is kept.
              const isLeft = (fate: Fate, index: number) =>
                keeps && members.slice(0, index).some(other => other.failsInBatch && sharesOrder(fate, other));
              const left = new Set(members.filter((fate, index) => !fate.failsInBatch && isLeft(fate, index)));
              end(
                fate => !isAlone && !fate.failsInBatch && !left.has(fate),
                fate => !left.has(fate),
              );
              for (const [index, fate] of members.entries()) {
                if (isAlone || fate.failsInBatch) batch.fail(index, new Error("this one"));
              }
              if (!isAlone) seen.parted++;
              return undefined;
            }
            case "reject":
              if (!isAlone) seen.failed++;
              return Promise.resolve().then(() => {
                end(none, none);
                throw new Error("rejected");
              });
            case "break":
            case "hang":
            case "stuck": {
              const later = new Later();
              hanging.add(later);
              if (outcome === "hang") batch.signal.addEventListener("abort", () => later.resolve());
              return later.promise.then(() => {
                hanging.delete(later);
                if (outcome !== "break") return end(all, all);
                end(none, none);
                throw new Error("broken off");
              });
            }
            case "later":
              end(none, all);
              throw new RetryLater(700);
            case "discard":
              end(none, none);
              throw new Discard("never");
            default:
              end(none, none);
              if (!isAlone) seen.failed++;
              throw new Error("thrown");
          }
        };

        const scene = batchScene(options, handle, {
          ...policy,
          concurrency,
          limits: { recordsMax: 30, bytesMax: 1_000_000, parkedMax: 15, parkedBytesMax: 500_000 },
        });
        const { clock } = scene.platform;
        const lanes = [scene.lane, new FakeLane("ledger/1")];
        scene.consumer.opened(lanes[1] as FakeLane);

        /** Nothing that could run waits longer than a batch may. */
        const judgeWaits = () => {
          const nowMs = clock.now();
          for (const fate of fates.values()) {
            if (fate.hasBegun || gone.has(fate.lane) || fate.attempts > 0) continue;
            const isBehind = [...fates.values()].some(other => {
              if (other === fate || other.lane.name !== fate.lane.name) return false;
              if (other.isRunning && (policy.order === "partition" || other.key === fate.key))
                return policy.order !== "none";
              if (other.lane !== fate.lane || isOver(other)) return false;
              const mayBlock = policy.onFailure === "block" && other.attempts > 0;
              return mayBlock || (policy.order !== "none" && other.number < fate.number && sharesOrder(fate, other));
            });
            fate.readySinceMs = isBehind ? undefined : (fate.readySinceMs ?? nowMs);
            if (fate.readySinceMs === undefined || scene.consumer.stats().running >= concurrency) continue;
            const waitedMs = nowMs - fate.readySinceMs;
            assert.ok(waitedMs <= options.waitMs, `${fate.number} has waited ${waitedMs} ms beside a free place`);
          }
        };

        let number = 0;
        for (const step of script) {
          if (step.step === "deliver") {
            const lane = lanes[step.lane] as FakeLane;
            if (lane.isPaused) continue;
            const records = step.events.map(({ key, outcomes: script, failsInBatch, before }) => {
              const record = placedRecord(
                `account-${key}`,
                ++number,
                {},
                { attempts: before, firstFailedAtMs: undefined },
              );
              fates.set(number, {
                record,
                lane,
                key: `account-${key}`,
                number,
                outcomes: script,
                failsInBatch,
                attempts: before,
                alone: 0,
                isRunning: false,
                hasBegun: false,
                hasSucceeded: false,
                mayRepeat: false,
                readySinceMs: undefined,
              });
              return record;
            });
            scene.consumer.records(lane, records);
            await clock.settle();
          } else if (step.step === "advance") await clock.advance(step.ms);
          else if (step.step === "broker") scene.broker.failure = step.isDown ? new Error("down") : undefined;
          else if (step.step === "let go") {
            for (const later of hanging) later.resolve();
            await clock.settle();
          } else {
            const lane = lanes[step.lane] as FakeLane;
            if (step.isGraceful) {
              const revoked = scene.consumer.revoke(lane, 1_000);
              await clock.advance(1_000);
              await revoked;
            } else scene.consumer.lost(lane);
            gone.add(lane);
            lane.isGone = true;
            lanes[step.lane] = new FakeLane(lane.name);
            scene.consumer.opened(lanes[step.lane] as FakeLane);
          }
          assert.deepEqual(violations, []);
          assert.ok(scene.consumer.stats().waiting >= 0);
          judgeWaits();
        }

        scene.broker.failure = undefined;
        if (endsByDrain) {
          isStopped = true;
          seen.drainedWaiting += scene.consumer.stats().waiting;
          scene.consumer.stop();
        }
        for (let round = 0; round < 300; round++) {
          const { running, waiting } = scene.consumer.stats();
          if (running + waiting === 0) break;
          for (const later of hanging) later.resolve();
          await clock.advance(60_000);
        }
        assert.deepEqual(violations, []);
        const { running, waiting, parkedEvents, parkedKeys } = scene.consumer.stats();
        assert.deepEqual([running, waiting, parkedEvents, parkedKeys], [0, 0, 0, 0]);
        assert.equal(await scene.consumer.idle(1), true);
        for (const lane of lanes) assert.equal(lane.isPaused, false);
        for (const fate of fates.values()) {
          const { record, lane, attempts } = fate;
          const settled = lane.settled.filter(one => one === record).length;
          const released = lane.released.filter(one => one === record).length;
          const dead = scene.broker.dead.filter(one => one.record === record);
          const retried = scene.broker.retried.filter(one => one.record === record);
          const moved = dead.length + retried.length;
          const ways = settled + released;
          assert.ok(settled <= 1 && released <= 1 && ways <= 1 && moved <= 1, "once, and one way");
          if (released === 1) assert.ok(endsByDrain, "nothing is given back while there is no drain");
          if (settled === 1) assert.ok(fate.hasSucceeded || moved === 1, "settled means handled or moved");
          if (!gone.has(lane)) assert.equal(ways, 1, "nothing is left on a lane that is there");
          assert.ok(attempts <= 4);
          for (const { details } of dead) assert.equal(details.attempts, attempts);
          for (const { history } of retried) assert.equal(history.attempts, attempts);
        }
      },
    ),
    { numRuns: 400 },
  );
  for (const [what, count] of Object.entries(seen)) assert.ok(count > 20, `too few: ${what} ${count}`);
});
