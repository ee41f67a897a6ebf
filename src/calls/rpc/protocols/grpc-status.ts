import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { StatusSchema } from "../../../contract/gen/google/rpc/status_pb.ts";
import { codeFromGrpc, codeRow, RpcError } from "../../../errors/index.ts";
import { constantField, type FieldList, HeaderField } from "../../../wire/index.ts";
import type { ClientCall } from "../client-call.ts";
import { appendFields, Metadata, metadataFromFields } from "../metadata.ts";
import { pushbackMsField, pushbackName, readPushbackMs } from "../pushback.ts";
import { encodeDetails } from "./details.ts";

const statusOk = constantField("grpc-status", "0");
const okOnly: readonly HeaderField[] = [statusOk];

/** The trailers of a call: status, message, details, metadata. */
export function statusFields(error: RpcError | undefined, trailers: Metadata | undefined): readonly HeaderField[] {
  if (error === undefined && trailers === undefined) return okOnly;
  const fields: HeaderField[] = [];
  if (error === undefined) {
    fields.push(statusOk);
  } else {
    const status = codeRow(error.code).grpc;
    fields.push(constantField("grpc-status", String(status)));
    if (error.message !== "") fields.push(new HeaderField("grpc-message", percentEncode(error.message)));
    if (error.details.length > 0) {
      const details = encodeDetails(error).map(({ type, value }) =>
        create(AnySchema, { typeUrl: `type.googleapis.com/${type}`, value }),
      );
      const bytes = toBinary(StatusSchema, create(StatusSchema, { code: status, message: error.message, details }));
      fields.push(new HeaderField("grpc-status-details-bin", unpadded(bytes)));
    }
    if (error.retryAfterMs !== undefined) {
      fields.push(pushbackMsField(error.retryAfterMs));
    }
    appendFields(fields, new Metadata(error.metadata));
  }
  if (trailers !== undefined) appendFields(fields, trailers);
  return fields;
}

/** The error in trailers, or `undefined` for status 0. Trailers without a status are an error of their own. */
export function readStatus(fields: FieldList | undefined): RpcError | undefined {
  if (fields === undefined) return new RpcError("internal", "the answer ended without grpc-status");
  const status = fields.get("grpc-status");
  if (status === "0") return undefined;
  const metadata = metadataFromFields(fields).toRecord();
  if (status === undefined || !/^[0-9]{1,9}$/.test(status)) {
    return new RpcError(
      "internal",
      `the server answered ${status === undefined ? "without" : "an invalid"} grpc-status`,
    );
  }
  const retryAfterMs = readPushbackMs(fields.get(pushbackName));
  let code = codeFromGrpc(Number(status));
  let message = percentDecode(fields.get("grpc-message") ?? "");
  const encoded = fields.get("grpc-status-details-bin");
  if (encoded === undefined) return new RpcError(code, message, { metadata, retryAfterMs });
  try {
    const rich = fromBinary(StatusSchema, Buffer.from(encoded, "base64"));
    if (rich.code !== 0) code = codeFromGrpc(rich.code);
    message = rich.message;
    const details = rich.details.map(({ typeUrl, value }) => ({
      type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1),
      value,
    }));
    return new RpcError(code, message, { metadata, retryAfterMs, details });
  } catch {
    // Details that do not decode are dropped: the status itself still counts (gRPC: best effort).
    return new RpcError(code, message, { metadata, retryAfterMs });
  }
}

/** Ends a call as trailers with `grpc-status` say. */
export function finishWithStatus(call: ClientCall, trailers: FieldList | undefined): void {
  if (trailers !== undefined) call.trailersArrived(() => metadataFromFields(trailers));
  call.finish(readStatus(trailers));
}

function unpadded(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64").replace(/=+$/, "");
}

/** gRPC's percent-encoding of `grpc-message`: UTF-8, everything but printable ASCII and `%` escaped. */
export function percentEncode(text: string): string {
  if (/^[ -$&-~]*$/.test(text)) return text;
  let encoded = "";
  for (const byte of Buffer.from(text)) {
    const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += isPlain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}

/** Undoes {@link percentEncode}; what is no valid escape stays as it is. */
export function percentDecode(text: string): string {
  if (!text.includes("%")) return text;
  const bytes: number[] = [];
  for (let i = 0; i < text.length; i++) {
    const hex = text[i] === "%" ? /^%([0-9a-fA-F]{2})/.exec(text.slice(i, i + 3)) : null;
    if (hex !== null) {
      bytes.push(Number.parseInt(hex[1] as string, 16));
      i += 2;
    } else {
      bytes.push(text.charCodeAt(i) & 0xff);
    }
  }
  return Buffer.from(bytes).toString("utf8");
}
