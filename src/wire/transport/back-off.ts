import type { Random } from "../../platform/index.ts";

/** Pauses between failed attempts: doubling, each drawn evenly from the upper half, so that clients spread out. */
export class BackOff {
  readonly #random: Random;
  readonly #minMs: number;
  readonly #maxMs: number;
  #failures = 0;

  constructor(random: Random, minMs: number, maxMs: number) {
    this.#random = random;
    this.#minMs = minMs;
    this.#maxMs = maxMs;
  }

  /** Counts a failure. @returns the pause in milliseconds */
  failed(): number {
    const pauseMs = Math.min(this.#minMs * 2 ** Math.min(this.#failures, 30), this.#maxMs);
    this.#failures++;
    return pauseMs * (0.5 + this.#random.next() / 2);
  }

  succeeded(): void {
    this.#failures = 0;
  }
}
