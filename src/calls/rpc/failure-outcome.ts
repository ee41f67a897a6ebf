import type { RpcError } from "../../errors/index.ts";
import { ExchangeError } from "../../wire/index.ts";
import type { CallOutcome } from "../channel/index.ts";

/** Codes that say something of the endpoint; the others are answers, are about the request, or the caller gave up. */
const endpointFailures: ReadonlySet<string> = new Set([
  "unknown",
  "deadline_exceeded",
  "internal",
  "unavailable",
  "data_loss",
]);

/**
 * What the failure of an attempt says of its endpoint.
 * @param answerBegan whether anything of an answer had come
 */
export function outcomeOfFailure({ code, retryAfterMs }: RpcError, answerBegan: boolean): CallOutcome {
  const isOverload = code === "resource_exhausted" && retryAfterMs !== undefined;
  if (endpointFailures.has(code) || isOverload) return "failure";
  // An answer of the application shows that the endpoint works.
  if (answerBegan) return "success";
  return code === "cancelled" ? "unanswered" : "ignored";
}

/** Whether a failure means that the target takes no work, or not in time: what the throttle holds back. */
export function isRejection({ code, retryAfterMs = -1 }: RpcError, answerBegan: boolean): boolean {
  // Without a word on when to come back it is about this request: a quota, or its size.
  if (code === "resource_exhausted") return retryAfterMs >= 0;
  // One that answers so has taken the work, and failed with it.
  return code !== "unavailable" || !answerBegan || retryAfterMs >= 0;
}

/** Whether it failed with its connection: calls that shared that failed of one cause. */
export function isLostConnection({ cause }: RpcError): boolean {
  return cause instanceof ExchangeError && cause.reason === "connection";
}
