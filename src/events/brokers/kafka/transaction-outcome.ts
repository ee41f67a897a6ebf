import type { OutgoingRecord } from "./batch-writer.ts";
import { code, isStaleCoordinator, isTransient } from "./error-codes.ts";
import { transactionBudgetMs } from "./limits.ts";
import type { CommitAnswer, OpenTransaction } from "./wire.ts";

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

/** A producer in its present epoch. */
export interface Identity extends OpenTransaction {
  /** Next sequence numbers by partition; they begin again with each epoch. */
  readonly sequences: Map<string, number>;
}

/** Ends a transaction before its commit was asked for. */
export class Ended extends Error {
  readonly outcome: TransactionOutcome<unknown>;

  constructor(outcome: TransactionOutcome<unknown>) {
    super(outcome.kind);
    this.outcome = outcome;
  }
}

/** All are waited for, also when one fails, so that nothing of a transaction is on its way when the next begins. */
export async function allDone<T>(parts: readonly Promise<T>[]): Promise<readonly T[]> {
  const ended = await Promise.allSettled(parts);
  return ended.map(part => {
    if (part.status === "rejected") throw part.reason;
    return part.value;
  });
}

export function aborted(why: string, offsets?: readonly CommitAnswer[]): Ended {
  return new Ended({ kind: "aborted", why, offsets });
}

export function refusal(outputs: readonly TransactionOutput<unknown>[], why: string): Ended {
  return new Ended({ kind: "refused", why, sources: new Set(outputs.map(({ source }) => source)) });
}

/** The coordinator has ended the transaction, or somebody else has the producer's id: this epoch is of no use any more. */
export function isFenced(error: number): boolean {
  return (
    error === code.producerFenced ||
    error === code.invalidProducerEpoch ||
    error === code.transactionCoordinatorFenced ||
    error === code.invalidTransactionState ||
    error === code.outOfOrderSequenceNumber ||
    error === code.unknownProducerId
  );
}

export function isRepeatable(error: number): boolean {
  return error === code.concurrentTransactions || isStaleCoordinator(error) || isTransient(error);
}

/** Of a transaction that takes too long. */
export function tooLong(what: string, why: string): Ended {
  return aborted(`${what} took longer than ${transactionBudgetMs / 1_000} s: ${why}`);
}
