import type { RpcError } from "../../errors/index.ts";
import { isOutOfRetries, parseGrpcPushback, parseRetryAfter } from "../../resilience/index.ts";
import { type FieldList, HeaderField } from "../../wire/index.ts";

/** The header of gRFC A6, which our clients read in every protocol: `Retry-After` has no word for "never". */
export const pushbackName = "grpc-retry-pushback-ms";

/** What an error of Connect and REST says about repeating the call, as a header; `undefined`: nothing. */
export function pushbackField({ retryAfterMs }: RpcError): HeaderField | undefined {
  if (retryAfterMs === undefined) return undefined;
  if (retryAfterMs >= 0) return new HeaderField("retry-after", String(Math.ceil(retryAfterMs / 1000)));
  return new HeaderField(pushbackName, "-1");
}

/** What headers say about repeating the call, in milliseconds; −1: not at all. */
export function readPushback(fields: FieldList, wallMs: number): number | undefined {
  const pushback = parseGrpcPushback(fields.get(pushbackName)) ?? parseRetryAfter(fields.get("retry-after"), wallMs);
  return pushback === "stop" ? -1 : pushback;
}

/** Whether the handler failed because a call of its own did that was given up: who repeats the whole would multiply. */
export function failedBelow(error: unknown): boolean {
  return isOutOfRetries(error) || (error instanceof Error && isOutOfRetries(error.cause));
}
