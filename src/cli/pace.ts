import type { Clock } from "../platform/index.ts";

/** Lets work begin at most so often, evenly; what was slow is not made up for. */
export class Pace {
  readonly #clock: Clock;
  readonly #everyMs: number;
  readonly #signal: AbortSignal;
  #nextMs = Number.NEGATIVE_INFINITY;

  /** @param perSecond `undefined`: as fast as it goes */
  constructor(perSecond: number | undefined, clock: Clock, signal: AbortSignal) {
    this.#clock = clock;
    this.#everyMs = perSecond === undefined ? 0 : 1_000 / perSecond;
    this.#signal = signal;
  }

  /** Resolves when the next piece may begin, or when the signal is aborted. */
  async next(): Promise<void> {
    const waitMs = this.#nextMs - this.#clock.now();
    if (waitMs > 0) await this.#wait(waitMs);
    this.#nextMs = Math.max(this.#nextMs, this.#clock.now()) + this.#everyMs;
  }

  #wait(ms: number): Promise<void> {
    if (this.#signal.aborted) return Promise.resolve();
    return new Promise(resolve => {
      const end = () => {
        timer.cancel();
        this.#signal.removeEventListener("abort", end);
        resolve();
      };
      const timer = this.#clock.after(ms, end, true);
      this.#signal.addEventListener("abort", end);
    });
  }
}
