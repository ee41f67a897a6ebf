/**
 * Remote procedure calls: server, client, interceptors, metadata, and the protocols in `protocols/`. May import
 * `channel`, `wire`, `contract`, `platform`, `errors`. Start at `server.ts` and `client.ts`; one call is `server-call.ts`
 * and `client-call.ts`.
 */
export {
  type AuthenticatingInterceptor,
  type Authentication,
  isAuthenticating,
  isForEverybody,
  needsPrincipal,
  type Principal,
  type SecurityScheme,
  setPrincipal,
} from "./authentication.ts";
export {
  asRpcError,
  type Call,
  type Interceptor,
  inheritedPriority,
  type Next,
  type Peer,
  type ProtocolName,
} from "./call.ts";
export type { HandlerAbandoned, HandlerFailed } from "./call-host.ts";
export type { CallOptions } from "./call-options.ts";
export { priorityField, priorityName } from "./call-priority.ts";
export { type Client, type ClientOptions, callStarter, createClient, type StartCall } from "./client.ts";
export type { ClientCall } from "./client-call.ts";
export type { ClientHedgeOptions, ClientPolicy, ClientRetryOptions } from "./client-policy.ts";
export { compress, decompress, type Encoding, encodings, isEncoding } from "./compression.ts";
export type { CorsOptions } from "./cors.ts";
export { discardBody } from "./discard-body.ts";
export { findDetails } from "./find-details.ts";
export { type HealthState, health, type ServingStatus } from "./health.ts";
export { type Handler, type Handlers, type Implementation, implement } from "./implement.ts";
export { InvalidRequestError } from "./invalid-request.ts";
export { type RpcLimits, rpcLimits } from "./limits.ts";
export { appendFields, Metadata, type MetadataInit, type MetadataValue } from "./metadata.ts";
export { encodeDetails } from "./protocols/details.ts";
export { WholeBody } from "./protocols/whole-body.ts";
export { pushbackFields } from "./pushback.ts";
export { reflection } from "./reflection.ts";
export type { AnyHandler, ServedMethod } from "./served-method.ts";
export { type HttpHandler, RpcServer, type RpcServerOptions, type ServerListenOptions } from "./server.ts";
export type { ServerCall } from "./server-call.ts";
export type { MethodLimit } from "./server-method-limits.ts";
export type { CallRefused, OverloadOptions } from "./server-overload.ts";
export type { ServerWire } from "./server-wire.ts";
