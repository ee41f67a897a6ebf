import { type Clock, outsideContext, type Platform } from "../../../platform/index.ts";
import type { DeathDetails, DriverSubscription, RecordSink, SubscriptionDemand } from "../../driver.ts";
import { BrokerError } from "../../errors.ts";
import type { EventIds } from "../../event-id.ts";
import { type LaneCommit, type LaneHost, LogLane, type LogRecord } from "../../log/index.ts";
import type { AttemptHistory, EventRecord } from "../../record.ts";
import { AtomicCommits } from "./atomic-commits.ts";
import type { Cluster } from "./cluster.ts";
import { Commits, type CommitsHost } from "./commits.ts";
import { DueGate } from "./due-gate.ts";
import { Fetcher, type FetcherHost } from "./fetcher.ts";
import type { Framing } from "./framing.ts";
import type { GroupHost, Member, MemberOptions } from "./group-member.ts";
import type { DeadLetters } from "./letters.ts";
import { leaveTimeoutMs, revokeBudgetMs, startTimeoutMs } from "./limits.ts";
import type { ParkedRow } from "./parked-records.ts";
import { ParkedTopic } from "./parked-topic.ts";
import { KafkaParking } from "./parking.ts";
import type { FetchTarget, MakeRecord } from "./partition-reader.ts";
import { pause } from "./pause.ts";
import type { Producer } from "./producer.ts";
import { outgoingRetry, recordAt, retriedAt } from "./records.ts";
import { type StartingPoint, startingPoints } from "./starting-points.ts";
import { parkedTopicOf, retryTopicOf } from "./topics.ts";
import { type SourceOutputs, TransactionalLane } from "./transactional-lane.ts";
import { TransactionalProducer } from "./transactional-producer.ts";
import type { Channel, KafkaClient, Place } from "./wire.ts";

export interface SubscriptionParts {
  readonly client: KafkaClient;
  readonly channel: Channel;
  readonly cluster: Cluster;
  readonly platform: Platform;
  readonly producer: Producer;
  /** Where bodies are in frames. */
  readonly framing: Framing | undefined;
  readonly letters: DeadLetters;
  readonly commitEveryMs: number;
  readonly ids: EventIds;
  /** Names this process in dead letters. */
  readonly consumer: string;
  makeMember(host: GroupHost, options: MemberOptions): Member;
}

interface Held {
  readonly lane: LogLane;
  readonly target: FetchTarget;
  readonly parking: KafkaParking | undefined;
}

/**
 * A member of a group with its lanes: opens them where the group has committed, has them filled by the fetcher, commits
 * what is settled, and gives them away when their handlers have ended.
 */
export class KafkaSubscription implements DriverSubscription, LaneHost, GroupHost, FetcherHost, CommitsHost {
  readonly #parts: SubscriptionParts;
  readonly #clock: Clock;
  readonly #demand: SubscriptionDemand;
  readonly #sink: RecordSink;
  readonly #retryTopic: string;
  readonly #gate: DueGate;
  /** `undefined` where the group has no such topic. */
  readonly #parked: ParkedTopic | undefined;
  readonly #fetcher: Fetcher;
  readonly #member: Member;
  readonly #commits: Commits;
  /** Of a transactional subscription. */
  readonly #producer: TransactionalProducer<SourceOutputs> | undefined;
  readonly #whenOver: () => void;
  readonly #forgetSchemas: (() => void) | undefined;
  readonly #held = new Map<string, Held>();
  readonly #closed = new AbortController();
  /** Places that are to be opened, by the number of their assignment: a later revocation takes them out. */
  readonly #opening = new Map<string, number>();
  #epoch = 0;
  #isStopped = false;
  #isClosing = false;
  #lost = new AbortController();
  #started: { resolve(): void; reject(error: Error): void } | undefined;

  constructor(
    parts: SubscriptionParts,
    demand: SubscriptionDemand,
    options: MemberOptions,
    canPark: boolean,
    sink: RecordSink,
    whenOver: () => void,
  ) {
    this.#parts = parts;
    this.#clock = parts.platform.clock;
    this.#demand = demand;
    this.#sink = sink;
    this.#whenOver = whenOver;
    this.#retryTopic = retryTopicOf(demand.group);
    if (canPark) this.#parked = new ParkedTopic(parkedTopicOf(demand.group), parts, parts.producer);
    this.#gate = new DueGate(sink, this.#clock);
    this.#gate.onFreed = () => this.#fetcher.wake();
    this.#fetcher = new Fetcher(parts.client, parts.cluster, parts.platform, this);
    this.#forgetSchemas = parts.framing?.reader.whenLearnt(() => this.#fetcher.wake());
    this.#member = parts.makeMember(this, options);
    const { group } = demand;
    const { cluster, commitEveryMs: everyMs } = parts;
    this.#producer = demand.isTransactional === true ? this.#transactionalProducer(options) : undefined;
    const member = this.#producer === undefined ? this.#member : this.#atomicCommits(this.#producer);
    this.#commits = new Commits(this, { group, everyMs, clock: this.#clock, cluster, member });
  }

  /** Its id is of the group, so that rights can be given by prefix, and a static member's own: its next start ends what it left open. */
  #transactionalProducer({ group, instanceId }: MemberOptions): TransactionalProducer<SourceOutputs> {
    const { client, channel, cluster, platform, ids } = this.#parts;
    const name = `${group}.${instanceId ?? ids.next()}`;
    return new TransactionalProducer(client, channel, cluster, platform, name);
  }

  #atomicCommits(producer: TransactionalProducer<SourceOutputs>): AtomicCommits {
    const { platform, letters, consumer } = this.#parts;
    const { group } = this.#demand;
    const letterOf = (record: LogRecord, exception: string) => {
      const { attempts, firstFailedAtMs } = record.history;
      const { type: contract } = record.attributes;
      const details = {
        reason: "refused" as const,
        exception,
        attempts: attempts + 1,
        firstFailedAtMs,
        consumer,
        contract,
      };
      return letters.outgoing(group, record, details);
    };
    const failed = (error: Error) => this.failed(error);
    const freed = () => this.wants();
    return new AtomicCommits({ group, platform, member: this.#member, producer, letterOf, failed, freed });
  }

  /** Resolves when the group has its first partitions and their places are committed. */
  async start(): Promise<void> {
    await this.#producer?.prepare();
    await new Promise<void>((resolve, reject) => {
      const timer = outsideContext(() =>
        this.#clock.after(startTimeoutMs, () => this.failed(this.#neverStarted()), true),
      );
      const settled = (then: () => void) => {
        timer.cancel();
        then();
      };
      this.#started = { resolve: () => settled(resolve), reject: error => settled(() => reject(error)) };
      this.#member.start();
    });
  }

  #neverStarted(): BrokerError {
    const { failure } = this.#parts.cluster;
    const why = failure === undefined ? "its coordinator has let nobody in" : failure.message;
    return new BrokerError(
      `kafka: group ${this.#demand.group} could not be joined within ${startTimeoutMs / 1_000} s: ${why}; look at the state of the group (kafka-consumer-groups --describe --state --group ${this.#demand.group})`,
    );
  }

  async retryLater(record: LogRecord, delayMs: number, history: AttemptHistory): Promise<void> {
    const nowMs = Math.floor(this.#clock.wall());
    const retry = outgoingRetry(record, this.#retryTopic, nowMs + delayMs, history, nowMs);
    if (record.lane instanceof TransactionalLane) {
      record.lane.move(record, retry, false);
      return;
    }
    const [failure] = await this.#parts.producer.send([retry]);
    if (failure !== undefined) throw failure.error;
  }

  async deadLetter(record: LogRecord, details: DeathDetails): Promise<void> {
    const { group } = this.#demand;
    const { letters } = this.#parts;
    if (record.lane instanceof TransactionalLane) {
      record.lane.move(record, letters.outgoing(group, record, details), true);
    } else await letters.bury(group, record, details);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const { lane } of this.#held.values()) lane.drain();
    this.#gate.close();
    this.#forgetSchemas?.();
    await this.#fetcher.close();
  }

  async close(): Promise<void> {
    if (this.#isClosing) return;
    this.#isClosing = true;
    await this.stop();
    const untilMs = this.#clock.now() + leaveTimeoutMs;
    const tooLong = outsideContext(() => this.#clock.after(leaveTimeoutMs, () => this.#member.abandon(), true));
    this.#commits.stop();
    await this.#commits.running;
    await this.#flushed([...this.#held.values()], this.#lost.signal);
    const last = this.#closeLanes([...this.#held.values()]);
    const isCommitted = await this.#commits.last(last, untilMs, this.#lost.signal);
    this.#closed.abort();
    this.#producer?.close();
    await this.#member.close();
    tooLong.cancel();
    this.#started?.reject(new BrokerError(`kafka: the subscription of ${this.#demand.group} was closed`));
    this.#whenOver();
    if (!isCommitted) {
      throw new BrokerError(
        `kafka: the last commit of group ${this.#demand.group} was not answered; what was handled since the one before comes again`,
      );
    }
  }

  // Of the membership.

  assign(places: readonly Place[]): void {
    this.#fetcher.renew();
    const epoch = ++this.#epoch;
    for (const place of places) this.#opening.set(nameOf(place), epoch);
    void this.#open(places, epoch);
  }

  async revoke(places: readonly Place[]): Promise<void> {
    const held = this.#take(places);
    const lost = this.#lost.signal;
    const whenLost = new Promise<void>(resolve => lost.addEventListener("abort", () => resolve()));
    for (const { lane } of held) lane.drain();
    const handlers = held.map(({ lane }) => this.#sinkOf(lane).revoke(lane, revokeBudgetMs));
    await Promise.race([Promise.all(handlers), whenLost]);
    await Promise.race([this.#commits.running, whenLost]);
    await this.#flushed(held, lost);
    if (lost.aborted) return;
    const last = this.#closeLanes(held);
    await Promise.race([this.#commits.last(last, this.#clock.now() + leaveTimeoutMs, lost), whenLost]);
  }

  lose(places: readonly Place[]): void {
    this.#lost.abort();
    this.#lost = new AbortController();
    for (const { lane, parking } of this.#take(places)) {
      this.#held.delete(lane.name);
      parking?.close();
      lane.lose();
    }
  }

  failed(error: Error): void {
    if (this.#started === undefined) this.#sink.failed(error);
    else this.#started.reject(error);
    this.#started = undefined;
  }

  // Of the fetcher.

  truncated(target: FetchTarget, offset: number): void {
    const held = this.#held.get(nameOf(target));
    if (held?.target !== target) return;
    held.parking?.close();
    held.lane.lose();
    const { topic, partition } = target;
    const point = { topic, partition, offset, metadata: undefined };
    if (this.#parked === undefined) {
      this.#openLane(point, undefined);
      return;
    }
    this.#held.delete(held.lane.name);
    this.#fetcher.remove(target);
    const epoch = ++this.#epoch;
    this.#opening.set(nameOf(point), epoch);
    void this.#open([point], epoch, async () => [point]);
  }

  // Of lanes.

  changed(): void {
    this.#commits.changed();
  }

  commitSoon(): void {
    this.#commits.soon();
  }

  wants(): void {
    this.#gate.release();
    this.#fetcher.wake();
  }

  // Opening and giving away.

  async #open(
    places: readonly Place[],
    epoch: number,
    pointsOf = (mine: readonly Place[]) =>
      startingPoints(this.#parts, this.#member, mine, place => this.#fromOf(place)),
  ): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        const mine = () => places.filter(place => this.#opening.get(nameOf(place)) === epoch);
        const points = await pointsOf(mine());
        const parked = await this.#parked?.load(new Set(mine().map(nameOf)));
        const wanted = new Set(mine().map(nameOf));
        for (const point of points) if (wanted.has(nameOf(point))) this.#openLane(point, parked?.get(nameOf(point)));
        for (const name of wanted) this.#opening.delete(name);
        if (this.#held.size === 0) this.#hasStarted();
        return;
      } catch (error) {
        if (error instanceof BrokerError) {
          this.failed(error);
          return;
        }
      }
      await pause(this.#clock, this.#parts.cluster.pauseMs(attempt), this.#closed.signal);
      if (this.#closed.signal.aborted) return;
    }
  }

  #fromOf({ topic }: Place): "beginning" | "now" {
    return topic === this.#retryTopic ? "beginning" : this.#demand.from;
  }

  #openLane(
    { topic, partition, offset, metadata }: StartingPoint,
    parked: ReadonlyMap<string, ParkedRow> | undefined,
  ): void {
    const isRetry = topic === this.#retryTopic;
    const sink = isRetry ? this.#gate : this.#sink;
    const epoch = ++this.#epoch;
    const committed = { offset, metadata };
    const options = { topic, partition, epoch, committed, clock: this.#clock, sink, host: this };
    const framed = (record: EventRecord) => this.#parts.framing?.framed(record) ?? record;
    const lane = this.#producer === undefined ? new LogLane(options) : new TransactionalLane(options, framed);
    const target = isRetry ? this.#gate.target(lane) : lane;
    const topicId = this.#parts.cluster.topic(topic)?.topicId;
    let parking: KafkaParking | undefined;
    if (this.#parked !== undefined && topicId !== undefined) {
      const rows = parked?.values() ?? [];
      parking = new KafkaParking(lane, topicId, this.#parked, rows, this.#clock, this.#parts.framing);
      lane.usePlace(parking);
    }
    this.#held.set(lane.name, { lane, target, parking });
    sink.opened(lane);
    if (this.#isStopped) lane.drain();
    else this.#fetch(target, isRetry ? retriedAt : recordAt);
    // Makes durable that somebody is at work, before anything begins.
    this.commitSoon();
  }

  #fetch(target: FetchTarget, make: MakeRecord): void {
    const { framing } = this.#parts;
    if (framing === undefined) this.#fetcher.add(target, make);
    else this.#fetcher.add(target, framing.unframing(make), framing.reader);
  }

  #sinkOf(lane: LogLane): RecordSink {
    return lane.topic === this.#retryTopic ? this.#gate : this.#sink;
  }

  /** Takes lanes out of the flow, and what was about to come. */
  #take(places: readonly Place[]): readonly Held[] {
    const taken: Held[] = [];
    for (const place of places) {
      const name = nameOf(place);
      this.#opening.delete(name);
      const held = this.#held.get(name);
      if (held === undefined) continue;
      taken.push(held);
      this.#fetcher.remove(held.target);
    }
    return taken;
  }

  /** What was settled and put back in parking places is durable, or it has taken too long. */
  async #flushed(held: readonly Held[], lost: AbortSignal): Promise<void> {
    for (const { parking } of held) parking?.giveBack();
    const done = new AbortController();
    void Promise.all(held.map(({ parking }) => parking?.flush())).then(() => done.abort());
    await pause(this.#clock, leaveTimeoutMs, AbortSignal.any([lost, done.signal]));
  }

  #closeLanes(held: readonly Held[]): readonly LaneCommit[] {
    const last: LaneCommit[] = [];
    for (const { lane, parking } of held) {
      parking?.close();
      const commit = lane.close();
      if (commit !== undefined) last.push(commit);
      if (this.#held.get(lane.name)?.lane === lane) this.#held.delete(lane.name);
    }
    return last;
  }

  // Of the commits.

  *lanes(): Generator<LogLane> {
    for (const { lane } of this.#held.values()) yield lane;
  }

  committed(): void {
    this.#hasStarted();
  }

  #hasStarted(): void {
    this.#started?.resolve();
    this.#started = undefined;
  }
}

function nameOf({ topic, partition }: Place): string {
  return `${topic}/${partition}`;
}
