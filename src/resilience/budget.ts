import type { Clock } from "../platform/index.ts";
import { budgetRatio, budgetReservePerSecond, budgetWindowBuckets, budgetWindowMs } from "./limits.ts";
import { contradiction, durationMs, knownOptions, numberOption } from "./options.ts";
import { machineOf, type PartOptions, partOptionNames } from "./part.ts";
import { SlidingWindow } from "./sliding-window.ts";

export interface BudgetOptions extends PartOptions {
  /** Retries and hedges as a share of the requests of the window. @default 0.2 */
  readonly ratio?: number | undefined;
  /** Retries and hedges a second that are allowed whatever the traffic. @default 10 */
  readonly reservePerSecond?: number | undefined;
  /** Length of the window in milliseconds. @default 10,000 */
  readonly windowMs?: number | undefined;
}

const requests = 0;
const extras = 1;

/** What retries and hedges of one target may cost together. Made by {@link budget}. */
export class Budget {
  readonly #clock: Clock;
  readonly #ratio: number;
  readonly #reserve: number;
  readonly #window: SlidingWindow;
  #refused = 0;

  /** @throws TypeError, RangeError when an option is wrong or contradicts another one */
  constructor(options: BudgetOptions = {}, path = "budget") {
    knownOptions(path, options, [...partOptionNames, "ratio", "reservePerSecond", "windowMs"]);
    this.#clock = machineOf(options).clock;
    this.#ratio = numberOption(`${path}.ratio`, options.ratio, budgetRatio, { min: 0, max: 10 });
    const perSecond = numberOption(`${path}.reservePerSecond`, options.reservePerSecond, budgetReservePerSecond, {
      min: 0,
      max: 1_000_000,
    });
    const windowMs = numberOption(`${path}.windowMs`, options.windowMs, budgetWindowMs, { ...durationMs, min: 10 });
    if (this.#ratio === 0 && perSecond === 0) {
      throw contradiction(path, "ratio and reservePerSecond are both 0; to switch retries off, leave retry out");
    }
    this.#reserve = (perSecond * windowMs) / 1_000;
    this.#window = new SlidingWindow(windowMs, budgetWindowBuckets, 2);
  }

  /** Counts a request: each call once, whatever its attempts. */
  deposit(nowMs = this.#clock.now()): void {
    this.#window.add(nowMs, requests);
  }

  /** Takes what one retry or hedge costs; `false` when the budget is used up, and then it must not be sent. */
  withdraw(nowMs = this.#clock.now()): boolean {
    this.#window.advance(nowMs);
    const allowed = this.#reserve + this.#ratio * this.#window.total(requests);
    if (this.#window.total(extras) + 1 > allowed + Number.EPSILON * allowed) {
      this.#refused++;
      return false;
    }
    this.#window.add(nowMs, extras);
    return true;
  }

  /** Gives back what a retry cost that was not sent in the end. */
  refund(nowMs = this.#clock.now()): void {
    this.#window.remove(nowMs, extras);
  }

  /** Retries and hedges that may be sent now. */
  balance(nowMs = this.#clock.now()): number {
    this.#window.advance(nowMs);
    const allowed = this.#reserve + this.#ratio * this.#window.total(requests);
    return Math.max(0, Math.floor(allowed - this.#window.total(extras)));
  }

  /** Retries and hedges that were refused, since the beginning. */
  get refused(): number {
    return this.#refused;
  }
}

/**
 * A budget for retries and hedges, to be shared by all policies of one target: without one, a failing target gets as many
 * times its load as there are attempts, just when it can bear it least.
 *
 * ```ts
 * const shared = budget({ ratio: 0.2, reservePerSecond: 10 });
 * const reads = policy({ retry: { attempts: 3 }, budget: shared });
 * ```
 *
 * After Finagle's RetryBudget and the SRE book ("Handling overload", per-client retry budget).
 *
 * @throws TypeError, RangeError when an option is wrong or contradicts another one
 */
export function budget(options: BudgetOptions = {}): Budget {
  return new Budget(options);
}
