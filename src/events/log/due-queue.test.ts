import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DueQueue } from "./due-queue.ts";

test("things come out as they are due, those of one time in the order of their ids", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(9), { maxLength: 60 }), fc.array(fc.nat(59)), fc.nat(9), (dues, removed, nowMs) => {
      const queue = new DueQueue<{ id: number; dueMs: number }>();
      const items = dues.map((dueMs, id) => ({ id, dueMs }));
      for (const item of items) queue.add(item);
      const left = new Set(items);
      for (const at of removed) {
        const item = items[at];
        if (item !== undefined) assert.equal(queue.remove(item), left.delete(item));
      }
      const expected = [...left].sort((one, other) => one.dueMs - other.dueMs || one.id - other.id);
      assert.deepEqual([...queue], expected);
      assert.deepEqual(
        queue.take(nowMs),
        expected.filter(({ dueMs }) => dueMs <= nowMs),
      );
      assert.equal(queue.size, expected.filter(({ dueMs }) => dueMs > nowMs).length);
      assert.equal(queue.nextDueMs, expected.find(({ dueMs }) => dueMs > nowMs)?.dueMs ?? Number.POSITIVE_INFINITY);
    }),
  );
});
