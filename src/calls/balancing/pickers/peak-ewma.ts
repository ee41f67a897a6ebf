import type { BalancedEndpoint, PickerFactory } from "./picker.ts";
import { type Places, TwoChoicesPicker } from "./two-choices.ts";

/** Of two endpoints the one that should answer first, by its latency and what waits for it (Finagle's peak EWMA). */
export const peakEwma: PickerFactory = (endpoints, random) => new TwoChoicesPicker(endpoints, random, soonest);

/** Idle endpoints of weights that differ are alike when neither takes longer than this many times the other. */
const alike = 2;

function soonest<E extends BalancedEndpoint>(a: E, b: E, nowMs: number, places: Places): E {
  if (a.load.takeTrial(nowMs)) return a;
  if (b.load.takeTrial(nowMs)) return b;
  let costA = a.load.costMs(nowMs);
  let costB = b.load.costMs(nowMs);
  // Of one nothing is known yet: it is taken to be as fast as the other, or to work where that one does not.
  if (costA < 0) costA = costB < 0 || b.load.isPenalised(nowMs) ? 1 : costB;
  if (costB < 0) costB = a.load.isPenalised(nowMs) ? 1 : costA;
  // The comparison is mostly chance then, and would take from the weights what was drawn by them.
  if (places.areEmpty(a, b) && costA <= alike * costB) return a;
  return costA * (places.taken(a, nowMs) + 1) <= costB * (places.taken(b, nowMs) + 1) ? a : b;
}
