import { requestIsStream, responseIsStream } from "../../../contract/index.ts";
import { codeFromHttp, RpcError } from "../../../errors/index.ts";
import {
  type ClientConnection,
  type ClientExchange,
  constantField,
  type FieldList,
  type HeaderField,
} from "../../../wire/index.ts";
import type { ClientCall } from "../client-call.ts";
import type { ClientWire } from "../client-wire.ts";
import { decompressAnswer, isEncoding } from "../compression.ts";
import { EnvelopeReader, type EnvelopeSink, envelopeBytes } from "../envelope.ts";
import { compressedEnvelope, compressedFlag, decodeAnswer, writeEnvelope } from "./message.ts";

/** The client's side of protocols whose messages are length-prefixed: gRPC, gRPC-Web and Connect streams. */
export abstract class EnvelopedClientWire implements ClientWire, EnvelopeSink {
  readonly #reader: EnvelopeReader;
  #call: ClientCall | undefined;
  /** How the answer's messages are compressed. */
  #encoding: string | undefined;
  /** The answer is not what was asked for; told when its body has ended. */
  protected headError: RpcError | undefined;
  /** Something was received that must be the last. */
  protected isComplete = false;
  /** The answer has a body. */
  protected hasBody = false;

  constructor(call: ClientCall) {
    this.#reader = new EnvelopeReader(call.settings.limits.receiveBytesMax);
  }

  /** The fields of a request that never change. */
  protected abstract fixedFields(call: ClientCall): readonly HeaderField[];
  protected abstract timeoutField(timeLeftMs: number): HeaderField;
  /** The name of the field that announces the compression of messages. */
  protected abstract readonly encodingName: string;
  /** The start that the content type of every answer has, and what must follow it for this call. */
  protected abstract checkType(call: ClientCall, contentType: string): RpcError | undefined;
  /** A frame with a flag of the protocol's own. */
  protected abstract frame(call: ClientCall, flags: number, payload: Buffer): void;
  /** The body is complete; `headError` and cut messages have been dealt with. */
  protected abstract finished(call: ClientCall, trailers: FieldList | undefined): void;

  begin(call: ClientCall, connection: ClientConnection): ClientExchange {
    const compression = call.compression;
    let fixed = this.fixedFields(call);
    if (compression !== undefined) fixed = [...fixed, constantField(this.encodingName, compression)];
    const exchange = connection.request(call.requestHead(), call.requestFields(fixed, this.timeoutField), call, false);
    if (requestIsStream(call.method.kind)) return exchange;
    try {
      this.send(call, exchange, call.request as object, true);
    } catch (error) {
      exchange.reset("cancel");
      throw error;
    }
    return exchange;
  }

  send(call: ClientCall, exchange: ClientExchange, message: object, end: boolean): void {
    const { settings, method, compression } = call;
    const { codec, limits } = settings;
    if (compression === undefined || !call.compresses(message)) {
      writeEnvelope(exchange, method.input, codec, message, end, limits.sendBytesMax);
    } else {
      const { compressBytesMin } = settings;
      const limit = limits.sendBytesMax;
      exchange.sendData(compressedEnvelope(method.input, codec, message, limit, compression, compressBytesMin), end);
    }
  }

  head(call: ClientCall, status: number, fields: FieldList): void {
    if (status !== 200) {
      this.headError = new RpcError(codeFromHttp(status), `${call.target} answered with HTTP status ${status}`);
      return;
    }
    this.headError = this.checkType(call, fields.get("content-type") ?? "");
    if (this.headError !== undefined) return;
    const encoding = fields.get(this.encodingName);
    this.#encoding = encoding === "identity" ? undefined : encoding;
    if (this.#encoding !== undefined && !isEncoding(this.#encoding)) {
      this.headError = new RpcError(
        "internal",
        `${call.target} answered in compression "${encoding}", which was not offered`,
      );
    }
    call.headersArrived(fields);
  }

  data(call: ClientCall, chunk: Buffer, start: number, end: number): void {
    this.hasBody = true;
    if (this.headError !== undefined) return;
    this.#call = call;
    this.#reader.read(chunk, start, end, this);
  }

  envelope(flags: number, bytes: Buffer, start: number, end: number, isOwned: boolean): void {
    const call = this.#call as ClientCall; // set by data()
    if (call.isSettled) return;
    if (this.isComplete) throw new RpcError("internal", "more came after the end of the answer");
    const size = end - start + envelopeBytes;
    if (flags === 0) {
      call.message(this.#decode(call, bytes, start, end, isOwned), size);
    } else if (flags === compressedFlag && responseIsStream(call.method.kind)) {
      // As it came: see PackedMessage.
      const packed = Buffer.from(bytes.subarray(start, end));
      call.packedMessage(() => this.#unpack(call, packed), size);
    } else if (flags === compressedFlag) {
      call.message(this.#unpack(call, bytes.subarray(start, end)), size);
    } else {
      const payload = bytes.subarray(start, end);
      const plain = (flags & compressedFlag) === 0 ? payload : this.#decompress(payload);
      this.frame(call, flags & ~compressedFlag, plain);
    }
  }

  #unpack(call: ClientCall, packed: Buffer): object {
    const plain = this.#decompress(packed);
    return this.#decode(call, plain, 0, plain.length, true);
  }

  #decode(call: ClientCall, bytes: Buffer, start: number, end: number, isOwned: boolean): object {
    return decodeAnswer(call.method.output, call.settings.codec, bytes, start, end, isOwned);
  }

  #decompress(packed: Buffer): Buffer {
    if (this.#encoding === undefined) {
      throw new RpcError("internal", "a message is flagged as compressed, but the answer names no compression");
    }
    return decompressAnswer(this.#encoding, packed, this.#reader.limit);
  }

  ended(call: ClientCall, trailers: FieldList | undefined): void {
    if (this.headError !== undefined) call.fail(this.headError);
    else if (!this.#reader.isAtBoundary) call.fail(new RpcError("internal", "the answer ended inside a message"));
    else this.finished(call, trailers);
  }
}

/** The content type of gRPC's family: the bare name stands for protobuf. */
export function checkGrpcType(call: ClientCall, prefix: string, contentType: string): RpcError | undefined {
  const type = contentType.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  const wanted = call.settings.codec === "json" ? "json" : "proto";
  if (type === `${prefix}+${wanted}` || (type === prefix && wanted === "proto")) return undefined;
  const code = type === prefix || type.startsWith(`${prefix}+`) ? "internal" : "unknown";
  return new RpcError(code, `${call.target} answered with content type ${JSON.stringify(contentType)}`);
}
