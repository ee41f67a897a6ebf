import type { Method } from "../../contract/index.ts";
import { type CallPolicy, type ClientHedgeOptions, checkHedgeOptions } from "./client-policy.ts";
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
  /**
   * `false`: the call is not hedged. `true`, or options of its own: a second attempt is sent beside it when it is slow, also
   * where others of the method are not hedged. For unary calls that may be repeated; not while serving a call that was
   * repeated, nor beyond the budget. What is not said: as the client, the contract, otherwise after the 95th percentile of
   * what was observed since a call asked for it first. @default the client's `policy.hedge`, otherwise the contract's
   */
  readonly hedge?: ClientHedgeOptions | boolean | undefined;
  /** Called again when the call is repeated. */
  readonly onHeaders?: ((headers: Metadata) => void) | undefined;
  readonly onTrailers?: ((trailers: Metadata) => void) | undefined;
}

/** What options may depend on. */
export interface ConfiguredCall {
  readonly method: Method;
  readonly policy: CallPolicy;
  /** Repeating it does no harm. */
  readonly isIdempotent: boolean;
}

/** @throws TypeError, RangeError naming the option that the call cannot have */
export function checkCallOptions(options: CallOptions, call: ConfiguredCall): void {
  const { timeoutMs, attemptTimeoutMs, hedge } = options;
  if (timeoutMs !== undefined && !(timeoutMs >= 0)) {
    throw new TypeError(`timeoutMs is ${timeoutMs}; it must be 0 or more`);
  }
  if (attemptTimeoutMs !== undefined && !(attemptTimeoutMs >= 1)) {
    throw new TypeError(`attemptTimeoutMs is ${attemptTimeoutMs}; it must be 1 or more milliseconds`);
  }
  if (hedge !== undefined && hedge !== false) checkHedge(hedge, call);
}

function checkHedge(hedge: ClientHedgeOptions | true, { method, policy, isIdempotent }: ConfiguredCall): void {
  if (method.kind !== "unary") throw new TypeError(`hedge: ${method.path} streams; only unary calls are hedged`);
  if (policy.hedge === undefined && policy.hedgeOnDemand === undefined) {
    throw new TypeError(`hedge: ${method.path} is called by a client that was made with policy: false`);
  }
  if (!isIdempotent) {
    throw new TypeError(
      `hedge: ${method.path} must not be sent twice: its contract has no idempotency_level, or the call says retry: false; with retry: true the call says that repeating it does no harm`,
    );
  }
  if (hedge !== true) checkHedgeOptions(hedge, "hedge");
}
