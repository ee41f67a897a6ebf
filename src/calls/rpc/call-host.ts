import type { Method } from "../../contract/index.ts";
import type { Clock, Observer } from "../../platform/index.ts";
import type { ServerExchange } from "../../wire/index.ts";
import type { Interceptor } from "./call.ts";

/** When a server compresses its answers. */
export interface ResponseCompression {
  /**
   * `mirror`: in the encoding of the request, where the client compresses itself. `accepted`: for every client that can
   * read it. `never`: only where the handler asks for it.
   */
  readonly responses: "mirror" | "accepted" | "never";
  /** Messages below this many bytes go out as they are. */
  readonly bytesMin: number;
}

/** What calls need of the server that runs them. */
export interface CallHost {
  readonly clock: Clock;
  readonly observer: Observer;
  readonly interceptors: readonly Interceptor[];
  /** Those among them that authenticate. */
  readonly authenticators: readonly Interceptor[];
  /** Milliseconds given to a call that names no deadline of its own, unless it streams. */
  readonly defaultTimeoutMs: number;
  /** The longest deadline that is granted, in milliseconds. */
  readonly timeoutMsMax: number;
  readonly receiveBytesMax: number;
  readonly sendBytesMax: number;
  readonly compression: ResponseCompression;
  /** A call has begun. */
  started(): void;
  /** A call has its answer, or nobody waits for one. */
  ended(): void;
}

/** How long a call may take, possibly for ever where it streams. @param askedMs what the client asked for */
export function grantedTimeoutMs(askedMs: number | undefined, method: Method, host: CallHost): number {
  const isStream = method.kind !== "unary";
  if (askedMs !== undefined) return isStream ? askedMs : Math.min(askedMs, host.timeoutMsMax);
  return method.policy.timeoutMs ?? (isStream ? Number.POSITIVE_INFINITY : host.defaultTimeoutMs);
}

/** What one connection keeps busy. */
export interface ConnectionLoad {
  /** Handlers that run, whether or not somebody waits for them. */
  handlers: number;
}

export function connectionLoad({ connection }: ServerExchange): ConnectionLoad {
  connection.derived ??= { handlers: 0 };
  return connection.derived as ConnectionLoad;
}

/** A handler threw something that is not an `RpcError`; the caller saw `internal`. */
export interface HandlerFailed {
  readonly type: "rpc.handler.failed";
  readonly method: string;
  readonly error: unknown;
}

/** A handler goes on although its call has long been over. Its place is given to another call. */
export interface HandlerAbandoned {
  readonly type: "rpc.handler.abandoned";
  readonly method: string;
}
