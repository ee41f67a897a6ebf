import { type Clock, outsideContext, type Platform, type Timer } from "../../../platform/index.ts";
import { assignors } from "./assignors.ts";
import type { Cluster } from "./cluster.ts";
import { code } from "./error-codes.ts";
import { GroupCoordinator } from "./group-coordinator.ts";
import { heartbeatMsMax, heartbeatsPerSession, rebalanceTimeoutMs, requestTimeoutMs } from "./limits.ts";
import { type GroupCall, Membership, type MembershipCommand, type MembershipEvent } from "./membership.ts";
import { pause } from "./pause.ts";
import {
  type Address,
  type Assignment,
  CallError,
  type Channel,
  type CommitAnswer,
  type CommittedAnswer,
  type JoinAnswer,
  type KafkaClient,
  type MemberIdentity,
  type OffsetToCommit,
  type OpenTransaction,
  type Place,
} from "./wire.ts";

/** The subscription, seen by its membership. */
export interface GroupHost {
  /** Partitions have come. */
  assign(places: readonly Place[]): void;
  /** Partitions are wanted elsewhere: resolves when their handlers have ended and their offsets are committed. */
  revoke(places: readonly Place[]): Promise<void>;
  /** Partitions are gone already. */
  lose(places: readonly Place[]): void;
  failed(error: Error): void;
}

/** What a subscription needs of its membership, whichever protocol it is. */
export interface Member {
  start(): void;
  /** A commit as the member that it is now. @throws CallError */
  commit(offsets: readonly OffsetToCommit[]): Promise<readonly CommitAnswer[]>;
  /** The same, as a part of a transaction. @throws CallError */
  commitInTransaction(
    transaction: OpenTransaction,
    offsets: readonly OffsetToCommit[],
  ): Promise<readonly CommitAnswer[]>;
  /** Commits were refused: what it says of the membership. */
  refused(error: number): void;
  committed(places: readonly Place[] | undefined): Promise<CommittedAnswer>;
  /** Gives up what it has without a commit, and joins again. */
  rejoin(): void;
  /** Waits no longer for a coordinator that cannot be found. */
  abandon(): void;
  /** Leaves the group, if somebody listens. */
  close(): Promise<void>;
}

export interface MemberOptions {
  readonly protocol: "classic" | "consumer";
  readonly group: string;
  readonly topics: readonly string[];
  readonly instanceId: string | undefined;
  readonly sessionTimeoutMs: number;
}

/** Carries out what `membership.ts` decides. */
export class ClassicMember implements Member {
  readonly #options: MemberOptions;
  readonly #cluster: Cluster;
  readonly #clock: Clock;
  readonly #host: GroupHost;
  readonly #machine: Membership;
  readonly #heartbeatMs: number;
  /** Joining takes as long as the slowest member; everything else must not wait behind it. */
  readonly #joinChannel: Channel;
  readonly #coordinator: GroupCoordinator;
  #places: readonly Place[] = [];
  #failures = 0;
  #heartbeatTimer: Timer | undefined;
  #repartitionTimer: Timer | undefined;
  /** What the leader has shared out, to notice when it is not all any more. */
  #sharedOut: ReadonlyMap<string, number> | undefined;

  constructor(client: KafkaClient, cluster: Cluster, { clock }: Platform, host: GroupHost, options: MemberOptions) {
    this.#options = options;
    this.#cluster = cluster;
    this.#clock = clock;
    this.#host = host;
    this.#machine = new Membership(options.group, options.instanceId !== undefined);
    this.#heartbeatMs = Math.min(options.sessionTimeoutMs / heartbeatsPerSession, heartbeatMsMax);
    this.#joinChannel = client.channel(rebalanceTimeoutMs + requestTimeoutMs);
    this.#coordinator = new GroupCoordinator(client, cluster, options.group);
  }

  start(): void {
    this.#on({ type: "start" });
  }

  commit(offsets: readonly OffsetToCommit[]): Promise<readonly CommitAnswer[]> {
    return this.#coordinator.commit(this.#identity(), offsets);
  }

  rejoin(): void {
    this.refused(code.illegalGeneration);
  }

  commitInTransaction(transaction: OpenTransaction, offsets: readonly OffsetToCommit[]) {
    return this.#coordinator.commitInTransaction(transaction, this.#identity(), offsets);
  }

  refused(error: number): void {
    this.#on({ type: "refused", term: this.#machine.term, call: "commit", error });
    this.#coordinator.refused(error);
  }

  committed(places: readonly Place[] | undefined): Promise<CommittedAnswer> {
    return this.#coordinator.committed(places);
  }

  abandon(): void {
    this.#coordinator.abandon();
  }

  async close(): Promise<void> {
    const identity = this.#identity();
    const commands = this.#machine.on({ type: "leave" });
    this.#heartbeatTimer?.cancel();
    this.#repartitionTimer?.cancel();
    if (commands.length > 0 && !this.#coordinator.signal.aborted) {
      try {
        await this.#coordinator.channel.leaveGroup(await this.#coordinator.find(), identity);
      } catch {
        // The session time-out says the same, later.
      }
    }
    await Promise.all([this.#coordinator.close(), this.#joinChannel.close()]);
  }

  #identity(): MemberIdentity {
    const { memberId, generation } = this.#machine;
    return { group: this.#options.group, generation, memberId, instanceId: this.#options.instanceId };
  }

  #on(event: MembershipEvent): void {
    for (const command of this.#machine.on(event)) outsideContext(() => this.#do(command));
  }

  #do(command: MembershipCommand): void {
    switch (command.do) {
      case "join":
        void this.#join(command.term, command.isAgain, command.findsCoordinator);
        break;
      case "sync":
        void this.#sync(command.term, command.answer);
        break;
      case "heartbeat-later":
        this.#armHeartbeat(command.term, command.findsCoordinator);
        break;
      case "assign":
        this.#failures = 0;
        this.#places = placesOf(command.assignment);
        this.#host.assign(this.#places);
        this.#watchPartitions();
        break;
      case "revoke":
        void this.#revoke(command.term);
        break;
      case "lose":
        this.#host.lose(this.#places);
        this.#places = [];
        break;
      case "leave":
        break;
      case "fail":
        this.#heartbeatTimer?.cancel();
        this.#host.failed(command.error);
        break;
      default:
        command satisfies never;
    }
  }

  async #join(term: number, isAgain: boolean, findsCoordinator: boolean): Promise<void> {
    this.#heartbeatTimer?.cancel();
    this.#repartitionTimer?.cancel();
    this.#sharedOut = undefined;
    if (isAgain) await pause(this.#clock, this.#cluster.pauseMs(++this.#failures), this.#coordinator.signal);
    if (findsCoordinator) this.#coordinator.forget();
    const { group, topics, instanceId, sessionTimeoutMs } = this.#options;
    await this.#call("join", term, async at => {
      const strategies = Object.keys(assignors);
      const { memberId } = this.#machine;
      const request = { group, memberId, instanceId, sessionTimeoutMs, rebalanceTimeoutMs, strategies, topics };
      const answer = await this.#joinChannel.joinGroup(at, request);
      if (answer.error === code.memberIdRequired) this.#machine.memberId = answer.memberId;
      if (answer.error === code.none) this.#on({ type: "joined", term, answer });
      return answer.error;
    });
  }

  async #sync(term: number, answer: JoinAnswer): Promise<void> {
    await this.#call("sync", term, async at => {
      const assignments = answer.isLeader && !answer.skipsAssignment ? await this.#shareOut(answer) : new Map();
      const request = { ...this.#identity(), strategy: answer.strategy, assignments };
      const { error, assignment } = await this.#joinChannel.syncGroup(at, request);
      if (error === code.none) this.#on({ type: "synced", term, assignment });
      return error;
    });
  }

  async #shareOut({ members, strategy }: JoinAnswer): Promise<ReadonlyMap<string, Assignment>> {
    const topics = [...new Set(members.flatMap(member => member.topics))];
    await this.#cluster.refresh(topics);
    this.#sharedOut = this.#partitionsOf(topics);
    const assignor = assignors[strategy];
    // The broker chooses among what we have offered.
    if (assignor === undefined) throw new Error(`the group has chosen the unknown strategy ${strategy}`);
    return assignor(members, this.#sharedOut);
  }

  #partitionsOf(topics: readonly string[]): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const topic of topics) {
      const partitions = this.#cluster.topic(topic)?.leaders.length ?? 0;
      if (partitions > 0) counts.set(topic, partitions);
    }
    return counts;
  }

  /** The leader asks from time to time whether topics have grown or come; then all join again. */
  #watchPartitions(): void {
    this.#repartitionTimer?.cancel();
    const shared = this.#sharedOut;
    if (shared === undefined) return;
    this.#repartitionTimer = outsideContext(() =>
      this.#clock.after(this.#heartbeatMs * 2, () => void this.#comparePartitions(shared)),
    );
  }

  async #comparePartitions(shared: ReadonlyMap<string, number>): Promise<void> {
    const topics = [...new Set([...shared.keys(), ...this.#options.topics])];
    try {
      const aged = this.#cluster.aged(topics);
      if (aged.length > 0) await this.#cluster.refresh(aged);
    } catch {
      // Whoever reads from the cluster notices too, and says so.
    }
    if (this.#coordinator.signal.aborted || this.#sharedOut !== shared) return;
    const now = this.#partitionsOf(topics);
    if ([...now].some(([topic, count]) => shared.get(topic) !== count)) this.#on({ type: "repartitioned" });
    else this.#watchPartitions();
  }

  #armHeartbeat(term: number, findsCoordinator: boolean): void {
    this.#heartbeatTimer?.cancel();
    if (findsCoordinator) this.#coordinator.forget();
    const delayMs = findsCoordinator ? this.#cluster.pauseMs(++this.#failures) : this.#heartbeatMs;
    this.#heartbeatTimer = this.#clock.after(delayMs, () => {
      void this.#call("heartbeat", term, async at => {
        const error = await this.#coordinator.channel.heartbeat(at, this.#identity());
        if (error === code.none) {
          this.#failures = 0;
          this.#on({ type: "beaten", term });
        }
        return error;
      });
    });
  }

  async #revoke(term: number): Promise<void> {
    this.#repartitionTimer?.cancel();
    await this.#host.revoke(this.#places);
    if (this.#machine.term === term) this.#places = [];
    this.#on({ type: "revoked", term });
  }

  async #call(call: GroupCall, term: number, run: (at: Address) => Promise<number>): Promise<void> {
    if (this.#machine.term !== term || this.#coordinator.signal.aborted) return;
    try {
      const error = await run(await this.#coordinator.find());
      if (error !== code.none) this.#on({ type: "refused", term, call, error });
    } catch (error) {
      if (this.#coordinator.signal.aborted) return;
      // A running member does not give up because of connections, whatever they say: only start-up does.
      if (error instanceof CallError && !(error.isFinal && this.#machine.generation < 0))
        this.#on({ type: "unanswered", term, call });
      else if (this.#machine.term === term) this.#host.failed(error as Error);
    }
  }
}

function placesOf(assignment: Assignment): readonly Place[] {
  return [...assignment].flatMap(([topic, partitions]) => partitions.map(partition => ({ topic, partition })));
}
