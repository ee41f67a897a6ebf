import { requestIsStream } from "../../../contract/index.ts";
import { RpcError } from "../../../errors/index.ts";
import { constantField, type HeaderField } from "../../../wire/index.ts";
import type { ProtocolName } from "../call.ts";
import { checkEncoding, decompress, type Encoding, firstAccepted, isEncoding } from "../compression.ts";
import { EnvelopeReader, type EnvelopeSink, envelopeBytes } from "../envelope.ts";
import { appendFields } from "../metadata.ts";
import type { ServerCall } from "../server-call.ts";
import type { ServerWire } from "../server-wire.ts";
import { type CodecName, compressedEnvelope, compressedFlag, decodeMessage, writeEnvelope } from "./message.ts";

/**
 * The server's side of protocols whose messages are length-prefixed: gRPC, gRPC-Web and Connect streams. They differ in
 * their head, in how they end, and in the flags beyond compression.
 */
export abstract class EnvelopedServerWire implements ServerWire, EnvelopeSink {
  abstract readonly protocol: ProtocolName;
  protected readonly codec: CodecName;
  readonly #encoding: string | undefined;
  readonly #reader: EnvelopeReader;
  #call: ServerCall | undefined;
  #headSent = false;
  #responseEncoding: Encoding | undefined;

  constructor(codec: CodecName, encoding: string | undefined, receiveBytesMax: number) {
    this.codec = codec;
    this.#encoding = encoding === "identity" ? undefined : encoding;
    this.#reader = new EnvelopeReader(receiveBytesMax);
  }

  /** Fields of the head that say which protocol answers. */
  protected abstract headFields(call: ServerCall): readonly HeaderField[];

  /** Name of the field that announces the compression of messages. */
  protected abstract readonly encodingName: string;

  /** Name of the request's field with the compressions that the client reads. */
  protected abstract readonly acceptName: string;

  /** Ends a body whose head has been sent. */
  protected abstract end(call: ServerCall, error: RpcError | undefined): void;

  /** Ends a call before any head: gRPC's trailers-only. By default a head and an ordinary end. */
  protected endWithoutBody(call: ServerCall, error: RpcError): void {
    this.#sendHead(call);
    this.end(call, error);
  }

  data(call: ServerCall, chunk: Buffer, start: number, end: number): void {
    this.#call = call;
    if (this.#encoding !== undefined) checkEncoding(this.#encoding);
    this.#reader.read(chunk, start, end, this);
  }

  envelope(flags: number, bytes: Buffer, start: number, end: number, isOwned: boolean): void {
    const call = this.#call as ServerCall; // set by data()
    if (call.isSettled) return;
    const { input } = call.method;
    const size = end - start + envelopeBytes;
    if (flags === 0) {
      call.message(decodeMessage(input, this.codec, bytes, start, end, isOwned), size);
    } else if (flags === compressedFlag) {
      if (this.#encoding === undefined) {
        throw new RpcError("internal", "a message is flagged as compressed, but the request names no compression");
      }
      const encoding = this.#encoding;
      const unpack = (packed: Buffer): object => {
        const plain = decompress(encoding, packed, this.#reader.limit);
        return decodeMessage(input, this.codec, plain, 0, plain.length, true);
      };
      if (requestIsStream(call.method.kind)) {
        // As it came: see PackedMessage.
        const packed = Buffer.from(bytes.subarray(start, end));
        call.packedMessage(() => unpack(packed), size);
      } else {
        call.message(unpack(bytes.subarray(start, end)), size);
      }
    } else {
      throw new RpcError("invalid_argument", `a message has the unknown flags 0x${flags.toString(16)}`);
    }
  }

  ended(_call: ServerCall): void {
    if (!this.#reader.isAtBoundary) throw new RpcError("invalid_argument", "the request ends inside a message");
  }

  respond(call: ServerCall, message: object): void {
    this.send(call, message);
    this.end(call, undefined);
  }

  send(call: ServerCall, message: object): void {
    if (!this.#headSent) this.#sendHead(call);
    this.write(call, message, call.compressResponses === false ? undefined : this.#responseEncoding);
  }

  /** Writes a message with its envelope. */
  protected write(call: ServerCall, message: object, encoding: Encoding | undefined): void {
    const { exchange, host, method } = call;
    if (encoding === undefined) {
      writeEnvelope(exchange, method.output, this.codec, message, false, host.sendBytesMax);
    } else {
      exchange.sendData(this.envelopeOf(call, message, encoding), false);
    }
  }

  protected envelopeOf(call: ServerCall, message: object, encoding: Encoding | undefined): Buffer {
    const { host, method, compressResponses } = call;
    const bytesMin = compressResponses === true ? 0 : host.compression.bytesMin;
    return compressedEnvelope(method.output, this.codec, message, host.sendBytesMax, encoding, bytesMin);
  }

  finish(call: ServerCall, error: RpcError | undefined): void {
    if (this.#headSent) {
      this.end(call, error);
    } else if (error !== undefined) {
      this.endWithoutBody(call, error);
    } else {
      this.#sendHead(call);
      this.end(call, undefined);
    }
  }

  #sendHead(call: ServerCall): void {
    this.#headSent = true;
    this.#responseEncoding = responseEncoding(call, this.#encoding, this.acceptName);
    let fixed = this.headFields(call);
    if (this.#responseEncoding !== undefined) {
      fixed = [...fixed, constantField(this.encodingName, this.#responseEncoding)];
    }
    call.exchange.sendHead(200, headWithMetadata(call, fixed), false);
  }
}

/**
 * The compression of an answer. By itself a server compresses for clients that do so themselves (`mirror`), or for all
 * that can read it (`accepted`); the handler's word goes before.
 */
export function responseEncoding(
  call: ServerCall,
  requestEncoding: string | undefined,
  acceptName: string,
): Encoding | undefined {
  const { responses } = call.host.compression;
  const asked = call.compressResponses;
  if (asked === true || (asked === undefined && responses === "accepted")) {
    return firstAccepted(call.exchange.fields.get(acceptName));
  }
  if (requestEncoding === undefined || responses === "never" || !isEncoding(requestEncoding)) return undefined;
  return requestEncoding;
}

/** Only for HTTP/1.1. */
export const connectionClose = constantField("connection", "close");

/** The fixed fields, with the handler's response headers where it set some. */
export function headWithMetadata(call: ServerCall, fixed: readonly HeaderField[]): readonly HeaderField[] {
  if (!call.hasResponseHeaders && !call.closesConnection) return fixed;
  const fields = [...fixed];
  if (call.hasResponseHeaders) appendFields(fields, call.responseHeaders);
  if (call.closesConnection) fields.push(connectionClose);
  return fields;
}
