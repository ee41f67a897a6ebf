import {
  bulkhead,
  ConsecutiveBreaker,
  circuitBreaker,
  ExponentialBackoff,
  fallback,
  handleAll,
  retry,
  TimeoutStrategy,
  timeout,
  wrap,
} from "cockatiel";
import { failing, type GuardPeer, work } from "../protocol/guard.ts";

const breakerOf = () => circuitBreaker(handleAll, { halfOpenAfter: 3_600_000, breaker: new ConsecutiveBreaker(5) });
const retryOf = () => retry(handleAll, { maxAttempts: 2, backoff: new ExponentialBackoff() });

const fiveParts = wrap(
  fallback(handleAll, 0),
  timeout(5_000, TimeoutStrategy.Aggressive),
  bulkhead(10, 10),
  retryOf(),
  breakerOf(),
);
const closed = breakerOf();
const open = breakerOf();
for (let n = 0; n < 5; n++) await open.execute(failing).catch(() => {});
const repeating = retryOf();

export const guards: GuardPeer = {
  "five-parts": () => fiveParts.execute(work),
  "breaker-closed": () => closed.execute(work),
  "breaker-open": () => open.execute(work),
  "retry-first": () => repeating.execute(work),
};
