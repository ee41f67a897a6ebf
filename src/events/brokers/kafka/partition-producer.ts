import type { PublishFailure } from "../../driver.ts";
import type { BatchWriter, OutgoingRecord } from "./batch-writer.ts";
import { code, codeText, isNotAuthorized, isStaleLeader, isTransient } from "./error-codes.ts";
import { batchBytesMax, batchRecordsMax } from "./limits.ts";

/** A producer's id at the cluster, by which brokers tell repeated batches (KIP-98). */
export interface ProducerIdentity {
  readonly producerId: bigint;
  readonly producerEpoch: number;
}

/** A record that waits to be durable. */
export interface PendingRecord {
  readonly record: OutgoingRecord;
  /** On the monotonic clock. */
  readonly deadlineMs: number;
  settle(failure: PublishFailure | undefined): void;
}

interface Batch {
  readonly pending: readonly PendingRecord[];
  readonly bytes: Buffer;
  /** An attempt may have been carried out although nobody has said so. */
  isUndecided: boolean;
}

/** What follows from an answer. */
export type Verdict =
  /** Durable, or refused for good: on with the next. */
  | "settled"
  /** The same batch again, after a pause. */
  | "again"
  /** The same again, when the leader is known anew. */
  | "again-elsewhere";

const sequences = 2 ** 31;

/**
 * The producing side of one partition. One batch is on its way at a time, and repeated with the same sequence numbers until
 * it is decided: so records stay in order and none is written twice, whatever happens to connections. Without clock or
 * network: who calls keeps both.
 *
 * - A batch that is settled has used its sequence numbers, a refused one has not.
 * - A batch that is given up undecided makes the identity useless for this partition: the broker would take another batch of
 *   the same numbers for a repetition and drop it. The next one goes under a new identity.
 */
export class PartitionProducer {
  readonly topic: string;
  readonly partition: number;
  readonly #waiting: PendingRecord[] = [];
  #head = 0;
  #batch: Batch | undefined;
  #identity: ProducerIdentity | undefined;
  #sequence = 0;
  #bytesMax = batchBytesMax;
  #recordsMax = batchRecordsMax;
  /** A request with the batch is out. */
  isOnItsWay = false;
  attempts = 0;
  notBeforeMs = 0;

  constructor(topic: string, partition: number) {
    this.topic = topic;
    this.partition = partition;
  }

  get isIdle(): boolean {
    return this.#batch === undefined && this.#head === this.#waiting.length;
  }

  get identity(): ProducerIdentity | undefined {
    return this.#identity;
  }

  /** When the oldest record has waited too long. */
  get deadlineMs(): number {
    return (this.#batch?.pending[0] ?? this.#waiting[this.#head])?.deadlineMs ?? Number.POSITIVE_INFINITY;
  }

  add(pending: PendingRecord): void {
    this.#waiting.push(pending);
  }

  /** From now on under this identity. */
  adopt(identity: ProducerIdentity): void {
    this.#identity = identity;
    this.#sequence = 0;
  }

  /** The batch to send: the one that is to be repeated, or a new one of what waits. Needs an identity. */
  take(writer: BatchWriter): Buffer {
    const identity = this.#identity as ProducerIdentity;
    if (this.#batch !== undefined) {
      writer.stamp(this.#batch.bytes, { ...identity, sequence: this.#sequence });
      return this.#batch.bytes;
    }
    const pending: PendingRecord[] = [];
    while (this.#head < this.#waiting.length && pending.length < this.#recordsMax) {
      const next = this.#waiting[this.#head] as PendingRecord;
      if (!writer.add(next.record, this.#bytesMax)) break;
      pending.push(next);
      this.#head++;
    }
    this.#compact();
    const bytes = writer.finish({ ...identity, sequence: this.#sequence });
    this.#batch = { pending, bytes, isUndecided: false };
    return bytes;
  }

  /** The broker has answered. */
  answered(error: number, message: string | undefined): Verdict {
    const batch = this.#batch as Batch;
    switch (error) {
      case code.none:
      case code.duplicateSequenceNumber:
        this.#sequence = (this.#sequence + batch.pending.length) % sequences;
        this.#settle(batch, undefined);
        return "settled";
      case code.outOfOrderSequenceNumber:
      case code.unknownProducerId:
      case code.invalidProducerEpoch:
        // The broker has forgotten us, and has not written this batch.
        this.#identity = undefined;
        return "again";
      case code.messageTooLarge:
      case code.recordListTooLarge:
        return this.#refused(batch, error, "it is larger than the topic allows (max.message.bytes)");
      case code.requestTimedOut:
      case code.notEnoughReplicasAfterAppend:
        batch.isUndecided = true;
        return "again";
      default:
        if (isStaleLeader(error)) return "again-elsewhere";
        if (isTransient(error)) return "again";
        if (isNotAuthorized(error))
          return this.#refused(batch, error, "the user of the URL may not write to the topic");
        return this.#refused(batch, error, message ?? "the broker refused it");
    }
  }

  /** There was no answer. */
  unanswered(wasSent: boolean): void {
    if (wasSent && this.#batch !== undefined) this.#batch.isUndecided = true;
  }

  /**
   * Gives up the batch and all that waits behind it: later records of a key must not overtake it.
   */
  giveUp(failure: PublishFailure): void {
    const batch = this.#batch;
    if (batch?.isUndecided === true) this.#identity = undefined;
    const waiting = this.#waiting.slice(this.#head);
    this.#waiting.length = 0;
    this.#head = 0;
    this.attempts = 0;
    if (batch !== undefined) this.#settle(batch, failure);
    for (const one of waiting) one.settle(failure);
  }

  /** A batch of several goes again in halves, so that only the culprit fails. */
  #refused(batch: Batch, error: number, why: string): Verdict {
    if (batch.pending.length === 1) {
      const text = `kafka: ${this.topic}/${this.partition} did not take a record: ${why} [${codeText(error)}]`;
      this.#recordsMax = batchRecordsMax;
      this.#settle(batch, { isRetryable: false, error: new Error(text) });
      return "settled";
    }
    this.#recordsMax = Math.ceil(batch.pending.length / 2);
    if (error === code.messageTooLarge) this.#bytesMax = Math.max(Math.ceil(batch.bytes.length / 2), 1_024);
    this.#batch = undefined;
    this.attempts = 0;
    this.#waiting.splice(0, this.#head, ...batch.pending);
    this.#head = 0;
    return "settled";
  }

  #settle(batch: Batch, failure: PublishFailure | undefined): void {
    this.#batch = undefined;
    this.attempts = 0;
    for (const one of batch.pending) one.settle(failure);
  }

  #compact(): void {
    if (this.#head === this.#waiting.length) {
      this.#waiting.length = 0;
      this.#head = 0;
    } else if (this.#head > 4_096) {
      this.#waiting.splice(0, this.#head);
      this.#head = 0;
    }
  }
}
