/**
 * The header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07): calls that may be repeated because only the
 * first one runs. May import `rpc` and what that may. Start at `interceptor.ts`, then `store.ts`: what a store promises.
 * `openapi.ts` says to a reader of `/openapi.json` which operations take a key.
 */
export {
  type IdempotencyInterceptor,
  type IdempotencyKeyLost,
  type IdempotencyOptions,
  type IdempotencyStoreFailed,
  idempotency,
  operationId,
} from "./interceptor.ts";
export { type MemoryIdempotencyStoreOptions, memoryIdempotencyStore } from "./memory-store.ts";
export { idempotencyAdditions } from "./openapi.ts";
export { type SqliteIdempotencyStoreOptions, sqliteIdempotencyStore } from "./sqlite-store.ts";
export type { IdempotencyClaim, IdempotencyStore, IdempotencyTicket } from "./store.ts";
