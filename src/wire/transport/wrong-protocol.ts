/** Answers for clients that speak the wrong protocol to a port, in the protocol that they speak. */

const explanation = "This port speaks TLS only: use https://.\n";

/** HTTP/1.1 without TLS on a TLS port. */
export const plainHttp1Answer = Buffer.from(
  "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n" +
    `content-length: ${explanation.length}\r\nconnection: close\r\n\r\n${explanation}`,
  "latin1",
);

const debugData = Buffer.from("tls_required", "latin1");

/** HTTP/2 without TLS on a TLS port: SETTINGS, then GOAWAY with INADEQUATE_SECURITY (RFC 9113, sections 6.8 and 7). */
export const plainHttp2Answer = Buffer.concat([
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
  Buffer.from([0, 0, 8 + debugData.length, 7, 0, 0, 0, 0, 0]),
  Buffer.from([0, 0, 0, 0, 0, 0, 0, 0x0c]),
  debugData,
]);

/** TLS on a plaintext port: a fatal alert, handshake_failure (RFC 8446, section 6.2). */
export const tlsAnswer = Buffer.from([0x15, 3, 1, 0, 2, 2, 40]);
