import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { ConsumerMembership, type OwnedPartition } from "./consumer-membership.ts";

const partitions = (...numbers: readonly number[]): OwnedPartition[] =>
  numbers.map(partition => ({ topic: "orders", topicId: "id-1", partition }));
const numbersOf = (all: readonly OwnedPartition[]) => all.map(({ partition }) => partition).toSorted();
const said = (membership: ConsumerMembership) => membership.ownedToSay?.flatMap(one => one.partitions).toSorted();

describe("membership of the consumer protocol", () => {
  test("says all when it joins, and then only what has changed", () => {
    const membership = new ConsumerMembership();
    assert.deepEqual(membership.ownedToSay, []);
    membership.said();
    membership.answered(1);
    assert.equal(membership.ownedToSay, undefined);
    assert.deepEqual(numbersOf(membership.reconcile(partitions(0, 1)).come), [0, 1]);
    assert.equal(membership.isUrgent, true);
    assert.deepEqual(said(membership), [0, 1]);
    membership.said();
    assert.equal(membership.ownedToSay, undefined);
  });

  test("owns what must go until its handlers have ended, and only then says that it does not", () => {
    const membership = new ConsumerMembership();
    membership.reconcile(partitions(0, 1, 2));
    membership.said();
    membership.answered(1);
    const { come, go } = membership.reconcile(partitions(0));
    assert.deepEqual([numbersOf(come), numbersOf(go)], [[], [1, 2]]);
    assert.equal(membership.isUrgent, false);
    // The same target again does not revoke again.
    assert.deepEqual(membership.reconcile(partitions(0)).go, []);
    membership.revoked(go);
    assert.equal(membership.isUrgent, true);
    assert.deepEqual(said(membership), [0]);
  });

  test("after an error it says everything again", () => {
    const membership = new ConsumerMembership();
    membership.reconcile(partitions(3));
    membership.said();
    membership.answered(4);
    membership.unanswered();
    assert.equal(membership.isFull, true);
    assert.deepEqual(said(membership), [3]);
    assert.equal(membership.epoch, 4);
  });

  test("one that was fenced has nothing, begins again, and ignores handlers that end late", () => {
    const membership = new ConsumerMembership();
    membership.reconcile(partitions(0, 1));
    membership.answered(7);
    const { go } = membership.reconcile(partitions(0));
    assert.deepEqual(numbersOf(membership.lost()), [0, 1]);
    assert.equal(membership.epoch, 0);
    membership.reconcile(partitions(1));
    membership.said();
    membership.revoked(go);
    assert.equal(membership.isUrgent, false);
    assert.deepEqual(said(membership), [1]);
  });

  test("whatever targets come: what it says that it owns is what was assigned and not given up, each once", () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant("target" as const), wanted: fc.uniqueArray(fc.nat(5)) }),
      fc.record({ do: fc.constant("revoked" as const) }),
      fc.record({ do: fc.constant("lost" as const) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), steps => {
        const membership = new ConsumerMembership();
        const held = new Set<number>();
        let revoking: OwnedPartition[][] = [];
        for (const one of steps) {
          if (one.do === "target") {
            const { come, go } = membership.reconcile(partitions(...one.wanted));
            for (const { partition } of come) {
              assert.ok(!held.has(partition), "assigned twice");
              held.add(partition);
            }
            for (const { partition } of go) assert.ok(held.has(partition));
            if (go.length > 0) revoking.push([...go]);
          } else if (one.do === "revoked") {
            const ended = revoking.shift() ?? [];
            for (const { partition } of ended) held.delete(partition);
            membership.revoked(ended);
          } else {
            assert.deepEqual(numbersOf(membership.lost()), [...held].toSorted());
            held.clear();
            revoking = [];
          }
          membership.unanswered();
          assert.deepEqual(said(membership), [...held].toSorted());
        }
      }),
    );
  });
});
