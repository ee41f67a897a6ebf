import type { Method, Priority } from "../../contract/index.ts";
import { RpcError } from "../../errors/index.ts";
import {
  type Clock,
  contextValue,
  currentWork,
  type TlsState,
  type TraceContext,
  traceOf,
  type Work,
} from "../../platform/index.ts";
import type { Principal } from "./authentication.ts";
import { Metadata } from "./metadata.ts";

export type ProtocolName = "grpc" | "grpc-web" | "connect" | "rest";

/** The other end of a call. */
export interface Peer {
  readonly address: string;
  readonly port: number;
  readonly tls: TlsState | undefined;
}

/** What a handler and an interceptor see of a call, on either side. */
export interface Call extends Work {
  readonly method: Method;
  readonly side: "client" | "server";
  readonly protocol: ProtocolName;
  readonly peer: Peer;
  /** On the server: who calls, where an authenticating interceptor has found out. */
  readonly principal: Principal | undefined;
  /**
   * How much the call matters when there is too much to do. On the server what its caller says, otherwise the contract;
   * calls that are made while serving it inherit it.
   */
  readonly priority: Priority;
  /** Attempts that the caller has sent of this call before this one: 0 for the first (`grpc-previous-rpc-attempts`). */
  readonly attempt: number;
  /** Request metadata: on the client it is sent, on the server it was received. */
  readonly metadata: Metadata;
  /** Response headers: on the server they are sent with the first message, on the client they have arrived. */
  readonly responseHeaders: Metadata;
  /** Response trailers: sent after the last message. */
  readonly responseTrailers: Metadata;
  /** Milliseconds left until the deadline, possibly negative; Infinity where there is none. */
  readonly timeLeftMs: number;
  /** Aborted when the call is over for the other side: cancelled, past its deadline, connection lost. Made when asked for. */
  readonly signal: AbortSignal;
  /** The request: a message, or an async iterable of messages where the client streams. */
  readonly request: unknown;
  /**
   * On the server: whether response messages are compressed, if the client can read it; looked at for each message of a
   * stream. To begin with it is `undefined`: as the server's options say, by the size of the message. `true` must be set
   * before the first message.
   */
  compressResponses: boolean | undefined;
}

/** Hands the call on to the next interceptor and finally to the handler or the wire. */
export type Next = (request?: unknown) => Promise<unknown>;

/**
 * Wraps calls of all four kinds, on clients and servers: `next()` resolves with the response, a message or an async
 * iterable of messages.
 *
 * ```ts
 * const logged: Interceptor = async (call, next) => { log(call.method.path); return next(); };
 * ```
 */
export type Interceptor = (call: Call, next: Next) => Promise<unknown>;

/** The priority that work inherits from the call or event that it serves; `undefined` outside of any. */
export function inheritedPriority(): Priority | undefined {
  return contextValue(currentWork)?.priority;
}

/** The state of a call that both sides share. */
export abstract class CallState implements Call {
  readonly method: Method;
  readonly protocol: ProtocolName;
  abstract readonly side: "client" | "server";
  abstract readonly peer: Peer;
  /** Monotonic time of the deadline in milliseconds; Infinity: none. */
  deadlineAt = Number.POSITIVE_INFINITY;
  request: unknown = undefined;
  principal: Principal | undefined = undefined;
  compressResponses: boolean | undefined = undefined;
  protected readonly clock: Clock;
  #controller: AbortController | undefined;
  #ended: RpcError | undefined;
  #responseHeaders: Metadata | undefined;
  #responseTrailers: Metadata | undefined;

  constructor(method: Method, protocol: ProtocolName, clock: Clock) {
    this.method = method;
    this.protocol = protocol;
    this.clock = clock;
  }

  abstract get metadata(): Metadata;

  get priority(): Priority {
    return this.method.policy.priority;
  }

  get attempt(): number {
    return 0;
  }

  get trace(): TraceContext | undefined {
    return traceOf(name => this.metadata.get(name) as string | undefined);
  }

  get responseHeaders(): Metadata {
    this.#responseHeaders ??= new Metadata();
    return this.#responseHeaders;
  }

  set responseHeaders(metadata: Metadata) {
    this.#responseHeaders = metadata;
  }

  get responseTrailers(): Metadata {
    this.#responseTrailers ??= new Metadata();
    return this.#responseTrailers;
  }

  set responseTrailers(metadata: Metadata) {
    this.#responseTrailers = metadata;
  }

  /** Whether anybody put something there: reading the getters would allocate. */
  get hasResponseHeaders(): boolean {
    return this.#responseHeaders !== undefined && this.#responseHeaders.size > 0;
  }

  get hasResponseTrailers(): boolean {
    return this.#responseTrailers !== undefined && this.#responseTrailers.size > 0;
  }

  get timeLeftMs(): number {
    return this.deadlineAt === Number.POSITIVE_INFINITY ? this.deadlineAt : this.deadlineAt - this.clock.now();
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#ended !== undefined) this.#controller.abort(this.#ended);
    }
    return this.#controller.signal;
  }

  /** Aborts the signal; the first reason stays. */
  protected abortSignal(reason: RpcError): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    this.#controller?.abort(reason);
  }
}

/** Any thrown value as an `RpcError`: what is not one becomes `internal` without its message. */
export function asRpcError(error: unknown): RpcError {
  if (error instanceof RpcError) return error;
  return new RpcError("internal", "internal error", { cause: error });
}
