import { type Clock, currentWork, outsideContext, runInContext } from "../../platform/index.ts";
import { TimeoutError, TimeoutQueue } from "../../resilience/index.ts";
import type { Aftermath } from "./aftermath.ts";
import { readEntry } from "./arrival.ts";
import { HandlerDelivery } from "./delivery.ts";
import { deadLetter, dropStep, type Entry, type EntryOwner, type LaneState } from "./entry.ts";
import type { Flow } from "./flow.ts";
import type { Handling } from "./handling.ts";
import type { Journal } from "./journal.ts";
import { abandonedHandlerMs } from "./limits.ts";
import { HandlerOutputs, handlerOutputs } from "./outputs.ts";
import type { ConsumerPlan } from "./plan.ts";
import { requestTimeLeftMs } from "./request-time.ts";
import { isThenable } from "./thenable.ts";

/**
 * Runs the handlers of entries that have their turn, each under its deadline. An attempt counts before its handler runs;
 * what follows one that fails, and what becomes of an entry that no handler may get, is for `aftermath.ts`.
 */
export class Attempts implements EntryOwner {
  readonly #plan: ConsumerPlan;
  readonly #clock: Clock;
  readonly #journal: Journal;
  readonly #flow: Flow;
  readonly #aftermath: Aftermath;
  readonly #deadlines: TimeoutQueue;
  readonly #abandonments: TimeoutQueue;
  readonly #running = new Set<Entry>();

  constructor(plan: ConsumerPlan, clock: Clock, journal: Journal, flow: Flow, aftermath: Aftermath) {
    this.#plan = plan;
    this.#clock = clock;
    this.#journal = journal;
    this.#flow = flow;
    this.#aftermath = aftermath;
    this.#deadlines = new TimeoutQueue(clock, plan.handlerTimeoutMs);
    this.#abandonments = new TimeoutQueue(clock, abandonedHandlerMs);
  }

  /** An entry has its turn. */
  start(entry: Entry): void {
    const { handling, record } = entry;
    if (handling === undefined || !this.#isFit(entry, handling)) {
      this.#aftermath.proceed(entry);
      return;
    }
    const begun = entry.source.begin?.(record, entry.attempts);
    if (begun === undefined) this.#handle(entry, handling);
    else {
      begun.then(
        () => this.#handle(entry, handling),
        error => this.#aftermath.moveFailed(entry, "begin", error),
      );
    }
  }

  /** Whether a handler may get an entry now, alone or in a batch; otherwise its step says what is done instead. */
  isFit(entry: Entry): boolean {
    return entry.handling !== undefined && this.#isFit(entry, entry.handling);
  }

  /** Aborts the signals of all handlers that run, or of those of a lane. */
  abort(reason: Error, lane?: LaneState): void {
    for (const entry of this.#running) if (lane === undefined || entry.lane === lane) entry.delivery?.abort(reason);
  }

  #isFit(entry: Entry, handling: Handling): boolean {
    if (entry.step.kind !== "handle") return false;
    const { expiresAtMs, replyTo } = entry.record.attributes;
    if (expiresAtMs !== undefined && expiresAtMs <= this.#clock.wall()) {
      entry.step =
        replyTo === undefined
          ? deadLetter("expired", `it was not to be handled after ${new Date(expiresAtMs).toISOString()}`)
          : dropStep;
      return false;
    }
    const refusal = handling.answering?.refusal(entry.record);
    if (refusal !== undefined) {
      entry.step = deadLetter("invalid", refusal);
      return false;
    }
    if (entry.attempts >= this.#plan.schedule.maxAttempts) {
      entry.step = deadLetter("attempts", `${entry.attempts} attempts have begun, and the last one never ended`);
      return false;
    }
    return entry.event !== undefined || readEntry(entry, handling);
  }

  #handle(entry: Entry, handling: Handling): void {
    if (entry.lane.phase === "gone") {
      this.#flow.leave(entry, false);
      return;
    }
    const { record } = entry;
    const event = entry.event as object;
    const nowMs = this.#clock.now();
    const key = record.key ?? handling.contract.keyOf(event);
    const { group, handlerTimeoutMs } = this.#plan;
    const timeoutMs = Math.min(handlerTimeoutMs, requestTimeLeftMs(record, this.#clock));
    const { type } = handling.contract;
    const delivery = new HandlerDelivery(group, record, type, key, entry.attempts, this.#clock, nowMs + timeoutMs);
    entry.attempts++;
    entry.delivery = delivery;
    entry.startedMs = nowMs;
    let result: unknown;
    try {
      result = runInContext(currentWork, delivery, () => this.#invoke(entry, handling, event, delivery));
    } catch (error) {
      this.#failed(entry, error);
      return;
    }
    if (isThenable(result)) {
      // Only now: nobody can abort a handler, and no time passes for its deadline, before it gives back control.
      this.#running.add(entry);
      if (timeoutMs === handlerTimeoutMs) this.#deadlines.add(entry, nowMs);
      else {
        entry.deadline = outsideContext(() => this.#clock.after(timeoutMs, () => this.late(entry, this.#clock.now())));
      }
      // Outside of the handler's context, so that what follows does not belong to it.
      result.then(
        () => this.#succeeded(entry),
        error => this.#failed(entry, error),
      );
    } else this.#succeeded(entry);
  }

  #invoke(entry: Entry, handling: Handling, event: object, delivery: HandlerDelivery): unknown {
    const { transaction } = this.#plan;
    if (transaction === undefined) return handling.invoke(event, delivery);
    const outputs = new HandlerOutputs(transaction);
    entry.outputs = outputs;
    return runInContext(handlerOutputs, outputs, () => handling.invoke(event, delivery));
  }

  late(entry: Entry, nowMs: number): void {
    if (entry.isLate) {
      this.#journal.abandoned(entry, nowMs - entry.startedMs);
      return;
    }
    entry.isLate = true;
    const ranMs = Math.round(nowMs - entry.startedMs);
    entry.delivery?.abort(new TimeoutError("attempt", `the handler had ${ranMs} ms`));
    this.#abandonments.add(entry, nowMs);
  }

  #succeeded(entry: Entry): void {
    this.#ended(entry);
    this.#journal.handled(entry);
    this.#flow.leave(entry, true);
  }

  #failed(entry: Entry, error: unknown): void {
    this.#ended(entry);
    entry.outputs = undefined;
    entry.firstFailedAtMs ??= this.#clock.wall();
    this.#journal.failed(entry, error);
    if (entry.lane.phase === "gone") this.#flow.leave(entry, false);
    else this.#aftermath.follow(entry, error);
  }

  /** The handler has really ended. */
  #ended(entry: Entry): void {
    this.#running.delete(entry);
    // Both queues link entries the same way.
    this.#deadlines.remove(entry);
    entry.deadline?.cancel();
    entry.deadline = undefined;
    entry.isLate = false;
    entry.delivery = undefined;
    entry.outputs?.close();
  }
}
