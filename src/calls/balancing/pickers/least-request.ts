import type { BalancedEndpoint, PickerFactory } from "./picker.ts";
import { type Places, TwoChoicesPicker } from "./two-choices.ts";

/** Of two endpoints the one with fewer calls under way for its weight. */
export const leastRequest: PickerFactory = (endpoints, random) => new TwoChoicesPicker(endpoints, random, emptier);

function emptier<E extends BalancedEndpoint>(a: E, b: E, nowMs: number, places: Places): E {
  return places.areEmpty(a, b) || places.taken(a, nowMs) <= places.taken(b, nowMs) ? a : b;
}
