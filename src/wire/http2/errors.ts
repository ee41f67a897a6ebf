/** Error codes of RST_STREAM and GOAWAY (RFC 9113, section 7). */
export const ErrorCode = {
  noError: 0,
  protocolError: 1,
  internalError: 2,
  flowControlError: 3,
  settingsTimeout: 4,
  streamClosed: 5,
  frameSizeError: 6,
  refusedStream: 7,
  cancel: 8,
  compressionError: 9,
  connectError: 10,
  enhanceYourCalm: 11,
  inadequateSecurity: 12,
  http11Required: 13,
} as const;

const names = [
  "NO_ERROR",
  "PROTOCOL_ERROR",
  "INTERNAL_ERROR",
  "FLOW_CONTROL_ERROR",
  "SETTINGS_TIMEOUT",
  "STREAM_CLOSED",
  "FRAME_SIZE_ERROR",
  "REFUSED_STREAM",
  "CANCEL",
  "COMPRESSION_ERROR",
  "CONNECT_ERROR",
  "ENHANCE_YOUR_CALM",
  "INADEQUATE_SECURITY",
  "HTTP_1_1_REQUIRED",
];

export function errorCodeName(code: number): string {
  return names[code] ?? `0x${code.toString(16)}`;
}

/**
 * The peer broke the protocol or a limit so that the whole connection is lost (RFC 9113, section 5.4.1). Errors of one
 * stream are no exceptions: they are answered with RST_STREAM where they are found.
 */
export class Http2ConnectionError extends Error {
  override readonly name = "Http2ConnectionError";
  readonly code: number;
  /** For a limit its token, otherwise what was wrong; sent as debug data. */
  readonly token: string;

  constructor(code: number, token: string) {
    super(`HTTP/2 connection ended with ${errorCodeName(code)}: ${token}`);
    this.code = code;
    this.token = token;
  }
}

/** A limit was exceeded. */
export function calmDown(token: string): Http2ConnectionError {
  return new Http2ConnectionError(ErrorCode.enhanceYourCalm, token);
}

export function protocolError(what: string): Http2ConnectionError {
  return new Http2ConnectionError(ErrorCode.protocolError, what);
}
