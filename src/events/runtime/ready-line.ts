import type { Entry, LaneState } from "./entry.ts";
import { EntryBatch } from "./entry-batch.ts";

/** What waits for a free place, first come first served: entries, and batches of them. Linked through the elements. */
export class ReadyLine {
  #first: Entry | EntryBatch | undefined;
  #last: Entry | EntryBatch | undefined;

  get isEmpty(): boolean {
    return this.#first === undefined;
  }

  push(turn: Entry | EntryBatch): void {
    if (this.#last === undefined) this.#first = turn;
    else this.#last.nextReady = turn;
    this.#last = turn;
  }

  /** Before all others. */
  unshift(entry: Entry): void {
    entry.nextReady = this.#first;
    this.#first = entry;
    this.#last ??= entry;
  }

  shift(): Entry | EntryBatch | undefined {
    const first = this.#first;
    if (first === undefined) return undefined;
    this.#first = first.nextReady;
    first.nextReady = undefined;
    if (this.#first === undefined) this.#last = undefined;
    return first;
  }

  /** Takes out the entries of a lane. Batches stay: they know themselves what they have of it. */
  drop(lane: LaneState): readonly Entry[] {
    const out: Entry[] = [];
    let turn = this.#first;
    this.#first = undefined;
    this.#last = undefined;
    while (turn !== undefined) {
      const next: Entry | EntryBatch | undefined = turn.nextReady;
      turn.nextReady = undefined;
      if (turn instanceof EntryBatch || turn.lane !== lane) this.push(turn);
      else out.push(turn);
      turn = next;
    }
    return out;
  }
}
