import { type ErrorCode, isRpcError, RejectedError } from "../errors/index.ts";
import type { FailureKind, Outcome } from "./permit.ts";

/** Says what an error means for the health of the target. */
export type Classify = (error: unknown) => Outcome;

/**
 * Codes that speak of the request or its caller rather than of the target. Everything else, also an error that is no
 * `RpcError`, is a failure.
 */
const ignoredCodes: ReadonlySet<ErrorCode> = new Set([
  "cancelled",
  "invalid_argument",
  "not_found",
  "already_exists",
  "permission_denied",
  "unauthenticated",
  "failed_precondition",
  "aborted",
  "out_of_range",
  "unimplemented",
]);

/**
 * The default: answers that speak of the request (`not_found`, `invalid_argument` …), cancellation and rejections of other
 * guards are ignored; time-outs, overload, unavailability and unknown errors are failures.
 */
export function classifyError(error: unknown): Outcome {
  if (error instanceof RejectedError) return "ignore";
  if (isRpcError(error)) return ignoredCodes.has(error.code) ? "ignore" : "failure";
  return "failure";
}

/** The kind of a failure. */
export function failureKind(error: unknown): FailureKind {
  if (!isRpcError(error)) return "error";
  switch (error.code) {
    case "deadline_exceeded":
      return "timeout";
    case "resource_exhausted":
      return "overload";
    case "unavailable":
      return "unavailable";
    default:
      return "error";
  }
}

/** What made an error happen, when several may share it: the lost connection behind errors of calls. */
export function sharedCause(error: unknown): object | undefined {
  if (!isRpcError(error)) return undefined;
  const { cause } = error;
  return typeof cause === "object" && cause !== null ? cause : undefined;
}
