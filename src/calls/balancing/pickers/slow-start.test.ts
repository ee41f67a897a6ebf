import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { SeededRandom } from "../../../platform/virtual/index.ts";
import { EndpointLoad } from "../endpoint-load.ts";
import { balancingLimits } from "../limits.ts";
import { type BalancedEndpoint, type BalancingRule, pickers } from "./index.ts";

const callMs = 10;
const secondMs = 1_000;
const seconds = balancingLimits.slowStartMs / secondMs;

function endpoint(key: string, joinedMs: number): BalancedEndpoint {
  return { key, weight: 1, zone: undefined, isReady: true, load: new EndpointLoad(balancingLimits, joinedMs) };
}

/**
 * New endpoints join at 0. Each of the callers sends one call after the other until a second after the slow start; all are
 * answered alike. The share of all calls that goes to the new endpoints, in each second.
 */
function run(
  rule: BalancingRule,
  oldCount: number,
  freshCount: number,
  callers: number,
  seed: number,
): readonly number[] {
  const random = new SeededRandom(seed);
  const old = Array.from({ length: oldCount }, (_, index) => endpoint(`old-${index}`, Number.NEGATIVE_INFINITY));
  const fresh = Array.from({ length: freshCount }, (_, index) => endpoint(`new-${index}`, 0));
  const picker = pickers[rule]([...old, ...fresh], random);
  const shares: number[] = [];
  const underWay: (BalancedEndpoint | undefined)[] = Array.from({ length: callers }, () => undefined);
  for (let second = 0; second <= seconds; second++) {
    let calls = 0;
    let toFresh = 0;
    for (let turn = 0; turn < secondMs / callMs; turn++) {
      for (let caller = 0; caller < callers; caller++) {
        const nowMs = second * secondMs + (turn + caller / callers) * callMs;
        underWay[caller]?.load.succeeded(nowMs, callMs);
        const picked = picker.pick(nowMs, { hashKey: `${seed}/${caller}/${second}/${turn}` });
        picked.load.begun();
        underWay[caller] = picked;
        calls++;
        if (fresh.includes(picked)) toFresh++;
      }
    }
    shares.push(toFresh / calls);
  }
  return shares;
}

/** The mean over runs with different seeds. */
function meanShares(rule: BalancingRule, oldCount: number, freshCount: number, callers: number): readonly number[] {
  const runs = 40;
  const sums = Array.from({ length: seconds + 1 }, () => 0);
  for (let seed = 1; seed <= runs; seed++) {
    for (const [second, share] of run(rule, oldCount, freshCount, callers, seed).entries())
      sums[second] = (sums[second] ?? 0) + share / runs;
  }
  return sums;
}

/** What new endpoints weigh beside the others in the middle of a second. */
function portion(oldCount: number, freshCount: number, second: number): number {
  const share = Math.min((second + 0.5) / seconds, 1);
  return (freshCount * share) / (freshCount * share + oldCount);
}

const targets = [
  { oldCount: 1, freshCount: 1 },
  { oldCount: 4, freshCount: 1 },
  { oldCount: 2, freshCount: 8 },
] as const;

for (const rule of Object.keys(pickers) as BalancingRule[]) {
  describe(`by the rule ${rule} new endpoints get little at first, and after 10 s their whole share`, () => {
    for (const { oldCount, freshCount } of targets) {
      for (const callers of [1, 4, 64]) {
        it(`${freshCount} beside ${oldCount}, ${callers === 1 ? "one call at a time" : `${callers} calls at a time`}`, () => {
          const shares = meanShares(rule, oldCount, freshCount, callers);
          const told = shares.map(share => share.toFixed(3)).join(" ");
          for (const [second, share] of shares.entries()) {
            // In the first second it is a tenth: the least.
            const due = portion(oldCount, freshCount, Math.max(second, 0.5));
            assert(share > due * 0.45 && share < due * 1.7, `${share} in second ${second}, ${due} is due: ${told}`);
            assert(share > (shares[second - 1] ?? 0) - 0.03, `sinks in second ${second}: ${told}`);
          }
          const whole = freshCount / (oldCount + freshCount);
          assert(Math.abs((shares.at(-1) ?? 0) - whole) < 0.03, told);
        });
      }
    }
  });

  it(`by the rule ${rule} endpoints that are all new are used alike`, () => {
    const all = [endpoint("a", 0), endpoint("b", 0), endpoint("c", 0)];
    const picker = pickers[rule](all, new SeededRandom(4));
    for (let pick = 0; pick < 3_000; pick++) picker.pick(500, { hashKey: String(pick) }).load.begun();
    for (const { load } of all) assert(load.pending > 700 && load.pending < 1_300, String(load.pending));
  });
}

it("by the rule peak_ewma a new endpoint takes the calls at once when the other one fails", () => {
  const old = endpoint("old", Number.NEGATIVE_INFINITY);
  const fresh = endpoint("new", 0);
  old.load.begun();
  old.load.failed(0, 1);
  const picker = pickers.peak_ewma([old, fresh], new SeededRandom(2));
  for (let nowMs = 0; nowMs < 900; nowMs += callMs) assert.equal(picker.pick(nowMs, undefined), fresh);
});

it("by the rule ring_hash each key moves once to a new endpoint, and none moves between the others", () => {
  const old = [endpoint("a", Number.NEGATIVE_INFINITY), endpoint("b", Number.NEGATIVE_INFINITY)];
  const fresh = endpoint("c", 0);
  const picker = pickers.ring_hash([...old, fresh], new SeededRandom(1));
  for (let key = 0; key < 300; key++) {
    const homes = Array.from({ length: 101 }, (_, step) => picker.pick(step * 100, { hashKey: `key-${key}` }));
    const moves = homes.filter((home, step) => step > 0 && home !== homes[step - 1]);
    assert(moves.length === 0 || (moves.length === 1 && moves[0] === fresh), `key-${key} moves ${moves.length} times`);
  }
});
