/**
 * What a peer may make us do. Budgets are `burst` at once, refilled by `perSecond`; some are also refilled by honest work,
 * as their comments say. Exceeding a limit ends the connection with GOAWAY ENHANCE_YOUR_CALM and the limit's token as
 * debug data unless its comment says otherwise.
 */
export interface Budget {
  readonly burst: number;
  readonly perSecond: number;
  /** Stable name for the GOAWAY debug data and metrics. */
  readonly token: string;
}

export interface Http2Limits {
  /** Streams that the peer may have open, and handlers that may run (also for streams the peer has reset already). Above: REFUSED_STREAM. */
  readonly concurrentStreams: number;
  /** Decoded header list, name + value + 32 bytes per field. Above: status 431 (server), stream error (client). */
  readonly headerListBytesMax: number;
  /** A list above this many times `headerListBytesMax`, or a block of that many bytes, ends the connection. */
  readonly headerListExcess: number;
  /** CONTINUATION frames in one block (CVE-2024-27316). */
  readonly continuationFramesMax: number;
  /** Largest frame that we accept, the smallest value that RFC 9113 allows. Above: FRAME_SIZE_ERROR. */
  readonly frameBytesMax: number;
  /** Memory for the peer's header compression, and for ours. */
  readonly headerTableBytes: number;
  /** Receive windows of a stream and of the connection at first. */
  readonly windowBytes: number;
  /** Largest receive window of a stream that the bandwidth-delay estimate may lead to. */
  readonly streamWindowBytesMax: number;
  /** Largest receive window of the connection; received bytes that wait for the application never exceed it. */
  readonly connectionWindowBytesMax: number;
  /** Output waiting in this process, above which nothing more is read from the peer. */
  readonly outputBytesMax: number;
  /** Control frames (acknowledgements, resets) waiting behind a blocked socket, above which nothing more is read. */
  readonly controlFramesMax: number;
  /** Body bytes of one stream that wait, above which `isWritable` is false. */
  readonly streamBufferHighBytes: number;
  /** Waiting bytes at which `writable` is told. */
  readonly streamBufferLowBytes: number;
  /** Time for preface and first SETTINGS of a client. Token `slow_preface`. */
  readonly prefaceMs: number;
  /** Time from HEADERS to the end of its block. Token `slow_headers`. */
  readonly headerBlockMs: number;
  /** Time until the peer must have acknowledged our first SETTINGS: SETTINGS_TIMEOUT (RFC 9113, section 6.5.3). */
  readonly settingsAckMs: number;
  /** Time that the socket may take nothing while output waits. Token `write_stalled`. */
  readonly writeStallMs: number;
  /** Time that a stream's data may wait for the peer's window. The stream is reset; token `window_stalled` for metrics. */
  readonly windowStallMs: number;
  /** A connection without streams is closed after this. */
  readonly idleMs: number;
  /** Time between the two phases of a graceful shutdown if the peer does not answer the ping. */
  readonly drainPhaseMs: number;
  /** Time between our last frame and the forced end of the connection. */
  readonly lingerMs: number;
  /** Streams that the peer resets before their end (CVE-2023-44487). Every stream that ends well gives one back. */
  readonly resets: Budget;
  /** Streams that we must reset because of the peer's frames (CVE-2025-8671). */
  readonly provokedResets: Budget;
  /** Requests refused because all handlers are busy: 4 × the slots, as Go's server does with waiting handlers. */
  readonly refused: Budget;
  readonly settings: Budget;
  /** PING; sent data gives back, because a peer that measures its bandwidth pings once per round trip. */
  readonly pings: Budget;
  /** PRIORITY, PRIORITY_UPDATE and unknown frames; a new stream gives two back. */
  readonly priorities: Budget;
  /** DATA without content and END_STREAM. */
  readonly emptyData: Budget;
  /** WINDOW_UPDATE and RST_STREAM on streams that are over; a sent DATA frame gives two back. */
  readonly windowUpdates: Budget;
  /**
   * Frames below 256 bytes that the application has not consumed: each counts what is missing to 256. Bounds the memory
   * that bookkeeping of unread messages takes; consumed input gives back. Token `small_data`.
   */
  readonly smallDataBytesMax: number;
}

const kib = 1024;
const mib = 1024 * kib;

/** The defaults. */
export const http2Limits: Http2Limits = {
  concurrentStreams: 250,
  headerListBytesMax: 16 * kib,
  headerListExcess: 4,
  continuationFramesMax: 64,
  frameBytesMax: 16 * kib,
  headerTableBytes: 4 * kib,
  windowBytes: 64 * kib - 1,
  streamWindowBytesMax: 8 * mib,
  connectionWindowBytesMax: 16 * mib,
  outputBytesMax: mib,
  controlFramesMax: 100,
  streamBufferHighBytes: 64 * kib,
  streamBufferLowBytes: 32 * kib,
  prefaceMs: 10_000,
  headerBlockMs: 10_000,
  settingsAckMs: 10_000,
  writeStallMs: 30_000,
  windowStallMs: 60_000,
  idleMs: 300_000,
  drainPhaseMs: 1_000,
  lingerMs: 1_000,
  resets: { burst: 500, perSecond: 100, token: "reset_flood" },
  provokedResets: { burst: 200, perSecond: 20, token: "provoked_reset_flood" },
  refused: { burst: 1_000, perSecond: 100, token: "refused_flood" },
  settings: { burst: 64, perSecond: 4, token: "settings_flood" },
  pings: { burst: 200, perSecond: 20, token: "ping_flood" },
  priorities: { burst: 200, perSecond: 20, token: "priority_flood" },
  emptyData: { burst: 100, perSecond: 10, token: "empty_data_flood" },
  windowUpdates: { burst: 2_000, perSecond: 500, token: "window_update_flood" },
  smallDataBytesMax: 4 * mib,
};

/** Tokens of the limits that are not budgets. */
export const limitToken = {
  headerList: "header_list_too_large",
  continuation: "continuation_flood",
  smallData: "small_data",
  slowPreface: "slow_preface",
  slowHeaders: "slow_headers",
  settingsTimeout: "settings_timeout",
  writeStalled: "write_stalled",
  windowStalled: "window_stalled",
  keepalive: "keepalive_timeout",
  idle: "idle",
} as const;

/** The defaults with changes. @throws RangeError when a relation between limits does not hold */
export function completeLimits(changes: Partial<Http2Limits> | undefined): Http2Limits {
  const limits = { ...http2Limits, ...changes };
  check(
    limits.frameBytesMax >= 16_384 && limits.frameBytesMax <= 16_777_215,
    "frameBytesMax must be 16,384…16,777,215",
  );
  check(
    limits.windowBytes >= 1 && limits.windowBytes <= limits.streamWindowBytesMax,
    "windowBytes ≤ streamWindowBytesMax",
  );
  check(
    limits.streamWindowBytesMax <= limits.connectionWindowBytesMax && limits.connectionWindowBytesMax <= 0x7fffffff,
    "streamWindowBytesMax ≤ connectionWindowBytesMax ≤ 2³¹−1",
  );
  check(limits.streamBufferLowBytes <= limits.streamBufferHighBytes, "streamBufferLowBytes ≤ streamBufferHighBytes");
  check(limits.concurrentStreams >= 1, "concurrentStreams ≥ 1");
  check(limits.headerListExcess >= 1, "headerListExcess ≥ 1");
  return limits;
}

function check(holds: boolean, relation: string): void {
  if (!holds) throw new RangeError(`HTTP/2 limits: ${relation}`);
}
