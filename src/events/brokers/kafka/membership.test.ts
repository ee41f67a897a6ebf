import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { code } from "./error-codes.ts";
import { type GroupCall, Membership, type MembershipCommand, type MembershipEvent } from "./membership.ts";
import type { JoinAnswer } from "./wire.ts";

const answer = (change: Partial<JoinAnswer> = {}): JoinAnswer => ({
  error: 0,
  generation: 1,
  memberId: "m-1",
  strategy: "range",
  isLeader: false,
  skipsAssignment: false,
  members: [],
  ...change,
});
const assignment = new Map([["orders", [0, 1]]]);

/** A member that has its partitions. */
function stable(isStatic = false): Membership {
  const machine = new Membership("billing", isStatic);
  machine.on({ type: "start" });
  machine.on({ type: "joined", term: machine.term, answer: answer() });
  machine.on({ type: "synced", term: machine.term, assignment });
  assert.equal(machine.state, "stable");
  return machine;
}

const does = (commands: readonly MembershipCommand[]) => commands.map(command => command.do);
const refused = (machine: Membership, call: GroupCall, error: number) =>
  machine.on({ type: "refused", term: machine.term, call, error });

describe("membership", () => {
  test("joins, shares out, is assigned, and keeps its session alive", () => {
    const machine = new Membership("billing", false);
    assert.deepEqual(does(machine.on({ type: "start" })), ["join"]);
    assert.deepEqual(does(machine.on({ type: "joined", term: 1, answer: answer() })), ["sync"]);
    assert.deepEqual(does(machine.on({ type: "synced", term: 1, assignment })), ["assign", "heartbeat-later"]);
    assert.deepEqual(does(machine.on({ type: "beaten", term: 1 })), ["heartbeat-later"]);
  });

  test("the request for a member id is no failure: it joins again at once, under that id", () => {
    const machine = new Membership("billing", false);
    machine.on({ type: "start" });
    machine.memberId = "m-7";
    assert.deepEqual(refused(machine, "join", code.memberIdRequired), [
      { do: "join", term: 2, isAgain: false, findsCoordinator: false },
    ]);
    assert.equal(machine.memberId, "m-7");
  });

  test("on a rebalance handlers end and are committed before it joins again, and heartbeats never stop", () => {
    const machine = stable();
    assert.deepEqual(does(refused(machine, "heartbeat", code.rebalanceInProgress)), ["revoke", "heartbeat-later"]);
    // As long as handlers run.
    assert.deepEqual(does(refused(machine, "heartbeat", code.rebalanceInProgress)), ["heartbeat-later"]);
    assert.deepEqual(does(machine.on({ type: "revoked", term: machine.term })), ["join"]);
  });

  test("a member that was expelled while its handlers ended commits nothing and joins under a new id", () => {
    const machine = stable();
    refused(machine, "heartbeat", code.rebalanceInProgress);
    const { term } = machine;
    assert.deepEqual(does(refused(machine, "heartbeat", code.unknownMemberId)), ["lose", "join"]);
    assert.equal(machine.memberId, "");
    // Its handlers have ended after all: too late.
    assert.deepEqual(machine.on({ type: "revoked", term }), []);
  });

  test("an old generation loses its partitions and keeps its id", () => {
    const machine = stable();
    assert.deepEqual(does(refused(machine, "commit", code.illegalGeneration)), ["lose", "join"]);
    assert.equal(machine.memberId, "m-1");
  });

  test("a static member whose place was taken ends, and says what to do", () => {
    const machine = stable(true);
    const commands = refused(machine, "heartbeat", code.fencedInstanceId);
    assert.deepEqual(does(commands), ["lose", "fail"]);
    assert.match(String((commands[1] as { error: Error }).error), /staticMemberId/);
    assert.deepEqual(machine.on({ type: "start" }), []);
  });

  test("a coordinator that has moved is looked up; nothing is lost by that", () => {
    const machine = stable();
    for (const error of [code.notCoordinator, code.coordinatorNotAvailable, code.coordinatorLoadInProgress]) {
      const commands = refused(machine, "heartbeat", error);
      assert.deepEqual(commands, [{ do: "heartbeat-later", term: 1, findsCoordinator: true }]);
    }
    assert.equal(machine.state, "stable");
  });

  test("a dynamic member says goodbye, a static one keeps its place", () => {
    assert.deepEqual(does(stable(false).on({ type: "leave" })), ["leave"]);
    assert.deepEqual(does(stable(true).on({ type: "leave" })), []);
  });

  test("what cannot be joined fails with a reason", () => {
    for (const error of [
      code.groupAuthorizationFailed,
      code.inconsistentGroupProtocol,
      code.invalidSessionTimeout,
      code.groupMaxSizeReached,
    ]) {
      const machine = new Membership("billing", false);
      machine.on({ type: "start" });
      const [command] = refused(machine, "join", error);
      assert.equal(command?.do, "fail");
      assert.match(String((command as { error: Error }).error), /billing/);
    }
  });

  test("whatever happens in whatever order: partitions are never assigned or joined for while some are held", () => {
    const errors = fc.constantFrom(...Object.values(code));
    const calls = fc.constantFrom<GroupCall>("join", "sync", "heartbeat", "commit");
    const term = fc.integer({ min: 0, max: 2 });
    const event = fc.oneof(
      fc.record({ type: fc.constant("joined" as const), term, answer: fc.constant(answer()) }),
      fc.record({ type: fc.constant("synced" as const), term, assignment: fc.constant(assignment) }),
      fc.record({ type: fc.constant("beaten" as const), term }),
      fc.record({ type: fc.constant("refused" as const), term, call: calls, error: errors }),
      fc.record({ type: fc.constant("unanswered" as const), term, call: calls }),
      fc.constant({ type: "repartitioned" as const }),
      fc.record({ type: fc.constant("revoked" as const), term }),
      fc.constant({ type: "leave" as const }),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), fc.boolean(), (events, isStatic) => {
        const machine = new Membership("billing", isStatic);
        let holds = false;
        let isRevoking = false;
        for (const one of [{ type: "start" as const }, ...events]) {
          // Most events belong to the present; some are late.
          const late = "term" in one ? one.term : 0;
          const given = (
            "term" in one ? { ...one, term: machine.term - (late === 2 ? 1 : 0) } : one
          ) as MembershipEvent;
          const wasEnded = machine.state === "ended";
          if (given.type === "revoked" && given.term === machine.term && machine.state === "revoking") {
            holds = false;
            isRevoking = false;
          }
          const commands = machine.on(given);
          if (wasEnded) assert.deepEqual(commands, []);
          for (const command of commands) {
            if (command.do === "assign") {
              assert.equal(holds, false);
              holds = true;
            }
            if (command.do === "revoke") {
              assert.ok(holds && !isRevoking);
              isRevoking = true;
            }
            if (command.do === "lose") {
              assert.ok(holds);
              holds = false;
              isRevoking = false;
            }
            if (command.do === "join") assert.equal(holds, false);
          }
          // Whoever has partitions has a heartbeat to come, or one that is under way and will end in one of these.
          if (given.type === "beaten" && holds && "term" in given && given.term === machine.term) {
            assert.ok(wasEnded || machine.state === "ended" || does(commands).includes("heartbeat-later"));
          }
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
