import type { Observer } from "../platform/index.ts";
import { AdaptiveLimit, type AdaptiveLimitOptions } from "./adaptive-limit.ts";
import { Breaker, type BreakerOptions } from "./breaker.ts";
import { Budget, type BudgetOptions } from "./budget.ts";
import { Bulkhead, type BulkheadOptions } from "./bulkhead.ts";
import type { Classify } from "./classify.ts";
import { Coalesce, type CoalesceOptions } from "./coalesce.ts";
import { Fallback } from "./fallback.ts";
import { Hedge, type HedgeOptions } from "./hedge.ts";
import { contradiction, durationMs, functionOption, knownOptions, numberOption } from "./options.ts";
import { machineOf, type PartOptions, partOptionNames, type RunOptions, type Work } from "./part.ts";
import { type Plan, planOf, type Recovery } from "./plan.ts";
import { RateLimit, type RateLimitOptions } from "./rate-limit.ts";
import { Retry, type RetryOptions } from "./retry.ts";
import { execute } from "./run.ts";
import { StaleCache, type StaleCacheOptions } from "./stale-cache.ts";
import { Throttle, type ThrottleOptions } from "./throttle.ts";

/** Each part is off unless it is given, as options or as a part that several policies share. */
export interface PolicyOptions extends PartOptions {
  /** Answer when the target cannot: a value, a function of the error, or a part. */
  readonly fallback?: unknown;
  /** Last good values, by the run's `key`, before the fallback is used. */
  readonly cache?: StaleCacheOptions | StaleCache | undefined;
  /** Shares reads under way, by the run's `key`. */
  readonly coalesce?: CoalesceOptions | Coalesce | undefined;
  /** Longest time of the whole call in milliseconds, waiting and all attempts included. */
  readonly timeoutMs?: number | undefined;
  readonly throttle?: ThrottleOptions | Throttle | undefined;
  readonly rateLimit?: RateLimitOptions | RateLimit | undefined;
  readonly adaptiveLimit?: AdaptiveLimitOptions | AdaptiveLimit | undefined;
  readonly bulkhead?: BulkheadOptions | Bulkhead | undefined;
  readonly retry?: RetryOptions | Retry | undefined;
  /** Off for work that does not say that it is idempotent. */
  readonly hedge?: HedgeOptions | Hedge | undefined;
  /** Of retries and hedges together; `false`: no limit. @default 20 % of requests and 10 a second, when there are any */
  readonly budget?: BudgetOptions | Budget | false | undefined;
  readonly breaker?: BreakerOptions | Breaker | undefined;
  /** Longest time of one attempt in milliseconds. */
  readonly attemptTimeoutMs?: number | undefined;
  /** What errors say about the target. @default the breaker's rule, otherwise {@link classifyError} */
  readonly classify?: Classify | undefined;
  /** Hears of rejections, retries, hedges, time-outs and the breaker's changes. */
  readonly observer?: Observer | undefined;
}

const optionNames = [
  ...partOptionNames,
  "fallback",
  "cache",
  "coalesce",
  "timeoutMs",
  "throttle",
  "rateLimit",
  "adaptiveLimit",
  "bulkhead",
  "retry",
  "hedge",
  "budget",
  "breaker",
  "attemptTimeoutMs",
  "classify",
  "observer",
];

/** Parts in their fixed order around any function. Made by {@link policy}. */
export class Policy {
  readonly name: string | undefined;
  readonly cache: StaleCache | undefined;
  readonly coalesce: Coalesce | undefined;
  readonly throttle: Throttle | undefined;
  readonly rateLimit: RateLimit | undefined;
  readonly adaptiveLimit: AdaptiveLimit | undefined;
  readonly bulkhead: Bulkhead | undefined;
  readonly retry: Retry | undefined;
  readonly hedge: Hedge | undefined;
  readonly budget: Budget | undefined;
  readonly breaker: Breaker | undefined;
  /** Everything; with coalescing, only how each caller waits. */
  readonly #plan: Plan;
  /** With coalescing: how the shared read is made. */
  readonly #readingPlan: Plan | undefined;

  /** @throws TypeError, RangeError that name the option, the value and the range */
  constructor(options: PolicyOptions = {}) {
    knownOptions("policy", options, optionNames);
    const machine = machineOf(options);
    const platform = machine;
    this.name = options.name;
    const path = (name: string) => `policy.${name}`;
    const made = <O extends object, P>(
      name: keyof PolicyOptions,
      given: O | P | undefined,
      Part: new (options: O, path: string) => P,
    ): P | undefined => {
      if (given === undefined) return undefined;
      return given instanceof Part ? given : new Part({ platform, ...(given as O) }, path(name));
    };
    this.cache = made("cache", options.cache, StaleCache);
    this.coalesce = made("coalesce", options.coalesce, Coalesce);
    this.throttle = made("throttle", options.throttle, Throttle);
    this.rateLimit = made<RateLimitOptions, RateLimit>("rateLimit", options.rateLimit, RateLimit);
    this.adaptiveLimit = made("adaptiveLimit", options.adaptiveLimit, AdaptiveLimit);
    this.bulkhead = made("bulkhead", options.bulkhead, Bulkhead);
    this.retry = made("retry", options.retry, Retry);
    this.hedge = made("hedge", options.hedge, Hedge);
    this.breaker = made("breaker", options.breaker, Breaker);
    this.budget = sharedBudget(options, this.retry, this.hedge);
    functionOption(path("classify"), options.classify);
    const time = (name: "timeoutMs" | "attemptTimeoutMs") =>
      options[name] === undefined ? undefined : numberOption(path(name), options[name], 0, durationMs);
    const timeoutMs = time("timeoutMs");
    const attemptTimeoutMs = time("attemptTimeoutMs");
    refuseContradictions(options, timeoutMs, attemptTimeoutMs);

    const recovery = recoveryOf(this.cache, options);
    const { name, observer } = options;
    const guards = {
      name,
      observer,
      timeoutMs,
      throttle: this.throttle,
      rateLimit: this.rateLimit,
      adaptiveLimit: this.adaptiveLimit,
      bulkhead: this.bulkhead,
      retry: this.retry,
      hedge: this.hedge,
      budget: this.budget,
      breaker: this.breaker,
      attemptTimeoutMs,
      classify: options.classify,
    };
    if (this.coalesce === undefined) this.#plan = planOf(machine, { ...guards, recovery });
    else {
      this.#plan = planOf(machine, { name, observer, recovery });
      this.#readingPlan = planOf(machine, guards);
    }
    if (observer !== undefined) {
      this.breaker?.subscribe(change =>
        observer.emit({ type: "resilience.breaker", policy: name, ...change } as never),
      );
    }
  }

  /**
   * Runs work under the policy. The work gets a signal, which it should obey, and its attempt; both may be left out.
   *
   * @throws RejectedError when it was not admitted, TimeoutError when it took too long, the caller's reason when it was
   * aborted, otherwise what the last attempt threw
   */
  run<T>(work: Work<T>, options?: RunOptions): Promise<T> {
    const reading = this.#readingPlan;
    if (this.coalesce === undefined || reading === undefined) return execute(this.#plan, work, options);
    if (options?.key !== undefined) return this.coalesce.join(this.#plan, reading, work, options);
    return execute(this.#plan, signal => execute(reading, work, { ...options, signal }), options);
  }
}

/** One budget for retries and hedges, wherever it was given. */
function sharedBudget(options: PolicyOptions, retry: Retry | undefined, hedge: Hedge | undefined): Budget | undefined {
  if (retry === undefined && hedge === undefined) {
    if (options.budget === undefined) return undefined;
    throw contradiction("policy.budget", "means nothing without retry or hedge, which would spend it");
  }
  const own = [options.retry?.budget, options.hedge?.budget].filter(given => given !== undefined);
  if (options.budget !== undefined && own.length > 0) {
    throw contradiction("policy.budget", "retry or hedge has a budget of its own too; retries and hedges share one");
  }
  if (own.length === 2 && own[0] !== own[1]) {
    throw contradiction(
      "policy.hedge.budget",
      "differs from retry.budget; retries and hedges share one: use policy.budget",
    );
  }
  const given = options.budget;
  if (given === false) return undefined;
  if (given !== undefined) {
    return given instanceof Budget ? given : new Budget({ platform: machineOf(options), ...given }, "policy.budget");
  }
  return options.retry?.budget === undefined && options.hedge?.budget !== undefined
    ? hedge?.budget
    : (retry ?? hedge)?.budget;
}

/** What is right by itself but cannot work together. */
function refuseContradictions(
  options: PolicyOptions,
  timeoutMs = Number.POSITIVE_INFINITY,
  attemptTimeoutMs = Number.POSITIVE_INFINITY,
): void {
  if (attemptTimeoutMs !== Number.POSITIVE_INFINITY && attemptTimeoutMs >= timeoutMs) {
    throw contradiction(
      "policy.attemptTimeoutMs",
      `${attemptTimeoutMs} ms is not below timeoutMs, ${timeoutMs} ms: the whole call would be over before an attempt`,
    );
  }
  const { retry, hedge, breaker } = options;
  if (retry !== undefined && !(retry instanceof Retry)) {
    const { delayMs, jitter } = retry;
    if (delayMs !== undefined && jitter !== undefined && jitter !== "full" && delayMs >= timeoutMs) {
      throw contradiction(
        "policy.retry.delayMs",
        `${delayMs} ms is not below timeoutMs, ${timeoutMs} ms: no retry would fit`,
      );
    }
  }
  const longestMs = Math.min(timeoutMs, attemptTimeoutMs);
  if (hedge !== undefined && !(hedge instanceof Hedge) && hedge.delayMs !== undefined && hedge.delayMs >= longestMs) {
    throw contradiction("policy.hedge.delayMs", `${hedge.delayMs} ms is not below the time-out, ${longestMs} ms`);
  }
  if (hedge !== undefined && !(hedge instanceof Hedge) && (hedge.minDelayMs ?? 0) >= longestMs) {
    throw contradiction("policy.hedge.minDelayMs", `${hedge.minDelayMs} ms is not below the time-out, ${longestMs} ms`);
  }
  refuseLongWaits(options, timeoutMs);
  if (hedge?.idempotent === true && retry?.idempotent === false) {
    throw contradiction(
      "policy.hedge.idempotent",
      "is true while retry.idempotent is false: the work is one or the other",
    );
  }
  if (breaker !== undefined && !(breaker instanceof Breaker)) {
    if (breaker.slowMs !== undefined && breaker.slowMs >= longestMs) {
      throw contradiction(
        "policy.breaker.slowMs",
        `${breaker.slowMs} ms is not below the time-out, ${longestMs} ms: no call could be slow`,
      );
    }
  }
}

/** A wait that is longer than the call: whoever wrote it expects calls to wait so long. */
function refuseLongWaits({ bulkhead, rateLimit }: PolicyOptions, timeoutMs: number): void {
  const waits = {
    "bulkhead.maxWaitMs": bulkhead instanceof Bulkhead ? undefined : bulkhead?.maxWaitMs,
    "rateLimit.wait.maxWaitMs": rateLimit instanceof RateLimit ? undefined : rateLimit?.wait?.maxWaitMs,
  };
  for (const [name, maxWaitMs] of Object.entries(waits)) {
    if (maxWaitMs === undefined || maxWaitMs < timeoutMs) continue;
    throw contradiction(
      `policy.${name}`,
      `${maxWaitMs} ms is not below timeoutMs, ${timeoutMs} ms: the call would be over first`,
    );
  }
}

function recoveryOf(cache: StaleCache | undefined, options: PolicyOptions): Recovery | undefined {
  const given = options.fallback;
  if (given === undefined) return cache;
  const last = given instanceof Fallback ? given : new Fallback(given, {}, "policy.fallback");
  if (cache === undefined) return last;
  return {
    remember: (value, run) => cache.remember(value, run),
    recover: (error, run) => cache.recover(error, run) ?? last.recover(error),
  };
}

/**
 * Guards any function with the parts that are given, always in the same order, so that they cannot be put together wrongly:
 *
 * fallback, stale cache → coalescing → deadline → throttle → rate limit → adaptive limit → bulkhead → retries and hedges on
 * one budget → breaker → the function, under the attempt's time-out.
 *
 * ```ts
 * const guarded = policy({ timeoutMs: 2_000, retry: { attempts: 3 }, breaker: {}, bulkhead: { concurrent: 10, queue: 100 } });
 * const stock = await guarded.run(signal => fetch(url, { signal }));
 * ```
 *
 * @throws TypeError, RangeError that name the option, the value and the range; also for options that contradict each other
 */
export function policy(options: PolicyOptions = {}): Policy {
  return new Policy(options);
}
