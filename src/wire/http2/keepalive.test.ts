import assert from "node:assert/strict";
import { test } from "node:test";
import { VirtualClock } from "../../platform/virtual/index.ts";
import { Keepalive } from "./keepalive.ts";

/** A peer that answers each ping after `answerMs`; `undefined`: never. Returns when it was pinged and when given up. */
async function watch(answerMs: number | undefined, forMs: number) {
  const clock = new VirtualClock();
  let receivedAt = clock.now();
  const pings: number[] = [];
  let failedAt: number | undefined;
  const keepalive = new Keepalive(clock, undefined, {
    receivedAt: () => receivedAt,
    isNeeded: () => true,
    ping() {
      pings.push(clock.now());
      const answer = () => {
        receivedAt = clock.now();
      };
      if (answerMs === 0) answer();
      else if (answerMs !== undefined) clock.after(answerMs, answer);
    },
    fail() {
      failedAt = clock.now();
    },
  });
  keepalive.watch();
  await clock.advance(forMs);
  keepalive.stop();
  return { pings, failedAt };
}

test("a peer that never answers is given up 5 s after the ping that follows 10 s of silence", async () => {
  assert.deepEqual(await watch(undefined, 60_000), { pings: [10_000], failedAt: 15_000 });
});

test("a peer that answers within the time is kept", async () => {
  const { pings, failedAt } = await watch(4_999, 60_000);
  assert.equal(failedAt, undefined);
  assert(pings.length >= 2);
});

test("an answer at the very time of the ping counts: connections without latency were given up", async () => {
  const { pings, failedAt } = await watch(0, 60_000);
  assert.equal(failedAt, undefined);
  assert(pings.length >= 4);
});
