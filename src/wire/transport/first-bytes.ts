/** What the first bytes of a connection say about its protocol. */
export type FirstBytes = "http1" | "http2" | "tls" | "undecided";

/** The client's connection preface (RFC 9113, section 3.4). */
export const http2Preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/** The content type of a TLS handshake record (RFC 8446, section 5.1); no method of HTTP begins with it. */
const tlsHandshake = 0x16;

/** Judges the bytes so far. `undecided` only while they are a beginning of the HTTP/2 preface, so for 23 at most. */
export function judgeFirstBytes(bytes: Uint8Array): FirstBytes {
  if (bytes.length === 0) return "undecided";
  if (bytes[0] === tlsHandshake) return "tls";
  const compared = Math.min(bytes.length, http2Preface.length);
  for (let index = 0; index < compared; index++) {
    if (bytes[index] !== http2Preface[index]) return "http1";
  }
  return compared === http2Preface.length ? "http2" : "undecided";
}
