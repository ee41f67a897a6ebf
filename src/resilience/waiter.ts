import type { Timer } from "../platform/index.ts";
import type { Admission } from "./permit.ts";

/** Work that waits for a place. `Bulkhead.leave` takes it out; it is told its admission otherwise, exactly once. */
export class Waiter {
  readonly deadlineAt: number;
  next: Waiter = this;
  previous: Waiter = this;
  timer: Timer | undefined;
  readonly #admit: (admission: Admission) => void;

  /** @param deadlineAt monotonic time in milliseconds after which the work is worthless */
  constructor(deadlineAt: number, admit: (admission: Admission) => void) {
    this.deadlineAt = deadlineAt;
    this.#admit = admit;
  }

  get isWaiting(): boolean {
    return this.next !== this;
  }

  decide(admission: Admission): void {
    this.timer?.cancel();
    this.#admit(admission);
  }
}
