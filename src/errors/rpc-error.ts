import { codeRow, type ErrorCode } from "./codes.ts";

/**
 * A detail of an error: an encoded message with its full type name (`json`: the same in ProtoJSON, which REST answers show
 * where it is known), or a pair `[schema, init]` that the protocol encodes when it sends the error.
 */
export type ErrorDetail =
  | { readonly type: string; readonly value: Uint8Array; readonly json?: string | undefined }
  | readonly [schema: unknown, init: Readonly<Record<string, unknown>>];

/** Metadata that travels with an error: lower-case names, text values (`Uint8Array` for names that end in `-bin`). */
export type ErrorMetadata = Readonly<Record<string, string | Uint8Array | readonly (string | Uint8Array)[]>>;

export interface RpcErrorOptions {
  readonly details?: readonly ErrorDetail[] | undefined;
  readonly metadata?: ErrorMetadata | undefined;
  readonly cause?: unknown;
  /** How long the caller should wait before it tries again, in milliseconds; negative: do not try again. */
  readonly retryAfterMs?: number | undefined;
  /** `true` when the request certainly had no effect at the peer, so that repeating it is safe. */
  readonly unprocessed?: boolean | undefined;
  /** The status of a REST answer where the code's own does not say enough, for example 413 or 422. */
  readonly httpStatus?: number | undefined;
  /** URI that names the kind of problem in a REST answer (RFC 9457, `type`). @default "about:blank" */
  readonly problemType?: string | undefined;
}

const tag = Symbol.for("trunkline.RpcError");

/**
 * An error of a call, with one of the sixteen canonical codes. Thrown by handlers to answer with that code, and by
 * clients for every way in which a call can fail.
 *
 * ```ts
 * throw new RpcError("not_found", `order ${id} does not exist`);
 * ```
 */
export class RpcError extends Error {
  readonly code: ErrorCode;
  readonly details: readonly ErrorDetail[];
  readonly metadata: ErrorMetadata;
  readonly retryAfterMs: number | undefined;
  readonly unprocessed: boolean;
  readonly httpStatus: number | undefined;
  readonly problemType: string | undefined;

  constructor(code: ErrorCode, message: string, options: RpcErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    codeRow(code);
    this.code = code;
    this.details = options.details ?? [];
    this.metadata = options.metadata ?? {};
    this.retryAfterMs = options.retryAfterMs;
    this.unprocessed = options.unprocessed ?? false;
    this.httpStatus = options.httpStatus;
    this.problemType = options.problemType;
  }

  /** Marks instances so that copies of this package in one process recognise each other's errors. */
  get [tag](): true {
    return true;
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    // biome-ignore lint/complexity/noThisInStatic: a subclass inherits this and means its own instances
    if (this !== RpcError) return Function.prototype[Symbol.hasInstance].call(this, value);
    return typeof value === "object" && value !== null && tag in value;
  }
}
Object.defineProperty(RpcError.prototype, "name", { value: "RpcError", configurable: true, writable: true });

/**
 * Whether a caught value is an {@link RpcError}, optionally with one of the given codes.
 *
 * ```ts
 * if (isRpcError(error, "not_found")) return undefined;
 * ```
 */
export function isRpcError(error: unknown, ...codes: readonly ErrorCode[]): error is RpcError {
  return error instanceof RpcError && (codes.length === 0 || codes.includes(error.code));
}
