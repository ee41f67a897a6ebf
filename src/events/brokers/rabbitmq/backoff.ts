import type { Random } from "../../../platform/index.ts";
import { reconnectMs } from "./limits.ts";

/** Before the attempt after `failures` failed ones, in milliseconds: doubled each time, half of it random. */
export function backoffMs(failures: number, random: Random): number {
  const whole = Math.min(reconnectMs.max, reconnectMs.initial * 2 ** Math.min(failures, 16));
  return whole / 2 + (random.next() * whole) / 2;
}
