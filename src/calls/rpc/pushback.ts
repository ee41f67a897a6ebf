import { RpcError } from "../../errors/index.ts";
import { isOutOfRetries, parseGrpcPushback, parseRetryAfter } from "../../resilience/index.ts";
import { type FieldList, HeaderField } from "../../wire/index.ts";

/** Causes that are looked at: an error wraps another a few times, a chain without an end is a mistake or an attack. */
const causesMax = 8;

/**
 * Whether a failure comes from work whose repetition was given up below, by itself or as the cause of what the handler made
 * of it. If this layer's caller tried again, the attempts of the layers would multiply.
 */
export function wasGivenUpBelow(error: unknown): boolean {
  let link = error;
  for (let depth = 0; depth < causesMax && typeof link === "object" && link !== null; depth++) {
    if (isOutOfRetries(link)) return true;
    link = (link as { readonly cause?: unknown }).cause;
  }
  return false;
}

/** The same error for the caller, with the word not to try again (gRFC A6: a negative pushback). */
export function withoutRetry(error: RpcError): RpcError {
  if (error.retryAfterMs !== undefined && error.retryAfterMs < 0) return error;
  const { code, message, details, metadata, httpStatus, problemType } = error;
  return new RpcError(code, message, { details, metadata, httpStatus, problemType, retryAfterMs: -1, cause: error });
}

export const pushbackName = "grpc-retry-pushback-ms";

/** gRPC's field for how long to wait before another attempt, in milliseconds; negative: there must be none (gRFC A6). */
export function pushbackMsField(retryAfterMs: number): HeaderField {
  return new HeaderField(pushbackName, retryAfterMs >= 0 ? String(Math.ceil(retryAfterMs)) : "-1");
}

/** What a server says in that field; −1 for what cannot be read: whoever says something of it is not asking for more. */
export function readPushbackMs(text: string | undefined): number | undefined {
  const pushback = parseGrpcPushback(text);
  return pushback === "stop" ? -1 : pushback;
}

/** What headers say about repeating the call, in milliseconds; −1: not at all. */
export function readPushback(fields: FieldList, wallMs: number): number | undefined {
  const pushback = readPushbackMs(fields.get(pushbackName)) ?? parseRetryAfter(fields.get("retry-after"), wallMs);
  return pushback === "stop" ? -1 : pushback;
}

/**
 * An error's word on trying again, for answers of plain HTTP: `Retry-After` in whole seconds (RFC 9110, section 10.2.3),
 * which has no value for "never", so that one is said in gRPC's field, which our clients read on every protocol.
 */
export function pushbackFields({ retryAfterMs }: RpcError): readonly HeaderField[] {
  if (retryAfterMs === undefined) return [];
  if (!(retryAfterMs >= 0)) return [pushbackMsField(-1)];
  return [new HeaderField("retry-after", String(Math.ceil(retryAfterMs / 1_000)))];
}
