import assert from "node:assert/strict";
import { it } from "node:test";
import { EndpointLoad } from "./endpoint-load.ts";
import { balancingLimits } from "./limits.ts";
import type { BalancedEndpoint } from "./pickers/index.ts";
import { splitByZone } from "./zones.ts";

const load = new EndpointLoad(balancingLimits, 0);
const inZones = (...zones: readonly string[]): BalancedEndpoint[] =>
  zones.map((zone, index) => ({ key: String(index), weight: 1, zone, isReady: true, load }));

it("without a zone of its own a client uses all endpoints alike", () => {
  const all = inZones("a", "b");
  assert.deepEqual(splitByZone(undefined, all, all), { local: [], remote: all, localShare: 0 });
});

it("calls stay in the zone when it has its share of the endpoints", () => {
  const all = inZones("a", "a", "b", "b", "c", "c");
  assert.equal(splitByZone("a", all, all).localShare, 1);
});

it("a zone with half of its share keeps half of its calls", () => {
  const all = inZones("a", "b", "b", "b");
  assert.equal(splitByZone("a", all, all).localShare, 0.5);
});

it("a zone that lost its endpoints sends every call elsewhere", () => {
  const all = inZones("a", "a", "b");
  const usable = all.filter(({ zone }) => zone === "b");
  assert.deepEqual(splitByZone("a", all, usable), { local: [], remote: usable, localShare: 0 });
});

it("a zone that lost half of its endpoints spills half", () => {
  const all = inZones("a", "a", "b", "b");
  const { localShare } = splitByZone("a", all, all.slice(1));
  assert(Math.abs(localShare - 2 / 3) < 1e-9);
});
