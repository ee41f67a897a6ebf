import type { RpcError } from "../../errors/index.ts";
import type { Timer, Work } from "../../platform/index.ts";
import { markOutOfRetries } from "../../resilience/index.ts";
import type { Channel } from "../channel/index.ts";
import { type CallPolicy, isWorthRepeating } from "./client-policy.ts";

/** The field that tells servers how often a call was sent before (gRFC A6). */
export const previousAttemptsName = "grpc-previous-rpc-attempts";

/** What a call says of itself when it failed. */
export interface FailedCall {
  readonly path: string;
  readonly channel: Channel;
  readonly policy: CallPolicy;
  /** Repeating it does no harm. */
  readonly isIdempotent: boolean;
  /** Monotonic time in milliseconds. */
  readonly deadlineAt: number;
  /** The call that the failed one was made for. */
  readonly served: Work | undefined;
}

/** How often a call was repeated, and whether it is again. Made when its first attempt fails. */
export class Repetition {
  /** Attempts that have failed. */
  failed = 0;
  lastError: RpcError | undefined;
  /** Runs until the next attempt. */
  timer: Timer | undefined;
  #delayMs = 0;

  /**
   * Takes note of a failed attempt. Answers the delay before the next one in milliseconds, which is paid for then;
   * `undefined`: there is none, and callers further up must not repeat in turn what was given up here.
   */
  next(call: FailedCall, error: RpcError, nowMs: number): number | undefined {
    this.failed++;
    this.lastError = error;
    const { policy, channel, path } = call;
    if (policy.retry === undefined || !isWorthRepeating(policy, error, call.isIdempotent)) return undefined;
    const delayMs = policy.retry.delayMs(error, this.failed, this.#delayMs);
    const refusal =
      (call.served?.attempt ?? 0) > 0
        ? "inbound_attempts"
        : this.failed >= policy.retry.attempts
          ? "attempts"
          : delayMs === undefined
            ? "pushback"
            : nowMs + delayMs >= call.deadlineAt
              ? "deadline"
              : policy.budget?.withdraw(nowMs) === false
                ? "budget"
                : undefined;
    if (refusal !== undefined || delayMs === undefined) {
      markOutOfRetries(error);
      const refused = {
        type: "resilience.retry.refused",
        policy: path,
        attempt: this.failed,
        reason: refusal,
      } as const;
      channel.observer.emit(refused);
      return undefined;
    }
    this.#delayMs = delayMs;
    const event = { type: "resilience.retry", policy: path, attempt: this.failed, delayMs, error } as const;
    channel.observer.emit(event);
    return delayMs;
  }
}
