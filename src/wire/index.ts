/**
 * Bytes: HTTP/1.1 and HTTP/2 without sockets, the transport that joins them with connections, and `exchange.ts`, the view
 * of a request that everything above has. Imports only `errors` and `platform`. Start at `exchange.ts`.
 */
export { type BodySource, BodyStream } from "./body-stream.ts";
export * from "./exchange.ts";
export { Http2FieldList as FieldItems } from "./http2/field-list.ts";
export {
  ConnectionPool,
  type Listener,
  type ListenerLimits,
  type ListenerOptions,
  listen,
  openPool,
  type PoolLimits,
} from "./transport/index.ts";
