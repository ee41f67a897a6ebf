import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { contextKey, contextValue, runInContext, systemPlatform } from "../index.ts";

const { clock } = systemPlatform;
// Timers of the clock do not keep the process alive by themselves.
const alive = setInterval(() => {}, 60_000);
test.after(() => clearInterval(alive));

test("system timers fire in order, not before their time, and cancelled ones not at all", async () => {
  const fired: string[] = [];
  const start = clock.now();
  await new Promise<void>(resolve => {
    clock.after(20, () => {
      fired.push("20");
      assert.ok(clock.now() - start >= 20);
      resolve();
    });
    clock.after(5, () => void fired.push("5"));
    clock.after(1, () => void fired.push("cancelled")).cancel();
    clock.after(Number.POSITIVE_INFINITY, () => void fired.push("never"));
    clock.after(-3, () => void fired.push("now"));
  });
  assert.deepEqual(fired, ["now", "5", "20"]);
  assert.throws(() => clock.after(Number.NaN, () => {}), RangeError);
});

test("a timer runs in the ambient context of whoever armed it", async () => {
  const key = contextKey<string>("call");
  const seen = await new Promise<unknown[]>(resolve => {
    const values: unknown[] = [];
    const note = () => {
      if (values.push(contextValue(key)) === 3) resolve(values);
    };
    runInContext(key, "first", () => clock.after(2, note));
    runInContext(key, "second", () => clock.after(2, note));
    clock.after(2, note);
  });
  assert.deepEqual(seen, ["first", "second", undefined]);
});

test("ends of turns run in order after this turn, outside of any context", async () => {
  const key = contextKey<string>("call");
  const log: unknown[] = [];
  await new Promise<void>(resolve => {
    runInContext(key, "first", () => clock.endOfTurn(() => void log.push(contextValue(key))));
    clock.endOfTurn(() => {
      log.push("second");
      clock.endOfTurn(resolve);
    });
    log.push("now");
  });
  assert.deepEqual(log, ["now", undefined, "second"]);
});

test("a hundred thousand deadlines that are met leave one Node timer and no work", async () => {
  const before = process.getActiveResourcesInfo().filter(kind => kind === "Timeout").length;
  for (let round = 0; round < 1_000; round++) {
    const timers = Array.from({ length: 100 }, () => clock.after(30_000, () => assert.fail("was cancelled")));
    for (const timer of timers) timer.cancel();
  }
  const after = process.getActiveResourcesInfo().filter(kind => kind === "Timeout").length;
  assert.ok(after - before <= 1);
});

test("a timer that keeps the process alive does so until it fires or is cancelled", async () => {
  const script = `
    import { systemPlatform } from ${JSON.stringify(new URL("../index.ts", import.meta.url).href)};
    const { clock } = systemPlatform;
    clock.after(60_000, () => {}, true).cancel();
    clock.after(60_000, () => {});
    clock.after(5, () => clock.after(10, () => process.stdout.write("fired"), true), true);
  `;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", script], {
    timeout: 20_000,
  });
  assert.equal(stdout, "fired");
});
