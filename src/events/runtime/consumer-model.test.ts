import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { OnFailure } from "../broker.ts";
import type { Order } from "../driver.ts";
import { Discard, RetryLater } from "../errors.ts";
import type { StoredRecord } from "../record.ts";
import { ConsumerScene, Later, placedRecord } from "./consumer.fixture.ts";
import { FakeLane } from "./fake-lane.fixture.ts";
import type { HandlingFailed } from "./observed.ts";

/** What the handler does at each attempt of one record; the last goes on for ever. */
const outcomes = fc.array(
  fc.constantFrom("return", "resolve", "throw", "reject", "discard", "later", "hang", "stuck"),
  {
    minLength: 1,
    maxLength: 5,
  },
);

const steps = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ step: fc.constant("deliver" as const), lane: fc.nat(1), key: fc.nat(2), outcomes }),
    },
    { weight: 3, arbitrary: fc.record({ step: fc.constant("advance" as const), ms: fc.nat(5_000) }) },
    { weight: 2, arbitrary: fc.record({ step: fc.constant("let go" as const) }) },
    { weight: 1, arbitrary: fc.record({ step: fc.constant("broker" as const), isDown: fc.boolean() }) },
    {
      weight: 1,
      arbitrary: fc.record({ step: fc.constant("reassign" as const), lane: fc.nat(1), isGraceful: fc.boolean() }),
    },
  ),
  { maxLength: 60, size: "max" },
);

const policies = fc.constantFrom<{ order: Order; onFailure: OnFailure; canRetryLater: boolean }>(
  { order: "key", onFailure: "park-key", canRetryLater: true },
  { order: "key", onFailure: "block", canRetryLater: true },
  { order: "partition", onFailure: "block", canRetryLater: true },
  { order: "none", onFailure: "unordered", canRetryLater: true },
  { order: "key", onFailure: "unordered", canRetryLater: false },
);

interface Fate {
  readonly record: StoredRecord;
  readonly lane: FakeLane;
  readonly key: string;
  readonly number: number;
  readonly outcomes: readonly string[];
  attempts: number;
  mayRepeat: boolean;
  isRunning: boolean;
  hasSucceeded: boolean;
}

test("whatever handlers, brokers and assignments do: nothing lost, nothing settled that is not done, keys in order", async () => {
  await fc.assert(
    fc.asyncProperty(policies, steps, fc.integer({ min: 1, max: 4 }), async (policy, script, concurrency) => {
      const fates = new Map<number, Fate>();
      const hanging = new Set<Later>();
      // What a handler throws is an outcome to the consumer: the test has to remember what it found.
      const violations: string[] = [];
      const demand = (isTrue: boolean, what: string) => {
        if (!isTrue) violations.push(what);
      };
      const keeps = policy.onFailure !== "unordered";
      const scene = new ConsumerScene(
        ({ number }, { attempt, signal }) => {
          const fate = fates.get(number) as Fate;
          demand(attempt === fate.attempts, "attempts count up");
          demand(!fate.isRunning && !fate.hasSucceeded, "one attempt at a time, none after success");
          demand(!gone.has(fate.lane), "nothing begins on a lane that has gone");
          if (keeps) {
            for (const other of fates.values()) {
              if (other.lane.name !== fate.lane.name) continue;
              if (policy.order === "key" && other.key !== fate.key) continue;
              demand(!other.isRunning, "one of a key at a time");
              if (other.lane !== fate.lane || other.number >= number) continue;
              demand(isOver(other), `${number} before ${other.number} of its key was done with`);
            }
          }
          if (policy.onFailure === "block" && fate.attempts === 0) {
            for (const other of fates.values()) {
              const isWaiting = other.mayRepeat && other.attempts < 4 && hasFailed(other) && !isOver(other);
              demand(other.lane !== fate.lane || !isWaiting, "nothing of a blocked lane begins");
            }
          }
          const outcome = fate.outcomes[Math.min(fate.attempts, fate.outcomes.length - 1)];
          fate.attempts++;
          fate.isRunning = true;
          fate.mayRepeat = outcome === "throw" || outcome === "reject" || outcome === "later";
          const end = (hasSucceeded: boolean) => {
            fate.isRunning = false;
            fate.hasSucceeded = hasSucceeded;
          };
          switch (outcome) {
            case "return":
              return end(true);
            case "resolve":
              return Promise.resolve().then(() => end(true));
            case "reject":
              return Promise.resolve().then(() => {
                end(false);
                throw new Error("rejected");
              });
            case "hang":
            case "stuck": {
              const later = new Later();
              hanging.add(later);
              if (outcome === "hang") signal.addEventListener("abort", () => later.resolve());
              return later.promise.then(() => {
                hanging.delete(later);
                end(true);
              });
            }
            default:
              end(false);
              if (outcome === "discard") throw new Discard("never");
              throw outcome === "later" ? new RetryLater(700) : new Error("thrown");
          }
        },
        {
          ...policy,
          concurrency,
          limits: { recordsMax: 20, bytesMax: 1_000_000, parkedMax: 10, parkedBytesMax: 500_000 },
        },
      );
      const gone = new Set<FakeLane>();
      /** Whether the consumer knows that the last attempt has failed. */
      const hasFailed = ({ record, attempts }: Fate) =>
        scene.seen("events.failed").filter(event => (event as HandlingFailed).place === record.place).length ===
        attempts;
      const isOver = ({ record, lane }: Fate) => lane.settled.includes(record);
      const lanes = [scene.lane, new FakeLane("ledger/1")];
      scene.consumer.opened(lanes[1] as FakeLane);
      const { clock } = scene.platform;
      let number = 0;
      for (const step of script) {
        if (step.step === "deliver") {
          const lane = lanes[step.lane] as FakeLane;
          if (lane.isPaused) continue;
          const record = placedRecord(`account-${step.key}`, ++number);
          fates.set(number, {
            record,
            lane,
            key: `account-${step.key}`,
            number,
            outcomes: step.outcomes,
            attempts: 0,
            mayRepeat: false,
            isRunning: false,
            hasSucceeded: false,
          });
          scene.consumer.records(lane, [record]);
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
        const { running, waiting } = scene.consumer.stats();
        assert.ok(running <= concurrency && waiting >= 0);
      }

      // The broker is there again and everything may end.
      scene.broker.failure = undefined;
      for (
        let rounds = 0;
        rounds < 200 && scene.consumer.stats().running + scene.consumer.stats().waiting > 0;
        rounds++
      ) {
        for (const later of hanging) later.resolve();
        await clock.advance(60_000);
      }
      assert.deepEqual(violations, []);
      const stats = scene.consumer.stats();
      assert.deepEqual(
        { running: stats.running, waiting: stats.waiting, parked: stats.parkedEvents, keys: stats.parkedKeys },
        { running: 0, waiting: 0, parked: 0, keys: 0 },
      );
      for (const lane of lanes) assert.equal(lane.isPaused, false);
      for (const fate of fates.values()) {
        const { record, lane } = fate;
        const settled = lane.settled.filter(one => one === record).length;
        const moved =
          scene.broker.dead.filter(one => one.record === record).length +
          scene.broker.retried.filter(one => one.record === record).length;
        assert.ok(settled <= 1 && moved <= 1, "once");
        assert.deepEqual(lane.released, [], "nothing is given back while there is no drain");
        if (settled === 1) assert.ok(fate.hasSucceeded || moved === 1, "settled means handled or moved");
        if (!gone.has(lane)) assert.equal(settled, 1, "nothing is left on a lane that is there");
        assert.ok(fate.attempts <= 4);
      }
    }),
    { numRuns: 300 },
  );
});
