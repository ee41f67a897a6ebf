import assert from "node:assert/strict";
import { it } from "node:test";
import { EndpointLoad } from "./endpoint-load.ts";
import { balancingLimits, zoneReviewMs } from "./limits.ts";
import type { BalancedEndpoint } from "./pickers/index.ts";
import { localShareOf, reviewAtMs, splitByZone } from "./zones.ts";

const inZones = (...zones: readonly string[]): BalancedEndpoint[] =>
  zones.map((zone, index) => ({
    key: String(index),
    weight: 1,
    zone,
    isReady: true,
    load: new EndpointLoad(balancingLimits, Number.NEGATIVE_INFINITY),
  }));
const localShare = (all: readonly BalancedEndpoint[], usable = all, nowMs = 0) =>
  localShareOf(splitByZone("a", all, usable), nowMs);

function fail(nowMs: number, ...endpoints: readonly (BalancedEndpoint | undefined)[]): void {
  for (const endpoint of endpoints) {
    endpoint?.load.begun();
    endpoint?.load.failed(nowMs, 1);
  }
}

it("without a zone of its own a client uses all endpoints alike", () => {
  const all = inZones("a", "b");
  assert.deepEqual(splitByZone(undefined, all, all), { local: [], remote: all, zones: 1 });
});

it("calls stay in the zone when it has its share of the endpoints", () => {
  assert.equal(localShare(inZones("a", "a", "b", "b", "c", "c")), 1);
});

it("a zone with half of its share keeps half of its calls", () => {
  assert.equal(localShare(inZones("a", "b", "b", "b")), 0.5);
});

it("a zone that lost its endpoints sends every call elsewhere", () => {
  const all = inZones("a", "a", "b");
  const usable = all.filter(({ zone }) => zone === "b");
  assert.equal(localShare(all, usable), 0);
});

it("a zone that lost half of its endpoints spills half", () => {
  const all = inZones("a", "a", "b", "b");
  assert(Math.abs(localShare(all, all.slice(1)) - 2 / 3) < 1e-9);
});

it("an endpoint under penalty bears nothing, here or elsewhere, until the penalty lapses", () => {
  const all = inZones("a", "a", "b", "b", "c", "c");
  fail(0, all[0]);
  assert(Math.abs(localShare(all) - 3 / 5) < 1e-9);
  fail(0, all[1]);
  assert.equal(localShare(all), 0);
  assert.equal(localShare(all, all, balancingLimits.penaltyMinMs), 1);
  fail(0, all[2], all[3], all[4]);
  assert.equal(localShare(all), 0, "one elsewhere works");
  fail(0, all[5]);
  assert.equal(localShare(all), 1, "all fail alike");
});

it("a zone whose endpoints are new gets its calls back in the course of their slow start", () => {
  const all = inZones("b", "b");
  const { slowStartMs } = balancingLimits;
  const returned = inZones("a", "a").map(one => ({ ...one, load: new EndpointLoad(balancingLimits, 0) }));
  const shares = [0, 0.5, 1].map(part => localShare([...returned, ...all], undefined, part * slowStartMs));
  const [first = 0, half = 0, whole = 0] = shares;
  assert(first < 0.2 && half > 0.6 && half < 0.7 && whole === 1, shares.join());
  assert.equal(reviewAtMs(splitByZone("a", [...returned, ...all], [...returned, ...all]), 0), zoneReviewMs);
});

it("the share is reckoned anew when a trial is due in the zone and when a penalty lapses", () => {
  const all = inZones("a", "a", "b", "b");
  const split = splitByZone("a", all, all);
  assert.equal(reviewAtMs(split, 0), Number.POSITIVE_INFINITY);
  fail(10, all[3]);
  assert.equal(reviewAtMs(split, 10), 10 + balancingLimits.penaltyMinMs);
  fail(20, all[0]);
  assert.equal(reviewAtMs(split, 20), 20 + balancingLimits.trialIntervalMs);
});
