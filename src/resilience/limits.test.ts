import assert from "node:assert/strict";
import { test } from "node:test";
import * as limits from "./limits.ts";

test("defaults fit together", () => {
  assert(limits.breakerFailures > 1, "one failure never opens a breaker");
  assert(limits.breakerFailures < limits.breakerMinimumCalls);
  assert(limits.breakerOpenInitialMs < limits.breakerOpenMsMax);
  assert(limits.retryDelayMs < limits.retryDelayMsMax && limits.retryDelayMsMax < limits.pushbackMsMax);
  assert(limits.adaptiveMin <= limits.adaptiveInitial && limits.adaptiveInitial <= limits.adaptiveMax);
  assert(limits.adaptiveSampleMsMin < limits.adaptiveSampleMs);
  assert(limits.adaptiveLoopSampleMs < limits.adaptiveLoopDelayMs);
  assert(limits.bulkheadOverloadMs < limits.bulkheadQueueMs);
  assert.equal(limits.breakerWindowMs % limits.breakerWindowBuckets, 0);
  assert.equal(limits.throttleWindowMs % limits.throttleWindowBuckets, 0);
  // At 1,000 calls a second, retries may be a fifth of them and the reserve: the promised amplification of 1.25.
  assert(1 + limits.budgetRatio + limits.budgetReservePerSecond / 1_000 <= 1.25);
});
