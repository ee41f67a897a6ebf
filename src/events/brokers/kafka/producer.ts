import { type Clock, outsideContext, type Platform, type Timer } from "../../../platform/index.ts";
import type { PublishFailure } from "../../driver.ts";
import { PublishError } from "../../errors.ts";
import { partitionOf } from "../../log/index.ts";
import { BatchWriter, type OutgoingRecord } from "./batch-writer.ts";
import type { Cluster } from "./cluster.ts";
import { code, codeText } from "./error-codes.ts";
import { deliveryTimeoutMs, produceBytesMax, produceTimeoutMs } from "./limits.ts";
import { PartitionProducer, type PendingRecord, type ProducerIdentity } from "./partition-producer.ts";
import { type Address, CallError, type Channel, type KafkaClient, type ProduceBatch } from "./wire.ts";

const sweepMs = 250;

/**
 * The idempotent producer: `acks=all`, keys to partitions as the Java client does it, a batch at a time for each partition
 * (`partition-producer.ts`). What comes while a batch is on its way makes the next one, so that batches grow with the load.
 */
export class Producer {
  readonly #channel: Channel;
  readonly #cluster: Cluster;
  readonly #platform: Platform;
  readonly #clock: Clock;
  readonly #writer: BatchWriter;
  readonly #partitions = new Map<string, PartitionProducer[]>();
  /** Those with something to send. */
  readonly #busy = new Set<PartitionProducer>();
  /** Records of topics that are not known yet, in order. */
  readonly #unplaced = new Map<string, PendingRecord[]>();
  #identity: ProducerIdentity | undefined;
  #identityIsWanted = false;
  #isPumping = false;
  #wakeTimer: Timer | undefined;
  #sweepTimer: Timer | undefined;
  #pending = 0;
  #whenIdle: (() => void)[] = [];
  #isClosed = false;
  #lastFailure = "";

  constructor(client: KafkaClient, channel: Channel, cluster: Cluster, platform: Platform) {
    this.#channel = channel;
    this.#cluster = cluster;
    this.#platform = platform;
    this.#clock = platform.clock;
    this.#writer = new BatchWriter(client.crc32c);
  }

  /** Resolves when each record is durable or has failed. Records of a partition keep the order of the calls. */
  send(records: readonly OutgoingRecord[]): Promise<readonly (PublishFailure | undefined)[]> {
    if (this.#isClosed) return Promise.reject(new PublishError("kafka: the connection to the broker is closed", false));
    if (records.length === 0) return Promise.resolve([]);
    return new Promise(resolve => {
      const results = new Array<PublishFailure | undefined>(records.length);
      const deadlineMs = this.#clock.now() + deliveryTimeoutMs;
      let left = records.length;
      // Records without a key of one call stay together.
      const spread = this.#platform.random.next();
      this.#pending += left;
      for (let index = 0; index < records.length; index++) {
        const record = records[index] as OutgoingRecord;
        this.#add(
          {
            record,
            deadlineMs,
            settle: failure => {
              results[index] = failure;
              if (--left > 0) return;
              this.#settled(records.length);
              resolve(results);
            },
          },
          spread,
        );
      }
      this.#pumpSoon();
      this.#armSweep();
    });
  }

  /** Nothing is kept of a topic that nobody writes to any more; does nothing while something is on its way there. */
  forget(topic: string): void {
    const partitions = this.#partitions.get(topic) ?? [];
    if (partitions.some(one => one !== undefined && (!one.isIdle || one.isOnItsWay))) return;
    for (const one of partitions) if (one !== undefined) this.#busy.delete(one);
    this.#partitions.delete(topic);
  }

  /** Waits for all that is on its way, then takes nothing more. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#pending > 0) await new Promise<void>(resolve => this.#whenIdle.push(resolve));
    this.#sweepTimer?.cancel();
    this.#wakeTimer?.cancel();
  }

  #settled(count: number): void {
    this.#pending -= count;
    if (this.#pending > 0) return;
    for (const resolve of this.#whenIdle) resolve();
    this.#whenIdle = [];
  }

  #add(pending: PendingRecord, spread: number): void {
    const { topic, key, partition: wanted } = pending.record;
    const waiting = this.#unplaced.get(topic);
    const partitions = this.#cluster.topic(topic)?.leaders.length ?? 0;
    if (waiting !== undefined || partitions === 0) {
      if (waiting === undefined) this.#unplaced.set(topic, [pending]);
      else waiting.push(pending);
      return;
    }
    const number = wanted ?? (key === undefined ? Math.floor(spread * partitions) : partitionOf(key, partitions));
    const partition = this.#partition(topic, number);
    partition.add(pending);
    this.#busy.add(partition);
  }

  #partition(topic: string, number: number): PartitionProducer {
    let partitions = this.#partitions.get(topic);
    if (partitions === undefined) {
      partitions = [];
      this.#partitions.set(topic, partitions);
    }
    partitions[number] ??= new PartitionProducer(topic, number);
    return partitions[number];
  }

  #pumpSoon(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    outsideContext(() =>
      this.#clock.endOfTurn(() => {
        this.#isPumping = false;
        this.#pump();
      }),
    );
  }

  #pump(): void {
    this.#place();
    const nowMs = this.#clock.now();
    const requests = new Map<Address, PartitionProducer[]>();
    let wakeMs = Number.POSITIVE_INFINITY;
    const leaderless = new Set<string>();
    for (const partition of this.#busy) {
      if (partition.isIdle) {
        this.#busy.delete(partition);
        continue;
      }
      if (partition.isOnItsWay) continue;
      if (partition.notBeforeMs > nowMs) {
        wakeMs = Math.min(wakeMs, partition.notBeforeMs);
        continue;
      }
      const leader = this.#cluster.leaderOf(partition.topic, partition.partition);
      if (leader === undefined) {
        leaderless.add(partition.topic);
        this.#pause(partition);
        wakeMs = Math.min(wakeMs, partition.notBeforeMs);
        continue;
      }
      if (partition.identity === undefined) {
        if (this.#identity === undefined) {
          this.#wantIdentity();
          continue;
        }
        partition.adopt(this.#identity);
      }
      const request = requests.get(leader);
      if (request === undefined) requests.set(leader, [partition]);
      else request.push(partition);
    }
    if (leaderless.size > 0) this.#refresh([...leaderless]);
    for (const [leader, partitions] of requests) this.#sendTo(leader, partitions);
    this.#wakeAt(wakeMs);
  }

  #sendTo(leader: Address, partitions: readonly PartitionProducer[]): void {
    let batches: ProduceBatch[] = [];
    let senders: PartitionProducer[] = [];
    let bytesLeft = produceBytesMax;
    for (const one of partitions) {
      const bytes = one.take(this.#writer);
      if (bytes.length > bytesLeft && batches.length > 0) {
        void this.#request(leader, batches, senders);
        batches = [];
        senders = [];
        bytesLeft = produceBytesMax;
      }
      batches.push({ topic: one.topic, partition: one.partition, bytes });
      senders.push(one);
      bytesLeft -= bytes.length;
    }
    void this.#request(leader, batches, senders);
  }

  async #request(
    leader: Address,
    batches: readonly ProduceBatch[],
    senders: readonly PartitionProducer[],
  ): Promise<void> {
    for (const one of senders) one.isOnItsWay = true;
    const stale = new Set<string>();
    try {
      const answers = await this.#channel.produce(leader, batches, produceTimeoutMs);
      const found = new Map(answers.map(answer => [`${answer.topic}/${answer.partition}`, answer]));
      for (const one of senders) {
        one.isOnItsWay = false;
        const answer = found.get(`${one.topic}/${one.partition}`);
        if (answer === undefined) this.#unanswered(one, true, "the answer leaves the partition out");
        else this.#answered(one, answer.error, answer.message, stale);
      }
    } catch (error) {
      const wasSent = !(error instanceof CallError) || error.wasSent;
      for (const one of senders) {
        one.isOnItsWay = false;
        this.#unanswered(one, wasSent, (error as Error).message);
        stale.add(one.topic);
      }
    }
    if (stale.size > 0) this.#refresh([...stale]);
    this.#pump();
  }

  #answered(one: PartitionProducer, error: number, message: string | undefined, stale: Set<string>): void {
    const { identity } = one;
    const verdict = one.answered(error, message);
    if (verdict === "settled") return;
    this.#lastFailure = codeText(error);
    // An identity that a broker does not know is of no use to anybody.
    if (one.identity === undefined && this.#identity === identity) this.#identity = undefined;
    if (verdict === "again-elsewhere") stale.add(one.topic);
    this.#again(one);
  }

  #unanswered(one: PartitionProducer, wasSent: boolean, message: string): void {
    this.#lastFailure = message;
    one.unanswered(wasSent);
    this.#again(one);
  }

  #again(one: PartitionProducer): void {
    if (one.deadlineMs <= this.#clock.now()) this.#giveUp(one);
    else this.#pause(one);
  }

  #giveUp(one: PartitionProducer): void {
    const { identity } = one;
    one.giveUp(this.#tooLate(`${one.topic}/${one.partition}`));
    if (one.identity === undefined && this.#identity === identity) this.#identity = undefined;
  }

  #tooLate(place: string): PublishFailure {
    const why = this.#cluster.failure?.message ?? this.#lastFailure;
    const text = `kafka: ${place} took no record for ${deliveryTimeoutMs / 1_000} s${why === "" ? "" : `; the last answer: ${why}`}`;
    return { isRetryable: true, error: new Error(text) };
  }

  #pause(one: PartitionProducer): void {
    one.attempts++;
    one.notBeforeMs = this.#clock.now() + this.#cluster.pauseMs(one.attempts);
  }

  /** Records of topics that are known by now go to their partitions. */
  #place(): void {
    if (this.#unplaced.size === 0) return;
    const unknown: string[] = [];
    for (const [topic, waiting] of this.#unplaced) {
      if ((this.#cluster.topic(topic)?.leaders.length ?? 0) === 0) {
        unknown.push(topic);
        continue;
      }
      this.#unplaced.delete(topic);
      const spread = this.#platform.random.next();
      for (const pending of waiting) this.#add(pending, spread);
    }
    if (unknown.length > 0) this.#refresh(unknown);
  }

  #refresh(topics: readonly string[]): void {
    this.#cluster.refresh(topics).then(
      () => this.#pumpSoon(),
      () => this.#wakeAt(this.#clock.now() + this.#cluster.pauseMs(3)),
    );
  }

  #wantIdentity(): void {
    if (this.#identityIsWanted) return;
    this.#identityIsWanted = true;
    void this.#askIdentity().finally(() => {
      this.#identityIsWanted = false;
      this.#pump();
    });
  }

  async #askIdentity(): Promise<void> {
    try {
      const { error, ...identity } = await this.#cluster.anyBroker(at => this.#channel.initProducerId(at));
      if (error === code.none) {
        this.#identity = identity;
        return;
      }
      this.#lastFailure =
        error === code.clusterAuthorizationFailed
          ? "the user of the URL may not write idempotently; allow WRITE on the topic (or IDEMPOTENT_WRITE on the cluster)"
          : codeText(error);
    } catch (error) {
      this.#lastFailure = (error as Error).message;
    }
    for (const one of this.#busy) if (one.identity === undefined && !one.isOnItsWay) this.#pause(one);
  }

  #wakeAt(atMs: number): void {
    this.#wakeTimer?.cancel();
    this.#wakeTimer = undefined;
    if (atMs === Number.POSITIVE_INFINITY || this.#pending === 0) return;
    this.#wakeTimer = outsideContext(() => this.#clock.after(atMs - this.#clock.now(), () => this.#pump()));
  }

  /** What nobody takes must not wait for ever. */
  #armSweep(): void {
    if (this.#sweepTimer !== undefined || this.#pending === 0) return;
    this.#sweepTimer = outsideContext(() =>
      this.#clock.after(sweepMs, () => {
        this.#sweepTimer = undefined;
        this.#sweep();
        this.#armSweep();
      }),
    );
  }

  #sweep(): void {
    const nowMs = this.#clock.now();
    for (const one of this.#busy) if (!one.isOnItsWay && one.deadlineMs <= nowMs) this.#giveUp(one);
    for (const [topic, waiting] of this.#unplaced) {
      if (((waiting[0] as PendingRecord).deadlineMs ?? 0) > nowMs) continue;
      this.#unplaced.delete(topic);
      const isMissing = this.#cluster.topic(topic)?.error === code.unknownTopicOrPartition;
      const failure = this.#tooLate(isMissing ? `the topic ${topic} does not exist and` : topic);
      for (const one of waiting) one.settle(failure);
    }
    // Topics that have grown are noticed, as long as somebody writes.
    const aged = this.#cluster.aged([...this.#partitions.keys()]);
    if (aged.length > 0) this.#refresh(aged);
    this.#pumpSoon();
  }
}
