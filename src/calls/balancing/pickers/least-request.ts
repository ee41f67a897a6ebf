import type { BalancedEndpoint, PickerFactory } from "./picker.ts";
import { TwoChoicesPicker } from "./two-choices.ts";

/** Of two endpoints the one with fewer calls under way for its weight. */
export const leastRequest: PickerFactory = (endpoints, random) => new TwoChoicesPicker(endpoints, random, emptier);

function emptier<E extends BalancedEndpoint>(a: E, b: E, nowMs: number): E {
  return busyness(a, nowMs) <= busyness(b, nowMs) ? a : b;
}

function busyness({ load, weight }: BalancedEndpoint, nowMs: number): number {
  return (load.pending / load.share(nowMs) + 1) / weight;
}
