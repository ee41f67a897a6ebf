import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { ObservedEvent } from "../../platform/index.ts";
import { SeededRandom, VirtualClock } from "../../platform/virtual/index.ts";
import { Balancer, type BalancingOptions } from "./balancer.ts";
import type { BalancerEndpoint } from "./balancer-endpoint.ts";

interface Rig {
  readonly clock: VirtualClock;
  readonly events: ObservedEvent[];
  readonly balancer: Balancer<string>;
}

function rig(options: BalancingOptions = {}, seed = 1): Rig {
  const clock = new VirtualClock();
  const events: ObservedEvent[] = [];
  const observer = { emit: (event: ObservedEvent) => void events.push(event) };
  const balancer = new Balancer<string>(options, { target: "orders", clock, random: new SeededRandom(seed), observer });
  return { clock, events, balancer };
}

const keys = (count: number) => Array.from({ length: count }, (_, index) => ({ key: `10.0.0.${index}:80` }));
const own = (key: string): string => key;

function picked(balancer: Balancer<string>): BalancerEndpoint<string> {
  const endpoint = balancer.pick();
  assert(endpoint !== undefined);
  return endpoint;
}

function of(balancer: Balancer<string>, key: string): BalancerEndpoint<string> {
  for (let tries = 0; tries < 10_000; tries++) {
    const endpoint = picked(balancer);
    if (endpoint.key === key) return endpoint;
  }
  throw new Error(`${key} is never picked`);
}

function fail(balancer: Balancer<string>, endpoint: BalancerEndpoint<string>, times = 1): void {
  for (let time = 0; time < times; time++) {
    endpoint.load.begun();
    balancer.failed(endpoint, 1);
  }
}

it("without endpoints there is nothing to pick", () => {
  assert.equal(rig().balancer.pick(), undefined);
});

it("statistics and what is owned survive an update of the list; what is gone is returned", () => {
  const { balancer } = rig();
  balancer.update(keys(3), own);
  const kept = of(balancer, "10.0.0.1:80");
  kept.load.begun();
  const gone = balancer.update([{ key: "10.0.0.1:80", weight: 5 }, { key: "10.0.0.9:80" }], own);
  assert.deepEqual(
    gone.map(({ owned }) => owned),
    ["10.0.0.0:80", "10.0.0.2:80"],
  );
  assert.equal(of(balancer, "10.0.0.1:80"), kept);
  assert.equal(kept.load.pending, 1);
  assert.equal(kept.weight, 5);
});

it("an address that is given twice is one endpoint", () => {
  const { balancer } = rig();
  balancer.update([...keys(2), ...keys(2)], own);
  assert.equal(balancer.size, 2);
});

it("endpoints that are not ready get nothing", () => {
  const { balancer } = rig();
  balancer.update([{ key: "a:1", isReady: false }, { key: "b:1" }, { key: "c:1" }], own);
  for (let pick = 0; pick < 200; pick++) assert.notEqual(picked(balancer).key, "a:1");
});

describe("ejection", () => {
  it("five failures in a row eject an endpoint for 30 s, then 60 s, and it is told", () => {
    const { clock, events, balancer } = rig({ rule: "round_robin" });
    balancer.update(keys(3), own);
    const bad = of(balancer, "10.0.0.0:80");
    fail(balancer, bad, 4);
    assert(balancer.endpoints()[0]?.state !== "ejected");
    fail(balancer, bad);
    assert.equal(balancer.endpoints()[0]?.state, "ejected");
    assert.deepEqual(events, [
      { type: "balancing.endpoint.ejected", target: "orders", endpoint: "10.0.0.0:80", forMs: 30_000 },
    ]);
    for (let pick = 0; pick < 100; pick++) assert.notEqual(picked(balancer), bad);
    clock.advanceSync(30_001);
    assert.equal(of(balancer, bad.key), bad);
    fail(balancer, bad, 5);
    assert.deepEqual(events.at(-1), {
      type: "balancing.endpoint.ejected",
      target: "orders",
      endpoint: "10.0.0.0:80",
      forMs: 60_000,
    });
  });

  it("a success in between begins the row anew", () => {
    const { events, balancer } = rig();
    balancer.update(keys(3), own);
    const endpoint = picked(balancer);
    for (let round = 0; round < 10; round++) {
      fail(balancer, endpoint, 4);
      endpoint.load.begun();
      balancer.succeeded(endpoint, 5);
    }
    assert.deepEqual(events, []);
  });

  it("more than 85 % of 50 calls eject, though no five fail in a row", () => {
    const { events, balancer } = rig({ ejection: { consecutiveFailures: 1_000 } });
    balancer.update(keys(3), own);
    const endpoint = picked(balancer);
    for (let call = 0; call < 60; call++) {
      if (call % 10 === 0) {
        endpoint.load.begun();
        balancer.succeeded(endpoint, 5);
      } else fail(balancer, endpoint);
    }
    assert.equal(events.length, 1);
  });

  it("one endpoint at most is ejected of a few, a tenth of many", () => {
    for (const [count, most] of [
      [3, 1],
      [9, 1],
      [40, 4],
    ] as const) {
      const { balancer } = rig({ rule: "round_robin" });
      balancer.update(keys(count), own);
      const all = new Set<BalancerEndpoint<string>>();
      while (all.size < count) all.add(picked(balancer));
      for (const endpoint of all) fail(balancer, endpoint, 5);
      assert.equal(balancer.endpoints().filter(({ state }) => state === "ejected").length, most);
    }
  });

  it("the only endpoint is never ejected", () => {
    const { balancer, events } = rig();
    balancer.update(keys(1), own);
    fail(balancer, picked(balancer), 100);
    assert.deepEqual(events, []);
  });

  it("`false` switches it off", () => {
    const { balancer, events } = rig({ ejection: false });
    balancer.update(keys(3), own);
    fail(balancer, picked(balancer), 100);
    assert.deepEqual(events, []);
  });

  it("with fewer than half of the endpoints usable all are used, and that is told", () => {
    const { balancer, events } = rig({ rule: "round_robin" });
    balancer.update([{ key: "a:1", isReady: false }, { key: "b:1", isReady: false }, { key: "c:1" }], own);
    assert.deepEqual(events, [
      { type: "balancing.panic", target: "orders", isPanicking: true, usable: 1, endpoints: 3 },
    ]);
    const seen = new Set(Array.from({ length: 30 }, () => picked(balancer).key));
    assert.equal(seen.size, 3);
    balancer.update([{ key: "a:1" }, { key: "b:1", isReady: false }, { key: "c:1" }], own);
    assert.deepEqual(events.at(-1), {
      type: "balancing.panic",
      target: "orders",
      isPanicking: false,
      usable: 2,
      endpoints: 3,
    });
  });
});

it("above a hundred endpoints each client uses a hundred", () => {
  const { balancer } = rig();
  balancer.update(keys(250), own);
  assert.equal(balancer.endpoints().length, 100);
});

it("a wrong option is refused with its name", () => {
  assert.throws(
    () => rig({ rule: "random" as "weighted" }),
    /balancing\.rule is "random"; it must be one of peak_ewma/,
  );
  assert.throws(() => rig({ ejection: { failureRatio: 2 } }), /balancing\.ejection\.failureRatio is 2/);
  assert.throws(() => rig({ limits: { slowStartMs: Number.NaN } }), /balancing\.limits\.slowStartMs is NaN/);
  assert.throws(
    () => rig({ limits: { subsetMax: 0 } }),
    /balancing\.limits\.subsetMax is 0; it must be a number from 1/,
  );
  assert.throws(() => rig({ limits: { latencyDecayMs: 0 } }), /balancing\.limits\.latencyDecayMs is 0/);
  assert.throws(() => rig({ ejection: { consecutiveFailures: 0 } }), /balancing\.ejection\.consecutiveFailures is 0/);
  assert.throws(
    () => rig({ limits: { penaltyMinMs: 60_001 } }),
    /balancing\.limits\.penaltyMinMs is 60001; it must be at most balancing\.limits\.penaltyMaxMs, 60000/,
  );
  assert.throws(
    () => rig({ ejection: { baseMs: 10, maxMs: 9 } }),
    /balancing\.ejection\.baseMs is 10; it must be at most/,
  );
});

it("under any lists and outcomes a pick is one of the last list, and only an empty list gives none", () => {
  const list = fc.array(
    fc.record({
      key: fc.integer({ min: 0, max: 15 }).map(String),
      weight: fc.oneof(fc.double(), fc.integer({ min: 0, max: 100 })),
      zone: fc.constantFrom("a", "b", undefined),
      priority: fc.constantFrom(0, 0, 1, 5),
      isReady: fc.boolean(),
    }),
    { maxLength: 20 },
  );
  const outcome = fc.constantFrom("succeeded", "failed", "released", "restarted");
  const step = fc.oneof(
    fc.record({ list }),
    fc.record({ outcome, count: fc.integer({ min: 1, max: 30 }), waitMs: fc.integer({ min: 0, max: 20_000 }) }),
  );
  const rules = fc.constantFrom("peak_ewma", "least_request", "round_robin", "weighted", "ring_hash");
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), rules, fc.nat(), (steps, rule, seed) => {
      const { clock, balancer } = rig({ rule, zone: "a" } as BalancingOptions, seed);
      let present = new Set<string>();
      for (const one of steps) {
        if ("list" in one) {
          present = new Set(one.list.map(({ key }) => key));
          balancer.update(one.list, own);
          assert.equal(balancer.size, present.size);
          continue;
        }
        for (let call = 0; call < one.count; call++) {
          const endpoint = balancer.pick({ hashKey: String(call) });
          assert.equal(endpoint === undefined, present.size === 0);
          if (endpoint === undefined) continue;
          assert(present.has(endpoint.key));
          endpoint.load.begun();
          if (one.outcome === "succeeded") balancer.succeeded(endpoint, call);
          else if (one.outcome === "failed") balancer.failed(endpoint, call);
          else endpoint.load.released();
          if (one.outcome === "restarted") balancer.restarted(endpoint);
          assert.equal(endpoint.load.pending, 0);
        }
        clock.advanceSync(one.waitMs);
      }
    }),
  );
});
