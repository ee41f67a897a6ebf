import { type Clock, outsideContext, type Timer } from "../../platform/index.ts";

/**
 * The one timer of a connection. What it waits for changes with every request, so moving the due time is a store: the
 * timer that is armed fires early, looks, and is armed again.
 */
export class Watchdog {
  readonly #clock: Clock;
  readonly #expired: () => void;
  #timer: Timer | undefined;
  #armedFor = Number.POSITIVE_INFINITY;
  #due = Number.POSITIVE_INFINITY;

  constructor(clock: Clock, expired: () => void) {
    this.#clock = clock;
    this.#expired = expired;
  }

  get isSet(): boolean {
    return this.#due !== Number.POSITIVE_INFINITY;
  }

  /** Calls `expired` after `delayMs` unless `set` or `clear` is called before. */
  set(delayMs: number): void {
    this.#due = this.#clock.now() + delayMs;
    if (this.#timer !== undefined) {
      if (this.#armedFor <= this.#due) return;
      this.#timer.cancel();
    }
    this.#arm(delayMs);
  }

  clear(): void {
    this.#due = Number.POSITIVE_INFINITY;
  }

  /** For good. */
  stop(): void {
    this.clear();
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(delayMs: number): void {
    this.#armedFor = this.#due;
    // It outlives the piece of work that happens to arm it.
    this.#timer = outsideContext(() => this.#clock.after(delayMs, () => this.#fired()));
  }

  #fired(): void {
    this.#timer = undefined;
    if (this.#due === Number.POSITIVE_INFINITY) return;
    const left = this.#due - this.#clock.now();
    if (left > 0) {
      this.#arm(left);
      return;
    }
    this.#due = Number.POSITIVE_INFINITY;
    this.#expired();
  }
}
