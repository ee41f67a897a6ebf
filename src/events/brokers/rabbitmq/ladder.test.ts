import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Ladder, ladderDelayMsMax, stepsOf } from "./ladder.ts";
import { ladderLevels, ladderUnitMs } from "./limits.ts";
import { ownHeader } from "./names.ts";

describe("the ladder of delays", () => {
  it("is as long as the delay, and at most a step of it longer", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: ladderDelayMsMax }), delayMs => {
        const { levels, headers } = stepsOf(delayMs);
        let walkedMs = 0;
        let highest = 0;
        for (const name of Object.keys(headers)) {
          const level = Number(name.slice(ownHeader.step.length));
          walkedMs += ladderUnitMs * 2 ** level;
          highest = Math.max(highest, level + 1);
        }
        assert.ok(walkedMs >= delayMs && walkedMs < delayMs + ladderUnitMs, `${delayMs} became ${walkedMs}`);
        assert.equal(levels, highest);
        assert.ok(levels <= ladderLevels);
      }),
    );
  });

  it("has no steps for what is due, and stops at its end", () => {
    assert.deepEqual(stepsOf(0), { levels: 0, headers: {} });
    assert.deepEqual(stepsOf(-5), { levels: 0, headers: {} });
    assert.deepEqual(stepsOf(Number.MAX_SAFE_INTEGER), stepsOf(ladderDelayMsMax));
  });

  it("names its queues by their time", () => {
    const ladder = new Ladder("trunkline");
    assert.deepEqual(
      [0, 1, 2, 3, 10].map(level => ladder.level(level)),
      ["trunkline.delay.250ms", "trunkline.delay.500ms", "trunkline.delay.0", "trunkline.delay.1", "trunkline.delay.8"],
    );
  });

  it("has no time to live beyond what RabbitMQ takes (32 bits of milliseconds)", () => {
    assert.ok(ladderUnitMs * 2 ** (ladderLevels - 1) < 2 ** 32);
  });
});
