import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { TimerWheel, WheelEntry } from "./timer-wheel.ts";

class Named extends WheelEntry {
  readonly id: number;
  constructor(id: number) {
    super();
    this.id = id;
  }
}

type Step =
  | { readonly kind: "arm"; readonly delay: number }
  | { readonly kind: "cancel"; readonly pick: number }
  | { readonly kind: "advance"; readonly ticks: number };

const delay = fc.oneof(
  fc.integer({ min: 1, max: 70 }),
  fc.integer({ min: 1, max: 40_000 }),
  fc.integer({ min: 1, max: 2 ** 33 }),
);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant("arm" as const), delay }),
  fc.record({ kind: fc.constant("cancel" as const), pick: fc.nat() }),
  fc.record({ kind: fc.constant("advance" as const), ticks: fc.oneof(delay, fc.integer({ min: 0, max: 3 })) }),
);

test("the wheel fires what a sorted list would, in the same order, from any tick", () => {
  fc.assert(
    fc.property(fc.integer(), fc.array(step, { maxLength: 60 }), (start, steps) => {
      const fired: number[] = [];
      const wheel = new TimerWheel<Named>(start, entry => fired.push(entry.id));
      const entries: Named[] = [];
      let model: { id: number; due: number }[] = [];
      let now = 0;
      for (const one of steps) {
        if (one.kind === "arm") {
          const entry = new Named(entries.length);
          entries.push(entry);
          wheel.arm(entry, one.delay);
          model.push({ id: entry.id, due: now + one.delay });
        } else if (one.kind === "cancel") {
          const entry = entries[one.pick % Math.max(entries.length, 1)];
          if (entry === undefined) continue;
          const isArmed = model.some(({ id }) => id === entry.id);
          assert.equal(wheel.cancel(entry), isArmed);
          model = model.filter(({ id }) => id !== entry.id);
        } else {
          const ticks = Math.min(one.ticks, 2 ** 31);
          now += ticks;
          wheel.advance(ticks);
          const due = model.filter(timer => timer.due <= now).sort((a, b) => a.due - b.due || a.id - b.id);
          model = model.filter(timer => timer.due > now);
          // Delays beyond the horizon are placed again on the way, so that only their time is exact, not ties.
          assert.deepEqual(
            fired.splice(0),
            due.map(({ id }) => id),
          );
        }
        const until = wheel.ticksUntilNext();
        const first = Math.min(...model.map(timer => timer.due)) - now;
        if (model.length === 0) assert.equal(until, -1);
        else assert.ok(until > 0 && until <= first, `${until} ticks to wait, but a timer is due in ${first}`);
      }
    }),
    { numRuns: 400 },
  );
});

test("a timer that is armed or cancelled while others fire behaves as from outside", () => {
  const fired: number[] = [];
  const second = new Named(2);
  const wheel = new TimerWheel<Named>(0, entry => {
    fired.push(entry.id);
    if (entry.id === 1) {
      wheel.cancel(second);
      wheel.arm(new Named(3), 5);
    }
  });
  wheel.arm(new Named(1), 40);
  wheel.arm(second, 40);
  wheel.advance(44);
  assert.deepEqual(fired, [1]);
  wheel.advance(1);
  assert.deepEqual(fired, [1, 3]);
});

test("a callback that throws does not take the others with it", () => {
  const fired: number[] = [];
  const wheel = new TimerWheel<Named>(0, entry => {
    fired.push(entry.id);
    if (entry.id === 1) throw new Error("handler's mistake");
  });
  for (const id of [1, 2, 3]) wheel.arm(new Named(id), 10);
  assert.throws(() => wheel.advance(10), /handler's mistake/);
  wheel.advance(0);
  assert.deepEqual(fired, [1, 2, 3]);
});
