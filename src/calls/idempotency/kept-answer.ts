import { create, type DescMessage, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { BadRequestSchema } from "../../contract/gen/google/rpc/error_details_pb.ts";
import { type KeptAnswer, KeptAnswerSchema, type KeptField } from "../../contract/gen/trunkline/v1/idempotency_pb.ts";
import { jsonCodec, type Method, type RuleViolation } from "../../contract/index.ts";
import { codeRow, type ErrorDetail, isErrorCode, RpcError } from "../../errors/index.ts";
import { ByteWriter } from "../../platform/index.ts";
import { type Call, encodeDetails, InvalidRequestError, Metadata, type MetadataValue } from "../rpc/index.ts";

/**
 * Whether a repeat gets this error again: what is the caller's fault stays so. What is the server's (5xx), what passes (429
 * and whatever says when to try again) and what came of the caller's leaving (499) does not.
 */
export function isKept(error: unknown): error is RpcError {
  if (!(error instanceof RpcError) || error.code === "cancelled" || error.unprocessed) return false;
  if (error.retryAfterMs !== undefined && error.retryAfterMs >= 0) return false;
  const status = error.httpStatus ?? codeRow(error.code).http;
  return status >= 400 && status < 500 && status !== 429;
}

/** The answer of a call, with what its handler wants in head and trailers. @throws CodecError for what is no response */
export function keepResponse({ method, responseHeaders, responseTrailers }: Call, message: object): Uint8Array {
  const writer = new ByteWriter();
  method.output.binary.encode(message, writer);
  const bytes = writer.bytes.subarray(0, writer.position);
  return keep({
    outcome: { case: "message", value: bytes },
    headers: keptFields(responseHeaders),
    trailers: keptFields(responseTrailers),
  });
}

export function keepError({ responseHeaders, responseTrailers }: Call, error: RpcError): Uint8Array {
  const violations =
    error instanceof InvalidRequestError
      ? error.ruleViolations.map(({ field, message, rule }) => {
          return { fieldJson: field("json"), fieldProto: field("proto"), message, rule };
        })
      : [];
  const { code, message, retryAfterMs, httpStatus, problemType } = error;
  const value = {
    code,
    message: message.toWellFormed(),
    metadata: keptFields(new Metadata(error.metadata)),
    retryAfterMs,
    httpStatus: httpStatus ?? 0,
    problemType: problemType ?? "",
    details: violations.length > 0 ? [] : keptDetails(error),
    violations,
  };
  return keep({
    outcome: { case: "error", value },
    headers: keptFields(responseHeaders),
    trailers: keptFields(responseTrailers),
  });
}

/**
 * Answers a call as the first one was: resolves with its message or throws its error. Headers that the call has already are
 * those of its own way here and stay.
 * @throws RpcError that was kept; Error for bytes that are no answer of this method
 */
export function replay(call: Call, bytes: Uint8Array): object {
  const { outcome, headers, trailers } = read(call.method, bytes);
  addFields(call.responseHeaders, headers);
  addFields(call.responseTrailers, trailers);
  if (outcome.case === "message") return outcome.value;
  throw outcome.value;
}

function read(method: Method, bytes: Uint8Array) {
  try {
    const { outcome, headers, trailers } = fromBinary(KeptAnswerSchema, bytes);
    switch (outcome.case) {
      case "message": {
        const message: object = method.output.binary.decode(outcome.value, 0, outcome.value.length);
        return { outcome: { case: "message", value: message } as const, headers, trailers };
      }
      case "error":
        return { outcome: { case: "error", value: errorOf(outcome.value) } as const, headers, trailers };
      default:
        throw new Error("it has no outcome");
    }
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`the kept answer of ${method.path} cannot be read: ${text}`, { cause });
  }
}

function keep(answer: MessageInitShape<typeof KeptAnswerSchema>): Uint8Array {
  return toBinary(KeptAnswerSchema, create(KeptAnswerSchema, answer));
}

function keptFields(metadata: Metadata) {
  return [...metadata].map(([name, value]) => ({
    name,
    value: typeof value === "string" ? ({ case: "text", value } as const) : ({ case: "data", value } as const),
  }));
}

function metadataValue({ value }: KeptField): MetadataValue {
  return value.value ?? "";
}

function addFields(target: Metadata, fields: readonly KeptField[]): void {
  const taken = new Set([...target].map(([name]) => name));
  for (const field of fields) if (!taken.has(field.name)) target.append(field.name, metadataValue(field));
}

function keptDetails(error: RpcError) {
  return encodeDetails(error).map(({ type, value }, index) => {
    const detail = error.details[index];
    return { type, value, json: detail === undefined ? "" : jsonOf(detail) };
  });
}

/** A detail in ProtoJSON; `""` where its type is not known here. */
function jsonOf(detail: ErrorDetail): string {
  if ("type" in detail) return detail.json ?? "";
  const schema = detail[0] as DescMessage;
  return jsonCodec(schema).encode(create(schema, detail[1] as never));
}

type KeptError = Extract<KeptAnswer["outcome"], { case: "error" }>["value"];

function errorOf(kept: KeptError): RpcError {
  if (kept.violations.length > 0) {
    return new InvalidRequestError(
      kept.violations.map(({ fieldJson, fieldProto, message, rule }): RuleViolation => {
        return { field: names => (names === "json" ? fieldJson : fieldProto), message, rule };
      }),
    );
  }
  if (!isErrorCode(kept.code)) throw new Error(`"${kept.code}" is no code`);
  const metadata = new Metadata();
  for (const field of kept.metadata) metadata.append(field.name, metadataValue(field));
  return new RpcError(kept.code, kept.message, {
    metadata: metadata.toRecord(),
    retryAfterMs: kept.retryAfterMs,
    httpStatus: kept.httpStatus === 0 ? undefined : kept.httpStatus,
    problemType: kept.problemType === "" ? undefined : kept.problemType,
    details: kept.details.map(({ type, value, json }): ErrorDetail => {
      // A REST answer shows violations as a list of their own, which it takes from the message.
      if (type === BadRequestSchema.typeName) return [BadRequestSchema, { ...fromBinary(BadRequestSchema, value) }];
      return { type, value, json: json === "" ? undefined : json };
    }),
  });
}
