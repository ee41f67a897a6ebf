import type { Random } from "../../../platform/index.ts";
import type { BalancedEndpoint } from "./picker.ts";

/**
 * The share of an endpoint whose slow start is the furthest, of those that work: beside this, not beside 1, the others are
 * held back, so that a target whose endpoints are all new is used by its rule. 0: none works.
 */
export function mostShare(endpoints: readonly BalancedEndpoint[], nowMs: number): number {
  let most = 0;
  for (const { load } of endpoints) if (!load.isPenalised(nowMs)) most = Math.max(most, load.share(nowMs));
  return most;
}

/** One of the endpoints that work, each as likely as its weight and its slow start say; `otherwise` where none works. */
export function drawByShare<E extends BalancedEndpoint>(
  endpoints: readonly E[],
  otherwise: E,
  random: Random,
  nowMs: number,
): E {
  let sum = 0;
  for (const { weight, load } of endpoints) if (!load.isPenalised(nowMs)) sum += weight * load.share(nowMs);
  let left = random.next() * sum;
  let last = otherwise;
  for (const endpoint of endpoints) {
    const { weight, load } = endpoint;
    if (load.isPenalised(nowMs)) continue;
    last = endpoint;
    left -= weight * load.share(nowMs);
    if (left < 0) break;
  }
  return last;
}
