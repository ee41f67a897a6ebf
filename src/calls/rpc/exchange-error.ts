import { RpcError } from "../../errors/index.ts";
import type { ExchangeError } from "../../wire/index.ts";

/** RST_STREAM with CANCEL (RFC 9113, section 7). */
export const cancelCode = 0x8;

/** A failure of the transport as an error of the call: gRPC's mapping of HTTP/2 codes (PROTOCOL-HTTP2, "Errors"). */
export function errorOfExchange(error: ExchangeError, target: string): RpcError {
  const options = { cause: error, unprocessed: error.unprocessed };
  const message = `${target}: ${error.message}`;
  switch (error.reason) {
    case "reset":
      return new RpcError(codeOfReset(error.http2Code), message, options);
    case "protocol":
      return new RpcError("internal", message, options);
    case "limit":
      return new RpcError("resource_exhausted", message, options);
    default:
      return new RpcError("unavailable", message, options);
  }
}

function codeOfReset(http2Code: number | undefined) {
  switch (http2Code) {
    case 0x7:
      return "unavailable";
    case cancelCode:
      return "cancelled";
    case 0xb:
      return "resource_exhausted";
    case 0xc:
      return "permission_denied";
    default:
      return "internal";
  }
}
