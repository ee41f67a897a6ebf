import { type Clock, outsideContext, type Timer } from "../platform/index.ts";

/** Work that is under a time limit. Linked into one queue at a time; to itself otherwise. */
export interface Timed {
  next: Timed;
  previous: Timed;
  /** Monotonic time in milliseconds at which it is over. */
  dueMs: number;
  /** The time is over. Called outside of any context. */
  expire(nowMs: number): void;
}

/** Where the list begins and ends. */
class Head implements Timed {
  next: Timed = this;
  previous: Timed = this;
  dueMs = 0;

  expire(): void {}
}

/**
 * Time limits of one length: what begins first is over first, so a list in order of arrival and one timer for its head
 * replace a timer per call. Arming and disarming are a few assignments; the timer of the clock is set once per limit that
 * passes (`npm run bench -- resilience`: a timer per call costs half as much as the whole policy).
 *
 * A timer that finds nothing due is left to fire; it keeps nothing alive.
 */
export class TimeoutQueue {
  readonly limitMs: number;
  readonly #clock: Clock;
  readonly #list: Timed = new Head();
  #timer: Timer | undefined;
  readonly #wake = () => this.#onWake();

  constructor(clock: Clock, limitMs: number) {
    this.#clock = clock;
    this.limitMs = limitMs;
  }

  add(entry: Timed, nowMs: number): void {
    entry.dueMs = nowMs + this.limitMs;
    const last = this.#list.previous;
    entry.previous = last;
    entry.next = this.#list;
    last.next = entry;
    this.#list.previous = entry;
    if (this.#timer === undefined) this.#arm(this.limitMs);
  }

  /** Does nothing when the entry is in no queue. */
  remove(entry: Timed): void {
    entry.previous.next = entry.next;
    entry.next.previous = entry.previous;
    entry.next = entry;
    entry.previous = entry;
  }

  #arm(delayMs: number): void {
    // The timer serves everybody, so it belongs to nobody's piece of work.
    this.#timer = outsideContext(() => this.#clock.after(delayMs, this.#wake));
  }

  #onWake(): void {
    this.#timer = undefined;
    const nowMs = this.#clock.now();
    try {
      for (let first = this.#list.next; first !== this.#list && first.dueMs <= nowMs; first = this.#list.next) {
        this.remove(first);
        first.expire(nowMs);
      }
    } finally {
      const first = this.#list.next;
      if (first !== this.#list && this.#timer === undefined) this.#arm(first.dueMs - nowMs);
    }
  }
}
