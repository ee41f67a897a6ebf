import type { RejectionReason } from "../errors/index.ts";
import type { BreakerChange } from "./breaker.ts";

/** Why an attempt that was due was not sent. */
export type RetryRefusal = "attempts" | "budget" | "deadline" | "pushback" | "inbound_attempts" | "capacity";

/** What policies tell the observer. All of it happens off the path of a call that succeeds at once. */
export type ResilienceEvent =
  | {
      readonly type: "resilience.rejected";
      readonly policy: string | undefined;
      readonly reason: RejectionReason;
    }
  | {
      readonly type: "resilience.retry";
      readonly policy: string | undefined;
      /** The attempt that failed. */
      readonly attempt: number;
      readonly delayMs: number;
      readonly error: unknown;
    }
  | {
      /** A retry or hedge that was due and not sent. */
      readonly type: "resilience.retry.refused";
      readonly policy: string | undefined;
      readonly attempt: number;
      readonly reason: RetryRefusal;
    }
  | { readonly type: "resilience.hedge"; readonly policy: string | undefined; readonly attempt: number }
  | { readonly type: "resilience.timeout"; readonly policy: string | undefined; readonly scope: "attempt" | "call" }
  | { readonly type: "resilience.recovered"; readonly policy: string | undefined; readonly error: unknown }
  | ({ readonly type: "resilience.breaker"; readonly policy: string | undefined } & BreakerChange);
