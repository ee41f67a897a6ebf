import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { assignLanes, type SharedLane } from "./assignment.ts";

const lanes = (topic: string, count: number, owner?: (partition: number) => string | undefined): SharedLane[] =>
  Array.from({ length: count }, (_, partition) => ({
    lane: `${topic}/${partition}`,
    topic,
    owner: owner?.(partition),
  }));
const member = (name: string, ...topics: string[]) => ({ member: name, topics: new Set(topics) });

test("one member has everything, a second takes half and leaves the other half where it is", () => {
  assert.deepEqual(new Set(assignLanes(lanes("orders", 8), [member("a", "orders")]).values()), new Set(["a"]));
  const before = lanes("orders", 8, () => "a");
  const after = assignLanes(before, [member("a", "orders"), member("b", "orders")]);
  assert.equal([...after.values()].filter(owner => owner === "b").length, 4);
});

test("lanes of a member that is gone are shared out, and those of the others stay", () => {
  const before = lanes("orders", 6, partition => ["a", "b", "c"][partition % 3]);
  const after = assignLanes(before, [member("a", "orders"), member("b", "orders")]);
  for (const { lane, owner } of before) if (owner !== "c") assert.equal(after.get(lane), owner);
  assert.deepEqual([...after.values()].toSorted(), ["a", "a", "a", "b", "b", "b"]);
});

test("a lane goes only to members that want its topic, and to nobody where there is none", () => {
  const shared = [...lanes("orders", 2), ...lanes("stock", 2), ...lanes("audit", 1)];
  const after = assignLanes(shared, [member("a", "orders", "stock"), member("b", "stock")]);
  assert.equal(after.get("orders/0"), "a");
  assert.equal(after.get("stock/1"), "b");
  assert.equal(after.has("audit/0"), false);
});

test("shares of members that want the same differ by one at most; a second look changes nothing", () => {
  const scenario = fc.record({
    partitions: fc.integer({ min: 1, max: 40 }),
    members: fc.uniqueArray(fc.constantFrom(..."abcdefgh"), { minLength: 1 }),
    owners: fc.array(fc.option(fc.constantFrom(..."abcdefghxyz"), { nil: undefined }), {
      minLength: 40,
      maxLength: 40,
    }),
  });
  fc.assert(
    fc.property(scenario, ({ partitions, members, owners }) => {
      const names = members.map(name => member(name, "orders"));
      const first = assignLanes(
        lanes("orders", partitions, partition => owners[partition]),
        names,
      );
      const shares = members.map(name => [...first.values()].filter(owner => owner === name).length);
      assert.equal(first.size, partitions);
      assert.ok(Math.max(...shares) - Math.min(...shares) <= 1);
      const again = assignLanes(
        lanes("orders", partitions, partition => first.get(`orders/${partition}`)),
        names.toReversed(),
      );
      assert.deepEqual([...again].toSorted(), [...first].toSorted());
    }),
  );
});
