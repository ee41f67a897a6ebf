import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { AckWindow } from "./ack-window.ts";

describe("the window of acknowledgements", () => {
  it("acknowledges those before the first in work together, the others one by one", () => {
    const window = new AckWindow();
    for (const tag of [1, 2, 3, 4, 5]) window.delivered(tag);
    for (const tag of [5, 1, 2]) window.settle(tag);
    assert.deepEqual(window.take(), { upTo: 2, single: [5] });
    assert.deepEqual(window.take(), { upTo: 0, single: [] });
    window.settle(3);
    window.settle(4);
    assert.deepEqual(window.take(), { upTo: 4, single: [] });
    assert.equal(window.size, 0);
  });

  it("tells each delivery once, as it was settled, and never one that is in work (model)", () => {
    const step = fc.record({
      kind: fc.constantFrom("deliver", "settle", "giveBack", "take"),
      at: fc.nat(30),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), steps => {
        const window = new AckWindow();
        /** What the broker believes: it keeps whatever it was not told of. */
        const unacked = new Set<number>();
        const state = new Map<number, "work" | "settled">();
        let last = 0;
        for (const { kind, at } of steps) {
          const tag = 1 + (at % Math.max(last, 1));
          if (kind === "deliver") {
            window.delivered(++last);
            unacked.add(last);
            state.set(last, "work");
          } else if (kind === "settle") {
            assert.equal(window.settle(tag), state.get(tag) === "work");
            if (state.get(tag) === "work") state.set(tag, "settled");
          } else if (kind === "giveBack") {
            assert.equal(window.giveBack(tag), state.get(tag) === "work");
            if (state.get(tag) === "work") {
              state.delete(tag);
              unacked.delete(tag);
            }
          } else {
            const { upTo, single } = window.take();
            if (upTo > 0) assert.ok(unacked.has(upTo), "RabbitMQ closes a channel for an unknown tag");
            for (const known of [...unacked]) if (known <= upTo) acknowledge(known);
            for (const known of single) acknowledge(known);
            assert.ok([...state.values()].every(one => one === "work"));
          }
          assert.equal(window.size, unacked.size);
        }
        function acknowledge(tag: number): void {
          assert.ok(unacked.delete(tag), "acknowledged twice");
          assert.equal(state.get(tag), "settled");
          state.delete(tag);
        }
      }),
    );
  });
});
