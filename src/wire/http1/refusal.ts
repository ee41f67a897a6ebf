/**
 * Why a peer's bytes are not HTTP/1.1 as we take it. Refusals are constants, because parsers meet them on the hot path of
 * an attack. `token` is stable, for events and metrics; `text` is what a person reads in the answer.
 */
export interface Refusal {
  /** The status a server answers with; clients ignore it. */
  readonly status: number;
  readonly token: string;
  readonly text: string;
}

function refusal(status: number, token: string, text: string): Refusal {
  return { status, token, text };
}

export const refusals = {
  firstLine: refusal(400, "first_line", "malformed first line"),
  bareLineFeed: refusal(400, "bare_line_feed", "lines must end in CRLF"),
  method: refusal(400, "method", "malformed method"),
  methodLength: refusal(501, "method_length", "unknown method"),
  connect: refusal(501, "connect", "CONNECT is not implemented"),
  target: refusal(400, "target", "malformed request target"),
  targetLength: refusal(414, "target_length", "request target too long"),
  version: refusal(505, "version", "HTTP version not supported; use HTTP/1.1"),
  fieldName: refusal(400, "field_name", "malformed field name"),
  fieldFolding: refusal(400, "field_folding", "folded field lines are obsolete"),
  fieldValue: refusal(400, "field_value", "malformed field value"),
  fieldCount: refusal(431, "field_count", "too many header fields"),
  headLength: refusal(431, "head_length", "header fields too large"),
  hostMissing: refusal(400, "host_missing", "exactly one Host field is required"),
  hostRepeated: refusal(400, "host_repeated", "exactly one Host field is required"),
  host: refusal(400, "host", "malformed Host field"),
  contentLength: refusal(400, "content_length", "malformed Content-Length"),
  contentLengthRepeated: refusal(400, "content_length_repeated", "repeated Content-Length"),
  contentLengthSize: refusal(413, "content_length_size", "content too large"),
  transferEncoding: refusal(400, "transfer_encoding", "Transfer-Encoding must be exactly chunked"),
  transferCoding: refusal(501, "transfer_coding", "unknown transfer coding; only chunked is implemented"),
  twoFramings: refusal(400, "two_framings", "Content-Length and Transfer-Encoding exclude each other"),
  transferEncodingVersion: refusal(400, "transfer_encoding_version", "HTTP/1.0 has no Transfer-Encoding"),
  expectation: refusal(417, "expectation", "unknown expectation; only 100-continue is implemented"),
  chunkSize: refusal(400, "chunk_size", "malformed chunk size"),
  chunkExtension: refusal(400, "chunk_extension", "malformed chunk extension"),
  chunkExtensionLength: refusal(400, "chunk_extension_length", "chunk extensions too large"),
  chunkEnd: refusal(400, "chunk_end", "a chunk must end in CRLF"),
  trailerLength: refusal(431, "trailer_length", "trailer fields too large"),
  trailerField: refusal(400, "trailer_field", "a field that is not allowed in trailers"),
  incomplete: refusal(400, "incomplete", "the request ended before it was complete"),
  headSlow: refusal(408, "head_slow", "the request head took too long"),
  bodySlow: refusal(408, "body_slow", "the request body came too slowly"),
  status: refusal(400, "status", "malformed status"),
  upgrade: refusal(400, "upgrade", "an upgrade that was not asked for"),
  informationalCount: refusal(400, "informational_count", "too many informational answers"),
} as const satisfies Record<string, Refusal>;
