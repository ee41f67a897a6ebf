import assert from "node:assert/strict";
import { test } from "node:test";
import { readPeers } from "./peers.ts";
import { scenarios } from "./scenarios.ts";
import { isMet, measure, targets } from "./targets.ts";

const rows = [
  { scenario: "s", peer: "trunkline", samples: [{ perSecond: 30 }] },
  { scenario: "s", peer: "other", samples: [{ perSecond: 10 }] },
];

test("a ratio is ours divided by the peer's", () => {
  const target = { scenario: "s", metric: "perSecond", peer: "other", direction: "least", bound: 3 } as const;
  assert.equal(measure(target, rows), 3);
  assert.equal(isMet(target, 3), true);
  assert.equal(isMet(target, 2.99), false);
});

test("what something costs beyond a peer is a difference", () => {
  const target = { scenario: "s", metric: "perSecond", peer: "other", direction: "beyond", bound: 20 } as const;
  assert.equal(measure(target, rows), 20);
  assert.equal(isMet(target, 20), true);
  assert.equal(isMet(target, 20.1), false);
});

test("a target whose peer was not measured has no ratio, so it cannot be met", () => {
  assert.equal(
    measure({ scenario: "s", metric: "perSecond", peer: "absent", direction: "least", bound: 1 }, rows),
    undefined,
  );
});

test("every target names a scenario, a metric of it and peers that take part in it", () => {
  const peers = new Map(readPeers().map(peer => [peer.name, peer]));
  for (const target of targets) {
    const scenario = scenarios.find(({ name }) => name === target.scenario);
    assert.ok(scenario?.metrics.includes(target.metric), `${target.scenario} ${target.metric}`);
    for (const name of [target.ours ?? "trunkline", ...(target.peer === undefined ? [] : [target.peer])]) {
      assert.ok(peers.get(name)?.scenarios.includes(target.scenario), `${name} in ${target.scenario}`);
    }
  }
});
