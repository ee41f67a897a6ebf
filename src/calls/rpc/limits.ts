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

// ── overload of servers ──────────────────────────────────────────────────────────────────────────────────────────────

/** Calls of one method at once, to begin with and at least and at most. Nobody is turned away below the least, of any
 * priority below half of it: 64 at once is what one busy client has, and no sign of overload. */
export const concurrencyInitial = 512;
export const concurrencyMin = 128;
export const concurrencyMax = 10_000;

/** How late the event loop may be before it counts, in milliseconds: the adaptive limit's own figure. */
export const loopDelayMsMax = 100;
/** How often the event loop is looked at. */
export const loopSampleMs = 50;
/** Late looks in a row that mean overload: a pause of any length, also of a garbage collection, is one look. */
export const loopLooksMin = 3;
/** What a look adds to the pressure at the tolerated delay (three times as much at most), and what a timely one takes:
 * all sheddable work is turned away after a second of lasting overload, and back a second after it. */
export const loopPressureUp = 0.1;
export const loopPressureDown = 0.05;
/** One of ten critical calls is let through however late the loop is: how else would anybody see that it has recovered. */
export const loopPressureMax = 2.9;

/** How long a refused caller is asked to wait, in milliseconds; half more or less by chance. */
export const refusalRetryAfterMs = 1_000;

/** A handler whose call is over keeps its place for this long: its work goes on, unless nobody will ever end it. */
export const abandonedHandlerMs = 60_000;
