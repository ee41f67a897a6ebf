import type { Timer } from "../platform/index.ts";
import type { Admission } from "./permit.ts";

/** Where a {@link Waiter} waits. */
export interface WaiterQueue {
  /** Takes it out, at once and for good; `false` when it did not wait. */
  leave(waiter: Waiter): boolean;
}

/** Work that waits for a place or its turn. Its queue's `leave` takes it out; it is told its admission otherwise, once. */
export class Waiter {
  readonly deadlineAt: number;
  /** Set by the queue. */
  queue: WaiterQueue | undefined;
  next: Waiter = this;
  previous: Waiter = this;
  timer: Timer | undefined;
  readonly #admit: (admission: Admission) => void;

  /** @param deadlineAt monotonic time in milliseconds after which the work is worthless */
  constructor(deadlineAt: number, admit: (admission: Admission) => void) {
    this.deadlineAt = deadlineAt;
    this.#admit = admit;
  }

  /** Waits no longer, whatever for. */
  leave(): boolean {
    return this.queue?.leave(this) ?? false;
  }

  get isWaiting(): boolean {
    return this.next !== this;
  }

  decide(admission: Admission): void {
    this.timer?.cancel();
    this.#admit(admission);
  }
}
