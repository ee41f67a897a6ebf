import type { Clock } from "../platform/index.ts";
import type { Budget, BudgetOptions } from "./budget.ts";
import { LatencyQuantile } from "./latency-quantile.ts";
import { hedgeDelayMsMin, hedgeHedges, hedgeMinimumCalls, hedgeQuantile, hedgesMax } from "./limits.ts";
import { booleanOption, contradiction, count, durationMs, knownOptions, numberOption } from "./options.ts";
import { machineOf, type PartOptions, partOptionNames, type RunOptions, type Work } from "./part.ts";
import { planOf } from "./plan.ts";
import { budgetOf } from "./retry.ts";
import { execute } from "./run.ts";

export interface HedgeOptions extends PartOptions {
  /** Quantile of the observed latency after which a hedge is sent. @default 0.95 */
  readonly quantile?: number | undefined;
  /** A fixed delay in milliseconds instead of the observed one. */
  readonly delayMs?: number | undefined;
  /** Shortest delay in milliseconds. @default 1 */
  readonly minDelayMs?: number | undefined;
  /** Hedges per call. @default 1 */
  readonly hedges?: number | undefined;
  /** Latencies that must be known before anything is hedged. @default 20 */
  readonly minimumCalls?: number | undefined;
  /** Whether running the work twice does no harm; without it nothing is hedged. A run's own `idempotent` wins. @default false in policies, true alone */
  readonly idempotent?: boolean | undefined;
  /** What hedges may cost, shared with retries in a policy; `false`: no limit. @default 20 % of requests and 10 a second */
  readonly budget?: Budget | BudgetOptions | false | undefined;
}

const optionNames = [
  ...partOptionNames,
  "quantile",
  "delayMs",
  "minDelayMs",
  "hedges",
  "minimumCalls",
  "idempotent",
  "budget",
];

/** Sends slow work a second time and takes the first answer. Made by {@link hedge}. */
export class Hedge {
  readonly hedges: number;
  readonly idempotent: boolean | undefined;
  readonly budget: Budget | undefined;
  readonly #clock: Clock;
  readonly #fixedMs: number | undefined;
  readonly #minDelayMs: number;
  readonly #latency: LatencyQuantile;
  readonly #alone;

  /** @throws TypeError, RangeError when an option is wrong or contradicts another one */
  constructor(options: HedgeOptions = {}, path = "hedge") {
    knownOptions(path, options, optionNames);
    const machine = machineOf(options);
    this.#clock = machine.clock;
    const quantile = numberOption(`${path}.quantile`, options.quantile, hedgeQuantile, { min: 0.5, max: 0.9999 });
    const minimumCalls = numberOption(`${path}.minimumCalls`, options.minimumCalls, hedgeMinimumCalls, count);
    this.#minDelayMs = numberOption(`${path}.minDelayMs`, options.minDelayMs, hedgeDelayMsMin, durationMs);
    this.hedges = numberOption(`${path}.hedges`, options.hedges, hedgeHedges, { ...count, max: hedgesMax });
    this.#fixedMs =
      options.delayMs === undefined ? undefined : numberOption(`${path}.delayMs`, options.delayMs, 0, durationMs);
    for (const name of ["quantile", "minimumCalls", "minDelayMs"] as const) {
      if (this.#fixedMs !== undefined && options[name] !== undefined) {
        throw contradiction(`${path}.${name}`, "means nothing with delayMs, which fixes the delay");
      }
    }
    booleanOption(`${path}.idempotent`, options.idempotent);
    this.idempotent = options.idempotent;
    this.budget = budgetOf(options.budget, machine, `${path}.budget`);
    this.#latency = new LatencyQuantile(quantile, minimumCalls);
    this.#alone = planOf(machine, { name: options.name, hedge: this, budget: this.budget, hedgesByDefault: true });
  }

  /** The delay after which a hedge is sent, in milliseconds; `undefined` while too little is known. */
  delayMs(nowMs = this.#clock.now()): number | undefined {
    if (this.#fixedMs !== undefined) return this.#fixedMs;
    const observed = this.#latency.value(nowMs);
    return observed === undefined ? undefined : Math.max(observed, this.#minDelayMs);
  }

  /**
   * Takes note of how long an attempt took. One that lost counts with the time that it had taken until then: leaving it out
   * would make the quantile sink with every hedge, and a sinking quantile sends more of them.
   */
  observe(nowMs: number, latencyMs: number): void {
    if (this.#fixedMs === undefined) this.#latency.add(nowMs, latencyMs);
  }

  /** Guards one piece of work, which must be idempotent. @throws what the work throws */
  run<T>(work: Work<T>, options?: RunOptions): Promise<T> {
    return execute(this.#alone, work, options);
  }
}

/**
 * Hedged requests: work that takes longer than most is sent once more, the first answer wins, the other attempt is aborted.
 * For idempotent work only.
 *
 * ```ts
 * const tail = hedge({ quantile: 0.95 });
 * const order = await tail.run(signal => fetchOrder("123", signal));
 * ```
 *
 * "The tail at scale" (Dean, Barroso, CACM 2013).
 *
 * @throws TypeError, RangeError when an option is wrong or contradicts another one
 */
export function hedge(options: HedgeOptions = {}): Hedge {
  return new Hedge(options);
}
