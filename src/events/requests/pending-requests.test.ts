import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { virtualPlatform } from "../../platform/virtual/index.ts";
import { PendingRequests } from "./pending-requests.ts";

type Command =
  | { readonly kind: "add"; readonly id: number; readonly timeoutMs: number }
  | { readonly kind: "reply"; readonly id: number }
  | { readonly kind: "remove"; readonly id: number }
  | { readonly kind: "advance"; readonly ms: number }
  | { readonly kind: "endAll" };

const id = fc.integer({ min: 0, max: 7 });
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("add" as const), id, timeoutMs: fc.integer({ min: 1, max: 50 }) }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("reply" as const), id }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("remove" as const), id }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("advance" as const), ms: fc.integer({ min: 0, max: 30 }) }) },
  { weight: 1, arbitrary: fc.constant({ kind: "endAll" as const }) },
);

const max = 4;

test("against a model: each request ends once, by what came first, and the table holds exactly those that wait", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(command, { maxLength: 60 }), async commands => {
      const { clock } = virtualPlatform();
      const table = new PendingRequests<number>(clock, max);
      const ends: string[] = [];
      const expected: string[] = [];
      /** Those that wait, with the time at which it is over. */
      const model = new Map<string, number>();
      let nowMs = 0;
      let replies = 0;
      const listener = (name: string) => ({
        replied: (reply: number) => void ends.push(`${name} replied ${reply}`),
        timedOut: () => void ends.push(`${name} timed out`),
        ended: (error: Error) => void ends.push(`${name} ${error.message}`),
      });
      for (const one of commands) {
        switch (one.kind) {
          case "add": {
            const name = String(one.id);
            const isPossible = model.size < max && !model.has(name);
            if (!isPossible) assert.throws(() => table.add(name, one.timeoutMs, listener(name)));
            else {
              table.add(name, one.timeoutMs, listener(name));
              model.set(name, nowMs + one.timeoutMs);
            }
            break;
          }
          case "reply": {
            const name = String(one.id);
            const waits = model.delete(name);
            assert.equal(table.reply(name, ++replies), waits);
            if (waits) expected.push(`${name} replied ${replies}`);
            break;
          }
          case "remove":
            assert.equal(table.remove(String(one.id)), model.delete(String(one.id)));
            break;
          case "advance": {
            await clock.advance(one.ms);
            nowMs += one.ms;
            // Those of one moment in any order.
            const due = [...model].filter(([, atMs]) => atMs <= nowMs).map(([name]) => name);
            for (const name of due) model.delete(name);
            const news = ends.splice(expected.length).toSorted();
            assert.deepEqual(news, due.map(name => `${name} timed out`).toSorted());
            ends.push(...news);
            expected.push(...news);
            break;
          }
          case "endAll":
            expected.push(...[...model.keys()].map(name => `${name} over`));
            model.clear();
            table.endAll(new Error("over"));
            break;
        }
        assert.deepEqual(ends, expected);
        assert.equal(table.size, model.size);
        assert.equal(table.isFull, model.size >= max);
        assert.equal(clock.pendingTimers, model.size, "a timer for each that waits, and none else");
      }
    }),
    { numRuns: 500 },
  );
});
