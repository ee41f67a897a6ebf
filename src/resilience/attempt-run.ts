import { failureKind, sharedCause } from "./classify.ts";
import type { Attempt, Work } from "./part.ts";
import type { FailureKind, Outcome, Permit } from "./permit.ts";
import type { Run } from "./run.ts";
import { TimeoutError } from "./timeout-error.ts";
import type { Timed } from "./timeout-queue.ts";

type WorkWithoutSignal = (signal: undefined, attempt: Attempt) => unknown;

/** What became of an attempt before its work ended. */
export type Fate = "timed_out" | "abandoned";

/** One attempt. Its own time limit is the attempt's time-out. */
export class AttemptRun implements Attempt, Timed {
  readonly number: number;
  readonly isHedge: boolean;
  readonly previousError: unknown;
  next: Timed;
  previous: Timed;
  dueMs: number;
  nextRunning: AttemptRun | undefined;
  readonly #run: Run;
  readonly #startedAtMs: number;
  readonly #breakerPermit: Permit | undefined;
  readonly #limitPermit: Permit | undefined;
  readonly #bulkheadPermit: Permit | undefined;
  #controller: AbortController | undefined;
  #hasEnded: boolean;
  #fate: Fate | undefined;

  /** Takes over the places that the call holds. */
  constructor(
    run: Run,
    number: number,
    isHedge: boolean,
    nowMs: number,
    breakerPermit: Permit | undefined,
    previousError: unknown,
  ) {
    this.#run = run;
    this.number = number;
    this.isHedge = isHedge;
    this.#startedAtMs = nowMs;
    this.#breakerPermit = breakerPermit;
    this.previousError = previousError;
    this.next = this;
    this.previous = this;
    this.dueMs = 0;
    this.nextRunning = undefined;
    this.#limitPermit = run.limitPermit;
    this.#bulkheadPermit = run.bulkheadPermit;
    run.limitPermit = undefined;
    run.bulkheadPermit = undefined;
    this.#controller = undefined;
    this.#hasEnded = false;
    this.#fate = undefined;
  }

  get previousAttempts(): number {
    return this.number - 1;
  }

  get deadlineAt(): number {
    const limitMs = this.#run.plan.attemptTimeouts?.limitMs ?? Number.POSITIVE_INFINITY;
    return Math.min(this.#startedAtMs + limitMs, this.#run.deadlineAt);
  }

  send(work: Work<unknown>): void {
    this.#run.plan.attemptTimeouts?.add(this, this.#startedAtMs);
    let result: unknown;
    try {
      // A function that declares no parameter cannot look at a signal, so none is made.
      result = work.length === 0 ? (work as unknown as WorkWithoutSignal)(undefined, this) : work(this.#signal(), this);
    } catch (error) {
      this.#failed(error);
      return;
    }
    if (isThenable(result)) {
      result.then(
        value => this.#succeeded(value),
        error => this.#failed(error),
      );
    } else this.#succeeded(result);
  }

  #signal(): AbortSignal {
    const run = this.#run;
    const { plan, options } = run;
    // Where nothing but the caller can abort, its own signal does.
    if (options?.signal !== undefined && plan.callTimeouts === undefined && plan.attemptTimeouts === undefined) {
      if (plan.hedge === undefined && run.deadlineAt === Number.POSITIVE_INFINITY) return options.signal;
    }
    this.#controller = new AbortController();
    return this.#controller.signal;
  }

  #succeeded(value: unknown): void {
    if (this.#hasEnded) return;
    const { plan } = this.#run;
    const isTimed = plan.measuresLatency;
    const nowMs = isTimed ? plan.clock.now() : 0;
    const latencyMs = isTimed ? nowMs - this.#startedAtMs : Number.NaN;
    if (this.#fate === undefined) {
      plan.hedge?.observe(nowMs, latencyMs);
      this.#breakerPermit?.success(latencyMs);
    }
    this.#workEnded("success", "error", latencyMs, true);
    this.#run.attemptSucceeded(this, value);
  }

  #failed(error: unknown): void {
    if (this.#hasEnded) return;
    const run = this.#run;
    const nowMs = run.plan.clock.now();
    const latencyMs = nowMs - this.#startedAtMs;
    const kind = failureKind(error);
    let outcome: Outcome = "ignore";
    if (this.#fate === undefined) {
      outcome = run.judge(error);
      this.#breakerPermit?.settle(outcome, kind, latencyMs, sharedCause(error));
    }
    this.#workEnded(outcome, kind, latencyMs, false);
    run.attemptFailed(this, error, nowMs);
  }

  /** The attempt's time-out: the call goes on without it, and its work is told to end. */
  expire(nowMs: number): void {
    const run = this.#run;
    const { plan } = run;
    run.tell({ type: "resilience.timeout", policy: plan.name, scope: "attempt" });
    const who = plan.name === undefined ? "" : `${plan.name}: `;
    const limitMs = plan.attemptTimeouts?.limitMs;
    const error = new TimeoutError("attempt", `${who}attempt ${this.number} had no answer within ${limitMs} ms`);
    this.#fate = "timed_out";
    const latencyMs = nowMs - this.#startedAtMs;
    plan.hedge?.observe(nowMs, latencyMs);
    this.#breakerPermit?.settle(run.judge(error), "timeout", latencyMs);
    this.#controller?.abort(error);
    run.attemptFailed(this, error, nowMs);
  }

  /** The call is over, or another attempt has won. */
  abandon(reason: unknown, fate: Fate, nowMs: number): void {
    const { plan } = this.#run;
    this.#fate = fate;
    plan.attemptTimeouts?.remove(this);
    if (fate === "timed_out") this.#breakerPermit?.failure("timeout", nowMs - this.#startedAtMs);
    else this.#breakerPermit?.ignore();
    if (plan.hedge !== undefined) {
      const endMs = plan.clock.now();
      plan.hedge.observe(endMs, endMs - this.#startedAtMs);
    }
    this.#controller?.abort(reason);
  }

  /** The work has really ended: its place in the bulkhead goes back to the call for a further attempt, or is free. */
  #workEnded(outcome: Outcome, kind: FailureKind, latencyMs: number, isLast: boolean): void {
    this.#hasEnded = true;
    const run = this.#run;
    run.plan.attemptTimeouts?.remove(this);
    if (this.#bulkheadPermit !== undefined) {
      if (isLast || run.isOver || run.bulkheadPermit !== undefined) this.#bulkheadPermit.ignore();
      else run.bulkheadPermit = this.#bulkheadPermit;
    }
    if (this.#limitPermit === undefined) return;
    if (this.#fate === undefined) this.#limitPermit.settle(outcome, kind, latencyMs);
    else if (this.#fate === "timed_out") this.#limitPermit.failure("timeout", latencyMs);
    else this.#limitPermit.ignore();
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
}
