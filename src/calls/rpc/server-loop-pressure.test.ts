import assert from "node:assert/strict";
import { test } from "node:test";
import type { Priority } from "../../contract/index.ts";
import { virtualPlatform } from "../../platform/virtual/index.ts";
import { LoopPressure } from "./server-loop-pressure.ts";

function watched() {
  const platform = virtualPlatform({ seed: 3 });
  const { clock } = platform;
  const late: number[] = [];
  const loop = new LoopPressure(platform.clock, platform.random, 100, delayMs => late.push(delayMs));
  /** The process computes for so long, again and again, while calls come. */
  const busy = (computeMs: number, times: number) => {
    for (let n = 0; n < times; n++) {
      loop.callCame(clock.now());
      clock.stall(computeMs);
      clock.advanceSync(0);
    }
  };
  const shedOf1000 = (priority: Priority) =>
    Array.from({ length: 1_000 }, () => loop.sheds(priority)).filter(Boolean).length;
  return { clock, loop, late, busy, shedOf1000 };
}

test("a pause of any length, as of a garbage collection, turns nobody away", () => {
  const { loop, busy, clock, late } = watched();
  for (const pauseMs of [200, 1_000, 60_000]) {
    busy(pauseMs, 1);
    for (let n = 0; n < 20; n++) {
      loop.callCame(clock.now());
      clock.advanceSync(20);
    }
    assert.equal(loop.pressure, 0);
  }
  assert.deepEqual(late, []);
});

test("a loop that is late again and again turns sheddable work away first, then ordinary, critical never all", () => {
  const { loop, busy, late, shedOf1000 } = watched();
  busy(250, 7);
  assert(loop.pressure > 0 && loop.pressure <= 1, `${loop.pressure}`);
  assert(shedOf1000("sheddable") > 300);
  assert.equal(shedOf1000("default"), 0);
  busy(250, 5);
  assert.equal(shedOf1000("sheddable"), 1_000);
  assert(shedOf1000("default") > 300);
  assert.equal(shedOf1000("critical"), 0);
  busy(1_000, 50);
  assert.equal(shedOf1000("default"), 1_000);
  const critical = shedOf1000("critical");
  assert(critical > 850 && critical < 950, `${critical}`);
  assert(late.length > 50);
});

test("when the loop keeps up again the pressure is gone in three seconds, and an idle server has no timer", () => {
  const { clock, loop, busy } = watched();
  busy(1_000, 50);
  clock.advanceSync(3_000);
  assert.equal(loop.pressure, 0);
  clock.advanceSync(100);
  assert.equal(clock.pendingTimers, 0);
});

test("a loop that is a little late is neither pressed more nor less", () => {
  const { loop, busy } = watched();
  busy(250, 7);
  const before = loop.pressure;
  busy(130, 20);
  assert.equal(loop.pressure, before);
});
