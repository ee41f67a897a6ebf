/**
 * `trunkline`: servers, clients and errors of one contract on one port. Composes the protocols; may import any layer.
 */

export {
  type AuthenticateOptions,
  type AuthenticationSource,
  type Authenticator,
  authenticate,
  type BearerOptions,
  bearer,
  bearerToken,
  type CertificateIdentity,
  type ClientCertificateOptions,
  clientCertificate,
  type Identify,
  type JsonWebKeySet,
  type JwtOptions,
  jwt,
} from "../calls/auth/index.ts";
export {
  type Channel,
  type ChannelBalancing,
  type ChannelOptions,
  type ClientProtocol,
  createChannel,
  type HashBy,
} from "../calls/channel/index.ts";
export type { FetchHandler, FetchHandlerFailed } from "../calls/fetch/index.ts";
export {
  type IdempotencyClaim,
  type IdempotencyInterceptor,
  type IdempotencyKeyLost,
  type IdempotencyOptions,
  type IdempotencyStore,
  type IdempotencyStoreFailed,
  type IdempotencyTicket,
  idempotency,
  type MemoryIdempotencyStoreOptions,
  memoryIdempotencyStore,
  operationId,
  type SqliteIdempotencyStoreOptions,
  sqliteIdempotencyStore,
} from "../calls/idempotency/index.ts";
export type { OpenApiDocument, OpenApiOptions } from "../calls/rest/index.ts";
export {
  type Call,
  type CallOptions,
  type CallRefused,
  type Client,
  type ClientHedgeOptions,
  type ClientOptions,
  type ClientPolicy,
  type ClientRetryOptions,
  type CorsOptions,
  createClient,
  type Encoding,
  findDetails,
  type Handler,
  type HandlerAbandoned,
  type HandlerFailed,
  type Handlers,
  type Implementation,
  type Interceptor,
  implement,
  Metadata,
  type MetadataInit,
  type MetadataValue,
  type MethodLimit,
  type Next,
  type OverloadOptions,
  type Peer,
  type Principal,
  type SecurityScheme,
  type ServerListenOptions,
} from "../calls/rpc/index.ts";
export { BadRequestSchema } from "../contract/gen/google/rpc/error_details_pb.ts";
export { ContractError, type Method, type Priority } from "../contract/index.ts";
export {
  type ErrorCode,
  type ErrorDetail,
  type ErrorMetadata,
  isRpcError,
  RpcError,
  type RpcErrorOptions,
} from "../errors/index.ts";
export {
  type Clock,
  type ObservedEvent,
  type Observer,
  type PeerCertificate,
  type Platform,
  systemPlatform,
  type Timer,
  type TlsClientOptions,
  type TlsServerOptions,
} from "../platform/index.ts";
export type { ServerAsyncApiOptions } from "./asyncapi-route.ts";
export type { ReadinessCheck } from "./health-routes.ts";
export { createServer, type ServerOptions } from "./server.ts";
export type { Server } from "./worker-server.ts";
