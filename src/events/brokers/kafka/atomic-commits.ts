import type { Platform } from "../../../platform/index.ts";
import type { LogLane, LogRecord } from "../../log/index.ts";
import type { OutgoingRecord } from "./batch-writer.ts";
import { code } from "./error-codes.ts";
import type { Member } from "./group-member.ts";
import type { TransactionOutput } from "./transaction-outcome.ts";
import { type SourceOutputs, TransactionalLane } from "./transactional-lane.ts";
import { nothingTaken, type TransactionalProducer } from "./transactional-producer.ts";
import { CallError, type CommitAnswer, type OffsetToCommit } from "./wire.ts";

export interface AtomicCommitsOptions {
  readonly group: string;
  readonly platform: Platform;
  readonly member: Member;
  readonly producer: TransactionalProducer<SourceOutputs>;
  /** Why a record is given up whose outputs nobody takes. */
  readonly letterOf: (record: LogRecord, why: string) => OutgoingRecord;
  readonly failed: (error: Error) => void;
  /** A lane has room again. */
  readonly freed: (lane: LogLane) => void;
}

/** Commits offsets together with what was published below them: in a transaction, or plainly where there is nothing. */
export class AtomicCommits {
  readonly #options: AtomicCommitsOptions;

  constructor(options: AtomicCommitsOptions) {
    this.#options = options;
  }

  refused(error: number): void {
    this.#options.member.refused(error);
  }

  /** @throws CallError when it is not durable and may be repeated */
  async commit(offsets: readonly OffsetToCommit[], lanes: readonly LogLane[]): Promise<readonly CommitAnswer[]> {
    const { member, producer, group } = this.#options;
    const below = lanes.map((lane, index) => {
      const { offset } = offsets[index] as OffsetToCommit;
      return lane instanceof TransactionalLane ? { lane, offset, held: lane.outputsBelow(offset) } : undefined;
    });
    const outputs = below.flatMap(one => one?.held ?? []).flatMap(toOutputs);
    if (outputs.length === 0) return member.commit(offsets);
    const outcome = await producer.run(outputs, offsets, {
      group,
      commitInTransaction: (transaction, some) => member.commitInTransaction(transaction, some),
    });
    switch (outcome.kind) {
      case "committed":
        for (const one of below) if (one?.lane.forgetBelow(one.offset) === true) this.#options.freed(one.lane);
        return offsets.map(({ topic, partition }) => ({ topic, partition, error: code.none }));
      case "aborted":
        if (outcome.offsets !== undefined) return outcome.offsets;
        throw new CallError(outcome.why, true, false);
      case "refused":
        this.#giveUp(below, outcome.sources, outcome.why);
        throw new CallError(outcome.why, true, false);
      case "unknown":
        // What was published may be durable, so that it must not be published again: the group's offsets tell.
        member.rejoin();
        return offsets.map(({ topic, partition }) => ({ topic, partition, error: code.illegalGeneration }));
      default:
        return outcome satisfies never;
    }
  }

  #giveUp(
    below: readonly ({ readonly lane: TransactionalLane; readonly held: readonly SourceOutputs[] } | undefined)[],
    sources: ReadonlySet<SourceOutputs>,
    why: string,
  ): void {
    for (const one of below) {
      for (const held of one?.held ?? []) {
        if (!sources.has(held)) continue;
        if (held.isLetter) this.#options.failed(nothingTaken(this.#options.group, why));
        else one?.lane.replace(held, this.#options.letterOf(held.source, why));
      }
    }
  }
}

function toOutputs(source: SourceOutputs): readonly TransactionOutput<SourceOutputs>[] {
  return source.outputs.map(record => ({ record, source }));
}
