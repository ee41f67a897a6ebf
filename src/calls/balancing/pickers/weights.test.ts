/** Weights hold for callers of few calls as well as for those of many, whatever else a rule looks at. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { SeededRandom } from "../../../platform/virtual/index.ts";
import { EndpointLoad } from "../endpoint-load.ts";
import { balancingLimits } from "../limits.ts";
import { type BalancedEndpoint, pickers } from "./index.ts";

const calls = 10_000;

/** How often each endpoint is picked, by its index, with so many calls under way all the time. */
function picked(
  rule: "peak_ewma" | "least_request",
  weights: readonly number[],
  callers: number,
  meanMs: (index: number) => number = () => 10,
): readonly number[] {
  const random = new SeededRandom(7);
  const endpoints = weights.map(
    (weight, index): BalancedEndpoint => ({
      key: String(index),
      weight,
      zone: undefined,
      isReady: true,
      load: new EndpointLoad(balancingLimits, Number.NEGATIVE_INFINITY),
    }),
  );
  const picker = pickers[rule](endpoints, random);
  const counts = weights.map(() => 0);
  const running: { readonly endMs: number; readonly startMs: number; readonly load: EndpointLoad }[] = [];
  let nowMs = 0;
  for (let call = 0; call < calls; call++) {
    if (running.length === callers) {
      const next = running.toSorted((a, b) => a.endMs - b.endMs)[0] ?? assert.fail();
      running.splice(running.indexOf(next), 1);
      nowMs = next.endMs;
      next.load.succeeded(nowMs, nowMs - next.startMs);
    }
    const { key, load } = picker.pick(nowMs, undefined);
    const index = Number(key);
    counts[index] = (counts[index] ?? 0) + 1;
    load.begun();
    // Two milliseconds, and whatever waiting by chance adds.
    running.push({ endMs: nowMs + 2 - meanMs(index) * Math.log(1 - random.next()), startMs: nowMs, load });
  }
  return counts;
}

for (const rule of ["peak_ewma", "least_request"] as const) {
  describe(`weights by the rule ${rule}`, () => {
    for (const weights of [
      [1, 3],
      [1, 9],
      [1, 1, 1, 9],
      [1, 2, 3, 4, 5],
      [...new Array(30).fill(1), 30],
    ]) {
      for (const callers of [1, 2, 4, 16, 64]) {
        const name = weights.length > 9 ? "thirty of 1 beside one of 30" : weights.join(" beside ");
        it(`${name}, ${callers} at a time: each takes about its share`, () => {
          const sum = weights.reduce((total, weight) => total + weight, 0);
          for (const [index, count] of picked(rule, weights, callers).entries()) {
            if (index > 0 && index < weights.length - 1) continue;
            const ratio = count / calls / ((weights[index] ?? 0) / sum);
            assert(ratio > 0.6 && ratio < 2.1, `${index}: ${ratio.toFixed(2)} of its share`);
          }
        });
      }
    }
  });
}

it("by the rule peak_ewma a heavy endpoint that has become ten times slower is passed by", () => {
  const [light = 0] = picked("peak_ewma", [1, 9], 1, index => (index === 0 ? 10 : 100));
  assert(light > calls * 0.9, String(light));
});
