import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { virtualPlatform } from "../../../platform/virtual/index.ts";
import { ChangeWatch, type Found } from "./change-watch.ts";
import { pollMsMax, pollMsWatched } from "./limits.ts";

/** Looks at nothing, with a file system that tells when the test says so. */
function setting(t: TestContext, canTell: boolean) {
  const { clock, ...platform } = virtualPlatform();
  const state = { found: "nothing" as Found, isWriting: false, looks: 0, watches: 0, open: 0, notice: () => {} };
  const watchFile = (_path: string, changed: () => void) => {
    state.watches++;
    state.open++;
    state.notice = changed;
    return { close: () => void state.open-- };
  };
  const watch = new ChangeWatch(
    { ...platform, clock, ...(canTell && { watchFile }) },
    "events.db-wal",
    () => {
      state.looks++;
      const { found } = state;
      state.found = "nothing";
      return found;
    },
    () => state.isWriting,
  );
  t.after(() => watch.stop());
  const looksIn = async (ms: number) => {
    const before = state.looks;
    await clock.advance(ms);
    return state.looks - before;
  };
  return { clock, state, watch, looksIn };
}

test("without news it looks less and less often; where the file system tells of writes, hardly ever", async t => {
  const { state, watch, looksIn } = setting(t, true);
  watch.start();
  assert.ok((await looksIn(50)) >= 3);
  await looksIn(300);
  assert.equal(state.open, 1);
  assert.ok((await looksIn(10 * pollMsWatched)) <= 11);
});

test("where the file system cannot tell, it goes on looking", async t => {
  const { watch, looksIn } = setting(t, false);
  watch.start();
  await looksIn(1_000);
  assert.equal(await looksIn(10 * pollMsMax), 10);
});

test("told of a write it looks every few milliseconds, because the write is not yet to be seen", async t => {
  const { state, watch, looksIn } = setting(t, true);
  watch.start();
  await looksIn(5_000);
  state.notice();
  assert.ok((await looksIn(10)) >= 3);
  assert.equal(state.open, 0);
  state.found = "news";
  await looksIn(20);
  assert.equal(state.open, 0, "while there is news it looks by itself");
  await looksIn(5_000);
  assert.equal(state.open, 1);
});

test("of a write of its own it is told in vain, but looks once: another process may have written too", async t => {
  const { clock, state, watch, looksIn } = setting(t, true);
  watch.start();
  await looksIn(5_000);
  const rest = async () => {
    state.notice();
    state.notice();
    assert.equal(await looksIn(pollMsMax), 1);
    assert.equal(state.open, 1);
    await clock.advance(pollMsWatched / 2);
  };
  watch.wroteItself();
  await rest();
  state.isWriting = true;
  await rest();
});

test("a change that was its own does not make it look more often", async t => {
  const { state, watch, looksIn } = setting(t, true);
  watch.start();
  await looksIn(5_000);
  state.found = "own";
  await looksIn(2 * pollMsWatched);
  assert.equal(state.watches, 1);
  assert.ok((await looksIn(5 * pollMsWatched)) <= 6);
});

test("stopped, it neither looks nor watches", async t => {
  const { state, watch, looksIn } = setting(t, true);
  watch.start();
  await looksIn(5_000);
  watch.stop();
  assert.equal(state.open, 0);
  state.notice();
  assert.equal(await looksIn(5_000), 0);
  watch.start();
  assert.ok((await looksIn(50)) >= 3);
});
