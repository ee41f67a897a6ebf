import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { assignors } from "./assignors.ts";
import type { JoinedMember } from "./wire.ts";

const joined = (memberId: string, topics: readonly string[], instanceId?: string): JoinedMember => ({
  memberId,
  instanceId,
  topics,
});
const shares = (
  strategy: string,
  members: readonly JoinedMember[],
  topics: Readonly<Record<string, number>>,
): Record<string, string[]> => {
  const assigned = assignors[strategy]?.(members, new Map(Object.entries(topics))) ?? [];
  return Object.fromEntries(
    [...assigned].map(([member, share]) => [
      member,
      [...share].flatMap(([topic, partitions]) => partitions.map(one => `${topic}${one}`)),
    ]),
  );
};

test("range gives each member a run of each topic, as in the Java client's documentation", () => {
  const members = [joined("C1", ["t1-", "t0-"]), joined("C0", ["t0-", "t1-"])];
  assert.deepEqual(shares("range", members, { "t0-": 3, "t1-": 3 }), {
    C0: ["t0-0", "t0-1", "t1-0", "t1-1"],
    C1: ["t0-2", "t1-2"],
  });
});

test("roundrobin passes over members that do not want a topic, as in the Java client's documentation", () => {
  const members = [joined("C0", ["t0-"]), joined("C1", ["t0-", "t1-"]), joined("C2", ["t0-", "t1-", "t2-"])];
  assert.deepEqual(shares("roundrobin", members, { "t0-": 1, "t1-": 2, "t2-": 3 }), {
    C0: ["t0-0"],
    C1: ["t1-0"],
    C2: ["t1-1", "t2-0", "t2-1", "t2-2"],
  });
});

test("static members keep their shares when they come back under another member id", () => {
  for (const strategy of ["range", "roundrobin"]) {
    const before = shares(strategy, [joined("a", ["t"], "one"), joined("b", ["t"], "two")], { t: 5 });
    const after = shares(strategy, [joined("z", ["t"], "one"), joined("b", ["t"], "two")], { t: 5 });
    assert.deepEqual(after["z"], before["a"]);
  }
});

test("every wanted partition goes to exactly one member that wants its topic, and shares are even where all want the same", () => {
  const topic = fc.constantFrom("a", "b", "c");
  const topics = fc.dictionary(topic, fc.integer({ min: 0, max: 9 }), { noNullPrototype: true });
  const wants = fc.array(fc.uniqueArray(topic), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(fc.constantFrom("range", "roundrobin"), wants, topics, (strategy, all, partitions) => {
      const members = all.map((wanted, index) => joined(`m${index}`, wanted));
      const given = shares(strategy, members, partitions);
      const seen = Object.values(given).flat();
      const wanted = Object.entries(partitions).flatMap(([name, count]) =>
        members.some(member => member.topics.includes(name))
          ? Array.from({ length: count }, (_, i) => `${name}${i}`)
          : [],
      );
      assert.deepEqual(seen.toSorted(), wanted.toSorted());
      for (const { memberId, topics: own } of members) {
        for (const one of given[memberId] ?? []) assert.ok(own.includes(one.slice(0, 1)));
      }
      const isAlike = all.every(one => one.length === all[0]?.length && one.every(name => all[0]?.includes(name)));
      if (strategy === "roundrobin" && isAlike) {
        const sizes = Object.values(given).map(({ length }) => length);
        assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1);
      }
    }),
  );
});
