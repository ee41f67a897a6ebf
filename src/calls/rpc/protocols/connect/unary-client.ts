import { codeFromHttp, type ErrorCode, RpcError } from "../../../../errors/index.ts";
import {
  type ClientConnection,
  type ClientExchange,
  constantField,
  type FieldList,
  HeaderField,
} from "../../../../wire/index.ts";
import type { ClientCall } from "../../client-call.ts";
import type { ClientWire } from "../../client-wire.ts";
import { acceptedEncodings, compress, decompressAnswer } from "../../compression.ts";
import { Metadata, metadataFromFields } from "../../metadata.ts";
import { readPushback } from "../../pushback.ts";
import { type CodecName, decodeAnswer, messageBytes } from "../message.ts";
import { connectTimeoutField } from "../timeout.ts";
import { WholeBody } from "../whole-body.ts";
import { readConnectError } from "./error.ts";
import { checkConnectType } from "./stream-client.ts";

const version = constantField("connect-protocol-version", "1");
const accepts = constantField("accept-encoding", acceptedEncodings);
const getMethod = new HeaderField(":method", "GET");
const getFields: readonly HeaderField[] = [accepts];
const postFields: Readonly<Record<CodecName, readonly HeaderField[]>> = {
  binary: [constantField("content-type", "application/proto"), version, accepts],
  json: [constantField("content-type", "application/json"), version, accepts],
};

/** Longest path with query that is sent as GET; above it POST, which every server and proxy takes. */
const getPathMax = 8000;

const trailerPrefix = "trailer-";

/** Connect unary calls, the client's side: bare messages as bodies, trailers among the headers. */
export class ConnectUnaryClientWire implements ClientWire {
  readonly #body: WholeBody;
  #status = 0;
  #fields: FieldList | undefined;

  constructor(call: ClientCall) {
    this.#body = new WholeBody(call.settings.limits.receiveBytesMax);
  }

  begin(call: ClientCall, connection: ClientConnection): ClientExchange {
    const { settings, method, compression } = call;
    const { codec, compressBytesMin } = settings;
    const message = call.request as object;
    let bytes = messageBytes(method.input, codec, message, settings.limits.sendBytesMax);
    const isCompressed = compression !== undefined && call.compresses(message) && bytes.length >= compressBytesMin;
    if (isCompressed) bytes = compress(compression, bytes);
    const head = call.requestHead();
    if (settings.useHttpGet && method.idempotency === "no_side_effects") {
      const path = getPath(method.path, codec, bytes, isCompressed ? compression : undefined);
      if (path.length <= getPathMax) {
        return connection.request(
          { ...head, method: getMethod, path: new HeaderField(":path", path) },
          call.requestFields(getFields, connectTimeoutField),
          call,
          true,
        );
      }
    }
    let fixed = postFields[codec];
    if (isCompressed) fixed = [...fixed, constantField("content-encoding", compression)];
    const exchange = connection.request(
      { ...head, contentLength: bytes.length },
      call.requestFields(fixed, connectTimeoutField),
      call,
      false,
    );
    exchange.sendData(bytes, true);
    return exchange;
  }

  send(): void {
    throw new Error("a unary call sends one message");
  }

  head(call: ClientCall, status: number, fields: FieldList): void {
    this.#status = status;
    this.#fields = fields;
    const headers = new FieldsBeside(fields, false);
    call.headersArrived(headers);
    call.trailersArrived(() => metadataFromFields(new FieldsBeside(fields, true)));
  }

  data(_call: ClientCall, chunk: Buffer, start: number, end: number): void {
    this.#body.append(chunk, start, end);
  }

  ended(call: ClientCall): void {
    const fields = this.#fields as FieldList; // a body comes after its head
    const contentType = fields.get("content-type") ?? "";
    const isOk = this.#status === 200;
    const wrongType = isOk ? checkConnectType(call, "application/", contentType) : undefined;
    if (wrongType !== undefined) {
      call.fail(wrongType);
      return;
    }
    let bytes = this.#body.bytes();
    const encoding = fields.get("content-encoding");
    if (encoding !== undefined && encoding !== "identity") bytes = decompressAnswer(encoding, bytes, this.#body.limit);
    if (isOk) {
      call.message(decodeAnswer(call.method.output, call.settings.codec, bytes, 0, bytes.length), 0);
      call.finish(undefined);
    } else {
      call.fail(errorOf(call, this.#status, contentType, bytes, fields));
    }
  }
}

function errorOf(call: ClientCall, status: number, contentType: string, body: Buffer, fields: FieldList): RpcError {
  const fallback: ErrorCode = codeFromHttp(status);
  const metadata = new Metadata(metadataFromFields(new FieldsBeside(fields, false)));
  for (const [name, value] of metadataFromFields(new FieldsBeside(fields, true))) metadata.append(name, value);
  const retryAfterMs = readPushback(fields, call.channel.platform.clock.wall());
  const plain = new RpcError(fallback, `${call.target} answered with HTTP status ${status}`, {
    metadata: metadata.toRecord(),
    retryAfterMs,
  });
  if (contentType.split(";", 1)[0]?.trim().toLowerCase() !== "application/json") return plain;
  try {
    return readConnectError(JSON.parse(body.toString("utf8")), fallback, metadata, retryAfterMs);
  } catch {
    return plain;
  }
}

/** The path of a GET (Connect protocol, "Unary-Get-Request"). */
function getPath(path: string, codec: CodecName, bytes: Buffer, compression: string | undefined): string {
  const query = [`connect=v1`, `encoding=${codec === "json" ? "json" : "proto"}`];
  if (codec === "json" && compression === undefined) {
    query.push(`message=${encodeURIComponent(bytes.toString("utf8"))}`);
  } else {
    query.push("base64=1", `message=${bytes.toString("base64url")}`);
  }
  if (compression !== undefined) query.push(`compression=${compression}`);
  return `${path}?${query.join("&")}`;
}

/** The headers of an answer without its trailers, or the trailers with their own names. */
class FieldsBeside implements Iterable<HeaderField> {
  readonly #fields: FieldList;
  readonly #wantsTrailers: boolean;

  constructor(fields: FieldList, wantsTrailers: boolean) {
    this.#fields = fields;
    this.#wantsTrailers = wantsTrailers;
  }

  *[Symbol.iterator](): Iterator<HeaderField> {
    for (const field of this.#fields) {
      const isTrailer = field.name.startsWith(trailerPrefix);
      if (isTrailer !== this.#wantsTrailers) continue;
      yield isTrailer ? new HeaderField(field.name.slice(trailerPrefix.length), field.value) : field;
    }
  }
}
