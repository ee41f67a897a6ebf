import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SeededRandom, VirtualClock } from "./index.ts";

test("virtual timers run in order of time, then of arming, and see their own time", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(50), { maxLength: 40 }), fc.array(fc.nat(39)), (delays, cancelled) => {
      const clock = new VirtualClock();
      const fired: { id: number; at: number }[] = [];
      const timers = delays.map((delayMs, id) => clock.after(delayMs, () => fired.push({ id, at: clock.now() })));
      for (const id of cancelled) timers[id]?.cancel();
      clock.advanceSync(50);
      const expected = delays
        .map((at, id) => ({ id, at }))
        .filter(({ id }) => !cancelled.includes(id))
        .sort((a, b) => a.at - b.at || a.id - b.id);
      assert.deepEqual(fired, expected);
      assert.equal(clock.pendingTimers, 0);
    }),
  );
});

test("promises settle between two virtual timers", async () => {
  const clock = new VirtualClock();
  const log: string[] = [];
  clock.after(10, async () => {
    await null;
    log.push("after the first");
    clock.after(5, () => void log.push(`armed at 10, fired at ${clock.now()}`));
  });
  clock.after(20, () => void log.push("second"));
  const startMs = clock.wall();
  await clock.advance(30);
  assert.deepEqual(log, ["after the first", "armed at 10, fired at 15", "second"]);
  assert.equal(clock.wall() - startMs, 30);
});

test("equal seeds give equal numbers, spread evenly", () => {
  const one = new SeededRandom(7);
  const other = new SeededRandom(7);
  const buckets = new Array<number>(10).fill(0);
  for (let n = 0; n < 10_000; n++) {
    const value = one.below(10);
    assert.equal(other.below(10), value);
    buckets[value] = (buckets[value] ?? 0) + 1;
  }
  for (const count of buckets) assert.ok(count > 850 && count < 1_150, `bucket of ${count}`);
  assert.notDeepEqual(new SeededRandom(8).bytes(8), new SeededRandom(7).bytes(8));
});
