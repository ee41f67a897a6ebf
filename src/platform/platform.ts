import type { Clock } from "./clock.ts";
import type { Network } from "./network.ts";
import type { Random } from "./random.ts";

/** Everything that code may want from the machine. Handed in by options; the default is `systemPlatform`. */
export interface Platform {
  readonly clock: Clock;
  readonly random: Random;
  readonly network: Network;
}
