import type { BalancedEndpoint, PickerFactory } from "./picker.ts";
import { TwoChoicesPicker } from "./two-choices.ts";

/** Of two endpoints the one that should answer first, by its latency and what waits for it (Finagle's peak EWMA). */
export const peakEwma: PickerFactory = (endpoints, random) => new TwoChoicesPicker(endpoints, random, soonest);

function soonest<E extends BalancedEndpoint>(a: E, b: E, nowMs: number): E {
  if (a.load.takeTrial(nowMs)) return a;
  if (b.load.takeTrial(nowMs)) return b;
  let costA = a.load.costMs(nowMs);
  let costB = b.load.costMs(nowMs);
  // Of one nothing is known yet: it is taken to be as fast as the other, or to work where that one does not.
  if (costA < 0) costA = costB < 0 || b.load.isPenalised(nowMs) ? 1 : costB;
  if (costB < 0) costB = a.load.isPenalised(nowMs) ? 1 : costA;
  return waitMs(a, costA, nowMs) <= waitMs(b, costB, nowMs) ? a : b;
}

function waitMs({ load, weight }: BalancedEndpoint, costMs: number, nowMs: number): number {
  return (costMs * (load.pending / load.share(nowMs) + 1)) / weight;
}
