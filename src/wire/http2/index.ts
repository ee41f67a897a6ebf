/**
 * HTTP/2 without sockets (RFC 9113, header compression: RFC 7541): bytes of a `ByteStream` in, exchanges out, both roles.
 * May import `errors`, `platform` and `wire/exchange.ts`.
 *
 * Start at `connection.ts` (what both roles share), then `server-connection.ts` and `client-connection.ts`. Bytes in:
 * `frame-reader.ts`, `hpack/`, `head.ts`. Bytes out: `sender.ts`, `output.ts`. Rules: `stream-state.ts`, `limits.ts`.
 */
export { Http2ClientConnection, type Http2ClientConnectionOptions } from "./client-connection.ts";
export { ErrorCode as Http2ErrorCode, Http2ConnectionError } from "./errors.ts";
export type { Http2CallbackFailed, Http2ConnectionClosed, Http2StreamLimited } from "./events.ts";
export { clientPreface } from "./frames.ts";
export type { KeepaliveOptions } from "./keepalive.ts";
export { type Budget, type Http2Limits, http2Limits } from "./limits.ts";
export { Http2ServerConnection, type Http2ServerConnectionOptions } from "./server-connection.ts";
