import type { Platform } from "../../platform/index.ts";
import { Breaker, Budget, Throttle } from "../../resilience/index.ts";
import { targetFailuresMax, targetOpenMs } from "./limits.ts";

/** What guards a target as a whole: one for all clients of a channel, as they load the same servers. */
export class TargetGuards {
  /** What retries and hedges may cost together. */
  readonly budget: Budget;
  /** Holds back what the target would reject for overload. */
  readonly throttle: Throttle;
  /**
   * Opens when nothing answers any more, whichever endpoint is asked: ejection then has nothing left to choose from. Only
   * calls that were sent and got no answer count against the target; every answer, also an error, speaks for it.
   */
  readonly breaker: Breaker;

  constructor(target: string, platform: Platform) {
    const machine = { name: target, platform };
    this.budget = new Budget(machine);
    this.throttle = new Throttle(machine);
    this.breaker = new Breaker({ ...machine, failures: targetFailuresMax, openMs: targetOpenMs });
  }
}
