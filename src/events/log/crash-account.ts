import type { Clock, Timer } from "../../platform/index.ts";
import { BrokerError } from "../errors.ts";
import { decodeLaneMetadata } from "./lane-metadata.ts";
import { suspectAloneMs } from "./limits.ts";
import type { LogRecord } from "./log-record.ts";

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

interface Queued extends Waiter {
  readonly record: LogRecord;
  readonly attempts: number;
}

/**
 * Counts attempts across crashes, so that a record that kills its process does not kill its successors for ever.
 *
 * After an owner that did not end cleanly, every record that it may have begun is a suspect: it counts as begun once, and
 * from then on each attempt is made durable before it runs. A suspect that was running at a second crash has the lane's
 * suspects for itself for a while, so that of all that run at once only the one that kills collects attempts.
 */
export class CrashAccount {
  readonly #clock: Clock;
  readonly #needCommit: () => void;
  /** Offsets below it, from the committed one on, are suspects. */
  readonly #suspectsEnd: number;
  /** Attempts by offset; a suspect that is missing has one. */
  readonly #attempts: Map<number, number>;
  #waiting: Waiter[] = [];
  #inFlight: Waiter[] = [];
  #alone: LogRecord | undefined;
  #aloneTimer: Timer | undefined;
  #queue: Queued[] = [];

  constructor(committed: number, metadata: string | undefined, clock: Clock, needCommit: () => void) {
    const before = decodeLaneMetadata(committed, metadata);
    this.#clock = clock;
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
    if (crashes === 1 || this.#alone === record) return this.#count(record, attempts);
    if (this.#alone === undefined) {
      this.#isolate(record);
      return this.#count(record, attempts);
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ record, attempts, resolve, reject });
    });
  }

  /** The record is settled: should it come again after a crash, its counting begins anew. */
  settled(record: LogRecord): void {
    if (this.#attempts.size > 0) this.#attempts.delete(record.offset);
    this.gaveWay(record);
  }

  /** The record does not run any more. */
  gaveWay(record: LogRecord): void {
    if (this.#alone === undefined) return;
    if (this.#alone === record) this.#nextAlone();
    else this.#queue = this.#queue.filter(queued => queued.record !== record || this.#giveUp(queued));
  }

  #giveUp({ record, reject }: Queued): false {
    reject(new BrokerError(`${record.place} was given back before its attempt began`));
    return false;
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

  close(reason: Error): void {
    this.#aloneTimer?.cancel();
    const waiting = [...this.#inFlight, ...this.#waiting, ...this.#queue];
    this.#inFlight = [];
    this.#waiting = [];
    this.#queue = [];
    for (const { reject } of waiting) reject(reason);
  }

  #count(record: LogRecord, attempts: number): Promise<void> {
    this.#attempts.set(record.offset, attempts + 1);
    return this.afterCommit();
  }

  #isolate(record: LogRecord): void {
    this.#alone = record;
    this.#aloneTimer = this.#clock.after(suspectAloneMs, () => this.#nextAlone());
  }

  #nextAlone(): void {
    this.#aloneTimer?.cancel();
    this.#alone = undefined;
    const next = this.#queue.shift();
    if (next === undefined) return;
    this.#isolate(next.record);
    this.#count(next.record, next.attempts).then(next.resolve, next.reject);
  }
}
