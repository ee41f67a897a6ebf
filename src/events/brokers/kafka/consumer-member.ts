import { type Clock, outsideContext, type Platform, type Timer } from "../../../platform/index.ts";
import { BrokerError } from "../../errors.ts";
import { type Cluster, groupRefused } from "./cluster.ts";
import { ConsumerMembership, type OwnedPartition } from "./consumer-membership.ts";
import { code, codeText, isNotAuthorized, isStaleCoordinator } from "./error-codes.ts";
import { GroupCoordinator } from "./group-coordinator.ts";
import type { GroupHost, Member, MemberOptions } from "./group-member.ts";
import { heartbeatMsMax, rebalanceTimeoutMs } from "./limits.ts";
import {
  CallError,
  type CommitAnswer,
  type CommittedAnswer,
  type ConsumerHeartbeatAnswer,
  type KafkaClient,
  type MemberIdentity,
  type OffsetToCommit,
  type OpenTransaction,
  type Place,
  type TopicIdPartitions,
} from "./wire.ts";

/** What a heartbeat says instead of an epoch: goodbye, or (static members) back soon. */
const leaves = -1;
const leavesForNow = -2;
/** A changed list of partitions is said so soon. */
const urgentMs = 5;
/** A refusal that nobody understands is not the last word at once. */
const refusedMax = 5;

/** A member by the consumer protocol: one request, the heartbeat, says and learns everything. */
export class ConsumerProtocolMember implements Member {
  readonly #options: MemberOptions;
  readonly #cluster: Cluster;
  readonly #clock: Clock;
  readonly #host: GroupHost;
  readonly #coordinator: GroupCoordinator;
  readonly #memberId: string;
  readonly #membership = new ConsumerMembership();
  #timer: Timer | undefined;
  #isBeating = false;
  #hasJoined = false;
  /** The host has heard of a first assignment, which may be empty. */
  #hasAssigned = false;
  #isEnded = false;
  #failures = 0;
  #heartbeatMs = heartbeatMsMax;

  constructor(
    client: KafkaClient,
    cluster: Cluster,
    { clock, random }: Platform,
    host: GroupHost,
    options: MemberOptions,
  ) {
    this.#options = options;
    this.#cluster = cluster;
    this.#clock = clock;
    this.#host = host;
    this.#coordinator = new GroupCoordinator(client, cluster, options.group);
    this.#memberId = Buffer.from(random.bytes(16)).toString("base64url");
  }

  start(): void {
    void this.#beat();
  }

  commit(offsets: readonly OffsetToCommit[]): Promise<readonly CommitAnswer[]> {
    return this.#coordinator.commit(this.#identity(), offsets);
  }

  rejoin(): void {
    this.#lose();
  }

  commitInTransaction(transaction: OpenTransaction, offsets: readonly OffsetToCommit[]) {
    return this.#coordinator.commitInTransaction(transaction, this.#identity(), offsets);
  }

  refused(error: number): void {
    this.#coordinator.refused(error);
    // A stale epoch is repeated with the one that the next heartbeat brings.
    if (error === code.unknownMemberId || error === code.fencedMemberEpoch) this.#lose();
  }

  committed(places: readonly Place[] | undefined): Promise<CommittedAnswer> {
    return this.#coordinator.committed(places);
  }

  abandon(): void {
    this.#coordinator.abandon();
  }

  async close(): Promise<void> {
    this.#timer?.cancel();
    const { instanceId } = this.#options;
    if (!this.#isEnded && this.#hasJoined && !this.#coordinator.signal.aborted) {
      this.#isEnded = true;
      const generation = instanceId === undefined ? leaves : leavesForNow;
      try {
        const request = { ...this.#identity(), generation, subscription: undefined, owned: undefined };
        await this.#coordinator.channel.consumerHeartbeat(await this.#coordinator.find(), request);
      } catch {
        // The session time-out says the same, later.
      }
    }
    this.#isEnded = true;
    await this.#coordinator.close();
  }

  #identity(): MemberIdentity {
    const { group, instanceId } = this.#options;
    return { group, generation: this.#membership.epoch, memberId: this.#memberId, instanceId };
  }

  #beatIn(delayMs: number): void {
    this.#timer?.cancel();
    if (this.#isEnded) return;
    this.#timer = outsideContext(() => this.#clock.after(delayMs, () => void this.#beat()));
  }

  async #beat(): Promise<void> {
    if (this.#isBeating || this.#isEnded) return;
    this.#isBeating = true;
    const membership = this.#membership;
    const subscription = membership.isFull ? { topics: this.#options.topics, rebalanceTimeoutMs } : undefined;
    const request = { ...this.#identity(), subscription, owned: membership.ownedToSay };
    membership.said();
    let delayMs: number;
    try {
      const answer = await this.#coordinator.channel.consumerHeartbeat(await this.#coordinator.find(), request);
      delayMs = this.#isEnded ? 0 : await this.#answered(answer);
    } catch (error) {
      membership.unanswered();
      this.#coordinator.forget();
      const isHopeless = !(error instanceof CallError) || (error.isFinal && !this.#hasJoined);
      if (isHopeless && !this.#coordinator.signal.aborted) this.#fail(error as Error);
      delayMs = this.#cluster.pauseMs(++this.#failures);
    }
    this.#isBeating = false;
    this.#beatIn(membership.isUrgent ? Math.min(delayMs, urgentMs) : delayMs);
  }

  /** @returns when the next one is due */
  async #answered(answer: ConsumerHeartbeatAnswer): Promise<number> {
    const { error, memberEpoch, heartbeatMs, target } = answer;
    if (error !== code.none) return this.#refusedBeat(answer);
    this.#failures = 0;
    this.#hasJoined = true;
    this.#membership.answered(memberEpoch);
    this.#heartbeatMs = Math.min(Math.max(heartbeatMs, 100), heartbeatMsMax);
    if (target !== undefined) {
      const places = await this.#placesOf(target);
      // A topic that nobody has told us the name of yet: the whole assignment is asked for again.
      if (places === undefined) this.#membership.unanswered();
      else this.#reconcile(places);
    }
    return this.#heartbeatMs;
  }

  #reconcile(target: readonly OwnedPartition[]): void {
    const { come, go } = this.#membership.reconcile(target);
    if (come.length > 0 || !this.#hasAssigned) {
      this.#hasAssigned = true;
      this.#host.assign(come);
    }
    if (go.length === 0) return;
    void this.#host.revoke(go).then(() => {
      this.#membership.revoked(go);
      if (this.#membership.isUrgent) this.#beatIn(0);
    });
  }

  #refusedBeat({ error, message }: ConsumerHeartbeatAnswer): number {
    this.#membership.unanswered();
    switch (error) {
      case code.fencedMemberEpoch:
      case code.unknownMemberId:
        this.#lose();
        return 0;
      case code.unreleasedInstanceId:
        // The process before has crashed, and its session has not ended yet.
        return this.#cluster.pauseMs(++this.#failures);
      case code.fencedInstanceId:
        this.#fail(
          new BrokerError(
            `kafka: another member of group ${JSON.stringify(this.#options.group)} has the same kafka.staticMemberId; give each process its own`,
          ),
        );
        return 0;
      default:
        if (isStaleCoordinator(error)) this.#coordinator.forget();
        else if (isNotAuthorized(error)) this.#fail(groupRefused(this.#options.group, error));
        else if (++this.#failures > refusedMax && !this.#hasJoined) {
          this.#fail(
            new BrokerError(`kafka: group ${this.#options.group} cannot be joined: ${message ?? codeText(error)}`),
          );
        }
        return this.#cluster.pauseMs(this.#failures + 1);
    }
  }

  #lose(): void {
    const all = this.#membership.lost();
    if (all.length > 0) this.#host.lose(all);
    this.#beatIn(0);
  }

  #fail(error: Error): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    const all = this.#membership.lost();
    if (all.length > 0) this.#host.lose(all);
    this.#host.failed(error);
  }

  async #placesOf(target: readonly TopicIdPartitions[]): Promise<readonly OwnedPartition[] | undefined> {
    const named = () => new Map(this.#options.topics.map(topic => [this.#cluster.topic(topic)?.topicId, topic]));
    let names = named();
    if (target.some(({ topicId }) => !names.has(topicId))) {
      await this.#cluster.refresh(this.#options.topics);
      names = named();
    }
    const places: OwnedPartition[] = [];
    for (const { topicId, partitions } of target) {
      const topic = names.get(topicId);
      if (topic === undefined) return undefined;
      for (const partition of partitions) places.push({ topic, topicId, partition });
    }
    return places;
  }
}
