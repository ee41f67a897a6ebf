import { pushbackMsMax } from "./limits.ts";

/** A peer's word on when to try again: a delay in milliseconds, or not at all. */
export type Pushback = number | "stop";

/**
 * `grpc-retry-pushback-ms` (gRFC A6): a whole number of milliseconds; negative or unparsable: do not retry. `undefined`
 * when the peer sent none.
 */
export function parseGrpcPushback(text: string | undefined): Pushback | undefined {
  if (text === undefined) return undefined;
  return /^\d{1,10}$/.test(text) ? pushbackOf(Number(text)) : "stop";
}

/**
 * `Retry-After` (RFC 9110, section 10.2.3): seconds or an HTTP date. What is neither is "stop": a server that says
 * something about retrying which we do not understand is not asking for more.
 *
 * @param wallMs wall-clock time, which dates are relative to
 */
export function parseRetryAfter(text: string | undefined, wallMs: number): Pushback | undefined {
  if (text === undefined) return undefined;
  const trimmed = text.trim();
  if (/^\d{1,10}$/.test(trimmed)) return pushbackOf(Number(trimmed) * 1_000);
  if (!/^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? .+/.test(trimmed) || trimmed.length > 40) return "stop";
  // The oldest of the three formats, asctime's, does not say that it is GMT; Date.parse would take it for local time.
  const at = Date.parse(trimmed.endsWith("GMT") ? trimmed : `${trimmed} GMT`);
  return Number.isNaN(at) ? "stop" : pushbackOf(Math.max(0, at - wallMs));
}

/** A pushback that was read already, from an error's `retryAfterMs`: NaN, negative and absurdly long ones mean stop. */
export function pushbackOf(retryAfterMs: unknown): Pushback | undefined {
  if (retryAfterMs === undefined || retryAfterMs === null) return undefined;
  if (typeof retryAfterMs !== "number" || !(retryAfterMs >= 0) || retryAfterMs > pushbackMsMax) return "stop";
  return retryAfterMs;
}
