import { RpcError } from "../../../../errors/index.ts";
import type { CodecName } from "../message.ts";

/** With the alphabet of URLs or the ordinary one, padded or not. */
const base64 = /^[A-Za-z0-9+/_-]*={0,2}$/;

/** A Connect GET: the message in the query. */
export interface ConnectGetRequest {
  readonly codec: CodecName;
  readonly encoding: string | undefined;
  readonly message: Buffer;
}

/** Reads `?connect=v1&encoding=…&message=…[&base64=1][&compression=…]` (Connect protocol, "Unary-Get-Request"). */
export function readConnectGet(target: string): ConnectGetRequest | RpcError {
  const start = target.indexOf("?");
  const query = new URLSearchParams(start === -1 ? "" : target.slice(start + 1));
  const encoding = query.get("encoding");
  const message = query.get("message");
  const version = query.get("connect");
  if (version !== null && version !== "v1") {
    return new RpcError("invalid_argument", `query parameter connect is "${version}", expected "v1"`);
  }
  if (encoding !== "json" && encoding !== "proto") {
    const given = encoding === null ? "missing" : JSON.stringify(encoding);
    return new RpcError("invalid_argument", `query parameter encoding is ${given}, expected "json" or "proto"`);
  }
  if (message === null) return new RpcError("invalid_argument", "query parameter message is missing");
  const isBase64 = query.get("base64") === "1";
  if (isBase64 && !base64.test(message)) {
    return new RpcError("invalid_argument", "query parameter message is not valid base64");
  }
  return {
    codec: encoding === "proto" ? "binary" : "json",
    encoding: query.get("compression") ?? undefined,
    message: Buffer.from(message, isBase64 ? "base64" : "utf8"),
  };
}
