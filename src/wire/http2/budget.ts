import type { Budget } from "./limits.ts";

/** A budget that refills with time and with honest work (token bucket). Time is read only when something is spent. */
export class RefillingBudget {
  readonly limit: Budget;
  #left: number;
  #refilledAt: number;

  constructor(limit: Budget, now: number) {
    this.limit = limit;
    this.#left = limit.burst;
    this.#refilledAt = now;
  }

  /** Takes one; `false` when the budget is used up. */
  spend(now: number): boolean {
    const { burst, perSecond } = this.limit;
    this.#left = Math.min(burst, this.#left + ((now - this.#refilledAt) / 1000) * perSecond);
    this.#refilledAt = now;
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }

  giveBack(count: number): void {
    const left = this.#left + count;
    this.#left = Math.min(left, this.limit.burst);
  }
}
