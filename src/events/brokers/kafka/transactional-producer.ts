import type { Platform } from "../../../platform/index.ts";
import { BrokerError } from "../../errors.ts";
import { type Cluster, producerRefused } from "./cluster.ts";
import { code, codeText, isNotAuthorized, isStaleCoordinator, isTransient } from "./error-codes.ts";
import { abortBudgetMs, concurrentTransactionMs, transactionBudgetMs, transactionTimeoutMs } from "./limits.ts";
import { pause } from "./pause.ts";
import {
  aborted,
  allDone,
  Ended,
  type Identity,
  isFenced,
  isRepeatable,
  refusal,
  type TransactionOutcome,
  type TransactionOutput,
  tooLong,
} from "./transaction-outcome.ts";
import { type TransactionQueue, TransactionWrites } from "./transaction-writes.ts";
import {
  type Address,
  CallError,
  type Channel,
  type CommitAnswer,
  type KafkaClient,
  type OffsetToCommit,
  type OpenTransaction,
} from "./wire.ts";

export interface TransactionGroup {
  readonly group: string;
  commitInTransaction(
    transaction: OpenTransaction,
    offsets: readonly OffsetToCommit[],
  ): Promise<readonly CommitAnswer[]>;
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
  readonly #writes: TransactionWrites<S>;
  readonly #transactionalId: string;
  readonly #closed = new AbortController();
  #coordinator: Promise<Address> | undefined;
  #identity: Identity | undefined;

  constructor(client: KafkaClient, channel: Channel, cluster: Cluster, platform: Platform, transactionalId: string) {
    this.#channel = channel;
    this.#cluster = cluster;
    this.#platform = platform;
    this.#writes = new TransactionWrites({ client, channel, cluster, platform, signal: this.#closed.signal });
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
      await allDone([
        this.#writes.write(identity, queues, untilMs),
        this.#commitOffsets(identity, offsets, group, untilMs),
      ]);
    } catch (error) {
      await this.#abort();
      if (error instanceof Ended) return error.outcome as TransactionOutcome<S>;
      throw error;
    }
    const outcome = await this.#commit(identity);
    if (outcome.kind === "committed") this.#writes.committed();
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

  async #placed(outputs: readonly TransactionOutput<S>[], untilMs: number): Promise<readonly TransactionQueue<S>[]> {
    await this.#repeat("metadata", untilMs, async () => {
      const missing = this.#writes.unknownTopics(outputs);
      if (missing.length === 0) return code.none;
      await this.#cluster.refresh(missing);
      return this.#writes.unknownTopics(outputs).length === 0 ? code.none : code.unknownTopicOrPartition;
    });
    return this.#writes.place(outputs);
  }

  async #begin(
    identity: Identity,
    queues: readonly TransactionQueue<S>[],
    group: string,
    untilMs: number,
  ): Promise<void> {
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
    throw tooLong(what, why);
  }
}

/** Of a subscription that publishes what cannot be published, and whose dead letters are refused too. */
export function nothingTaken(group: string, why: string): BrokerError {
  return new BrokerError(`kafka: group ${group}: a dead letter was refused: ${why}`);
}
