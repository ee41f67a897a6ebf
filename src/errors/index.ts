/**
 * Errors that travel: the canonical codes with their numbers and statuses, and `RpcError`. Imports nothing; every other
 * folder may import it. Start at `rpc-error.ts`.
 */
export {
  type CodeRow,
  codeFromConnect,
  codeFromGrpc,
  codeFromHttp,
  codeRow,
  type ErrorCode,
  errorCodes,
  isErrorCode,
} from "./codes.ts";
export { type ErrorDetail, type ErrorMetadata, isRpcError, RpcError, type RpcErrorOptions } from "./rpc-error.ts";
