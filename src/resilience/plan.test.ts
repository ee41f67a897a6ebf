import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { virtualPlatform } from "../platform/virtual/index.ts";
import { AdaptiveLimit } from "./adaptive-limit.ts";
import { Breaker } from "./breaker.ts";
import { Budget } from "./budget.ts";
import { Bulkhead } from "./bulkhead.ts";
import { classifyError } from "./classify.ts";
import { Hedge } from "./hedge.ts";
import { type Parts, planOf } from "./plan.ts";
import { RateLimit } from "./rate-limit.ts";
import { Retry } from "./retry.ts";
import { Throttle } from "./throttle.ts";

const platform = virtualPlatform();
const machine = { platform };

const parts: Required<Parts> = {
  name: "stock",
  recovery: { remember() {}, recover: () => undefined },
  timeoutMs: 1_000,
  attemptTimeoutMs: 100,
  throttle: new Throttle(machine),
  rateLimit: new RateLimit({ ...machine, calls: 5 }),
  adaptiveLimit: new AdaptiveLimit(machine),
  bulkhead: new Bulkhead(machine),
  retry: new Retry(machine),
  hedge: new Hedge(machine),
  budget: new Budget(machine),
  breaker: new Breaker(machine),
  classify: () => "failure",
  observer: { emit() {} },
  hedgesByDefault: true,
};

const shape = JSON.stringify(Object.keys(planOf(platform, {})));

test("all plans have the same members in the same order, whatever parts they have: the code that runs them sees one shape", () => {
  fc.assert(
    fc.property(fc.subarray(Object.keys(parts) as (keyof Parts)[]), names => {
      const given = Object.fromEntries(names.map(name => [name, parts[name]])) as Parts;
      const plan = planOf(platform, given);
      assert.equal(JSON.stringify(Object.keys(plan)), shape);
      for (const name of ["throttle", "rateLimit", "adaptiveLimit", "bulkhead", "retry", "hedge", "budget"] as const) {
        assert.equal(plan[name], given[name]);
      }
      assert.equal(plan.callTimeouts?.limitMs, given.timeoutMs);
      assert.equal(plan.attemptTimeouts?.limitMs, given.attemptTimeoutMs);
      const isTimed = given.adaptiveLimit ?? given.hedge ?? given.breaker;
      assert.equal(plan.measuresLatency, isTimed !== undefined);
      assert.equal(plan.hedgesByDefault, given.hedgesByDefault ?? false);
      assert.deepEqual(plan.shapes, []);
    }),
  );
});

test("latency is measured only for parts that look at it: not for a breaker that counts failures alone", () => {
  const counting = new Breaker({ ...machine, failures: 5 });
  assert.equal(planOf(platform, { breaker: counting }).measuresLatency, false);
  assert.equal(planOf(platform, { breaker: new Breaker({ ...machine, slowMs: 5 }) }).measuresLatency, true);
  assert.equal(planOf(platform, { retry: parts.retry, bulkhead: parts.bulkhead }).measuresLatency, false);
});

test("what errors say is the plan's own rule, otherwise the breaker's, otherwise the general one", () => {
  const ofBreaker = () => "ignore" as const;
  const breaker = new Breaker({ ...machine, classify: ofBreaker });
  assert.equal(planOf(platform, {}).classify, classifyError);
  assert.equal(planOf(platform, { breaker: parts.breaker }).classify, classifyError);
  assert.equal(planOf(platform, { breaker }).classify, ofBreaker);
  assert.equal(planOf(platform, { breaker, classify: parts.classify }).classify, parts.classify);
});

test("plans share neither time-outs nor shapes", () => {
  const [one, two] = [planOf(platform, { timeoutMs: 5 }), planOf(platform, { timeoutMs: 5 })];
  assert.notEqual(one.callTimeouts, two.callTimeouts);
  assert.notEqual(one.shapes, two.shapes);
});
