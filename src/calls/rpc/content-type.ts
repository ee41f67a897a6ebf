import type { FieldList } from "../../wire/index.ts";
import type { CodecName } from "./protocols/message.ts";

/** What a request's content type says about its protocol. */
export interface RpcContentType {
  readonly kind: "grpc" | "grpc-web" | "grpc-web-text" | "connect-stream" | "connect-unary";
  readonly codec: CodecName;
}

const known = new Map<string, RpcContentType>([
  ["application/grpc", { kind: "grpc", codec: "binary" }],
  ["application/grpc+proto", { kind: "grpc", codec: "binary" }],
  ["application/grpc+json", { kind: "grpc", codec: "json" }],
  ["application/grpc-web", { kind: "grpc-web", codec: "binary" }],
  ["application/grpc-web+proto", { kind: "grpc-web", codec: "binary" }],
  ["application/grpc-web+json", { kind: "grpc-web", codec: "json" }],
  ["application/grpc-web-text", { kind: "grpc-web-text", codec: "binary" }],
  ["application/grpc-web-text+proto", { kind: "grpc-web-text", codec: "binary" }],
  ["application/connect+proto", { kind: "connect-stream", codec: "binary" }],
  ["application/connect+json", { kind: "connect-stream", codec: "json" }],
  ["application/proto", { kind: "connect-unary", codec: "binary" }],
  ["application/json", { kind: "connect-unary", codec: "json" }],
]);

/**
 * The protocol of a request, or `undefined` when its content type is not one of RPC. Remembered on the field: HTTP/2
 * hands out the same object for each repetition.
 */
export function rpcContentType(fields: FieldList): RpcContentType | undefined {
  const field = fields.find("content-type");
  if (field === undefined) return undefined;
  if (field.derived === undefined) {
    const type = field.value.split(";", 1)[0]?.trim().toLowerCase() ?? "";
    field.derived = known.get(type) ?? null;
  }
  return (field.derived as RpcContentType | null) ?? undefined;
}
