import { isRpcError, RejectedError, type Rejection } from "../errors/index.ts";
import { type Timer, WholeContext } from "../platform/index.ts";
import { AttemptRun, type Fate } from "./attempt-run.ts";
import { failureKind } from "./classify.ts";
import type { ResilienceEvent, RetryRefusal } from "./events.ts";
import { markOutOfRetries } from "./out-of-retries.ts";
import type { RunOptions, Work } from "./part.ts";
import { type Outcome, Permit } from "./permit.ts";
import type { Plan } from "./plan.ts";
import type { RateLimit } from "./rate-limit.ts";
import { TimeoutError } from "./timeout-error.ts";
import type { Timed } from "./timeout-queue.ts";
import { Waiter } from "./waiter.ts";

/**
 * Runs work under a plan: recovery → deadline → admission (throttle, rate limit, adaptive limit, bulkhead) → attempts
 * (retries and hedges) → breaker → the work, under the attempt's time-out.
 *
 * Driven by callbacks rather than by an async function: besides the caller's promise a call then costs two small objects,
 * a permit for each guard and two closures, which is half of what awaiting costs, and a time-out can answer the caller
 * while the work still runs (`npm run bench -- resilience`, `five-parts`).
 */
export function execute<T>(plan: Plan, work: Work<T>, options?: RunOptions): Promise<T> {
  if (plan.shapes.length === 0) keepShapes(plan);
  return new Promise<T>((resolve, reject) => {
    new Run(plan, work as Work<unknown>, options, resolve as (value: unknown) => void, reject).start();
  });
}

/**
 * Keeps one object of each class alive with the plan. V8 drops optimised code when a collection finds no object of a hidden
 * class that the code relies on, which happens whenever a process has no call under way; the calls after it would then be
 * ten times slower until the code is optimised anew.
 */
function keepShapes(plan: Plan): void {
  const nothing = () => {};
  const run = new Run(plan, nothing, undefined, nothing, nothing);
  plan.shapes.push(run, new AttemptRun(run, 0, false, 0, undefined, undefined), new Permit({ settle: nothing }, 0, 0));
}

/** One call from its beginning to its end. Its own time limit is the deadline of the call. */
export class Run implements Timed {
  // Assigned in the constructor, without a base class: a third of the time that initialisers and `super` would take.
  readonly plan: Plan;
  readonly options: RunOptions | undefined;
  readonly #work: Work<unknown>;
  readonly #resolve: (value: unknown) => void;
  readonly #reject: (error: unknown) => void;
  next: Timed;
  previous: Timed;
  dueMs: number;
  /** Monotonic time in milliseconds; Infinity: none. */
  deadlineAt: number;
  isOver: boolean;
  /** Attempts that run and may still answer, newest first. */
  #running: AttemptRun | undefined;
  #sent: number;
  #lastError: unknown;
  #delayMs: number;
  // Permits of the call. The places (bulkhead, adaptive limit) are with an attempt while its work runs.
  #throttlePermit: Permit | undefined;
  #ratePermit: Permit | undefined;
  limitPermit: Permit | undefined;
  bulkheadPermit: Permit | undefined;
  #context: WholeContext | undefined;
  // What waits. At most one of waiter and retry at a time.
  #waiter: Waiter | undefined;
  #retryTimer: Timer | undefined;
  #hedgeTimer: Timer | undefined;
  #deadlineTimer: Timer | undefined;
  #onAbort: (() => void) | undefined;

  constructor(
    plan: Plan,
    work: Work<unknown>,
    options: RunOptions | undefined,
    resolve: (value: unknown) => void,
    reject: (error: unknown) => void,
  ) {
    this.plan = plan;
    this.options = options;
    this.#work = work;
    this.#resolve = resolve;
    this.#reject = reject;
    this.next = this;
    this.previous = this;
    this.dueMs = 0;
    this.deadlineAt = Number.POSITIVE_INFINITY;
    this.isOver = false;
    this.#running = undefined;
    this.#sent = 0;
    this.#lastError = undefined;
    this.#delayMs = 0;
    this.#throttlePermit = undefined;
    this.#ratePermit = undefined;
    this.limitPermit = undefined;
    this.bulkheadPermit = undefined;
    this.#context = undefined;
    this.#waiter = undefined;
    this.#retryTimer = undefined;
    this.#hedgeTimer = undefined;
    this.#deadlineTimer = undefined;
    this.#onAbort = undefined;
  }

  start(): void {
    const { plan, options } = this;
    const nowMs = plan.clock.now();
    if (options !== undefined && !this.#heed(options, nowMs)) return;
    if (plan.callTimeouts !== undefined) this.#limitTime(nowMs);
    const rejection = this.#admit(nowMs);
    if (rejection !== undefined) this.#refuse(rejection);
    else if (this.#waiter === undefined) this.#begin(nowMs);
  }

  /** Deadline and signal of the caller; `false` when one of them has ended the call already. */
  #heed(options: RunOptions, nowMs: number): boolean {
    const { signal, deadline, timeoutMs } = options;
    if (signal?.aborted === true) {
      this.#finish();
      this.#reject(signal.reason);
      return false;
    }
    if (deadline !== undefined || timeoutMs !== undefined) {
      const untilMs = Math.min(deadline ?? Number.POSITIVE_INFINITY, nowMs + (timeoutMs ?? Number.POSITIVE_INFINITY));
      if (Number.isNaN(untilMs)) {
        throw new RangeError(`expected numbers of milliseconds, got deadline ${deadline}, timeoutMs ${timeoutMs}`);
      }
      if (untilMs <= nowMs) {
        this.fail(new RejectedError({ reason: "deadline", retryAfterMs: undefined }, this.plan.name));
        return false;
      }
      this.deadlineAt = untilMs;
      if (untilMs < nowMs + (this.plan.callTimeouts?.limitMs ?? Number.POSITIVE_INFINITY)) {
        this.#deadlineTimer = this.plan.clock.after(untilMs - nowMs, () => this.expire(this.plan.clock.now()), true);
      }
    }
    if (signal !== undefined) {
      this.#onAbort = () => this.#abort(signal.reason);
      signal.addEventListener("abort", this.#onAbort, { once: true });
    }
    return true;
  }

  #limitTime(nowMs: number): void {
    const queue = this.plan.callTimeouts;
    if (queue === undefined || this.#deadlineTimer !== undefined) return;
    queue.add(this, nowMs);
    this.deadlineAt = this.dueMs;
  }

  // ── admission ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Asks all guards in order. When one of them makes it wait, there is a waiter afterwards. */
  #admit(nowMs: number): Rejection | undefined {
    const { throttle, rateLimit } = this.plan;
    if (throttle !== undefined) {
      const admission = throttle.acquire(nowMs);
      if (admission.rejected) return admission;
      this.#throttlePermit = admission;
    }
    if (rateLimit !== undefined) {
      const key = this.options?.rateKey ?? this.options?.key;
      const admission = rateLimit.acquire(key, nowMs);
      if (admission.rejected) return rateLimit.waits ? this.#waitForTurn(rateLimit, key, nowMs) : admission;
      this.#ratePermit = admission;
    }
    return this.#admitPlaces(nowMs);
  }

  /** What is left to ask for when the rate allows it. */
  #admitPlaces(nowMs: number): Rejection | undefined {
    const { adaptiveLimit, bulkhead } = this.plan;
    if (adaptiveLimit !== undefined) {
      const admission = adaptiveLimit.acquire(this.options?.priority, nowMs);
      if (admission.rejected) return admission;
      this.limitPermit = admission;
    }
    if (bulkhead === undefined) return undefined;
    const admission = bulkhead.acquire(nowMs);
    if (!admission.rejected) {
      this.bulkheadPermit = admission;
      return undefined;
    }
    return this.#wait(nowMs);
  }

  #wait(nowMs: number): Rejection | undefined {
    const waiter = this.#waiterFor(permit => {
      this.bulkheadPermit = permit;
      this.#begin(this.plan.clock.now());
    });
    const refused = this.plan.bulkhead?.enqueue(waiter, nowMs);
    if (refused === undefined) this.#waiter = waiter;
    return refused;
  }

  #waitForTurn(rateLimit: RateLimit, key: string | undefined, nowMs: number): Rejection | undefined {
    const waiter = this.#waiterFor(permit => {
      this.#ratePermit = permit;
      const turnMs = this.plan.clock.now();
      const rejection = this.#admitPlaces(turnMs);
      if (rejection !== undefined) this.#refuse(rejection);
      else if (this.#waiter === undefined) this.#begin(turnMs);
    });
    const refused = rateLimit.enqueue(waiter, key, nowMs);
    if (refused === undefined) this.#waiter = waiter;
    return refused;
  }

  #waiterFor(go: (permit: Permit) => void): Waiter {
    const context = this.#keepContext();
    return new Waiter(this.deadlineAt, admission =>
      context.run(() => {
        this.#waiter = undefined;
        if (admission.rejected) this.#refuse(admission);
        else go(admission);
      }),
    );
  }

  #refuse(rejection: Rejection): void {
    this.tell({ type: "resilience.rejected", policy: this.plan.name, reason: rejection.reason });
    this.fail(rejection.toError(this.plan.name));
  }

  // ── attempts ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #begin(nowMs: number): void {
    this.#attempt(nowMs, false);
    if (this.plan.hedge !== undefined && !this.isOver) this.#planHedge(nowMs);
  }

  /** Sends one attempt, if the breaker lets it. */
  #attempt(nowMs: number, isHedge: boolean): void {
    const { breaker, attemptTimeouts } = this.plan;
    let breakerPermit: Permit | undefined;
    if (breaker !== undefined) {
      const admission = breaker.acquire(nowMs, attemptTimeouts?.limitMs);
      if (admission.rejected) {
        if (isHedge) return;
        this.tell({ type: "resilience.rejected", policy: this.plan.name, reason: admission.reason });
        // What the attempt before failed with says more than that the breaker has opened meanwhile.
        if (this.#sent > 0) this.#giveUp(this.#lastError);
        else this.fail(admission.toError(this.plan.name));
        return;
      }
      breakerPermit = admission;
    }
    if (this.#sent === 0) this.plan.budget?.deposit(nowMs);
    // A time-out comes from a timer of everybody's: the retry after it must know where it belongs.
    if (attemptTimeouts !== undefined && this.plan.retry !== undefined) this.#keepContext();
    const attempt = new AttemptRun(this, ++this.#sent, isHedge, nowMs, breakerPermit, this.#lastError);
    attempt.nextRunning = this.#running;
    this.#running = attempt;
    attempt.send(this.#work);
  }

  /** Takes an attempt out of those that may still answer; `false` when it was not among them. */
  #take(attempt: AttemptRun): boolean {
    let before: AttemptRun | undefined;
    for (let at = this.#running; at !== undefined; before = at, at = at.nextRunning) {
      if (at !== attempt) continue;
      if (before === undefined) this.#running = at.nextRunning;
      else before.nextRunning = at.nextRunning;
      at.nextRunning = undefined;
      return true;
    }
    return false;
  }

  attemptSucceeded(attempt: AttemptRun, value: unknown): void {
    if (!this.#take(attempt)) return;
    this.#throttlePermit?.success();
    if (this.#running !== undefined) this.#abandonRunning(lostToAnother(), "abandoned");
    this.#finish();
    this.plan.recovery?.remember(value, this.options);
    this.#resolve(value);
  }

  attemptFailed(attempt: AttemptRun, error: unknown, nowMs: number): void {
    if (!this.#take(attempt)) return;
    this.#lastError = error;
    const { retry } = this.plan;
    const isIdempotent = this.options?.idempotent ?? retry?.idempotent ?? this.plan.hedge?.idempotent ?? true;
    let isWorthwhile = false;
    try {
      isWorthwhile = retry?.isWorthwhile(error, attempt.number, isIdempotent) ?? false;
    } catch (mistake) {
      this.fail(mistake);
      return;
    }
    if (this.#running !== undefined) {
      // A hedge may still answer; an error that another attempt would repeat ends the call.
      if (isWorthwhile || retry === undefined) return;
      this.fail(error);
      return;
    }
    if (retry === undefined || !isWorthwhile) this.fail(error);
    else this.#repeat(error, nowMs);
  }

  /** The next attempt after a delay, or the end. */
  #repeat(error: unknown, nowMs: number): void {
    this.#hedgeTimer?.cancel();
    const refused = this.#planRetry(error, nowMs);
    if (refused !== undefined) {
      this.#giveUp(error, refused);
      return;
    }
    const delayMs = this.#delayMs;
    this.tell({ type: "resilience.retry", policy: this.plan.name, attempt: this.#sent, delayMs, error });
    const context = this.#keepContext();
    this.#retryTimer = this.plan.clock.after(delayMs, () => context.run(() => this.#again(error)), true);
  }

  /** Sets the delay and pays for the retry, or says why there is none. */
  #planRetry(error: unknown, nowMs: number): RetryRefusal | undefined {
    const { retry, budget } = this.plan;
    if ((this.options?.inboundAttempts ?? 0) > 0) return "inbound_attempts";
    if (retry === undefined || this.#sent >= retry.attempts) return "attempts";
    const delayMs = retry.delayMs(error, this.#sent, this.#delayMs);
    if (delayMs === undefined) return "pushback";
    if (nowMs + delayMs >= this.deadlineAt) return "deadline";
    if (budget?.withdraw(nowMs) === false) return "budget";
    this.#delayMs = delayMs;
    return undefined;
  }

  #again(error: unknown): void {
    this.#retryTimer = undefined;
    const nowMs = this.plan.clock.now();
    // A timer that comes late must not begin work that is late.
    if (nowMs >= this.deadlineAt) this.expire(nowMs);
    else if (this.#hasPlace(nowMs)) this.#attempt(nowMs, false);
    else this.#giveUp(error, "capacity");
  }

  /** Remembers whose work this is, for what of it begins in a timer or in the course of another call. */
  #keepContext(): WholeContext {
    this.#context ??= new WholeContext();
    return this.#context;
  }

  /** Ends the call with an error that callers further up must not repeat in turn. */
  #giveUp(error: unknown, reason?: RetryRefusal): void {
    if (reason !== undefined) {
      this.tell({ type: "resilience.retry.refused", policy: this.plan.name, attempt: this.#sent, reason });
    }
    markOutOfRetries(error);
    this.fail(error);
  }

  #planHedge(nowMs: number): void {
    const { hedge, clock } = this.plan;
    if (hedge === undefined || this.#running === undefined) return;
    const isIdempotent = this.options?.idempotent ?? hedge.idempotent ?? this.plan.hedgesByDefault;
    if (!isIdempotent || (this.options?.inboundAttempts ?? 0) > 0) return;
    const delayMs = hedge.delayMs(nowMs);
    if (delayMs === undefined || nowMs + delayMs >= this.deadlineAt) return;
    let left = hedge.hedges;
    const send = () => {
      const dueMs = clock.now();
      if (this.isOver || this.#running === undefined) return;
      if (this.plan.budget?.withdraw(dueMs) === false) {
        this.tell({
          type: "resilience.retry.refused",
          policy: this.plan.name,
          attempt: this.#sent,
          reason: "budget",
        });
        return;
      }
      if (!this.#hasPlace(dueMs)) {
        this.plan.budget?.refund(dueMs);
        return;
      }
      this.tell({ type: "resilience.hedge", policy: this.plan.name, attempt: this.#sent + 1 });
      this.#attempt(dueMs, true);
      this.#hedgeTimer = --left > 0 && !this.isOver ? clock.after(delayMs, inContext) : undefined;
    };
    const context = this.#keepContext();
    const inContext = () => context.run(send);
    this.#hedgeTimer = clock.after(delayMs, inContext);
  }

  /**
   * Whether there is a place for one more attempt. An earlier one whose work still runs, because it is being hedged or does
   * not end though it was aborted, keeps its place: a further attempt needs one of its own, or capacity would be exceeded.
   */
  #hasPlace(nowMs: number): boolean {
    const { adaptiveLimit, bulkhead } = this.plan;
    if (adaptiveLimit !== undefined && this.limitPermit === undefined) {
      const admission = adaptiveLimit.acquire(this.options?.priority, nowMs);
      if (admission.rejected) return false;
      this.limitPermit = admission;
    }
    if (bulkhead !== undefined && this.bulkheadPermit === undefined) {
      const admission = bulkhead.acquire(nowMs);
      if (admission.rejected) return false;
      this.bulkheadPermit = admission;
    }
    return true;
  }

  // ── the end ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The deadline of the call has come. */
  expire(nowMs: number): void {
    if (this.isOver) return;
    this.tell({ type: "resilience.timeout", policy: this.plan.name, scope: "call" });
    const who = this.plan.name === undefined ? "" : `${this.plan.name}: `;
    const limitMs = this.#deadlineTimer === undefined ? this.plan.callTimeouts?.limitMs : this.options?.timeoutMs;
    const isOwn = limitMs !== undefined && (this.options?.deadline ?? Number.POSITIVE_INFINITY) > this.deadlineAt;
    const text = isOwn ? `no answer within ${limitMs} ms` : "the deadline passed before the answer came";
    const error = new TimeoutError("call", `${who}${text}`);
    if (this.#lastError !== undefined) Object.defineProperty(error, "cause", { value: this.#lastError });
    this.#abandonRunning(error, "timed_out", nowMs);
    this.fail(error);
  }

  /** The caller has gone away. */
  #abort(reason: unknown): void {
    if (this.isOver) return;
    this.#abandonRunning(reason, "abandoned");
    this.#throttlePermit?.ignore();
    this.#finish();
    this.#reject(reason);
  }

  /** Ends the call with an error that is not worth another attempt, or with the recovery from it. */
  fail(error: unknown): void {
    if (this.isOver) return;
    this.#abandonRunning(error, "abandoned");
    this.#settleThrottle(error);
    this.#finish();
    const { recovery } = this.plan;
    if (recovery === undefined) {
      this.#reject(error);
      return;
    }
    try {
      const recovered = recovery.recover(error, this.options);
      if (recovered === undefined) {
        this.#reject(error);
        return;
      }
      this.tell({ type: "resilience.recovered", policy: this.plan.name, error });
      this.#resolve(recovered.value);
    } catch (worse) {
      this.#reject(worse);
    }
  }

  #settleThrottle(error: unknown): void {
    const permit = this.#throttlePermit;
    if (permit === undefined || permit.isSettled) return;
    if (this.#sent === 0 || error instanceof RejectedError || isRpcError(error, "cancelled")) permit.ignore();
    else permit.failure(failureKind(error));
  }

  /** Aborts all attempts that still run. Their places stay taken until their work has ended. */
  #abandonRunning(reason: unknown, fate: Fate, nowMs = 0): void {
    for (let attempt = this.#running; attempt !== undefined; attempt = this.#running) {
      this.#running = attempt.nextRunning;
      attempt.nextRunning = undefined;
      attempt.abandon(reason, fate, nowMs);
    }
  }

  /** Leaves nothing behind: no timer, listener, place in a queue, or permit that no work holds. */
  #finish(): void {
    this.isOver = true;
    this.plan.callTimeouts?.remove(this);
    this.#deadlineTimer?.cancel();
    this.#retryTimer?.cancel();
    this.#hedgeTimer?.cancel();
    this.#waiter?.leave();
    if (this.#onAbort !== undefined) this.options?.signal?.removeEventListener("abort", this.#onAbort);
    if (this.#sent === 0) this.#ratePermit?.ignore();
    this.limitPermit?.ignore();
    this.bulkheadPermit?.ignore();
  }

  tell(event: ResilienceEvent): void {
    this.plan.observer?.emit(event);
  }

  /** What an error means for the target. A rule of the user that throws ends the call with what it threw. */
  judge(error: unknown): Outcome {
    try {
      return this.plan.classify(error);
    } catch (mistake) {
      this.fail(mistake);
      return "ignore";
    }
  }
}

function lostToAnother(): Error {
  return new DOMException("another attempt of the same call has answered", "AbortError");
}
