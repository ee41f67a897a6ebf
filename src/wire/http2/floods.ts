import { RefillingBudget } from "./budget.ts";
import { calmDown } from "./errors.ts";
import type { Http2Limits } from "./limits.ts";

/** All budgets of one connection. Made when the first of them is touched: honest connections often touch none. */
export class FloodGuard {
  readonly resets: RefillingBudget;
  readonly provokedResets: RefillingBudget;
  readonly refused: RefillingBudget;
  readonly settings: RefillingBudget;
  readonly pings: RefillingBudget;
  readonly priorities: RefillingBudget;
  readonly emptyData: RefillingBudget;
  readonly windowUpdates: RefillingBudget;

  constructor(limits: Http2Limits, now: number) {
    this.resets = new RefillingBudget(limits.resets, now);
    this.provokedResets = new RefillingBudget(limits.provokedResets, now);
    this.refused = new RefillingBudget(limits.refused, now);
    this.settings = new RefillingBudget(limits.settings, now);
    this.pings = new RefillingBudget(limits.pings, now);
    this.priorities = new RefillingBudget(limits.priorities, now);
    this.emptyData = new RefillingBudget(limits.emptyData, now);
    this.windowUpdates = new RefillingBudget(limits.windowUpdates, now);
  }
}

/** @throws Http2ConnectionError when the budget is used up */
export function spendOrEnd(budget: RefillingBudget, now: number): void {
  if (!budget.spend(now)) throw calmDown(budget.limit.token);
}
