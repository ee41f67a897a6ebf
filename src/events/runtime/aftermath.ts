import type { Clock, Random } from "../../platform/index.ts";
import { backoffDelayMs } from "../../resilience/index.ts";
import type { DriverSubscription } from "../driver.ts";
import { deadLetter, dropStep, type Entry, handleStep, type Move } from "./entry.ts";
import { exceptionText } from "./exception-text.ts";
import type { Flow } from "./flow.ts";
import type { Journal } from "./journal.ts";
import { moveAgain } from "./limits.ts";
import type { ConsumerPlan } from "./plan.ts";
import { requestTimeLeftMs } from "./request-time.ts";
import { type AfterFailure, afterFailure } from "./retry-schedule.ts";

/**
 * What follows when an entry is not handled: another attempt here after a delay, or a move by the broker, back to the group
 * later or to the dead letters for good. A broker that does not take a move loses nothing: the entry keeps its key, and it
 * is tried again.
 */
export class Aftermath {
  readonly #plan: ConsumerPlan;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #journal: Journal;
  readonly #flow: Flow;
  #subscription: DriverSubscription | undefined;

  constructor(plan: ConsumerPlan, clock: Clock, random: Random, journal: Journal, flow: Flow) {
    this.#plan = plan;
    this.#clock = clock;
    this.#random = random;
    this.#journal = journal;
    this.#flow = flow;
  }

  /** The driver's half, which moves records. Before it is there, no entry has its turn. */
  attach(subscription: DriverSubscription): void {
    this.#subscription = subscription;
  }

  /** An attempt has failed. */
  follow(entry: Entry, error: unknown): void {
    const { schedule, onFailure, canRetryLater } = this.#plan;
    const next = afterFailure(entry, error, schedule, this.#random);
    if (next.kind !== "dead" && requestTimeLeftMs(entry.record, this.#clock) <= next.delayMs) {
      this.#giveUpRequest(entry, error);
      return;
    }
    if (next.kind === "dead") this.#move(entry, deadLetter(next.reason, exceptionText(error)));
    else if (next.kind === "delayed" && onFailure === "unordered" && canRetryLater) {
      this.#move(entry, { kind: "retry-later", delayMs: next.delayMs });
    } else this.#again(entry, next);
  }

  /** No handler gets an entry at its turn: does what its step says instead. */
  proceed(entry: Entry): void {
    const { step } = entry;
    if (step.kind === "failed") {
      entry.step = handleStep;
      this.follow(entry, step.error);
    } else if (step.kind === "handle") throw new Error("an entry without a move was moved");
    else this.#move(entry, step);
  }

  /** Hands an entry to the broker, unless it is to be dropped; then it is settled. */
  #move(entry: Entry, step: Move): void {
    entry.step = step;
    if (step.kind === "drop") {
      this.#drop(entry);
      return;
    }
    const { record, attempts, firstFailedAtMs } = entry;
    const subscription = this.#subscription as DriverSubscription;
    let moved: Promise<void>;
    if (step.kind === "retry-later") {
      moved = subscription.retryLater(record, step.delayMs, { attempts, firstFailedAtMs });
    } else {
      moved = subscription.deadLetter(record, {
        attempts,
        firstFailedAtMs,
        reason: step.reason,
        exception: step.exception,
        consumer: this.#plan.consumer,
        contract: entry.handling?.contract.typeName,
      });
      const answering = entry.handling?.answering;
      if (answering !== undefined) moved = moved.then(() => answering.giveUp(record, step.reason, step.exception));
    }
    moved.then(
      () => this.#moved(entry, step),
      error => this.moveFailed(entry, step.kind, error),
    );
  }

  /** The broker did not take a move or the mark of an attempt. */
  moveFailed(entry: Entry, what: "begin" | "retry-later" | "dead-letter", error: unknown): void {
    entry.moveFailures++;
    this.#journal.moveFailed(entry, what, error);
    if (this.#isOver(entry)) return;
    this.#flow.hold(entry, backoffDelayMs(moveAgain, entry.moveFailures, 0, this.#random));
  }

  #moved(entry: Entry, step: Exclude<Move, { kind: "drop" }>): void {
    if (step.kind === "retry-later") this.#journal.retried(entry, step.delayMs, "moved");
    else this.#journal.deadLettered(entry, step.reason);
    this.#flow.leave(entry, true);
  }

  /** There would be no time for another attempt: whoever waits is told so as long as it waits. */
  #giveUpRequest(entry: Entry, error: unknown): void {
    entry.step = dropStep;
    const told = entry.handling?.answering?.giveUp(entry.record, "late", exceptionText(error));
    if (told === undefined) this.#drop(entry);
    else void told.then(() => this.#drop(entry));
  }

  #drop(entry: Entry): void {
    this.#journal.requestExpired(entry);
    this.#flow.leave(entry, true);
  }

  /** Another attempt here, after a delay. */
  #again(entry: Entry, { kind, delayMs }: Extract<AfterFailure, { delayMs: number }>): void {
    if (kind === "delayed" && entry.parkedKey !== undefined) {
      // It has a place at the broker already, where it waits whoever has the lane then.
      this.#journal.retried(entry, delayMs, "parked");
      this.#flow.putBack(entry, delayMs);
      return;
    }
    if (this.#isOver(entry)) return;
    this.#journal.retried(entry, delayMs, "held");
    this.#flow.park(entry, delayMs);
  }

  /** Whether there is no further attempt here, because the lane goes or the subscription drains: somebody else has it then. */
  #isOver(entry: Entry): boolean {
    const { phase, lane } = entry.lane;
    if (phase === "open" && !this.#flow.isStopped) return false;
    if (phase === "open" && entry.parkedKey === undefined) lane.release(entry.record);
    this.#flow.leave(entry, false);
    return true;
  }
}
