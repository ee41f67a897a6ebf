import { codeRow, type RpcError } from "../../../../errors/index.ts";
import { encodeDetails } from "../details.ts";

/** A Connect error as JSON value (Connect protocol, "Error end-of-stream" and "Unary-Response"). */
export function connectError(error: RpcError): Record<string, unknown> {
  const json: Record<string, unknown> = { code: codeRow(error.code).connect };
  if (error.message !== "") json["message"] = error.message;
  if (error.details.length > 0) {
    json["details"] = encodeDetails(error).map(({ type, value }) => ({
      type,
      value: Buffer.from(value).toString("base64").replace(/=+$/, ""),
    }));
  }
  return json;
}
