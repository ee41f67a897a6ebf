import { type Clock, outsideContext } from "../../platform/index.ts";
import type { BatchLimits } from "../batch.ts";
import type { Entry } from "./entry.ts";
import { EntryBatch } from "./entry-batch.ts";

/**
 * Fills the batches of one handler, one at a time. A batch is due when it has as many events or bytes as it may have, or
 * when its first event has waited for `waitMs`; later events never prolong that. Until it has its turn a batch that is due
 * takes what still fits: where all places are taken, it had to wait anyway.
 */
export class Gathering {
  readonly #limits: BatchLimits;
  readonly #clock: Clock;
  readonly #line: BatchLine;
  /** The batch that takes entries. */
  #open: EntryBatch | undefined;

  constructor(limits: BatchLimits, clock: Clock, line: BatchLine) {
    this.#limits = limits;
    this.#clock = clock;
    this.#line = line;
  }

  /** An entry that waits behind none of its key joins a batch, a new one where it does not fit. */
  join(entry: Entry): EntryBatch {
    if (this.#open !== undefined && !this.#fits(this.#open, entry)) this.close(this.#open);
    const batch = this.#open ?? this.#begin();
    this.#add(batch, entry);
    return batch;
  }

  /** An entry right behind one in `batch` joins the same or none: a key is never in two batches. Answers whether it did. */
  follow(batch: EntryBatch, entry: Entry): boolean {
    if (batch !== this.#open) return false;
    if (this.#fits(batch, entry)) this.#add(batch, entry);
    else this.close(batch);
    return entry.batch === batch;
  }

  /** A batch takes no more, and is due. */
  close(batch: EntryBatch): void {
    if (this.#open === batch) this.#open = undefined;
    batch.timer?.cancel();
    batch.timer = undefined;
    this.#due(batch);
  }

  /** Nothing is left in a batch. */
  forget(batch: EntryBatch): void {
    if (this.#open === batch) this.#open = undefined;
    batch.timer?.cancel();
    batch.timer = undefined;
  }

  #begin(): EntryBatch {
    const batch = new EntryBatch(this);
    this.#open = batch;
    const { waitMs } = this.#limits;
    if (waitMs === 0) this.#due(batch);
    else {
      const onWaited = () => {
        batch.timer = undefined;
        this.#due(batch);
        this.#line.goOn();
      };
      // Keeps the process: nothing else does on a broker in memory, and the events are about to be handled.
      batch.timer = outsideContext(() => this.#clock.after(waitMs, onWaited, true));
    }
    return batch;
  }

  #add(batch: EntryBatch, entry: Entry): void {
    batch.add(entry);
    const { eventsMax, bytesMax } = this.#limits;
    if (batch.entries.length >= eventsMax || batch.bytes >= bytesMax) this.close(batch);
  }

  #fits(batch: EntryBatch, entry: Entry): boolean {
    return batch.entries.length === 0 || batch.bytes + entry.bytes <= this.#limits.bytesMax;
  }

  #due(batch: EntryBatch): void {
    if (batch.isDue) return;
    batch.isDue = true;
    this.#line.push(batch);
  }
}

/** Where batches wait for a place. */
export interface BatchLine {
  push(batch: EntryBatch): void;
  /** Somebody who waits may have a turn: not within another's. */
  goOn(): void;
}
