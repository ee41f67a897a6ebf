import type { ErrorCode } from "./codes.ts";
import { RpcError } from "./rpc-error.ts";

/** Why work was not admitted. */
export type RejectionReason =
  | "breaker_open"
  | "bulkhead_full"
  | "queue_timeout"
  | "deadline"
  | "rate_limited"
  | "limit_reached"
  | "shed"
  | "throttled";

interface ReasonRow {
  readonly code: ErrorCode;
  readonly text: string;
}

const reasons: Readonly<Record<RejectionReason, ReasonRow>> = {
  breaker_open: { code: "unavailable", text: "the circuit breaker is open" },
  bulkhead_full: { code: "resource_exhausted", text: "the bulkhead and its queue are full" },
  queue_timeout: { code: "resource_exhausted", text: "the longest wait in the bulkhead's queue is over" },
  deadline: { code: "deadline_exceeded", text: "the deadline passed before the work was admitted" },
  rate_limited: { code: "resource_exhausted", text: "the rate limit is used up" },
  limit_reached: { code: "resource_exhausted", text: "the adaptive limit of concurrent work is reached" },
  shed: { code: "resource_exhausted", text: "work of this priority is shed under the present load" },
  throttled: { code: "unavailable", text: "throttled: the target rejects most of what it is sent" },
};

/**
 * Work that was not admitted, as a value: no stack is captured, because rejecting must stay cheap when there is too much
 * work. Becomes a {@link RejectedError} only where it reaches a caller that expects exceptions.
 */
export class Rejection {
  /** Tells a rejection from a permit. */
  readonly rejected = true;
  readonly reason: RejectionReason;
  /** Milliseconds after which trying again may succeed; `undefined` where that cannot be known. */
  readonly retryAfterMs: number | undefined;

  constructor(reason: RejectionReason, retryAfterMs?: number) {
    this.reason = reason;
    this.retryAfterMs = retryAfterMs;
  }

  /** The rejection as an error. @param who name of the policy or target, for the message */
  toError(who?: string): RejectedError {
    return new RejectedError(this, who);
  }
}

/**
 * Work was not admitted, and nothing of it was started: `unprocessed` is `true`. The code is `unavailable`,
 * `resource_exhausted` or `deadline_exceeded`, as the reason has it.
 */
export class RejectedError extends RpcError {
  readonly reason: RejectionReason;

  constructor({ reason, retryAfterMs }: Pick<Rejection, "reason" | "retryAfterMs">, who?: string) {
    const { code, text } = reasons[reason];
    const wait = retryAfterMs === undefined ? "" : `; try again in ${Math.ceil(retryAfterMs)} ms`;
    super(code, `${who === undefined ? "" : `${who}: `}${text}${wait}`, { retryAfterMs, unprocessed: true });
    this.reason = reason;
  }
}
Object.defineProperty(RejectedError.prototype, "name", { value: "RejectedError", configurable: true, writable: true });
