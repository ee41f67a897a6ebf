/**
 * What one HTTP/1.1 connection may cost. Every limit ends in the protocol's own answer (400, 408, 413, 414, 431) and a
 * closed connection, and in an event `http1.request.refused` that names it; none is infinite.
 */
export interface Http1Limits {
  /** Bytes of a whole head: first line and fields. Beyond it 431. @default 16384 */
  readonly headBytesMax: number;
  /** Bytes of a request target. Beyond it 414. @default 8192 (RFC 9112, section 3, asks for at least 8000) */
  readonly targetBytesMax: number;
  /** Fields of a head: each costs an object once somebody looks. Beyond it 431. @default 128 */
  readonly fieldsMax: number;
  /** Bytes of a trailer section. @default 8192 */
  readonly trailerBytesMax: number;
  /** Bytes of chunk extensions of one body: nobody reads them, so many are an attack. @default 4096 */
  readonly chunkExtensionBytesMax: number;
  /** From the first byte of a head to its last. Beyond it 408. @default 10000 */
  readonly headMs: number;
  /** Without a request in progress. Beyond it the connection is closed. @default 300000 */
  readonly idleMs: number;
  /**
   * The window in which a body has to make progress while we are ready to read. It applies while the peer owes bytes
   * that it has promised: anywhere in a body with `Content-Length`, inside a chunk of a chunked one. Between two chunks
   * a stream may be silent for `idleMs`. @default 10000
   */
  readonly bodyWindowMs: number;
  /** Bytes that have to come in such a window, or the rest if that is less. @default 2500 (250 bytes a second) */
  readonly bodyWindowBytesMin: number;
  /** How long the peer may leave our output unread altogether. @default 30000 */
  readonly writeStallMs: number;
  /** Body bytes handed to the receiver and not yet paid with `consumed`, before reading stops. @default 65536 */
  readonly unpaidBytesMax: number;
  /** Bytes of further requests that may wait behind the one in progress, before reading stops. @default 65536 */
  readonly pipelinedBytesMax: number;
  /**
   * Body bytes that we take after the answer is complete, to keep the connection; beyond it it is closed. A peer may have
   * written all of them before it sees the answer, and then use the connection again. @default 262144, as Go's server
   */
  readonly drainBytesMax: number;
  /** How long a connection that we have ended waits for the peer's end, so that no reset destroys the answer. @default 2000 */
  readonly lingerMs: number;
  /** Bytes that we take in that time. @default 1048576 */
  readonly lingerBytesMax: number;
  /** Informational heads (1xx) before one answer, for clients. @default 16 */
  readonly informationalMax: number;
}

export const http1Limits: Http1Limits = {
  headBytesMax: 16 * 1024,
  targetBytesMax: 8 * 1024,
  fieldsMax: 128,
  trailerBytesMax: 8 * 1024,
  chunkExtensionBytesMax: 4 * 1024,
  headMs: 10_000,
  idleMs: 300_000,
  bodyWindowMs: 10_000,
  bodyWindowBytesMin: 2_500,
  writeStallMs: 30_000,
  unpaidBytesMax: 64 * 1024,
  pipelinedBytesMax: 64 * 1024,
  drainBytesMax: 256 * 1024,
  lingerMs: 2_000,
  lingerBytesMax: 1024 * 1024,
  informationalMax: 16,
};

/** The defaults with `changes`. @throws RangeError that names a limit which is not a positive number, or contradicts another. */
export function completeLimits(changes: Partial<Http1Limits> | undefined): Http1Limits {
  if (changes === undefined) return http1Limits;
  const limits = { ...http1Limits, ...changes };
  for (const [name, value] of Object.entries(limits)) {
    if (!(value > 0)) throw new RangeError(`HTTP/1.1 limit ${name} must be a positive number, got ${String(value)}`);
  }
  if (limits.targetBytesMax > limits.headBytesMax) {
    throw new RangeError(
      `HTTP/1.1 limit targetBytesMax (${limits.targetBytesMax}) must not exceed headBytesMax (${limits.headBytesMax})`,
    );
  }
  return limits;
}
