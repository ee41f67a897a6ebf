import assert from "node:assert/strict";
import { it } from "node:test";
import { subset } from "./subset.ts";

const endpoints = (count: number) =>
  Array.from({ length: count }, (_, index) => ({ key: `10.1.${index >> 8}.${index & 255}:80` }));

it("up to the limit all endpoints are used", () => {
  const all = endpoints(100);
  assert.equal(subset(all, "client", 100), all);
});

it("clients take different subsets, and together they load every endpoint alike", () => {
  const all = endpoints(500);
  const uses = new Map<string, number>();
  for (let client = 0; client < 400; client++) {
    const chosen = subset(all, `client ${client}`, 100);
    assert.equal(chosen.length, 100);
    for (const { key } of chosen) uses.set(key, (uses.get(key) ?? 0) + 1);
  }
  const counts = all.map(({ key }) => uses.get(key) ?? 0);
  assert(Math.min(...counts) > 45 && Math.max(...counts) < 120, `${Math.min(...counts)} to ${Math.max(...counts)}`);
});

it("a new endpoint displaces at most one of a client's", () => {
  const before = new Set(subset(endpoints(300), "client", 100).map(({ key }) => key));
  const after = subset(endpoints(301), "client", 100).filter(({ key }) => !before.has(key));
  assert(after.length <= 1);
});
