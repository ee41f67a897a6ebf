import type { Platform } from "../../../platform/index.ts";
import { BrokerError } from "../../errors.ts";
import { partitionOf } from "../../log/index.ts";
import { BatchWriter, type OutgoingRecord } from "./batch-writer.ts";
import { type Cluster, producerRefused } from "./cluster.ts";
import { code, codeText, isNotAuthorized, isStaleCoordinator, isStaleLeader, isTransient } from "./error-codes.ts";
import {
  abortBudgetMs,
  batchBytesMax,
  batchRecordsMax,
  concurrentTransactionMs,
  produceBytesMax,
  produceTimeoutMs,
  transactionBudgetMs,
  transactionTimeoutMs,
} from "./limits.ts";
import { pause } from "./pause.ts";
import {
  type Address,
  CallError,
  type Channel,
  type CommitAnswer,
  type KafkaClient,
  type OffsetToCommit,
  type OpenTransaction,
  type Place,
  type ProduceBatch,
} from "./wire.ts";

/** A record of a transaction, and what it comes from. */
export interface TransactionOutput<S> {
  readonly record: OutgoingRecord;
  readonly source: S;
}

export type TransactionOutcome<S> =
  | { readonly kind: "committed" }
  /** Nothing of it counts, and the same may succeed later. `offsets`: what the group's coordinator said, where it was asked. */
  | { readonly kind: "aborted"; readonly why: string; readonly offsets: readonly CommitAnswer[] | undefined }
  /** Nothing of it counts, and it never will with the outputs of these sources. */
  | { readonly kind: "refused"; readonly why: string; readonly sources: ReadonlySet<S> }
  /** The commit was asked for and not answered, and is decided without us: only the group's offsets tell. */
  | { readonly kind: "unknown" };

export interface TransactionGroup {
  readonly group: string;
  commitInTransaction(
    transaction: OpenTransaction,
    offsets: readonly OffsetToCommit[],
  ): Promise<readonly CommitAnswer[]>;
}

interface Identity extends OpenTransaction {
  /** Next sequence numbers by partition; they begin again with each epoch. */
  readonly sequences: Map<string, number>;
}

interface Queue<S> extends Place {
  readonly key: string;
  readonly outputs: TransactionOutput<S>[];
  /** Of `outputs` that are written. */
  done: number;
  /** The batch that is on its way or to be repeated. */
  batch: { readonly bytes: Buffer; readonly count: number } | undefined;
}

/** Ends a transaction before its commit was asked for. */
class Ended extends Error {
  readonly outcome: TransactionOutcome<unknown>;

  constructor(outcome: TransactionOutcome<unknown>) {
    super(outcome.kind);
    this.outcome = outcome;
  }
}

/**
 * A transactional producer (KIP-98) that knows everything of a transaction before it begins: so each takes a few
 * milliseconds, and is begun, written and ended by one call of `run`, one at a time.
 *
 *     no identity ── InitProducerId ──► idle ── AddPartitions, AddOffsets ──► open ── Produce, TxnOffsetCommit ──► EndTxn ──► idle
 *          ▲                                                                   │                                   │
 *          └───────────────── anything unexpected: a new epoch aborts what was open ────────────────────────────────┘
 *
 * Until EndTxn was sent nothing can be committed, so that every failure before means "aborted". After it only an answer
 * tells; where the coordinator has meanwhile ended the transaction by itself (its time-out, a producer of the same id), the
 * outcome is unknown. Zombies are fenced by the group: the offsets carry the member's generation (KIP-447), and a
 * transaction whose offsets are refused is aborted.
 */
export class TransactionalProducer<S> {
  readonly #channel: Channel;
  readonly #cluster: Cluster;
  readonly #platform: Platform;
  readonly #writer: BatchWriter;
  readonly #transactionalId: string;
  readonly #closed = new AbortController();
  #coordinator: Promise<Address> | undefined;
  #identity: Identity | undefined;
  /** Batches of one record, to find the one that is refused. */
  #isCareful = false;

  constructor(client: KafkaClient, channel: Channel, cluster: Cluster, platform: Platform, transactionalId: string) {
    this.#channel = channel;
    this.#cluster = cluster;
    this.#platform = platform;
    this.#writer = new BatchWriter(client.crc32c);
    this.#transactionalId = transactionalId;
  }

  /** Begins, and ends what an earlier process has left open under the same id. @throws BrokerError */
  async prepare(): Promise<void> {
    try {
      await this.#identified(this.#platform.clock.now() + transactionBudgetMs);
    } catch (error) {
      if (!(error instanceof Ended)) throw error;
      const { outcome } = error;
      const why = "why" in outcome ? outcome.why : outcome.kind;
      throw new BrokerError(`kafka: transactions cannot begin as ${JSON.stringify(this.#transactionalId)}: ${why}`);
    }
  }

  /** Waits for nothing any more. */
  close(): void {
    this.#closed.abort();
  }

  /**
   * One transaction: outputs of a partition keep their order.
   * @throws BrokerError when it will never succeed, whatever is in it
   */
  async run(
    outputs: readonly TransactionOutput<S>[],
    offsets: readonly OffsetToCommit[],
    group: TransactionGroup,
  ): Promise<TransactionOutcome<S>> {
    const untilMs = this.#platform.clock.now() + transactionBudgetMs;
    let identity: Identity;
    try {
      const queues = await this.#placed(outputs, untilMs);
      identity = await this.#identified(untilMs);
      await this.#begin(identity, queues, group.group, untilMs);
      await allDone([this.#produce(identity, queues, untilMs), this.#commitOffsets(identity, offsets, group, untilMs)]);
    } catch (error) {
      await this.#abort();
      if (error instanceof Ended) return error.outcome as TransactionOutcome<S>;
      throw error;
    }
    const outcome = await this.#commit(identity);
    if (outcome.kind === "committed") this.#isCareful = false;
    else await this.#abort();
    return outcome;
  }

  // Who we are.

  async #identified(untilMs: number): Promise<Identity> {
    if (this.#identity !== undefined) return this.#identity;
    const settings = { transactionalId: this.#transactionalId, timeoutMs: transactionTimeoutMs };
    let identity: Identity | undefined;
    await this.#repeat("a producer id", untilMs, async () => {
      const at = await this.#find();
      const { error, producerId, producerEpoch } = await this.#channel.initProducerId(at, settings);
      if (error === code.none) {
        identity = { transactionalId: this.#transactionalId, producerId, producerEpoch, sequences: new Map() };
      }
      return error;
    });
    this.#identity = identity;
    return identity as Identity;
  }

  /** A new epoch ends what is open under the old one. Where it cannot be had, the coordinator does so after its time-out. */
  async #abort(): Promise<void> {
    if (this.#identity === undefined) return;
    this.#identity = undefined;
    try {
      await this.#identified(this.#platform.clock.now() + abortBudgetMs);
    } catch {
      // The next transaction tries again, and says why it cannot.
    }
  }

  #find(): Promise<Address> {
    if (this.#coordinator === undefined) {
      const { signal } = this.#closed;
      const found = this.#cluster.coordinatorOf(this.#channel, "transaction", this.#transactionalId, signal);
      this.#coordinator = found;
      found.catch(() => {
        if (this.#coordinator === found) this.#coordinator = undefined;
      });
    }
    return this.#coordinator;
  }

  // What is in it.

  async #placed(outputs: readonly TransactionOutput<S>[], untilMs: number): Promise<readonly Queue<S>[]> {
    const topics = [...new Set(outputs.map(({ record }) => record.topic))];
    const unknown = () => topics.filter(topic => (this.#cluster.topic(topic)?.leaders.length ?? 0) === 0);
    await this.#repeat("metadata", untilMs, async () => {
      const missing = unknown();
      if (missing.length === 0) return code.none;
      await this.#cluster.refresh(missing);
      return unknown().length === 0 ? code.none : code.unknownTopicOrPartition;
    });
    const spread = this.#platform.random.next();
    const queues = new Map<string, Queue<S>>();
    for (const output of outputs) {
      const { topic, key: recordKey } = output.record;
      const count = this.#cluster.topic(topic)?.leaders.length ?? 1;
      const partition = recordKey === undefined ? Math.floor(spread * count) : partitionOf(recordKey, count);
      const key = `${topic}/${partition}`;
      const queue = queues.get(key);
      if (queue === undefined) queues.set(key, { key, topic, partition, outputs: [output], done: 0, batch: undefined });
      else queue.outputs.push(output);
    }
    return [...queues.values()];
  }

  async #begin(identity: Identity, queues: readonly Queue<S>[], group: string, untilMs: number): Promise<void> {
    await this.#repeat("its partitions", untilMs, async () => {
      const answers = await this.#channel.addPartitionsToTransaction(await this.#find(), identity, queues);
      // Where one is refused, the others are not attempted.
      const bad = answers.filter(({ error }) => error !== code.none);
      const refused = bad.filter(({ error }) => isNotAuthorized(error));
      if (refused.length > 0) {
        const places = new Set(refused.map(({ topic, partition }) => `${topic}/${partition}`));
        const culprits = queues.filter(({ key }) => places.has(key));
        const topics = [...new Set(refused.map(({ topic }) => topic))].join(", ");
        throw refusal(
          culprits.flatMap(({ outputs }) => outputs),
          `the user of the URL may not write to ${topics}`,
        );
      }
      const first = bad.find(({ error }) => error !== code.operationNotAttempted) ?? bad[0];
      return first?.error ?? code.none;
    });
    await this.#repeat("its offsets", untilMs, async () =>
      this.#channel.addOffsetsToTransaction(await this.#find(), identity, group),
    );
  }

  async #commitOffsets(
    identity: Identity,
    offsets: readonly OffsetToCommit[],
    group: TransactionGroup,
    untilMs: number,
  ): Promise<void> {
    await this.#repeat("its offsets", untilMs, async () => {
      const answers = await group.commitInTransaction(identity, offsets);
      const bad = answers.filter(({ error }) => error !== code.none);
      if (bad.some(({ error }) => !isTransient(error) && !isFenced(error))) {
        throw aborted(`the offsets were refused: ${codeText(bad[0]?.error ?? 0)}`, answers);
      }
      return bad[0]?.error ?? code.none;
    });
  }

  async #produce(identity: Identity, queues: readonly Queue<S>[], untilMs: number): Promise<void> {
    const left = new Set(queues);
    for (let attempt = 0; left.size > 0; ) {
      const byLeader = new Map<Address, Queue<S>[]>();
      const leaderless = new Set<string>();
      for (const queue of left) {
        const leader = this.#cluster.leaderOf(queue.topic, queue.partition);
        const known = leader === undefined ? undefined : byLeader.get(leader);
        if (leader === undefined) leaderless.add(queue.topic);
        else if (known === undefined) byLeader.set(leader, [queue]);
        else known.push(queue);
      }
      const writes = [...byLeader].map(([leader, some]) => this.#write(identity, leader, some, leaderless));
      const results = await allDone(writes);
      for (const queue of queues) if (queue.done === queue.outputs.length) left.delete(queue);
      const failure = results.find(result => result !== undefined);
      if (failure === undefined && leaderless.size === 0) {
        attempt = 0;
        continue;
      }
      this.#checkTime("its events", failure ?? "a partition has no leader", untilMs);
      if (leaderless.size > 0) await this.#cluster.refresh([...leaderless]).catch(() => {});
      await pause(this.#platform.clock, this.#cluster.pauseMs(++attempt), this.#closed.signal);
    }
  }

  /**
   * A batch of each partition, as many as go into a request.
   * @returns what is to be repeated, if something is
   */
  async #write(
    identity: Identity,
    leader: Address,
    queues: readonly Queue<S>[],
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
      answers = await this.#channel.produce(leader, batches, produceTimeoutMs, this.#transactionalId);
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
      else if (isStaleLeader(error) || isTransient(error)) {
        failure = `${queue.key}: ${codeText(error)}`;
        if (isStaleLeader(error)) stale.add(queue.topic);
      } else if (isFenced(error)) throw aborted(`${queue.key}: ${codeText(error)}`);
      else this.#refuse(queue, error, answer?.message);
    }
    return failure;
  }

  #nextBatch(identity: Identity, queue: Queue<S>): { readonly bytes: Buffer; readonly count: number } {
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

  #written(identity: Identity, queue: Queue<S>): void {
    const { count } = queue.batch as { readonly count: number };
    identity.sequences.set(queue.key, ((identity.sequences.get(queue.key) ?? 0) + count) % 2 ** 31);
    queue.done += count;
    queue.batch = undefined;
  }

  #refuse(queue: Queue<S>, error: number, message: string | undefined): never {
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

  // Its end.

  async #commit(identity: Identity): Promise<TransactionOutcome<S>> {
    const { clock } = this.#platform;
    let isUndecided = false;
    for (let attempt = 1; ; attempt++) {
      let error: number;
      try {
        error = await this.#channel.endTransaction(await this.#find(), identity, true);
      } catch (failure) {
        if (!(failure instanceof CallError)) throw failure;
        isUndecided ||= failure.wasSent;
        this.#coordinator = undefined;
        error = code.networkException;
      }
      if (error === code.none) return { kind: "committed" };
      if (!isRepeatable(error)) {
        if (isUndecided) return { kind: "unknown" };
        return { kind: "aborted", why: `the commit was refused: ${codeText(error)}`, offsets: undefined };
      }
      if (isStaleCoordinator(error)) this.#coordinator = undefined;
      // Without a deadline: as soon as the coordinator answers at all it says what became of it.
      const again = error === code.concurrentTransactions ? concurrentTransactionMs : this.#cluster.pauseMs(attempt);
      await pause(clock, again, this.#closed.signal);
      if (this.#closed.signal.aborted) return { kind: "unknown" };
    }
  }

  /** Until it is answered with success, or its time is over. @throws Ended, BrokerError */
  async #repeat(what: string, untilMs: number, call: () => Promise<number>): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      let error: number;
      let why: string;
      try {
        error = await call();
        if (error === code.none) return;
        why = codeText(error);
      } catch (failure) {
        if (!(failure instanceof CallError)) throw failure;
        this.#coordinator = undefined;
        error = code.networkException;
        why = failure.message;
      }
      if (error === code.transactionalIdAuthorizationFailed) throw producerRefused(this.#transactionalId, error);
      if (!isRepeatable(error)) throw aborted(`${what}: ${why}`);
      if (isStaleCoordinator(error)) this.#coordinator = undefined;
      this.#checkTime(what, why, untilMs);
      // The former transaction of this producer is being completed: that takes the coordinator a moment.
      const again = error === code.concurrentTransactions ? concurrentTransactionMs : this.#cluster.pauseMs(attempt);
      await pause(this.#platform.clock, again, this.#closed.signal);
    }
  }

  #checkTime(what: string, why: string, untilMs: number): void {
    if (this.#platform.clock.now() < untilMs && !this.#closed.signal.aborted) return;
    throw aborted(`${what} took longer than ${transactionBudgetMs / 1_000} s: ${why}`);
  }
}

/** All are waited for, also when one fails, so that nothing of a transaction is on its way when the next begins. */
async function allDone<T>(parts: readonly Promise<T>[]): Promise<readonly T[]> {
  const ended = await Promise.allSettled(parts);
  return ended.map(part => {
    if (part.status === "rejected") throw part.reason;
    return part.value;
  });
}

function aborted(why: string, offsets?: readonly CommitAnswer[]): Ended {
  return new Ended({ kind: "aborted", why, offsets });
}

function refusal(outputs: readonly TransactionOutput<unknown>[], why: string): Ended {
  return new Ended({ kind: "refused", why, sources: new Set(outputs.map(({ source }) => source)) });
}

/** The coordinator has ended the transaction, or somebody else has the producer's id: this epoch is of no use any more. */
function isFenced(error: number): boolean {
  return (
    error === code.producerFenced ||
    error === code.invalidProducerEpoch ||
    error === code.transactionCoordinatorFenced ||
    error === code.invalidTransactionState ||
    error === code.outOfOrderSequenceNumber ||
    error === code.unknownProducerId
  );
}

function isRepeatable(error: number): boolean {
  return error === code.concurrentTransactions || isStaleCoordinator(error) || isTransient(error);
}

/** Of a subscription that publishes what cannot be published, and whose dead letters are refused too. */
export function nothingTaken(group: string, why: string): BrokerError {
  return new BrokerError(`kafka: group ${group}: a dead letter was refused: ${why}`);
}
