import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { SeededRandom } from "../../../platform/virtual/index.ts";
import { EndpointLoad } from "../endpoint-load.ts";
import { balancingLimits } from "../limits.ts";
import { type BalancedEndpoint, type BalancingRule, type Picker, pickers } from "./index.ts";

/** What every rule must do, whatever it prefers. */
function endpoint(key: string, weight = 1, joinedMs = Number.NEGATIVE_INFINITY): BalancedEndpoint {
  return { key, weight, zone: undefined, isReady: true, load: new EndpointLoad(balancingLimits, joinedMs) };
}

function endpoints(count: number): readonly BalancedEndpoint[] {
  return Array.from({ length: count }, (_, index) => endpoint(`10.0.0.${index}:80`));
}

/** Picks so often, each call over before the next; by key, how often. */
function spread(
  picker: Picker<BalancedEndpoint>,
  picks: number,
  keyOf?: (pick: number) => string,
): Map<string, number> {
  const counts = new Map<string, number>();
  for (let pick = 0; pick < picks; pick++) {
    const { key } = picker.pick(0, keyOf === undefined ? undefined : { hashKey: keyOf(pick) });
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

for (const rule of Object.keys(pickers) as BalancingRule[]) {
  describe(`the rule ${rule}`, () => {
    it("takes the only endpoint, also when that is to be avoided", () => {
      const [only = endpoint("")] = endpoints(1);
      const picker = pickers[rule]([only], new SeededRandom(1));
      assert.equal(picker.pick(0, undefined), only);
      assert.equal(picker.pick(0, { avoid: only, hashKey: "a" }), only);
    });

    it("never takes the endpoint to avoid where there is another", () => {
      fc.assert(
        fc.property(fc.integer({ min: 2, max: 12 }), fc.nat(), fc.nat(), fc.string(), (count, seed, index, hashKey) => {
          const all = endpoints(count);
          const avoid = all[index % count];
          const picker = pickers[rule](all, new SeededRandom(seed));
          for (let pick = 0; pick < 20; pick++) {
            const picked = picker.pick(pick, { avoid, hashKey });
            assert.notEqual(picked, avoid);
            picked.load.begun();
          }
        }),
      );
    });

    it("uses every endpoint, none much more than the others", () => {
      const counts = spread(pickers[rule](endpoints(5), new SeededRandom(3)), 10_000, String);
      assert.equal(counts.size, 5);
      for (const [key, count] of counts) assert(count > 1_500 && count < 2_500, `${key}: ${count}`);
    });

    it("gives the same sequence for the same seed", () => {
      const sequence = () => {
        const picker = pickers[rule](endpoints(4), new SeededRandom(9));
        return Array.from({ length: 50 }, () => picker.pick(0, undefined).key);
      };
      assert.deepEqual(sequence(), sequence());
    });
  });
}

for (const rule of ["peak_ewma", "least_request", "weighted", "ring_hash"] as const) {
  it(`${rule} gives an endpoint of three times the weight about three times the calls under way`, () => {
    const light = endpoint("light", 1);
    const heavy = endpoint("heavy", 3);
    const picker = pickers[rule]([light, heavy], new SeededRandom(5));
    for (let pick = 0; pick < 4_000; pick++) picker.pick(0, { hashKey: String(pick) }).load.begun();
    const ratio = heavy.load.pending / light.load.pending;
    assert(ratio > 2.3 && ratio < 3.9, `ratio ${ratio}`);
  });
}

for (const rule of ["peak_ewma", "least_request", "weighted"] as const) {
  it(`${rule} lets a new endpoint begin with a small share`, () => {
    const old = endpoint("old");
    const fresh = endpoint("fresh", 1, 1_000);
    const picker = pickers[rule]([old, fresh], new SeededRandom(5));
    for (let pick = 0; pick < 2_000; pick++) picker.pick(1_000, undefined).load.begun();
    const share = fresh.load.pending / 2_000;
    assert(share > 0.05 && share < 0.15, `share ${share}`);
  });
}

describe("peak_ewma", () => {
  it("passes by an endpoint that answers ten times slower", () => {
    const [fast = endpoint(""), slow = endpoint("")] = endpoints(2);
    for (const [{ load }, latencyMs] of [
      [fast, 10],
      [slow, 100],
    ] as const) {
      load.begun();
      load.succeeded(0, latencyMs);
    }
    const counts = spread(pickers.peak_ewma([fast, slow], new SeededRandom(1)), 100);
    assert.equal(counts.get(slow.key), undefined);
  });

  it("gives an endpoint under penalty one call a second", () => {
    const [good = endpoint(""), bad = endpoint("")] = endpoints(2);
    good.load.begun();
    good.load.succeeded(0, 10);
    bad.load.begun();
    bad.load.failed(0, 1);
    const picker = pickers.peak_ewma([good, bad], new SeededRandom(1));
    const trials: number[] = [];
    for (let nowMs = 0; nowMs < 4_900; nowMs += 10) if (picker.pick(nowMs, undefined) === bad) trials.push(nowMs);
    assert.deepEqual(trials, [1_000, 2_000, 3_000, 4_000]);
  });
});

describe("weighted", () => {
  it("spreads the heavy endpoint's turns instead of giving them in one run", () => {
    const picker = pickers.weighted([endpoint("a", 5), endpoint("b", 1), endpoint("c", 1)], new SeededRandom(1));
    const turns = Array.from({ length: 70 }, () => picker.pick(0, undefined).key).join("");
    assert.equal(turns.replaceAll(/[bc]/g, "").length, 50);
    assert.doesNotMatch(turns, /a{6}/);
  });
});

describe("ring_hash", () => {
  const keys = Array.from({ length: 2_000 }, (_, index) => `customer-${index}`);
  const homes = (all: readonly BalancedEndpoint[]): Map<string, string> => {
    const picker = pickers.ring_hash(all, new SeededRandom(1));
    return new Map(keys.map(hashKey => [hashKey, picker.pick(0, { hashKey }).key]));
  };

  it("sends equal keys to the same endpoint, whatever the sequence of the list", () => {
    assert.deepEqual(homes(endpoints(7)), homes([...endpoints(7)].reverse()));
  });

  it("moves few keys when an endpoint goes, and only those that were its own", () => {
    const before = homes(endpoints(10));
    const after = homes(endpoints(10).slice(0, 9));
    const moved = keys.filter(key => before.get(key) !== after.get(key));
    assert(moved.every(key => before.get(key) === "10.0.0.9:80"));
    assert(moved.length > 100 && moved.length < 320, String(moved.length));
  });

  it("never gives an endpoint more than 1.25 times its share of what is under way", () => {
    const all = endpoints(8);
    const picker = pickers.ring_hash(all, new SeededRandom(1));
    for (let call = 1; call <= 800; call++) {
      const picked = picker.pick(0, { hashKey: "the one key that everybody asks for" });
      picked.load.begun();
      assert(picked.load.pending <= Math.ceil((call / 8) * 1.25));
    }
  });
});
