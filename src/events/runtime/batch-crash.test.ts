import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { LogLane } from "../log/lane.ts";
import { LogRecord } from "../log/log-record.ts";
import { batchScene } from "./batch.fixture.ts";

/** All that outlives a process. */
interface Durable {
  offset: number;
  metadata: string;
}

const accounts = Array.from({ length: 12 }, (_, index) => `account-${index}`);

function recordOf(offset: number): LogRecord {
  const account = accounts[offset] as string;
  const body = Buffer.from(JSON.stringify({ account, number: offset }));
  return new LogRecord("ledger", 0, offset, account, { type: "ledger.placed", source: "/test" }, body, undefined);
}

/**
 * One process on a lane of events, from what is durable until it crashes by handling a poison one, or everything is done
 * with. A handler takes 5 ms, so that others are at work when a process crashes. Answers whether it crashed.
 */
async function live(durable: Durable, poison: string, eventsMax: number, handled: Map<string, number>, dead: string[]) {
  let hasCrashed = false;
  const scene = batchScene({ eventsMax, waitMs: 5 }, events => {
    if (events.some(({ account }) => account === poison)) hasCrashed = true;
    const isDead = hasCrashed;
    return new Promise<void>(resolve => {
      if (isDead) return;
      scene.platform.clock.after(5, () => {
        for (const { account } of events) if (!hasCrashed) handled.set(account, (handled.get(account) ?? 0) + 1);
        resolve();
      });
    });
  });
  const commit = () => {
    if (hasCrashed) return;
    const taken = lane.takeCommit();
    if (taken === undefined) return;
    durable.offset = taken.offset;
    durable.metadata = taken.metadata;
    lane.committed(taken);
  };
  const soon = () => scene.platform.clock.endOfTurn(commit);
  const lane: LogLane = new LogLane({
    topic: "ledger",
    partition: 0,
    epoch: 1,
    committed: { ...durable },
    clock: scene.platform.clock,
    sink: scene.consumer,
    host: { changed: soon, commitSoon: soon, wants() {} },
  });
  scene.consumer.opened(lane);
  commit();
  const records = accounts.map((_, offset) => recordOf(offset)).filter(({ offset }) => offset >= durable.offset);
  lane.deliver(records);
  for (let step = 0; step < 1_000 && !hasCrashed && durable.offset < accounts.length; step++) {
    await scene.platform.clock.advance(5);
  }
  dead.push(...scene.broker.dead.map(({ record }) => record.key as string));
  return hasCrashed;
}

test("a crash in a batch dead-letters no innocent: only the event that ends its process again and again", async () => {
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...accounts), fc.integer({ min: 1, max: 12 }), async (poison, eventsMax) => {
      const durable: Durable = { offset: 0, metadata: "" };
      const handled = new Map<string, number>();
      const dead: string[] = [];
      let crashes = 0;
      while (await live(durable, poison, eventsMax, handled, dead)) assert.ok(++crashes <= 4, `${crashes} crashes`);
      assert.deepEqual([...new Set(dead)], [poison]);
      assert.equal(crashes, 4, "as many as it has attempts");
      for (const account of accounts) assert.equal(handled.has(account), account !== poison, account);
      assert.equal(durable.offset, accounts.length);
    }),
    { numRuns: 20 },
  );
});
