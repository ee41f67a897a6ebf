import assert from "node:assert/strict";
import { test } from "node:test";
import { systemPlatform } from "./index.ts";
import { whenFree } from "./sqlite.ts";

test("waiting for another connection keeps the process alive: whoever waits for the result would be cut off", async () => {
  const kept: unknown[] = [];
  const clock = { ...systemPlatform.clock, now: () => 0 };
  const after = (_delayMs: number, run: () => void, keepsAlive?: boolean) => {
    kept.push(keepsAlive);
    queueMicrotask(run);
    return { cancel() {} };
  };
  let tries = 0;
  const busy = Object.assign(new Error("database is locked"), { errcode: 5 });
  const result = await whenFree({ ...systemPlatform, clock: { ...clock, after } }, 1_000, () => {
    if (++tries < 3) throw busy;
    return "done";
  });
  assert.equal(result, "done");
  assert.deepEqual(kept, [true, true]);
});
