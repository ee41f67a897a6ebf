import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { codeFromGrpc, codeRow, type ErrorDetail, isRpcError, RpcError } from "../../errors/index.ts";
import { ExchangeError } from "../../wire/index.ts";
import { Metadata } from "../rpc/index.ts";
import { errorMetadataOfHeaders, headersOfMetadata } from "./headers.ts";

/**
 * Any failure of a call as connect-es's error. An `RpcError` keeps code, message, metadata and details, and is the cause;
 * what a caller gave as the reason of an abort, or threw in the requests of a stream, comes back as `ConnectError.from`
 * makes it, with the code `Canceled`.
 */
export function connectErrorOf(error: unknown): ConnectError {
  if (!isRpcError(error)) return ConnectError.from(error, Code.Internal);
  if (error.code === "cancelled" && error.cause !== undefined && !(error.cause instanceof ExchangeError)) {
    return ConnectError.from(error.cause, Code.Canceled);
  }
  const metadata = headersOfMetadata(new Metadata(error.metadata));
  const result = new ConnectError(error.message, codeRow(error.code).grpc, metadata, undefined, error);
  result.details = error.details.map(detail => {
    if ("type" in detail) return { type: detail.type, value: detail.value };
    return { desc: detail[0], value: detail[1] } as ConnectError["details"][number];
  });
  // So that a handler that lets it pass does not answer with the metadata of another server (as connect-es's own do).
  result.isWireError = true;
  return result;
}

/**
 * What a handler or interceptor threw, for our server: a `ConnectError` with all it has; everything else as it is, which
 * for other than an `RpcError` means `internal` without its message.
 */
export function handlerError(error: unknown): unknown {
  if (isRpcError(error) || !(error instanceof ConnectError)) return error;
  return new RpcError(codeFromGrpc(error.code), error.rawMessage, {
    details: error.details.map(encodedDetail),
    metadata: error.isWireError ? {} : errorMetadataOfHeaders(error.metadata),
    cause: error,
  });
}

/** Encoded here, where a message that does not encode is the handler's failure. */
function encodedDetail(detail: ConnectError["details"][number]): ErrorDetail {
  if ("type" in detail) return { type: detail.type, value: detail.value };
  return { type: detail.desc.typeName, value: toBinary(detail.desc, create(detail.desc, detail.value)) };
}
