/** Limits of calls; each can be set per server or client. */
export interface RpcLimits {
  /** Largest message in bytes, in both directions, also after decompression. @default 4 MiB, as gRPC */
  readonly messageBytesMax: number;
  /** The same for received messages alone. @default messageBytesMax */
  readonly receiveBytesMax: number;
  /** The same for sent messages alone. @default messageBytesMax */
  readonly sendBytesMax: number;
  /**
   * Handlers that run at once for one connection, those included whose caller has its answer (past a deadline) or is gone:
   * work counts until it has really ended. Further calls are refused as unprocessed. @default 500
   */
  readonly handlersPerConnectionMax: number;
  /** Deadline of a unary call that comes without one, in milliseconds. @default 30,000 */
  readonly defaultTimeoutMs: number;
  /** Longest deadline that a server grants a unary call, in milliseconds. @default 300,000 */
  readonly timeoutMsMax: number;
}

/**
 * What the way back of an answer is granted: calls made while serving another one get its deadline less this many
 * milliseconds, or less a share of what is left where that is shorter.
 */
export const hopMarginMs = 5;
export const hopMarginShare = 0.1;

const names = [
  "messageBytesMax",
  "receiveBytesMax",
  "sendBytesMax",
  "handlersPerConnectionMax",
  "defaultTimeoutMs",
  "timeoutMsMax",
] as const;

const messageBytesMax = 4 * 1024 * 1024;

/** The limits with the defaults for what is not given. @throws RangeError for one that is below 1 or no number */
export function rpcLimits(given: Partial<RpcLimits> = {}): RpcLimits {
  for (const name of names) {
    const value = given[name];
    if (value !== undefined && !(value >= 1)) throw new RangeError(`limits: ${name} is ${value}; it must be 1 or more`);
  }
  const bytesMax = given.messageBytesMax ?? messageBytesMax;
  return {
    messageBytesMax: bytesMax,
    receiveBytesMax: given.receiveBytesMax ?? bytesMax,
    sendBytesMax: given.sendBytesMax ?? bytesMax,
    handlersPerConnectionMax: given.handlersPerConnectionMax ?? 500,
    defaultTimeoutMs: given.defaultTimeoutMs ?? 30_000,
    timeoutMsMax: given.timeoutMsMax ?? 300_000,
  };
}
