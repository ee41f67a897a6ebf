import type { Timer } from "../platform/index.ts";
import { Waiter, type WaiterQueue } from "./waiter.ts";

/** The calls that wait for their turn under one key of a rate limit, first come first served. */
export class RateQueue implements WaiterQueue {
  readonly key: string | undefined;
  /** Runs until the first one's turn. */
  timer: Timer | undefined;
  count = 0;
  readonly #ring = new Waiter(0, () => {});
  readonly #left: (queue: RateQueue) => void;

  /** @param left told after somebody has left the queue, also by being admitted */
  constructor(key: string | undefined, left: (queue: RateQueue) => void) {
    this.key = key;
    this.#left = left;
  }

  get first(): Waiter | undefined {
    return this.count === 0 ? undefined : this.#ring.next;
  }

  join(waiter: Waiter): void {
    waiter.queue = this;
    const last = this.#ring.previous;
    waiter.previous = last;
    waiter.next = this.#ring;
    last.next = waiter;
    this.#ring.previous = waiter;
    this.count++;
  }

  leave(waiter: Waiter): boolean {
    if (!waiter.isWaiting) return false;
    waiter.previous.next = waiter.next;
    waiter.next.previous = waiter.previous;
    waiter.next = waiter;
    waiter.previous = waiter;
    this.count--;
    this.#left(this);
    return true;
  }
}
