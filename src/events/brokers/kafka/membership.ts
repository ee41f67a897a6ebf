import { BrokerError } from "../../errors.ts";
import { groupRefused } from "./cluster.ts";
import { code, codeText, isStaleCoordinator } from "./error-codes.ts";
import type { Assignment, JoinAnswer } from "./wire.ts";

/**
 * A member of a group by the classic protocol (KIP-62, KIP-345), as a state machine without clock or network.
 *
 *     unjoined ─► joining ─► syncing ─► stable ─► revoking ─► joining …
 *                    ▲          │         │          │
 *                    └──────────┴─ lost ──┴──────────┘        ended
 *
 * While it is `stable` or `revoking` heartbeats go on. On a rebalance it first lets handlers end and commits, and only
 * then joins again: nobody else gets a partition before.
 */
export type MembershipState = "unjoined" | "joining" | "syncing" | "stable" | "revoking" | "ended";

export type GroupCall = "join" | "sync" | "heartbeat" | "commit";

/** What has happened. `term` is that of the command: what belongs to an earlier one counts for nothing. */
export type MembershipEvent =
  | { readonly type: "start" }
  | { readonly type: "joined"; readonly term: number; readonly answer: JoinAnswer }
  | { readonly type: "synced"; readonly term: number; readonly assignment: Assignment }
  | { readonly type: "beaten"; readonly term: number }
  | { readonly type: "refused"; readonly term: number; readonly call: GroupCall; readonly error: number }
  | { readonly type: "unanswered"; readonly term: number; readonly call: GroupCall }
  /** The partitions of the topics are others than those that were shared out. */
  | { readonly type: "repartitioned" }
  | { readonly type: "revoked"; readonly term: number }
  | { readonly type: "leave" };

export type MembershipCommand =
  | { readonly do: "join"; readonly term: number; readonly isAgain: boolean; readonly findsCoordinator: boolean }
  | { readonly do: "sync"; readonly term: number; readonly answer: JoinAnswer }
  | { readonly do: "heartbeat-later"; readonly term: number; readonly findsCoordinator: boolean }
  | { readonly do: "assign"; readonly assignment: Assignment }
  /** Let handlers end, commit, then say `revoked`. */
  | { readonly do: "revoke"; readonly term: number }
  /** The partitions are gone: nothing may be committed. */
  | { readonly do: "lose" }
  | { readonly do: "leave" }
  | { readonly do: "fail"; readonly error: Error };

export class Membership {
  readonly #group: string;
  readonly #isStatic: boolean;
  state: MembershipState = "unjoined";
  memberId = "";
  generation = -1;
  /** Number of the attempt to be a member. */
  term = 0;
  #hasLanes = false;

  constructor(group: string, isStatic: boolean) {
    this.#group = group;
    this.#isStatic = isStatic;
  }

  on(event: MembershipEvent): readonly MembershipCommand[] {
    if (this.state === "ended") return [];
    if ("term" in event && event.term !== this.term) return [];
    switch (event.type) {
      case "start":
        return this.state === "unjoined" ? this.#join(false, true) : [];
      case "joined":
        return this.state === "joining" ? this.#joined(event.answer) : [];
      case "synced":
        return this.state === "syncing" ? this.#synced(event.assignment) : [];
      case "beaten":
        return this.#isMember ? [this.#beatLater(false)] : [];
      case "refused":
        return this.#expects(event.call) ? this.#refused(event.call, event.error) : [];
      case "unanswered":
        return this.#expects(event.call) ? this.#again(event.call, true) : [];
      case "repartitioned":
        return this.state === "stable" ? this.#revoke() : [];
      case "revoked":
        return this.state === "revoking" ? this.#revoked() : [];
      case "leave":
        return this.#leave();
      default:
        return event satisfies never;
    }
  }

  #expects(call: GroupCall): boolean {
    if (call === "join") return this.state === "joining";
    return call === "sync" ? this.state === "syncing" : this.#isMember;
  }

  get #isMember(): boolean {
    return this.state === "stable" || this.state === "revoking";
  }

  #join(isAgain: boolean, findsCoordinator: boolean): readonly MembershipCommand[] {
    this.state = "joining";
    this.term++;
    return [{ do: "join", term: this.term, isAgain, findsCoordinator }];
  }

  #joined(answer: JoinAnswer): readonly MembershipCommand[] {
    this.state = "syncing";
    this.memberId = answer.memberId;
    this.generation = answer.generation;
    return [{ do: "sync", term: this.term, answer }];
  }

  #synced(assignment: Assignment): readonly MembershipCommand[] {
    this.state = "stable";
    this.#hasLanes = true;
    return [{ do: "assign", assignment }, this.#beatLater(false)];
  }

  #beatLater(findsCoordinator: boolean): MembershipCommand {
    return { do: "heartbeat-later", term: this.term, findsCoordinator };
  }

  #revoke(): readonly MembershipCommand[] {
    this.state = "revoking";
    return [{ do: "revoke", term: this.term }];
  }

  #revoked(): readonly MembershipCommand[] {
    this.#hasLanes = false;
    return this.#join(false, false);
  }

  #leave(): readonly MembershipCommand[] {
    const wasKnown = this.memberId !== "" && !this.#isStatic;
    this.state = "ended";
    // A static member keeps its partitions for its next start.
    return wasKnown ? [{ do: "leave" }] : [];
  }

  #lose(): readonly MembershipCommand[] {
    if (!this.#hasLanes) return [];
    this.#hasLanes = false;
    return [{ do: "lose" }];
  }

  #fail(error: Error): readonly MembershipCommand[] {
    const lost = this.#lose();
    this.state = "ended";
    return [...lost, { do: "fail", error }];
  }

  #refused(call: GroupCall, error: number): readonly MembershipCommand[] {
    switch (error) {
      case code.memberIdRequired:
        // Not a failure: `joined` brought the id (KIP-394).
        return call === "join" ? this.#join(false, false) : [];
      case code.rebalanceInProgress:
        return this.#rebalancing(call);
      case code.unknownMemberId:
        this.memberId = "";
        return [...this.#lose(), ...this.#join(call === "join", false)];
      case code.illegalGeneration:
        return [...this.#lose(), ...this.#join(call === "join", false)];
      case code.fencedInstanceId:
        return this.#fail(fenced(this.#group));
      case code.groupAuthorizationFailed:
        return this.#fail(groupRefused(this.#group, error));
      case code.inconsistentGroupProtocol:
      case code.invalidSessionTimeout:
      case code.groupMaxSizeReached:
        return this.#fail(impossible(this.#group, error));
      default:
        return this.#again(call, isStaleCoordinator(error));
    }
  }

  #rebalancing(call: GroupCall): readonly MembershipCommand[] {
    if (call === "join" || call === "sync") return this.#join(true, false);
    // Heartbeats go on: they keep the session alive while handlers end.
    const later = call === "heartbeat" ? [this.#beatLater(false)] : [];
    return this.state === "stable" ? [...this.#revoke(), ...later] : later;
  }

  #again(call: GroupCall, findsCoordinator: boolean): readonly MembershipCommand[] {
    switch (call) {
      case "join":
      case "sync":
        return this.#join(true, findsCoordinator);
      case "heartbeat":
        return this.#isMember ? [this.#beatLater(findsCoordinator)] : [];
      case "commit":
        // Commits repeat themselves; the next heartbeat finds the coordinator.
        return [];
      default:
        return call satisfies never;
    }
  }
}

function fenced(group: string): BrokerError {
  return new BrokerError(
    `kafka: another member of group ${JSON.stringify(group)} has started with the same kafka.staticMemberId; give each process its own`,
  );
}

function impossible(group: string, error: number): BrokerError {
  const why: Partial<Record<number, string>> = {
    [code.inconsistentGroupProtocol]:
      'its members use another protocol, or a strategy that is neither "range" nor "roundrobin"; configure them alike, or choose another group',
    [code.invalidSessionTimeout]:
      "kafka.sessionTimeoutMs is outside of what the broker allows (group.min.session.timeout.ms to group.max.session.timeout.ms)",
    [code.groupMaxSizeReached]: "it has as many members as the broker allows (group.max.size)",
  };
  return new BrokerError(`kafka: group ${JSON.stringify(group)} cannot be joined: ${why[error] ?? codeText(error)}`);
}
