/** Limits and defaults of the policies, each with its unit, reason and source. Every one is an option of its part. */

// ── breaker ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Consecutive failures that open a breaker: Envoy's and the guide's figure; fewer would answer to chance. */
export const breakerFailures = 5;
/** Failing share of the window that opens a breaker: resilience4j's default. */
export const breakerRatio = 0.5;
/** Calls in the window below which a share means nothing. */
export const breakerMinimumCalls = 20;
/** The window of shares: Hystrix's 10 s. */
export const breakerWindowMs = 10_000;
/** Buckets of the window: one second each, as in Hystrix. */
export const breakerWindowBuckets = 10;
/** First open time: long enough for a restart of a small process, short enough not to lengthen a hiccup. */
export const breakerOpenInitialMs = 5_000;
/** Longest open time: Envoy's cap of ejection (300 s). */
export const breakerOpenMsMax = 300_000;
/** Growth of the open time from one failed probe to the next. */
export const breakerOpenFactor = 2;
/** Probes that a half-open breaker admits: one answer is enough to learn, and a broken target must not be flooded. */
export const breakerProbes = 1;

// ── retry, budget, hedge ─────────────────────────────────────────────────────────────────────────────────────────────

/** Attempts in all, the first included: a third retry adds load and hardly success (SRE book, "Handling overload"). */
export const retryAttempts = 3;
/** gRPC allows five attempts at most (A6); more is possible here, but each further one is paid by the budget. */
export const retryAttemptsMax = 100;
/** First delay, before jitter. */
export const retryDelayMs = 50;
/** Growth of delays. */
export const retryFactor = 2;
/** Longest delay, before jitter. */
export const retryDelayMsMax = 1_000;
/** Longest pushback that is believed: a server that asks for more is as good as one that says no. */
export const pushbackMsMax = 300_000;

/** Share of requests that may be retries and hedges: Finagle's RetryBudget and Linkerd's default of 20 %. */
export const budgetRatio = 0.2;
/** Retries a second that are allowed to clients with little traffic: the same sources. */
export const budgetReservePerSecond = 10;
/** Window over which requests and retries are weighed: the same sources. */
export const budgetWindowMs = 10_000;
export const budgetWindowBuckets = 10;

/** Quantile of latency after which a hedge is sent: "The tail at scale" (Dean, Barroso 2013), 5 % more load at most. */
export const hedgeQuantile = 0.95;
/** How often the quantile is computed anew. */
export const hedgeRefreshMs = 3_000;
/** How many refresh periods the quantile looks back on: 30 s. */
export const hedgePeriods = 10;
/** Observations below which no quantile is known and no hedge is sent: one per twentieth. */
export const hedgeMinimumCalls = 20;
/** Hedges per call. */
export const hedgeHedges = 1;
/** The most of them: each is a whole request more, and of the tenth at the latest the fault is not chance. */
export const hedgesMax = 10;
/** Shortest delay of a hedge: below it, timers are no more precise than the delay. */
export const hedgeDelayMsMin = 1;

// ── bulkhead, limits ─────────────────────────────────────────────────────────────────────────────────────────────────

/** Concurrent work of a bulkhead: the guide's figure. */
export const bulkheadConcurrent = 10;
/** Waiting work per place: a full queue is then worked off in ten times the duration of one call. */
export const bulkheadQueuePerPlace = 10;
/** Longest wait in the queue: the guide waits 5 s for wait and work together. */
export const bulkheadQueueMs = 5_000;
/**
 * A queue that was not empty for this long is overloaded and serves the newest first ("Fail at scale", Maurer 2015, with
 * CoDel's interval of 100 ms): the oldest will be late whatever happens, the newest can still be in time.
 */
export const bulkheadOverloadMs = 100;

/** First, least and greatest limit of concurrent work of the adaptive limit: Netflix concurrency-limits. */
export const adaptiveInitial = 20;
export const adaptiveMin = 1;
export const adaptiveMax = 1_000;
/** A sample of latency ends after this long … */
export const adaptiveSampleMs = 1_000;
/** … or, with much traffic, after this many answers, whichever is later than the shortest sample. */
export const adaptiveSampleCalls = 100;
export const adaptiveSampleMsMin = 100;
/** Samples over which load and latency are correlated: half a minute at the slowest rate of samples. */
export const adaptiveCorrelationSamples = 30;
/** Correlation above which latency follows our own load: "moderate" in the usual reading of Pearson's r. */
export const adaptiveCorrelation = 0.5;
/** Samples from one look at the baseline to the next, and as many more at most, by chance: clients must not look together. */
export const adaptiveProbeSamples = 30;
/** What remains of the limit while the baseline is looked at: whatever queues is then halved, or gone. */
export const adaptiveProbeShare = 0.5;
/** What remains of the limit after a sample with overload: TCP's and Netflix AIMD's back-off of 0.9. */
export const adaptiveBackOff = 0.9;
/** Delay of the event loop from which on the process itself counts as overloaded: half of a human-visible pause. */
export const adaptiveLoopDelayMs = 100;
/** How often the delay of the event loop is looked at. */
export const adaptiveLoopSampleMs = 50;

/** Longest wait for a turn, where calls may wait: as in a bulkhead. */
export const rateWaitMs = 5_000;
/** Calls of one key that wait: a caller that sends more than that ahead of its rate must hear of it. */
export const rateQueue = 100;

/** Keys that a rate limit remembers: about 1 MiB of memory. Further ones share one allowance. */
export const rateKeysMax = 10_000;

/** Window of the client throttle: the SRE book's two minutes ("Handling overload", adaptive throttling). */
export const throttleWindowMs = 120_000;
export const throttleWindowBuckets = 24;
/** Requests per accept that are let through: the book's K = 2. */
export const throttleFactor = 2;
/** Requests in the window below which nothing is throttled. */
export const throttleMinimumRequests = 20;
/**
 * However much is throttled, one request in this time is sent, in milliseconds. By the book's rule alone a target that has
 * accepted nothing in the window gets one request in two minutes, at any rate of calls, and is not found well again for many.
 */
export const throttleTrialMs = 1_000;
/**
 * So many accepts in a row, and nothing is throttled until the next rejection. At the rule's balance every second request is
 * rejected: there one in a thousand is followed by as many accepts.
 */
export const throttleRecoveredAccepts = 10;

// ── cache, coalescing ────────────────────────────────────────────────────────────────────────────────────────────────

/** Values that a stale cache holds. */
export const cacheEntriesMax = 1_000;
/** How old a value may be that is served instead of an error: RFC 5861 leaves it to the origin; a minute is old news. */
export const cacheStaleMs = 60_000;
/** Reads under way that may be shared; a further one runs by itself. */
export const coalesceKeysMax = 10_000;
