import { BrokerError } from "../errors.ts";
import type { Isolation } from "./isolation.ts";
import { decodeLaneMetadata } from "./lane-metadata.ts";
import type { LogRecord } from "./log-record.ts";

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/**
 * Counts attempts across crashes, so that a record that kills its process does not kill its successors for ever.
 *
 * After an owner that did not end cleanly, every record that it may have begun is a suspect: it counts as begun once, and
 * from then on each attempt is made durable before it runs. Suspects that were running at a second crash run alone
 * (`isolation.ts`), so that of all that run at once only the one that kills collects attempts.
 */
export class CrashAccount {
  readonly #isolation: Isolation;
  readonly #needCommit: () => void;
  /** Offsets below it, from the committed one on, are suspects. */
  readonly #suspectsEnd: number;
  /** Attempts by offset; a suspect that is missing has one. */
  readonly #attempts: Map<number, number>;
  #waiting: Waiter[] = [];
  #inFlight: Waiter[] = [];

  constructor(committed: number, metadata: string | undefined, isolation: Isolation, needCommit: () => void) {
    const before = decodeLaneMetadata(committed, metadata);
    this.#isolation = isolation;
    this.#needCommit = needCommit;
    this.#suspectsEnd = committed + before.window;
    this.#attempts = new Map(before.attempts);
  }

  /** Whether records from `offset` on may be suspects. */
  concerns(offset: number): boolean {
    return offset < this.#suspectsEnd || this.#attempts.size > 0;
  }

  /** Whether somebody waits for the next commit. */
  get isWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** Attempts that earlier owners have begun. */
  attemptsOf(offset: number): number {
    return this.#attempts.get(offset) ?? (offset < this.#suspectsEnd ? 1 : 0);
  }

  /**
   * Counts an attempt at a suspect; resolves when the count is durable.
   * @param begun attempts before this one, of which the record itself may carry some
   */
  begin(record: LogRecord, begun: number): Promise<void> | undefined {
    const crashes = this.attemptsOf(record.offset);
    if (crashes === 0) return undefined;
    const attempts = Math.max(crashes, begun - record.carried.attempts);
    if (crashes === 1 || this.#isolation.isAlone(record)) return this.#count(record, attempts);
    return new Promise((resolve, reject) => {
      this.#isolation.enter(
        record,
        () => this.#count(record, attempts).then(resolve, reject),
        () => reject(new BrokerError(`${record.place} was given back before its attempt began`)),
      );
    });
  }

  /** The record is settled: should it come again after a crash, its counting begins anew. */
  settled(record: LogRecord): void {
    if (this.#attempts.size > 0) this.#attempts.delete(record.offset);
    this.#isolation.leave(record);
  }

  /** The record does not run any more. */
  gaveWay(record: LogRecord): void {
    this.#isolation.leave(record);
  }

  afterCommit(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#needCommit();
    });
  }

  /** What a commit at `offset` says of attempts. */
  take(offset: number): ReadonlyMap<number, number> {
    for (const one of this.#attempts.keys()) if (one < offset) this.#attempts.delete(one);
    this.#inFlight = this.#waiting;
    this.#waiting = [];
    return this.#attempts;
  }

  committed(): void {
    const begun = this.#inFlight;
    this.#inFlight = [];
    for (const { resolve } of begun) resolve();
  }

  commitFailed(): void {
    this.#waiting = [...this.#inFlight, ...this.#waiting];
    this.#inFlight = [];
  }

  close(lane: object, reason: Error): void {
    const waiting = [...this.#inFlight, ...this.#waiting];
    this.#inFlight = [];
    this.#waiting = [];
    for (const { reject } of waiting) reject(reason);
    this.#isolation.leaveAll(lane);
  }

  #count(record: LogRecord, attempts: number): Promise<void> {
    this.#attempts.set(record.offset, attempts + 1);
    return this.afterCommit();
  }
}
