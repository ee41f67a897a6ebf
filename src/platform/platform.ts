import type { Clock } from "./clock.ts";
import type { Network } from "./network.ts";
import type { Random } from "./random.ts";

/** Everything that code may want from the machine. Handed in by options; the default is `systemPlatform`. */
export interface Platform {
  readonly clock: Clock;
  readonly random: Random;
  readonly network: Network;
  /**
   * Calls `changed` when the file was written, by whomever, perhaps several times for one write and perhaps before the write
   * is complete. `undefined`, or absent: nobody can tell, as on a virtual machine. An ended watch says nothing.
   */
  readonly watchFile?: (path: string, changed: () => void) => FileWatch | undefined;
}

export interface FileWatch {
  close(): void;
}
