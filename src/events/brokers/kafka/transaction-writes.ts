import type { Platform } from "../../../platform/index.ts";
import { partitionOf } from "../../log/index.ts";
import { BatchWriter } from "./batch-writer.ts";
import type { Cluster } from "./cluster.ts";
import { code, codeText, isNotAuthorized, isStaleLeader } from "./error-codes.ts";
import { batchBytesMax, batchRecordsMax, produceBytesMax, produceTimeoutMs } from "./limits.ts";
import { pause } from "./pause.ts";
import {
  aborted,
  allDone,
  type Identity,
  isFenced,
  isRepeatable,
  refusal,
  type TransactionOutput,
  tooLong,
} from "./transaction-outcome.ts";
import { type Address, CallError, type Channel, type KafkaClient, type Place, type ProduceBatch } from "./wire.ts";

/** The outputs of a transaction for one partition, in their order. */
export interface TransactionQueue<S> extends Place {
  readonly key: string;
  readonly outputs: TransactionOutput<S>[];
  /** Of `outputs` that are written. */
  done: number;
  /** The batch that is on its way or to be repeated. */
  batch: { readonly bytes: Buffer; readonly count: number } | undefined;
}

export interface WritesOptions {
  readonly client: Pick<KafkaClient, "crc32c">;
  readonly channel: Channel;
  readonly cluster: Cluster;
  readonly platform: Platform;
  /** Waits for nothing any more. */
  readonly signal: AbortSignal;
}

/** Writes the outputs of transactions: a batch of each partition at a time, repeated until it is decided. */
export class TransactionWrites<S> {
  readonly #options: WritesOptions;
  readonly #writer: BatchWriter;
  /** Batches of one record, to find the one that is refused. */
  #isCareful = false;

  constructor(options: WritesOptions) {
    this.#options = options;
    this.#writer = new BatchWriter(options.client.crc32c);
  }

  /** A transaction was committed: nothing is suspected any more. */
  committed(): void {
    this.#isCareful = false;
  }

  /** Whether outputs can be placed; otherwise the topics that are not known. */
  unknownTopics(outputs: readonly TransactionOutput<S>[]): readonly string[] {
    const topics = [...new Set(outputs.map(({ record }) => record.topic))];
    return topics.filter(topic => (this.#options.cluster.topic(topic)?.leaders.length ?? 0) === 0);
  }

  /** Outputs by partition, as the Java client chooses it; those without a key of one transaction stay together. */
  place(outputs: readonly TransactionOutput<S>[]): readonly TransactionQueue<S>[] {
    const { cluster, platform } = this.#options;
    const spread = platform.random.next();
    const queues = new Map<string, TransactionQueue<S>>();
    for (const output of outputs) {
      const { topic, key: recordKey } = output.record;
      const count = cluster.topic(topic)?.leaders.length ?? 1;
      const partition = recordKey === undefined ? Math.floor(spread * count) : partitionOf(recordKey, count);
      const key = `${topic}/${partition}`;
      const queue = queues.get(key);
      if (queue === undefined) queues.set(key, { key, topic, partition, outputs: [output], done: 0, batch: undefined });
      else queue.outputs.push(output);
    }
    return [...queues.values()];
  }

  /** Resolves when all of it is written. @throws Ended */
  async write(identity: Identity, queues: readonly TransactionQueue<S>[], untilMs: number): Promise<void> {
    const { cluster, signal } = this.#options;
    const { clock } = this.#options.platform;
    const left = new Set(queues);
    for (let attempt = 0; left.size > 0; ) {
      const byLeader = new Map<Address, TransactionQueue<S>[]>();
      const leaderless = new Set<string>();
      for (const queue of left) {
        const leader = cluster.leaderOf(queue.topic, queue.partition);
        const known = leader === undefined ? undefined : byLeader.get(leader);
        if (leader === undefined) leaderless.add(queue.topic);
        else if (known === undefined) byLeader.set(leader, [queue]);
        else known.push(queue);
      }
      const writes = [...byLeader].map(([leader, some]) => this.#request(identity, leader, some, leaderless));
      const results = await allDone(writes);
      for (const queue of queues) if (queue.done === queue.outputs.length) left.delete(queue);
      const failure = results.find(result => result !== undefined);
      if (failure === undefined && leaderless.size === 0) {
        attempt = 0;
        continue;
      }
      if (clock.now() >= untilMs || signal.aborted) throw tooLong("its events", failure ?? "a partition has no leader");
      if (leaderless.size > 0) await cluster.refresh([...leaderless]).catch(() => {});
      await pause(clock, cluster.pauseMs(++attempt), signal);
    }
  }

  /**
   * A batch of each partition, as many as go into a request.
   * @returns what is to be repeated, if something is
   */
  async #request(
    identity: Identity,
    leader: Address,
    queues: readonly TransactionQueue<S>[],
    stale: Set<string>,
  ): Promise<string | undefined> {
    const batches: ProduceBatch[] = [];
    let bytesLeft = produceBytesMax;
    for (const queue of queues) {
      queue.batch ??= this.#nextBatch(identity, queue);
      if (queue.batch.bytes.length > bytesLeft && batches.length > 0) break;
      batches.push({ topic: queue.topic, partition: queue.partition, bytes: queue.batch.bytes });
      bytesLeft -= queue.batch.bytes.length;
    }
    let answers: Awaited<ReturnType<Channel["produce"]>>;
    try {
      answers = await this.#options.channel.produce(leader, batches, produceTimeoutMs, identity.transactionalId);
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      for (const { topic } of batches) stale.add(topic);
      return error.message;
    }
    const byPlace = new Map(answers.map(answer => [`${answer.topic}/${answer.partition}`, answer]));
    let failure: string | undefined;
    for (const queue of queues.slice(0, batches.length)) {
      const answer = byPlace.get(queue.key);
      const error = answer?.error ?? code.networkException;
      if (error === code.none || error === code.duplicateSequenceNumber) this.#written(identity, queue);
      else if (isStaleLeader(error) || isRepeatable(error)) {
        failure = `${queue.key}: ${codeText(error)}`;
        if (isStaleLeader(error)) stale.add(queue.topic);
      } else if (isFenced(error)) throw aborted(`${queue.key}: ${codeText(error)}`);
      else this.#refuse(queue, error, answer?.message);
    }
    return failure;
  }

  #nextBatch(identity: Identity, queue: TransactionQueue<S>): { readonly bytes: Buffer; readonly count: number } {
    const recordsMax = this.#isCareful ? 1 : batchRecordsMax;
    let count = 0;
    while (queue.done + count < queue.outputs.length && count < recordsMax) {
      const { record } = queue.outputs[queue.done + count] as TransactionOutput<S>;
      if (!this.#writer.add(record, batchBytesMax)) break;
      count++;
    }
    const sequence = identity.sequences.get(queue.key) ?? 0;
    return { bytes: this.#writer.finish({ ...identity, sequence, isTransactional: true }), count };
  }

  #written(identity: Identity, queue: TransactionQueue<S>): void {
    const { count } = queue.batch as { readonly count: number };
    identity.sequences.set(queue.key, ((identity.sequences.get(queue.key) ?? 0) + count) % 2 ** 31);
    queue.done += count;
    queue.batch = undefined;
  }

  #refuse(queue: TransactionQueue<S>, error: number, message: string | undefined): never {
    const { count } = queue.batch as { readonly count: number };
    const why =
      error === code.messageTooLarge || error === code.recordListTooLarge
        ? `an event for ${queue.topic} is larger than the topic allows (max.message.bytes)`
        : isNotAuthorized(error)
          ? `the user of the URL may not write to ${queue.topic}`
          : `${queue.topic} did not take an event: ${message ?? codeText(error)}`;
    if (count > 1 && !isNotAuthorized(error)) {
      // One of them: next time each goes alone.
      this.#isCareful = true;
      throw aborted(why);
    }
    throw refusal(queue.outputs.slice(queue.done, queue.done + count), why);
  }
}
