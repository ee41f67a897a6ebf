import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { ObservedEvent } from "../../platform/index.ts";
import { SeededRandom, VirtualClock } from "../../platform/virtual/index.ts";
import { Balancer, type BalancingOptions } from "./balancer.ts";
import type { BalancerEndpoint } from "./balancer-endpoint.ts";

function rig(list: Readonly<Record<string, number>>, options: BalancingOptions = {}, seed = 1) {
  const clock = new VirtualClock();
  const events: ObservedEvent[] = [];
  const observer = { emit: (event: ObservedEvent) => void events.push(event) };
  const balancer = new Balancer<string>(options, { target: "orders", clock, random: new SeededRandom(seed), observer });
  const addresses = Object.entries(list).map(([key, priority]) => ({ key, priority }));
  balancer.update(addresses, key => key);
  const pick = (avoid?: BalancerEndpoint<string>) => balancer.pick({ avoid }) as BalancerEndpoint<string>;
  /** One call, to where it is sent; answers where that was. */
  const call = (works: (key: string) => boolean): string => {
    const endpoint = pick();
    endpoint.load.begun();
    if (works(endpoint.key)) balancer.succeeded(endpoint, 1);
    else balancer.failed(endpoint, 1);
    clock.advanceSync(10);
    return endpoint.key;
  };
  const calls = (count: number, works: (key: string) => boolean) =>
    Array.from({ length: count }, () => call(works)).join("");
  const state = (key: string) => balancer.endpoints().find(({ address }) => address === key)?.state;
  const told = () => events.filter(({ type }) => type === "balancing.priority");
  return { clock, balancer, pick, call, calls, state, told };
}

const all = () => true;
const none = () => false;
const but =
  (...down: string[]) =>
  (key: string) =>
    !down.includes(key);

describe("priorities", () => {
  it("only the endpoints of the best one get calls while one of them works; the others stand by", () => {
    const { calls, state } = rig({ a: 10, b: 10, c: 20, d: 30 });
    assert.match(calls(200, all), /^[ab]+$/);
    assert.match(calls(200, but("a")), /^[ab]+$/);
    assert.deepEqual(["b", "c", "d"].map(state), ["ready", "standby", "standby"]);
  });

  it("one failure is chance; the second after it hands the calls to the next priority, and that is told", () => {
    const { calls, state, told } = rig({ a: 0, b: 1 });
    assert.equal(calls(5, all) + calls(1, none) + calls(1, all), "aaaaaaa");
    assert.equal(calls(10, but("a")), "aabbbbbbbb");
    assert.equal(state("a"), "penalised");
    assert.equal(state("b"), "ready");
    assert.deepEqual(told(), [{ type: "balancing.priority", target: "orders", from: 0, to: 1 }]);
  });

  it("failures that were under way together are one: the calls that began before the first was known say nothing new", () => {
    const { balancer, clock, pick } = rig({ a: 0, b: 1 });
    const a = pick();
    for (let count = 0; count < 10; count++) a.load.begun();
    clock.advanceSync(100);
    for (let count = 0; count < 10; count++) balancer.failed(a, 100);
    assert.equal(pick().key, "a");
  });

  it("the better priority is tried once a second, and takes all calls again as soon as one has succeeded", () => {
    const { calls, told, state } = rig({ a: 0, b: 1 });
    assert.equal(calls(2, none), "aa");
    const during = calls(1_000, but("a"));
    const trials = [...during].filter(key => key === "a").length;
    assert(trials >= 9 && trials <= 10, `${trials} in 10 s`);
    const healed = calls(200, all);
    const back = healed.indexOf("a");
    assert(back >= 0 && back <= 100, `tried after ${back * 10} ms`);
    assert.match(healed.slice(back), /^a+$/);
    assert.equal(state("b"), "standby");
    assert.deepEqual(
      told().map(event => (event as unknown as { to: number }).to),
      [1, 0],
    );
  });

  it("falls from one priority to the next, and trials reach each of the better ones", () => {
    const { calls, balancer } = rig({ a: 0, b: 0, c: 1, d: 2 });
    calls(30, but("a", "b", "c"));
    const during = calls(1_200, but("a", "b", "c"));
    assert.match(during.replaceAll(/[abc]/g, ""), /^d{1150,}$/);
    assert.deepEqual(new Set(during), new Set(["a", "b", "c", "d"]));
    // The second priority heals, the first does not: the trials of the first go on, the third stands by.
    const healed = calls(1_200, but("a", "b")).slice(600);
    assert.doesNotMatch(healed, /d/);
    assert(balancer.endpoints().some(({ address, state }) => address === "d" && state === "standby"));
  });

  it("a call that failed at the only endpoint of a priority goes to another priority", () => {
    const { pick } = rig({ a: 0, b: 1, c: 1 });
    const a = pick();
    const others = new Set(Array.from({ length: 50 }, () => pick(a).key));
    assert.deepEqual(others, new Set(["b", "c"]));
    const alone = rig({ a: 0 });
    assert.equal(alone.pick(alone.pick()).key, "a");
  });

  it("where nothing works the one that failed least is asked, and a working one is found at once", () => {
    const { calls } = rig({ a: 0, b: 1 });
    calls(300, none);
    // A backup that fails twice by chance keeps the calls: it has failed less than what has been down for long.
    const { calls: more, clock } = rig({ a: 0, b: 1 });
    more(1_000, but("a"));
    clock.advanceSync(100);
    more(2, none);
    assert.match(more(90, but("a")).replace(/a/, ""), /^b+$/);
  });

  it("where nothing works, neither the best nor the last priority is asked if another failed less", () => {
    const { balancer, pick } = rig({ a: 0, b: 1, c: 2 });
    for (const [key, times] of [
      ["c", 4],
      ["b", 2],
      ["a", 4],
    ] as const) {
      const endpoint = balancer.get(key);
      assert(endpoint !== undefined);
      for (let time = 0; time < times; time++) {
        endpoint.load.begun();
        balancer.failed(endpoint, 0);
      }
    }
    assert.equal(pick().key, "b");
  });

  it("one endpoint of each priority is never ejected, so that its trials go on", () => {
    const { calls, state } = rig({ a: 0, b: 0, c: 1 });
    calls(3_000, but("a", "b"));
    const states = [state("a"), state("b")].sort();
    assert.deepEqual(states, ["ejected", "penalised"]);
  });

  it("each has a subset of its own", () => {
    const list = Object.fromEntries(Array.from({ length: 400 }, (_, index) => [String(index), index % 2]));
    const { balancer } = rig(list, { limits: { subsetMax: 30 } });
    const used = balancer.endpoints();
    assert.deepEqual(
      [0, 1].map(priority => used.filter(one => one.priority === priority).length),
      [30, 30],
    );
  });

  it("what is not ready, or ejected, does not hold the calls back", () => {
    const { balancer, pick } = rig({});
    const list = [
      { key: "a", priority: 0, isReady: false },
      { key: "b", priority: 1 },
    ];
    balancer.update(list, key => key);
    assert.equal(pick().key, "b");
    balancer.update([{ key: "a", priority: 0 }, ...list.slice(1)], key => key);
    assert.equal(pick().key, "a");
    balancer.update([{ key: "a", priority: 2 }, ...list.slice(1)], key => key);
    assert.equal(pick().key, "b");
  });
});

/**
 * A plain model of one endpoint without ejection: how often it failed since it last succeeded, and until when that counts
 * (5 s, doubled with each failure up to 60 s).
 */
class ModelEndpoint {
  failures = 0;
  countsUntilMs = 0;

  failed(nowMs: number): void {
    this.failures++;
    this.countsUntilMs = nowMs + Math.min(5_000 * 2 ** (this.failures - 1), 60_000);
  }

  isFailing(nowMs: number): boolean {
    return this.failures >= 2 && nowMs < this.countsUntilMs;
  }
}

it("under any outcomes a call goes to the best priority in which anything works, but for one trial a second of a better one", () => {
  const step = fc.record({
    works: fc.boolean(),
    waitMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 900 }), fc.integer({ min: 0, max: 70_000 })),
    avoids: fc.boolean(),
    times: fc.integer({ min: 1, max: 6 }),
  });
  const list = fc.array(fc.constantFrom(0, 1, 7), { minLength: 1, maxLength: 6 });
  const rules = fc.constantFrom("peak_ewma", "least_request", "round_robin", "weighted", "ring_hash");
  fc.assert(
    fc.property(list, fc.array(step, { maxLength: 40 }), rules, fc.nat(), (priorities, steps, rule, seed) => {
      const entries = priorities.map((priority, index) => [String(index), priority] as const);
      const { balancer, clock, pick } = rig(
        Object.fromEntries(entries),
        { rule, ejection: false } as BalancingOptions,
        seed,
      );
      const model = new Map(entries.map(([key]) => [key, new ModelEndpoint()]));
      let lastTrialMs = Number.NEGATIVE_INFINITY;
      let avoid: BalancerEndpoint<string> | undefined;
      for (const { works, waitMs, avoids, times } of steps) {
        for (let call = 0; call < times; call++) {
          const nowMs = clock.now();
          const working = entries.filter(([key]) => model.get(key)?.isFailing(nowMs) === false);
          const best = Math.min(...working.map(([, priority]) => priority));
          const avoided = avoids ? avoid : undefined;
          const endpoint = pick(avoided);
          const own = model.get(endpoint.key) as ModelEndpoint;
          if (working.length > 0 && endpoint.priority < best) {
            assert(nowMs - lastTrialMs >= 1_000, `trials at ${lastTrialMs} and ${nowMs}`);
            lastTrialMs = nowMs;
          } else if (working.length > 0 && endpoint.priority > best) {
            // Only a call that failed at the one endpoint of the best priority goes past it.
            assert.equal(entries.filter(([, priority]) => priority === best).length, 1);
            assert.equal(avoided?.priority, best);
          }
          if (avoided !== undefined && working.some(([key]) => key !== avoided.key)) {
            assert.notEqual(endpoint, avoided, "a call returns to where it failed only where nothing else works");
          }
          endpoint.load.begun();
          if (works) {
            balancer.succeeded(endpoint, 0);
            own.failures = 0;
          } else {
            balancer.failed(endpoint, 0);
            own.failed(nowMs);
            avoid = endpoint;
          }
        }
        clock.advanceSync(waitMs);
      }
    }),
    { numRuns: 500 },
  );
});
