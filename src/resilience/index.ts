/**
 * Policies for work that can fail: when to begin it, how long to wait, when to try again, when to stop trying. They guard
 * any function and know nothing of protocols; channels and servers use the same parts through their permits. Imports only
 * `errors` and `platform`.
 *
 * Start at `permit.ts`, then `policy.ts` and `run.ts`: the one order in which parts act. Each part is a file of its own.
 */
export { RejectedError, Rejection, type RejectionReason } from "../errors/index.ts";
export { AdaptiveLimit, type AdaptiveLimitOptions, adaptiveLimit } from "./adaptive-limit.ts";
export { type Backoff, backoffDelayMs, type Jitter } from "./backoff.ts";
export { Breaker, type BreakerChange, type BreakerOptions, type BreakerState, breaker } from "./breaker.ts";
export { Budget, type BudgetOptions, budget } from "./budget.ts";
export { Bulkhead, type BulkheadOptions, bulkhead } from "./bulkhead.ts";
export { type Classify, classifyError, failureKind } from "./classify.ts";
export { Coalesce, type CoalesceOptions, coalesce } from "./coalesce.ts";
export type { ResilienceEvent } from "./events.ts";
export { Fallback, type FallbackOptions, fallback } from "./fallback.ts";
export { Hedge, type HedgeOptions, hedge } from "./hedge.ts";
export { hedgesMax } from "./limits.ts";
export { isOutOfRetries, markOutOfRetries } from "./out-of-retries.ts";
export type { Attempt, Machine, PartOptions, Priority, RunOptions, Work } from "./part.ts";
export { type Admission, type FailureKind, type Outcome, Permit, type PermitOwner } from "./permit.ts";
export { Policy, type PolicyOptions, policy } from "./policy.ts";
export { type Pushback, parseGrpcPushback, parseRetryAfter } from "./pushback.ts";
export { RateLimit, type RateLimitOptions, type RateWaitOptions, rateLimit } from "./rate-limit.ts";
export { isRetryable, Retry, type RetryOptions, retry } from "./retry.ts";
export { StaleCache, type StaleCacheOptions, staleIfError } from "./stale-cache.ts";
export { Throttle, type ThrottleOptions, throttle } from "./throttle.ts";
export { hopDeadline, withTimeout } from "./timeout.ts";
export { TimeoutError } from "./timeout-error.ts";
export { type Timed, TimeoutQueue } from "./timeout-queue.ts";
export { Waiter } from "./waiter.ts";
