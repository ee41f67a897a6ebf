/**
 * HTTP/1.1 (RFC 9112 and RFC 9110 in their strict reading), both roles, without sockets: bytes come from a `ByteStream`,
 * exchanges go up, bytes go back. May import `platform` and `wire/exchange.ts` only. Start at `server-connection.ts` and
 * `client-connection.ts`; `head-parser.ts` and `incoming-body.ts` decide what is accepted, `limits.ts` how much of it.
 */
export { Http1ClientConnection, type Http1ClientOptions } from "./client-connection.ts";
export type { Http1RequestRefused, Http1ResponseRefused } from "./events.ts";
export { type Http1Limits, http1Limits } from "./limits.ts";
export { Http1ServerConnection, type Http1ServerOptions } from "./server-connection.ts";
