import type { Random } from "../../platform/index.ts";
import { backoffDelayMs } from "../../resilience/index.ts";
import { Discard, RetryLater } from "../errors.ts";
import type { Entry } from "./entry.ts";
import { delaySpread } from "./limits.ts";

/** When a failed attempt is followed by another. */
export interface RetrySchedule {
  readonly maxAttempts: number;
  readonly immediate: number;
  readonly immediateDelayMs: number;
  readonly initialDelayMs: number;
  readonly factor: number;
  readonly maxDelayMs: number;
}

/** What follows a failed attempt. */
export type AfterFailure =
  | { readonly kind: "immediate"; readonly delayMs: number }
  | { readonly kind: "delayed"; readonly delayMs: number }
  | { readonly kind: "dead"; readonly reason: "attempts" | "discarded" };

/**
 * Decides what follows a failure: a few attempts at once with short random pauses, then delayed ones that grow, then the
 * dead letters. What the handler says by `Discard` or `RetryLater` comes before the schedule, but not before `maxAttempts`.
 */
export function afterFailure(entry: Entry, error: unknown, schedule: RetrySchedule, random: Random): AfterFailure {
  if (error instanceof Discard) return { kind: "dead", reason: "discarded" };
  const { attempts } = entry;
  if (attempts >= schedule.maxAttempts) return { kind: "dead", reason: "attempts" };
  if (error instanceof RetryLater) return { kind: "delayed", delayMs: error.delayMs };
  if (attempts <= schedule.immediate) {
    const backoff = { jitter: "full", baseMs: schedule.immediateDelayMs, factor: 2, maxMs: 1_000 } as const;
    return { kind: "immediate", delayMs: backoffDelayMs(backoff, attempts, 0, random) };
  }
  const { initialDelayMs: baseMs, factor, maxDelayMs: maxMs } = schedule;
  const delayMs = backoffDelayMs({ jitter: "none", baseMs, factor, maxMs }, attempts - schedule.immediate, 0, random);
  return { kind: "delayed", delayMs: delayMs * (1 + delaySpread * (2 * random.next() - 1)) };
}
