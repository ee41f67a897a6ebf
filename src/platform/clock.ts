/** A timer that was armed by {@link Clock.after}. */
export interface Timer {
  /** Disarms the timer; does nothing when it has fired or was cancelled. */
  cancel(): void;
}

/**
 * Time as the rest of the code sees it. The system clock follows the machine; tests and simulations use a virtual one.
 */
export interface Clock {
  /** Monotonic time in milliseconds, with fractions; its origin means nothing. */
  now(): number;
  /** Wall-clock time in milliseconds since 1970-01-01 UTC; may jump. */
  wall(): number;
  /**
   * Runs `run` once, not before `delayMs` milliseconds from now (rounded up to the wheel's tick of 1 ms), in the
   * ambient context of the caller. A timer does not keep the process alive, unless `keepsAlive` says so: for what
   * somebody waits for while nothing else may be going on, such as the delay before another attempt.
   * @throws RangeError when `delayMs` is NaN; negative counts as 0; Infinity never fires.
   */
  after(delayMs: number, run: () => void, keepsAlive?: boolean): Timer;
  /** Runs `run` at the end of this turn of the event loop, after the input that is already there has been handled. */
  endOfTurn(run: () => void): void;
}
