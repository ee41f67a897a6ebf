import type { Timer } from "../../platform/index.ts";
import type { Entry, LaneState } from "./entry.ts";
import type { Gathering } from "./gathering.ts";

/**
 * Entries that one call of a batch handler gets: of several lanes perhaps, those of a key in their order. It takes entries
 * until it is full or has its turn, and it has one place among the concurrent handlers, however many they are.
 */
export class EntryBatch {
  readonly gathering: Gathering;
  readonly #entries: Entry[] = [];
  #bytes = 0;
  /** It stands in line for a place, or has stood. */
  isDue = false;
  /** Until the wait of its first entry is over. */
  timer: Timer | undefined;
  nextReady: Entry | EntryBatch | undefined;

  constructor(gathering: Gathering) {
    this.gathering = gathering;
  }

  get entries(): readonly Entry[] {
    return this.#entries;
  }

  /** Bodies together. */
  get bytes(): number {
    return this.#bytes;
  }

  add(entry: Entry): void {
    this.#entries.push(entry);
    this.#bytes += entry.bytes;
    entry.batch = this;
    entry.state = "gathered";
  }

  /** Forgets entries that have left it, or whose lane goes. */
  thin(lane?: LaneState): void {
    let kept = 0;
    this.#bytes = 0;
    for (const entry of this.#entries) {
      if (entry.batch === this && entry.lane === lane) entry.batch = undefined;
      if (entry.batch !== this) continue;
      this.#entries[kept++] = entry;
      this.#bytes += entry.bytes;
    }
    this.#entries.length = kept;
  }
}
