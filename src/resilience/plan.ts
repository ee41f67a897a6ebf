import type { Clock, Observer, Random } from "../platform/index.ts";
import type { AdaptiveLimit } from "./adaptive-limit.ts";
import type { Breaker } from "./breaker.ts";
import type { Budget } from "./budget.ts";
import type { Bulkhead } from "./bulkhead.ts";
import { type Classify, classifyError } from "./classify.ts";
import type { Hedge } from "./hedge.ts";
import type { Machine, RunOptions } from "./part.ts";
import type { RateLimit } from "./rate-limit.ts";
import type { Retry } from "./retry.ts";
import type { Throttle } from "./throttle.ts";
import { TimeoutQueue } from "./timeout-queue.ts";

/** What to answer with instead of an error: `undefined` from `recover` means that the error stays. */
export interface Recovery {
  /** A value worth keeping for later errors. */
  remember(value: unknown, options: RunOptions | undefined): void;
  recover(error: unknown, options: RunOptions | undefined): { readonly value: unknown } | undefined;
}

/**
 * A policy as it is executed: the parts in their fixed places, each present or not. A part that is off costs one branch.
 */
export interface Plan {
  readonly name: string | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly recovery: Recovery | undefined;
  readonly callTimeouts: TimeoutQueue | undefined;
  readonly throttle: Throttle | undefined;
  readonly rateLimit: RateLimit | undefined;
  readonly adaptiveLimit: AdaptiveLimit | undefined;
  readonly bulkhead: Bulkhead | undefined;
  readonly retry: Retry | undefined;
  readonly hedge: Hedge | undefined;
  readonly budget: Budget | undefined;
  readonly breaker: Breaker | undefined;
  readonly attemptTimeouts: TimeoutQueue | undefined;
  readonly classify: Classify;
  readonly observer: Observer | undefined;
  /** Whether work is hedged that does not say whether it is idempotent. */
  readonly hedgesByDefault: boolean;
  /** Whether the end of an attempt must be timed. */
  readonly measuresLatency: boolean;
  /** One of each object of a call. See `keepShapes` of run.ts. */
  readonly shapes: object[];
}

export interface Parts {
  readonly name?: string | undefined;
  readonly recovery?: Recovery | undefined;
  readonly timeoutMs?: number | undefined;
  readonly attemptTimeoutMs?: number | undefined;
  readonly throttle?: Throttle | undefined;
  readonly rateLimit?: RateLimit | undefined;
  readonly adaptiveLimit?: AdaptiveLimit | undefined;
  readonly bulkhead?: Bulkhead | undefined;
  readonly retry?: Retry | undefined;
  readonly hedge?: Hedge | undefined;
  readonly budget?: Budget | undefined;
  readonly breaker?: Breaker | undefined;
  readonly classify?: Classify | undefined;
  readonly observer?: Observer | undefined;
  readonly hedgesByDefault?: boolean | undefined;
}

/** Compiles parts into a plan. All plans have one shape. */
export function planOf(machine: Machine, parts: Parts): Plan {
  const { clock, random } = machine;
  const { timeoutMs, attemptTimeoutMs, adaptiveLimit, hedge, breaker } = parts;
  return {
    name: parts.name,
    clock,
    random,
    recovery: parts.recovery,
    callTimeouts: timeoutMs === undefined ? undefined : new TimeoutQueue(clock, timeoutMs),
    throttle: parts.throttle,
    rateLimit: parts.rateLimit,
    adaptiveLimit,
    bulkhead: parts.bulkhead,
    retry: parts.retry,
    hedge,
    budget: parts.budget,
    breaker,
    attemptTimeouts: attemptTimeoutMs === undefined ? undefined : new TimeoutQueue(clock, attemptTimeoutMs),
    classify: parts.classify ?? breaker?.classify ?? classifyError,
    observer: parts.observer,
    hedgesByDefault: parts.hedgesByDefault ?? false,
    shapes: [],
    measuresLatency: adaptiveLimit !== undefined || hedge !== undefined || (breaker?.measuresLatency ?? false),
  };
}
