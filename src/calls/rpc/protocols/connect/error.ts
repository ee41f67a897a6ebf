import { codeRow, type RpcError } from "../../../../errors/index.ts";
import { encodeDetails } from "../details.ts";

export interface ConnectErrorJson {
  readonly code: string;
  message?: string;
  details?: readonly { readonly type: string; readonly value: string }[];
}

/** A Connect error as JSON value (Connect protocol, "Error end-of-stream" and "Unary-Response"). */
export function connectError(error: RpcError): ConnectErrorJson {
  const json: ConnectErrorJson = { code: codeRow(error.code).connect };
  if (error.message !== "") json.message = error.message;
  if (error.details.length > 0) {
    json.details = encodeDetails(error).map(({ type, value }) => ({
      type,
      value: Buffer.from(value).toString("base64").replace(/=+$/, ""),
    }));
  }
  return json;
}
