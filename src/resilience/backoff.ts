import type { Random } from "../platform/index.ts";

/**
 * How delays between attempts spread. `full`: anywhere from 0 to the exponential delay; `decorrelated`: anywhere from the
 * base to three times the delay before; `none`: the exponential delay itself.
 *
 * Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog (2015).
 */
export type Jitter = "full" | "decorrelated" | "none";

export interface Backoff {
  readonly jitter: Jitter;
  readonly baseMs: number;
  readonly factor: number;
  readonly maxMs: number;
}

/**
 * The delay before the next attempt in milliseconds: from 0 to `maxMs`, always a finite number, also after so many retries
 * that the exponential has left the range of numbers.
 *
 * @param retry 1 before the second attempt
 * @param previousMs the delay before the last attempt, 0 when there was none
 */
export function backoffDelayMs(backoff: Backoff, retry: number, previousMs: number, random: Random): number {
  const { baseMs, factor, maxMs, jitter } = backoff;
  switch (jitter) {
    case "none":
      return Math.min(exponential(baseMs, factor, retry), maxMs);
    case "full":
      return Math.min(exponential(baseMs, factor, retry), maxMs) * random.next();
    case "decorrelated": {
      const reach = Math.max(previousMs, baseMs) * 3;
      return Math.min(baseMs + (reach - baseMs) * random.next(), maxMs);
    }
    default:
      return jitter satisfies never;
  }
}

/** 0 × ∞ is the one product here that is no number. */
function exponential(baseMs: number, factor: number, retry: number): number {
  return baseMs === 0 ? 0 : baseMs * factor ** (retry - 1);
}
