import assert from "node:assert/strict";
import { test } from "node:test";
import type { Clock } from "../../platform/index.ts";
import { placedRecord } from "./consumer.fixture.ts";
import { Entry, LaneState } from "./entry.ts";
import type { EntryBatch } from "./entry-batch.ts";
import { FakeLane } from "./fake-lane.fixture.ts";
import { Gathering } from "./gathering.ts";

function open(waitMs: number) {
  const armed: { readonly delayMs: number; readonly keepsAlive: boolean | undefined; isCancelled: boolean }[] = [];
  const due: EntryBatch[] = [];
  const after: Clock["after"] = (delayMs, _run, keepsAlive) => {
    const timer = { delayMs, keepsAlive, isCancelled: false };
    armed.push(timer);
    return {
      cancel: () => {
        timer.isCancelled = true;
      },
    };
  };
  const clock = { after } as Clock;
  const line = { push: (batch: EntryBatch) => void due.push(batch), goOn() {} };
  const gathering = new Gathering({ eventsMax: 2, waitMs, bytesMax: 1_000 }, clock, line);
  const lane = new LaneState(new FakeLane());
  const entry = (account: string) => new Entry({ late() {} }, lane, placedRecord(account, 1), account);
  return { gathering, entry, armed, due };
}

test("the wait of a batch keeps the process: on a broker in memory nothing else would", () => {
  const { gathering, entry, armed } = open(50);
  gathering.join(entry("a"));
  assert.deepEqual(armed, [{ delayMs: 50, keepsAlive: true, isCancelled: false }]);
});

test("a batch that is full or forgotten leaves no timer behind", () => {
  const { gathering, entry, armed, due } = open(50);
  const full = gathering.join(entry("a"));
  gathering.join(entry("b"));
  assert.deepEqual(due, [full]);
  const forgotten = gathering.join(entry("c"));
  assert.notEqual(forgotten, full);
  gathering.forget(forgotten);
  assert.ok(armed.length === 2 && armed.every(({ isCancelled }) => isCancelled));
  assert.notEqual(gathering.join(entry("d")), forgotten);
});

test("an entry behind one of another batch than the open one joins none", () => {
  const { gathering, entry } = open(50);
  const first = gathering.join(entry("a"));
  gathering.close(first);
  const second = gathering.join(entry("b"));
  const behind = entry("a");
  assert.equal(gathering.follow(first, behind), false);
  assert.equal(behind.batch, undefined);
  assert.equal(gathering.follow(second, entry("b")), true);
});

test("without a wait a batch is due at once, and takes entries until its turn", () => {
  const { gathering, entry, armed, due } = open(0);
  const batch = gathering.join(entry("a"));
  assert.deepEqual([due, armed], [[batch], []]);
  assert.equal(gathering.join(entry("b")), batch);
  assert.deepEqual(due, [batch], "once");
});
