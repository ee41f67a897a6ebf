import { create, type DescMessage, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { StatusSchema } from "../../contract/gen/google/rpc/status_pb.ts";
import { codeRow, type ErrorDetail, isErrorCode, RpcError } from "../../errors/index.ts";
import { errorDetailsBytesMax, errorMessageCharsMax } from "./limits.ts";

/**
 * Headers of a reply that is an error. They are plain text, so that a program of any language can write and read them; the
 * details are a `google.rpc.Status` in base64, as gRPC carries them.
 */
export const errorHeader = {
  /** One of the canonical codes in snake_case: `not_found`. Its presence makes a reply an error. */
  code: "trunkline-error-code",
  message: "trunkline-error-message",
  details: "trunkline-error-details",
  retryAfterMs: "trunkline-error-retry-after-ms",
} as const;

/** What is told of an error: code, message, details and the wish to be left alone; never its cause, its stack or its metadata. */
export function errorHeaders(error: RpcError): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {
    [errorHeader.code]: error.code,
    [errorHeader.message]: cut(error.message),
  };
  const details = encodedDetails(error);
  if (details !== undefined) headers[errorHeader.details] = details;
  if (error.retryAfterMs !== undefined) headers[errorHeader.retryAfterMs] = String(Math.round(error.retryAfterMs));
  return headers;
}

/** The error of a reply, `undefined` where it is none. A code that nobody knows is `unknown`. */
export function errorOf(headers: Readonly<Record<string, string>> | undefined): RpcError | undefined {
  const code = headers?.[errorHeader.code];
  if (headers === undefined || code === undefined) return undefined;
  const message = cut(headers[errorHeader.message] ?? "");
  const retryAfter = headers[errorHeader.retryAfterMs];
  const retryAfterMs = retryAfter !== undefined && /^-?[0-9]{1,12}$/.test(retryAfter) ? Number(retryAfter) : undefined;
  const details = decodedDetails(headers[errorHeader.details]);
  return new RpcError(isErrorCode(code) ? code : "unknown", message, { details, retryAfterMs });
}

/** Details that are too large, or that their own schema refuses, are left out: the code and the message still count. */
function encodedDetails(error: RpcError): string | undefined {
  if (error.details.length === 0) return undefined;
  try {
    const details = error.details.map(detail => {
      const { type, value } = encodedDetail(detail);
      return create(AnySchema, { typeUrl: `type.googleapis.com/${type}`, value });
    });
    const bytes = toBinary(StatusSchema, create(StatusSchema, { code: codeRow(error.code).grpc, details }));
    return bytes.length > errorDetailsBytesMax ? undefined : Buffer.from(bytes).toString("base64");
  } catch {
    return undefined;
  }
}

function encodedDetail(detail: ErrorDetail): { readonly type: string; readonly value: Uint8Array } {
  if ("type" in detail) return detail;
  const [schema, init] = detail as readonly [DescMessage, MessageInitShape<DescMessage>];
  return { type: schema.typeName, value: toBinary(schema, create(schema, init)) };
}

function decodedDetails(text: string | undefined): readonly ErrorDetail[] {
  if (text === undefined || text.length > errorDetailsBytesMax * 2) return [];
  try {
    const { details } = fromBinary(StatusSchema, Buffer.from(text, "base64"));
    return details.map(({ typeUrl, value }) => ({ type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1), value }));
  } catch {
    return [];
  }
}

function cut(text: string): string {
  return text.length > errorMessageCharsMax ? `${text.slice(0, errorMessageCharsMax - 1)}…` : text;
}
