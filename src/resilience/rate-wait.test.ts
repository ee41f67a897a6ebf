import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isRpcError, RejectedError } from "../errors/index.ts";
import { virtualPlatform } from "../platform/virtual/index.ts";
import { bulkhead } from "./bulkhead.ts";
import { policy } from "./policy.ts";
import { type RateLimitOptions, rateLimit } from "./rate-limit.ts";

function rig(options: Partial<RateLimitOptions> = {}) {
  const platform = virtualPlatform();
  const { clock } = platform;
  const limit = rateLimit({ calls: 10, burst: 1, wait: {}, platform, ...options });
  const begun: string[] = [];
  const beganMs = clock.now();
  /** Work that tells when it began, by its name. */
  const run = (name: string, more: Parameters<typeof limit.run>[1] = {}) =>
    limit.run(() => begun.push(`${name} ${clock.now() - beganMs}`), more).catch((error: unknown) => error);
  return { platform, clock, limit, begun, run };
}

test("calls that come too early wait for their turn, first come first served", async () => {
  const { clock, limit, begun, run } = rig();
  for (const name of ["a", "b", "c"]) void run(name);
  assert.equal(limit.waiting, 2);
  await clock.advance(99);
  assert.deepEqual(begun, ["a 0"]);
  await clock.advance(500);
  assert.deepEqual(begun, ["a 0", "b 100", "c 200"]);
  assert.equal(limit.waiting, 0);
});

test("nobody overtakes those who wait, and is told when its own turn would be", async () => {
  const { clock, limit, run } = rig();
  for (const name of ["a", "b", "c"]) void run(name);
  await clock.advance(40);
  const rejection = limit.acquire();
  assert(rejection.rejected);
  assert.deepEqual([rejection.reason, rejection.retryAfterMs], ["rate_limited", 260]);
  await clock.advance(160);
  assert.equal(limit.waiting, 0);
  assert.equal(limit.acquire().rejected, true, "the turn of the last one who waited has just been");
});

test("a call whose turn would come after its deadline, or after the longest wait, is rejected at once", async () => {
  const { limit, run, begun, clock } = rig({ wait: { maxWaitMs: 250 } });
  const outcomes = await Promise.all([run("a"), run("late", { timeoutMs: 100 })]);
  assert(outcomes[1] instanceof RejectedError);
  assert.deepEqual([outcomes[1].reason, outcomes[1].retryAfterMs], ["rate_limited", 100]);
  void run("b", { timeoutMs: 101 });
  void run("c");
  const third = await run("d");
  assert(third instanceof RejectedError && third.reason === "rate_limited", "300 ms");
  await clock.advance(1_000);
  assert.deepEqual(begun, ["a 0", "b 100", "c 200"]);
  const passed = await limit.wait(undefined, { deadline: clock.now() });
  assert(passed.rejected && passed.reason === "deadline");
});

test("whoever gives up makes room at once, and those behind move up", async () => {
  const { clock, limit, begun, run } = rig({ wait: { queue: 2 } });
  void run("a");
  const controller = new AbortController();
  const given = run("b", { signal: controller.signal });
  void run("c");
  assert(((await run("d")) as RejectedError).reason === "rate_limited", "two wait already");
  controller.abort(new Error("enough"));
  assert.match(String(await given), /enough/);
  assert.equal(limit.waiting, 1);
  void run("e");
  await clock.advance(1_000);
  assert.deepEqual(begun, ["a 0", "c 100", "e 200"]);
  await assert.rejects(limit.wait(undefined, { signal: controller.signal }), /enough/);
});

test("keys wait each for themselves, and all together no more than there may be keys", async () => {
  const { clock, limit, begun, run } = rig({ keysMax: 3 });
  for (const key of ["a", "b"]) for (let nth = 0; nth < 3; nth++) void run(`${key}${nth}`, { key });
  assert.equal(limit.waiting, 3);
  await clock.advance(1_000);
  assert.deepEqual(begun.toSorted(), ["a0 0", "a1 100", "a2 200", "b0 0", "b1 100"]);
});

test("strangers to a full table do not wait for each other, and keys that wait are not forgotten", async () => {
  const { clock, limit, begun, run } = rig({ keysMax: 2 });
  // Just before the turn of who waits, when its key's time has come.
  clock.after(100, () => {
    for (let count = 0; count < 20; count++) limit.acquire(`flood ${count}`);
  });
  void run("a0", { key: "a" });
  void run("a1", { key: "a" });
  void run("b0", { key: "b" });
  void run("c0", { key: "c" });
  assert((await run("c1", { key: "d" })) instanceof RejectedError);
  await clock.advance(100);
  assert.deepEqual(begun, ["a0 0", "b0 0", "c0 0", "a1 100"]);
});

test("a call that is given back lets the next one go earlier", async () => {
  const { clock, limit, begun, run } = rig();
  const permit = limit.acquire();
  void run("b");
  await clock.advance(30);
  assert(!permit.rejected);
  permit.ignore();
  await clock.advance(0);
  assert.deepEqual(begun, ["b 30"]);
});

test("in a policy the wait counts against the deadline, and the other guards are asked after it", async () => {
  const platform = virtualPlatform();
  const { clock } = platform;
  const places = bulkhead({ concurrent: 1, queue: 1, platform });
  const guarded = policy({
    timeoutMs: 1_000,
    rateLimit: { calls: 10, burst: 1, wait: {} },
    bulkhead: places,
    platform,
  });
  const work = () => new Promise<number>(resolve => clock.after(150, () => resolve(clock.now())));
  const outcomes = Promise.all(
    [1, 2, 3, 4].map(() => guarded.run(work).then(String, (error: RejectedError) => error.reason)),
  );
  assert.deepEqual([places.running, places.waiting], [1, 0], "who waits for its turn takes no place");
  await clock.advance(100);
  assert.deepEqual([places.running, places.waiting], [1, 1]);
  await clock.advance(2_000);
  assert.deepEqual(
    (await outcomes).map(one => (/^[0-9.]+$/.test(one) ? "done" : one)),
    ["done", "done", "done", "done"],
  );
  assert.deepEqual([places.running, places.waiting], [0, 0]);
});

test("without `wait` nobody waits; options that cannot be are named", async () => {
  const { run } = rig({ wait: undefined });
  void run("a");
  assert(isRpcError(await run("b"), "resource_exhausted"));
  for (const [wait, message] of [
    [{ maxWaitMs: 0 }, /rateLimit\.wait\.maxWaitMs: expected a number from 1 to 2147483647 ms, got 0/],
    [{ queue: 0 }, /rateLimit\.wait\.queue: expected a whole number from 1 to 1000000, got 0/],
    [{ queue: 1.5 }, /rateLimit\.wait\.queue/],
    [{ max: 1 }, /rateLimit\.wait: there is no option "max"; the options are maxWaitMs, queue/],
    [true, /rateLimit\.wait: expected an object of options, got true/],
  ] as const) {
    assert.throws(() => rig({ wait: wait as never }), message);
  }
});

test("whoever comes, gives up and waits, calls begin as in a plain model that looks at every millisecond", async () => {
  const spacingMs = 10;
  const burst = 3;
  const toleranceMs = spacingMs * (burst - 1);
  const maxWaitMs = 60;
  const queue = 4;
  const step = fc.oneof(
    fc.record({ key: fc.constantFrom("a", "b", undefined), leftMs: fc.constantFrom(5, 25, 1_000, 1_000) }),
    fc.record({ abort: fc.nat(30) }),
    fc.record({ tickMs: fc.integer({ min: 1, max: 25 }) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async steps => {
      const platform = virtualPlatform();
      const { clock } = platform;
      const limit = rateLimit({ calls: 1, perMs: spacingMs, burst, wait: { maxWaitMs, queue }, platform });
      const originMs = clock.now();
      const expected: string[] = [];
      const happened: string[] = [];
      const dueMs = new Map<string | undefined, number>();
      let waiting: { id: number; key: string | undefined }[] = [];
      const controllers: AbortController[] = [];
      let nowMs = 0;
      const earlyMs = (key: string | undefined) => Math.max(dueMs.get(key) ?? 0, nowMs) - nowMs - toleranceMs;
      const begin = (id: number, key: string | undefined) => {
        dueMs.set(key, Math.max(dueMs.get(key) ?? 0, nowMs) + spacingMs);
        expected.push(`${id} begins at ${nowMs}`);
      };
      const admit = () => {
        for (const key of ["a", "b", undefined]) {
          for (let first = waiting.find(one => one.key === key); first !== undefined && earlyMs(key) <= 0; ) {
            const { id } = first;
            begin(id, key);
            waiting = waiting.filter(one => one.id !== id);
            first = waiting.find(one => one.key === key);
          }
        }
      };
      for (const one of steps) {
        if ("tickMs" in one) {
          for (let ms = 0; ms < one.tickMs; ms++) {
            nowMs++;
            admit();
          }
          await clock.advance(one.tickMs);
        } else if ("abort" in one) {
          if (waiting.some(({ id }) => id === one.abort)) expected.push(`${one.abort} gave up at ${nowMs}`);
          waiting = waiting.filter(({ id }) => id !== one.abort);
          controllers[one.abort]?.abort();
          await clock.settle();
        } else {
          const id = controllers.length;
          const before = waiting.filter(({ key }) => key === one.key).length;
          const inMs = Math.max(0, earlyMs(one.key)) + before * spacingMs;
          if (before === 0 && inMs === 0) begin(id, one.key);
          else if (before >= queue || inMs > maxWaitMs || inMs >= one.leftMs)
            expected.push(`${id} rejected at ${nowMs}`);
          else waiting.push({ id, key: one.key });
          const controller = new AbortController();
          controllers.push(controller);
          const tell = (what: string) => happened.push(`${id} ${what} at ${clock.now() - originMs}`);
          limit
            .wait(one.key, { signal: controller.signal, deadline: clock.now() + one.leftMs })
            .then(admission => tell(admission.rejected ? "rejected" : "begins"))
            .catch(() => tell("gave up"));
          await clock.settle();
        }
        assert.equal(limit.waiting, waiting.length);
      }
      assert.deepEqual(happened.toSorted(), expected.toSorted());
    }),
  );
});
