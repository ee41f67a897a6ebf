import { Rejection } from "../errors/index.ts";
import type { Clock, Random } from "../platform/index.ts";
import {
  throttleFactor,
  throttleMinimumRequests,
  throttleRecoveredAccepts,
  throttleTrialMs,
  throttleWindowBuckets,
  throttleWindowMs,
} from "./limits.ts";
import { count, durationMs, knownOptions, numberOption } from "./options.ts";
import { machineOf, type PartOptions, partOptionNames, type RunOptions, type Work } from "./part.ts";
import { type Admission, type FailureKind, type Outcome, Permit, type PermitOwner } from "./permit.ts";
import { planOf } from "./plan.ts";
import { execute } from "./run.ts";
import { SlidingWindow } from "./sliding-window.ts";

export interface ThrottleOptions extends PartOptions {
  /** Requests per accept that are let through: K. Lower sheds earlier, higher later. @default 2 */
  readonly factor?: number | undefined;
  /** Length of the window in milliseconds. @default 120,000 */
  readonly windowMs?: number | undefined;
  /** Requests in the window below which nothing is throttled. @default 20 */
  readonly minimumRequests?: number | undefined;
}

const requests = 0;
const accepts = 1;

/**
 * Rejects locally what an overloaded target would reject anyway. Made by {@link throttle}.
 *
 * An accept is an answer that is no rejection for overload: a success, and any error that came from the application. No
 * answer (time-out, unreachable) and `resource_exhausted` are none.
 *
 * The rule remembers for as long as its window what was not accepted, and counts what it rejects itself. So that a target
 * which is well again is found so, one request a second is sent whatever the rule says, and accepts in a row end the
 * throttling until the next rejection.
 */
export class Throttle implements PermitOwner {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #factor: number;
  readonly #minimumRequests: number;
  readonly #window: SlidingWindow;
  #sentAtMs = Number.NEGATIVE_INFINITY;
  /** Since the last request that was not accepted. */
  #acceptsInRow = 0;
  readonly #alone;

  /** @throws TypeError, RangeError when an option is wrong */
  constructor(options: ThrottleOptions = {}, path = "throttle") {
    knownOptions(path, options, [...partOptionNames, "factor", "windowMs", "minimumRequests"]);
    const machine = machineOf(options);
    this.#clock = machine.clock;
    this.#random = machine.random;
    this.#factor = numberOption(`${path}.factor`, options.factor, throttleFactor, { min: 1, max: 100 });
    const windowMs = numberOption(`${path}.windowMs`, options.windowMs, throttleWindowMs, { ...durationMs, min: 24 });
    this.#minimumRequests = numberOption(
      `${path}.minimumRequests`,
      options.minimumRequests,
      throttleMinimumRequests,
      count,
    );
    this.#window = new SlidingWindow(windowMs, throttleWindowBuckets, 2);
    this.#alone = planOf(machine, { name: options.name, throttle: this });
  }

  /** The present probability of rejection: max(0, (requests − K × accepts) ÷ (requests + 1)). */
  probability(nowMs = this.#clock.now()): number {
    this.#window.advance(nowMs);
    const total = this.#window.total(requests);
    if (total <= this.#minimumRequests) return 0;
    return Math.max(0, (total - this.#factor * this.#window.total(accepts)) / (total + 1));
  }

  /**
   * Asks whether a request may be sent. Rejected ones count as requests too, as the rule wants it; sent ones when it is
   * known how they went: a burst whose answers are still on their way is no sign of overload.
   */
  acquire(nowMs = this.#clock.now()): Admission {
    const probability = this.probability(nowMs);
    const mayReject = probability > 0 && this.#acceptsInRow < throttleRecoveredAccepts;
    if (mayReject && nowMs - this.#sentAtMs < throttleTrialMs && this.#random.next() < probability) {
      this.#window.add(nowMs, requests);
      return new Rejection("throttled");
    }
    this.#sentAtMs = nowMs;
    return new Permit(this, 0, nowMs);
  }

  /** Guards one piece of work. @throws RejectedError `throttled`; what the work throws */
  run<T>(work: Work<T>, options?: RunOptions): Promise<T> {
    return execute(this.#alone, work, options);
  }

  /** For permits. Work that was not sent, or was cancelled, is no request. */
  settle(permit: Permit, outcome: Outcome, kind: FailureKind, latencyMs: number): void {
    if (outcome === "ignore") return;
    const nowMs = Number.isNaN(latencyMs) ? this.#clock.now() : permit.admittedAtMs + latencyMs;
    this.#window.add(nowMs, requests);
    if (outcome === "success" || kind === "error") {
      this.#window.add(nowMs, accepts);
      this.#acceptsInRow++;
    } else this.#acceptsInRow = 0;
  }
}

/**
 * A client-side throttle: while a target rejects most of what it gets, most is not even sent.
 *
 * ```ts
 * const polite = throttle();
 * await polite.run(signal => fetchOrder("123", signal));
 * ```
 *
 * "Handling overload", Site Reliability Engineering (2016), client-side throttling.
 *
 * @throws TypeError, RangeError when an option is wrong
 */
export function throttle(options: ThrottleOptions = {}): Throttle {
  return new Throttle(options);
}
