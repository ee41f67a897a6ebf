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

  /**
   * At its turn: lets go of what may not run now, which is what a blocked lane holds back and what is not fit for a handler.
   * All behind it of its key leave too. Those that are heads of their keys are returned, to have their turn alone.
   */
  part(isFit: (entry: Entry) => boolean): readonly Entry[] {
    const heads: Entry[] = [];
    for (const head of this.#entries) {
      if (head.batch !== this || !isHead(head)) continue;
      const isBlocked = head.lane.blockers > 0;
      let isParted = isBlocked;
      for (let entry: Entry | undefined = head; entry !== undefined && entry.batch === this; entry = entry.follower) {
        if (!isParted && !isFit(entry)) {
          isParted = true;
          entry.gathering = undefined;
        }
        if (!isParted) continue;
        entry.batch = undefined;
        entry.state = "waiting";
      }
      if (head.batch === this) continue;
      head.state = "ready";
      heads.push(head);
    }
    this.#keepMembers();
    return heads;
  }

  /** Forgets the entries of a lane that goes. */
  drop(lane: LaneState): void {
    for (const entry of this.#entries) if (entry.lane === lane) entry.batch = undefined;
    this.#keepMembers();
  }

  #keepMembers(): void {
    let kept = 0;
    this.#bytes = 0;
    for (const entry of this.#entries) {
      if (entry.batch !== this) continue;
      this.#entries[kept++] = entry;
      this.#bytes += entry.bytes;
    }
    this.#entries.length = kept;
  }
}

function isHead(entry: Entry): boolean {
  return entry.key === undefined || entry.lane.heads.get(entry.key) === entry;
}
