import { RpcError as CallError, codeRow, type RpcError } from "../../../../errors/index.ts";
import { ByteWriter } from "../../../../platform/index.ts";
import { constantField, HeaderField } from "../../../../wire/index.ts";
import { acceptedEncodings, decompress } from "../../compression.ts";
import { envelopeBytes } from "../../envelope.ts";
import { appendFields, Metadata } from "../../metadata.ts";
import type { ServerCall, ServerWire } from "../../server-call.ts";
import { type CodecName, decodeMessage, EnvelopedServerWire, encodeMessage } from "../enveloped.ts";
import { type ConnectErrorJson, connectError } from "./error.ts";

/** Flag of the message that ends a Connect stream. */
const endStreamFlag = 2;

const streamHeads: Readonly<Record<CodecName, readonly HeaderField[]>> = {
  binary: [
    constantField("content-type", "application/connect+proto"),
    constantField("connect-accept-encoding", acceptedEncodings.join(",")),
  ],
  json: [
    constantField("content-type", "application/connect+json"),
    constantField("connect-accept-encoding", acceptedEncodings.join(",")),
  ],
};

/** Connect streams, the server's side: the end of the stream is a message of JSON with error and trailers. */
export class ConnectStreamServerWire extends EnvelopedServerWire {
  override readonly protocol = "connect";

  protected override headFields(): readonly HeaderField[] {
    return streamHeads[this.codec];
  }

  protected override end(call: ServerCall, error: RpcError | undefined): void {
    const json: { error?: ConnectErrorJson; metadata?: Record<string, string[]> } = {};
    if (error !== undefined) json.error = connectError(error);
    const metadata: Record<string, string[]> = {};
    const fields: HeaderField[] = [];
    if (call.hasResponseTrailers) appendFields(fields, call.responseTrailers);
    if (error !== undefined) appendFields(fields, new Metadata(error.metadata));
    for (const { name, value } of fields) {
      metadata[name] ??= [];
      metadata[name].push(value);
    }
    if (fields.length > 0) json.metadata = metadata;
    const text = JSON.stringify(json);
    const frame = Buffer.allocUnsafe(envelopeBytes + Buffer.byteLength(text));
    frame[0] = endStreamFlag;
    frame.writeUInt32BE(frame.length - envelopeBytes, 1);
    frame.write(text, envelopeBytes, "utf8");
    call.exchange.sendData(frame, true);
  }
}

const unaryAccept = constantField("accept-encoding", acceptedEncodings.join(","));
const unaryHeads: Readonly<Record<CodecName, readonly HeaderField[]>> = {
  binary: [constantField("content-type", "application/proto"), unaryAccept],
  json: [constantField("content-type", "application/json"), unaryAccept],
};
const errorType = constantField("content-type", "application/json");

/** Gathers a whole body within a limit. */
export class WholeBody {
  readonly #limit: number;
  readonly #writer = new ByteWriter(256);

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** @throws RpcError resource_exhausted */
  append(chunk: Buffer, start: number, end: number): void {
    if (this.#writer.position + end - start > this.#limit) {
      throw new CallError("resource_exhausted", `message exceeds the limit of ${this.#limit} bytes`);
    }
    this.#writer.append(chunk.subarray(start, end));
  }

  bytes(): Buffer {
    return this.#writer.bytes.subarray(0, this.#writer.position);
  }
}

/** Connect unary calls by POST and, for methods without side effects, GET: bare messages as bodies. */
export class ConnectUnaryServerWire implements ServerWire {
  readonly protocol = "connect";
  readonly #codec: CodecName;
  readonly #encoding: string | undefined;
  readonly #body: WholeBody;
  /** The message of a GET, from its query. */
  readonly #query: Buffer | undefined;

  constructor(codec: CodecName, encoding: string | undefined, messageBytesMax: number, query?: Buffer) {
    this.#codec = codec;
    this.#encoding = encoding === "identity" || encoding === "" ? undefined : encoding;
    this.#body = new WholeBody(messageBytesMax);
    this.#query = query;
  }

  data(_call: ServerCall, chunk: Buffer, start: number, end: number): void {
    this.#body.append(chunk, start, end);
  }

  ended(call: ServerCall): void {
    let bytes = this.#query ?? this.#body.bytes();
    if (this.#encoding !== undefined && bytes.length > 0) {
      bytes = decompress(this.#encoding, bytes, call.host.messageBytesMax);
    }
    call.message(decodeMessage(call.method.input, this.#codec, bytes, 0, bytes.length), 0);
  }

  respond(call: ServerCall, message: object): void {
    const { output } = call.method;
    const fields = [...unaryHeads[this.#codec]];
    if (call.hasResponseHeaders) appendFields(fields, call.responseHeaders);
    if (call.hasResponseTrailers) appendFields(fields, call.responseTrailers, "trailer-");
    if (this.#codec === "json") {
      call.exchange.respond(200, fields, output.json.encode(message));
      return;
    }
    const writer = new ByteWriter(256);
    encodeMessage(output, this.#codec, message, writer);
    call.exchange.respond(200, fields, writer.bytes.subarray(0, writer.position));
  }

  send(): void {
    throw new Error("a unary call sends one message");
  }

  finish(call: ServerCall, error: RpcError | undefined): void {
    if (error === undefined) return;
    const fields: HeaderField[] = [errorType];
    if (call.hasResponseHeaders) appendFields(fields, call.responseHeaders);
    appendFields(fields, new Metadata(error.metadata));
    if (call.hasResponseTrailers) appendFields(fields, call.responseTrailers, "trailer-");
    if (error.retryAfterMs !== undefined && error.retryAfterMs >= 0) {
      fields.push(new HeaderField("retry-after", String(Math.ceil(error.retryAfterMs / 1000))));
    }
    call.exchange.respond(codeRow(error.code).connectHttp, fields, JSON.stringify(connectError(error)));
  }
}
