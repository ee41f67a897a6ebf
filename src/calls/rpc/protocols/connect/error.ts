import { codeFromConnect, codeRow, type ErrorCode, RpcError } from "../../../../errors/index.ts";
import type { Metadata } from "../../metadata.ts";
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

/**
 * The error in a Connect answer's JSON. `fallback` is its code where the JSON names none that we know.
 * @throws RpcError with the fallback's code for what is not an object
 */
export function readConnectError(
  json: unknown,
  fallback: ErrorCode,
  metadata: Metadata,
  retryAfterMs?: number | undefined,
): RpcError {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new RpcError(fallback, "the error in the answer is not a JSON object");
  }
  const { code, message, details } = json as Record<string, unknown>;
  const known = typeof code === "string" ? codeFromConnect(code) : undefined;
  return new RpcError(known ?? fallback, typeof message === "string" ? message : "", {
    metadata: metadata.toRecord(),
    retryAfterMs,
    details: (Array.isArray(details) ? details : []).flatMap(detail => {
      const { type, value } = Object(detail) as Record<string, unknown>;
      if (typeof type !== "string" || typeof value !== "string") return [];
      return [{ type, value: new Uint8Array(Buffer.from(value, "base64")) }];
    }),
  });
}
