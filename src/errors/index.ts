/**
 * Errors that travel: the canonical codes with their numbers and statuses, `RpcError`, and
 * rejections of work that was not admitted. Imports nothing; every other
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
export { RejectedError, Rejection, type RejectionReason } from "./rejection.ts";
export { type ErrorDetail, type ErrorMetadata, isRpcError, RpcError, type RpcErrorOptions } from "./rpc-error.ts";
