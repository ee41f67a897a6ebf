/**
 * `trunkline`: servers, clients and errors of one contract on one port. Composes the protocols; may import any layer.
 */
export { type Channel, type ChannelOptions, createChannel } from "../calls/channel/index.ts";
export type { FetchHandler } from "../calls/fetch/index.ts";
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
  type Client,
  type ClientOptions,
  type CorsOptions,
  createClient,
  type Handler,
  type Handlers,
  type Implementation,
  type Interceptor,
  implement,
  Metadata,
  type Next,
} from "../calls/rpc/index.ts";
export { BadRequestSchema } from "../contract/gen/google/rpc/error_details_pb.ts";
export { ContractError } from "../contract/index.ts";
export { type ErrorCode, type ErrorMetadata, isRpcError, RpcError, type RpcErrorOptions } from "../errors/index.ts";
export { type Observer, type Platform, systemPlatform } from "../platform/index.ts";
export type { ReadinessCheck } from "./health-routes.ts";
export { createServer, type ServerOptions } from "./server.ts";
export type { Server } from "./worker-server.ts";
