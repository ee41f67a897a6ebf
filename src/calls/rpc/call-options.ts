import type { Encoding } from "./compression.ts";
import type { Metadata, MetadataInit } from "./metadata.ts";

/** What one call may say for itself. */
export interface CallOptions {
  /** Milliseconds until the deadline. @default what is left of the call that is being served, otherwise 30,000 (unary) */
  readonly timeoutMs?: number | undefined;
  /**
   * Milliseconds of one attempt; one that takes longer is given up, and repeated where that is allowed. Infinity: no limit.
   * @default the client's `policy.attemptTimeoutMs`, otherwise the contract's `policy.attempt_timeout`, otherwise none
   */
  readonly attemptTimeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly metadata?: MetadataInit | undefined;
  /** Compress what is sent; "identity" switches the client's option off. */
  readonly compression?: Encoding | "identity" | undefined;
  /** With `compression`: which messages. @default all that are not smaller than the client's `compressBytesMin` */
  readonly compressIf?: ((message: object) => boolean) | undefined;
  /**
   * `false`: the call is not repeated, unless the server certainly did not act upon it. `true`: repeating it does no harm,
   * whatever the contract says of its method. @default the contract's `idempotency_level`
   */
  readonly retry?: boolean | undefined;
  /** Called again when the call is repeated. */
  readonly onHeaders?: ((headers: Metadata) => void) | undefined;
  readonly onTrailers?: ((trailers: Metadata) => void) | undefined;
}

/** @throws TypeError naming the option that no call can have */
export function checkCallOptions({ timeoutMs, attemptTimeoutMs }: CallOptions): void {
  if (timeoutMs !== undefined && !(timeoutMs >= 0)) {
    throw new TypeError(`timeoutMs is ${timeoutMs}; it must be 0 or more`);
  }
  if (attemptTimeoutMs !== undefined && !(attemptTimeoutMs >= 1)) {
    throw new TypeError(`attemptTimeoutMs is ${attemptTimeoutMs}; it must be 1 or more milliseconds`);
  }
}
