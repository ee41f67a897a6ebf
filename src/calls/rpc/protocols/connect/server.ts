import { codeRow, type RpcError } from "../../../../errors/index.ts";
import { constantField, type HeaderField } from "../../../../wire/index.ts";
import { acceptedEncodings, compress, decompress } from "../../compression.ts";
import { appendFields, Metadata } from "../../metadata.ts";
import { pushbackFields, pushbackMsField } from "../../pushback.ts";
import type { ServerCall } from "../../server-call.ts";
import type { ServerWire } from "../../server-wire.ts";
import { EnvelopedServerWire, headWithMetadata, responseEncoding } from "../enveloped-server.ts";
import { type CodecName, decodeMessage, envelope, messageBytes } from "../message.ts";
import { WholeBody } from "../whole-body.ts";
import { type ConnectErrorJson, connectError } from "./error.ts";

/** Flag of the message that ends a Connect stream. */
export const endStreamFlag = 2;

const streamHeads: Readonly<Record<CodecName, readonly HeaderField[]>> = {
  binary: [
    constantField("content-type", "application/connect+proto"),
    constantField("connect-accept-encoding", acceptedEncodings),
  ],
  json: [
    constantField("content-type", "application/connect+json"),
    constantField("connect-accept-encoding", acceptedEncodings),
  ],
};

/** Connect streams, the server's side: the end of the stream is a message of JSON with error and trailers. */
export class ConnectStreamServerWire extends EnvelopedServerWire {
  override readonly protocol = "connect";
  protected override readonly encodingName = "connect-content-encoding";
  protected override readonly acceptName = "connect-accept-encoding";

  protected override headFields(): readonly HeaderField[] {
    return streamHeads[this.codec];
  }

  protected override end(call: ServerCall, error: RpcError | undefined): void {
    const json: { error?: ConnectErrorJson; metadata?: Record<string, string[]> } = {};
    if (error !== undefined) json.error = connectError(error);
    const metadata: Record<string, string[]> = {};
    const fields: HeaderField[] = [];
    if (call.hasResponseTrailers) appendFields(fields, call.responseTrailers);
    if (error !== undefined) {
      appendFields(fields, new Metadata(error.metadata));
      // The status of a stream was sent with its head: there is no field of HTTP for this any more.
      if (error.retryAfterMs !== undefined) fields.push(pushbackMsField(error.retryAfterMs));
    }
    for (const { name, value } of fields) {
      metadata[name] ??= [];
      metadata[name].push(value);
    }
    if (fields.length > 0) json.metadata = metadata;
    call.exchange.sendData(envelope(endStreamFlag, Buffer.from(JSON.stringify(json))), true);
  }
}

const unaryAccept = constantField("accept-encoding", acceptedEncodings);
const unaryHeads: Readonly<Record<CodecName, readonly HeaderField[]>> = {
  binary: [constantField("content-type", "application/proto"), unaryAccept],
  json: [constantField("content-type", "application/json"), unaryAccept],
};
const errorType = constantField("content-type", "application/json");

/** Connect unary calls by POST and, for methods without side effects, GET: bare messages as bodies. */
export class ConnectUnaryServerWire implements ServerWire {
  readonly protocol = "connect";
  readonly #codec: CodecName;
  readonly #encoding: string | undefined;
  readonly #body: WholeBody;
  /** The message of a GET, from its query. */
  readonly #query: Buffer | undefined;

  constructor(codec: CodecName, encoding: string | undefined, receiveBytesMax: number, query?: Buffer) {
    this.#codec = codec;
    this.#encoding = encoding === "identity" || encoding === "" ? undefined : encoding;
    this.#body = new WholeBody(receiveBytesMax);
    this.#query = query;
  }

  data(_call: ServerCall, chunk: Buffer, start: number, end: number): void {
    this.#body.append(chunk, start, end);
  }

  ended(call: ServerCall): void {
    let bytes = this.#query ?? this.#body.bytes();
    if (this.#encoding !== undefined) {
      bytes = decompress(this.#encoding, bytes, this.#body.limit);
    }
    call.message(decodeMessage(call.method.input, this.#codec, bytes, 0, bytes.length), 0);
  }

  respond(call: ServerCall, message: object): void {
    const { output } = call.method;
    const fields = [...headWithMetadata(call, unaryHeads[this.#codec])];
    if (call.hasResponseTrailers) appendFields(fields, call.responseTrailers, "trailer-");
    const bytes = messageBytes(output, this.#codec, message, call.host.sendBytesMax);
    const encoding = responseEncoding(call, this.#encoding, "accept-encoding");
    const bytesMin = call.compressResponses === true ? 0 : call.host.compression.bytesMin;
    if (encoding === undefined || bytes.length < bytesMin) {
      call.exchange.respond(200, fields, bytes);
      return;
    }
    fields.push(constantField("content-encoding", encoding));
    call.exchange.respond(200, fields, compress(encoding, bytes));
  }

  send(): void {
    throw new Error("a unary call sends one message");
  }

  finish(call: ServerCall, error: RpcError | undefined): void {
    if (error === undefined) return;
    const fields: HeaderField[] = [...headWithMetadata(call, [errorType])];
    appendFields(fields, new Metadata(error.metadata));
    if (call.hasResponseTrailers) appendFields(fields, call.responseTrailers, "trailer-");
    fields.push(...pushbackFields(error));
    call.exchange.respond(codeRow(error.code).connectHttp, fields, JSON.stringify(connectError(error)));
  }
}
