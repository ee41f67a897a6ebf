import { ErrorCode } from "./errors.ts";

/**
 * The states of a stream (RFC 9113, section 5.1) as a table (state, input) → (effect, state). Push does not exist here, so
 * the reserved states do not either.
 *
 *            recv/send HEADERS
 *     idle ────────────────────▶ open ──recv END──▶ halfClosedRemote ──send END──┐
 *                                 │                                              ├─▶ closed
 *                                 └────send END───▶ halfClosedLocal ──recv END───┘
 *     RST_STREAM in either direction leads to closed from everywhere but idle.
 */
export const StreamState = { idle: 0, open: 1, halfClosedRemote: 2, halfClosedLocal: 3, closed: 4 } as const;

export const StreamInput = {
  receiveHeaders: 0,
  receiveData: 1,
  receiveEnd: 2,
  receiveReset: 3,
  receiveWindowUpdate: 4,
  sendHeaders: 5,
  sendData: 6,
  sendEnd: 7,
  sendReset: 8,
} as const;

export const Effect = {
  /** Allowed. */
  accept: 0,
  /** Allowed, means nothing any more. */
  ignore: 1,
  /** RST_STREAM with STREAM_CLOSED. */
  streamClosed: 2,
  /** GOAWAY with STREAM_CLOSED. */
  connectionStreamClosed: 3,
  /** GOAWAY with PROTOCOL_ERROR. */
  connectionProtocolError: 4,
  /** Our own mistake: the caller does nothing. */
  misuse: 5,
} as const;

type Row = readonly [effect: number, next: number];

const { idle, open, halfClosedRemote, halfClosedLocal, closed } = StreamState;
const { accept, ignore, streamClosed, connectionStreamClosed, connectionProtocolError, misuse } = Effect;

/** Rows by state, cells by input, in the order of the constants above. */
// biome-ignore format: a table
const table: readonly (readonly Row[])[] = [
  /* idle: "Receiving any frame other than HEADERS or PRIORITY … MUST be treated as a connection error" */
  [[accept, open], [connectionProtocolError, idle], [accept, idle], [connectionProtocolError, idle], [connectionProtocolError, idle],
   [accept, open], [misuse, idle], [misuse, idle], [misuse, idle]],
  /* open: either side may send anything; HEADERS again are trailers or follow informational heads */
  [[accept, open], [accept, open], [accept, halfClosedRemote], [accept, closed], [accept, open],
   [accept, open], [accept, open], [accept, halfClosedLocal], [accept, closed]],
  /* half-closed (remote): "frames other than WINDOW_UPDATE, PRIORITY, or RST_STREAM … stream error STREAM_CLOSED" */
  [[streamClosed, closed], [streamClosed, closed], [streamClosed, closed], [accept, closed], [accept, halfClosedRemote],
   [accept, halfClosedRemote], [accept, halfClosedRemote], [accept, closed], [accept, closed]],
  /* half-closed (local): the peer still sends; we only pay windows, or reset */
  [[accept, halfClosedLocal], [accept, halfClosedLocal], [accept, closed], [accept, closed], [accept, halfClosedLocal],
   [misuse, halfClosedLocal], [misuse, halfClosedLocal], [misuse, halfClosedLocal], [accept, closed]],
  /* closed: "WINDOW_UPDATE or RST_STREAM can be received for a short period"; HEADERS would have needed a new stream */
  [[connectionStreamClosed, closed], [streamClosed, closed], [streamClosed, closed], [ignore, closed], [ignore, closed],
   [misuse, closed], [misuse, closed], [misuse, closed], [misuse, closed]],
];

const inputCount = 9;
const effects = Uint8Array.from(table.flatMap(cells => cells.map(([effect]) => effect)));
const nexts = Uint8Array.from(table.flatMap(cells => cells.map(([, next]) => next)));

export function streamEffect(state: number, input: number): number {
  return effects[state * inputCount + input]!;
}

export function nextStreamState(state: number, input: number): number {
  return nexts[state * inputCount + input]!;
}

/** The code that an effect is answered with. */
export function effectCode(effect: number): number {
  return effect === connectionProtocolError ? ErrorCode.protocolError : ErrorCode.streamClosed;
}
