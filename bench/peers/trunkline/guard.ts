import { breaker, policy, retry } from "../../../src/exports/resilience.ts";
import { failing, type GuardPeer, work } from "../protocol/guard.ts";

const fiveParts = policy({
  fallback: 0,
  timeoutMs: 5_000,
  bulkhead: { concurrent: 10, queue: 10 },
  retry: { attempts: 3 },
  breaker: { failures: 5, openMs: 3_600_000 },
});
const closed = breaker({ failures: 5, openMs: 3_600_000 });
const open = breaker({ failures: 5, openMs: 3_600_000 });
for (let n = 0; n < 5; n++) await open.run(failing).catch(() => {});
const repeating = retry({ attempts: 3 });

export const guards: GuardPeer = {
  "five-parts": () => fiveParts.run(work),
  "breaker-closed": () => closed.run(work),
  "breaker-open": () => open.run(work),
  "breaker-open-permit": () => open.acquire().rejected,
  "retry-first": () => repeating.run(work),
};
