/** The rules by which an endpoint is chosen, one a file, behind the interface in `picker.ts`. */
import { leastRequest } from "./least-request.ts";
import { peakEwma } from "./peak-ewma.ts";
import type { PickerFactory } from "./picker.ts";
import { ringHash } from "./ring-hash.ts";
import { roundRobin } from "./round-robin.ts";
import { weighted } from "./weighted.ts";

export type { BalancedEndpoint, Picker, PickerFactory, PickHint } from "./picker.ts";

/** Every rule by the name that options have for it. */
export const pickers = {
  peak_ewma: peakEwma,
  least_request: leastRequest,
  round_robin: roundRobin,
  weighted,
  ring_hash: ringHash,
} as const satisfies Record<string, PickerFactory>;

export type BalancingRule = keyof typeof pickers;
