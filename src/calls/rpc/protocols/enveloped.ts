import type { MessageCodecs } from "../../../contract/index.ts";
import type { RpcError } from "../../../errors/index.ts";
import { RpcError as CallError } from "../../../errors/index.ts";
import type { ByteWriter } from "../../../platform/index.ts";
import type { Exchange, HeaderField } from "../../../wire/index.ts";
import type { ProtocolName } from "../call.ts";
import { decompress } from "../compression.ts";
import { EnvelopeReader, type EnvelopeSink, envelopeBytes } from "../envelope.ts";
import { appendFields } from "../metadata.ts";
import type { ServerCall, ServerWire } from "../server-call.ts";

export type CodecName = "binary" | "json";

/** Flag of a compressed message. */
export const compressedFlag = 1;

/** Decodes one message. @throws RpcError invalid_argument with the codec's reason */
export function decodeMessage(
  codecs: MessageCodecs,
  codec: CodecName,
  bytes: Buffer,
  start: number,
  end: number,
): object {
  try {
    return codec === "binary"
      ? codecs.binary.decode(bytes, start, end)
      : codecs.json.decode(bytes.toString("utf8", start, end));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CallError("invalid_argument", `${codecs.typeName} does not decode: ${reason}`, { cause: error });
  }
}

/** Appends one message. */
export function encodeMessage(codecs: MessageCodecs, codec: CodecName, message: object, writer: ByteWriter): void {
  if (codec === "binary") {
    codecs.binary.encode(message, writer);
    return;
  }
  const text = codecs.json.encode(message);
  writer.ensure(text.length * 3);
  writer.position += writer.bytes.write(text, writer.position, "utf8");
}

/** Writes a message with its prefix straight into the output of the exchange. */
export function writeEnvelope(
  exchange: Exchange,
  codecs: MessageCodecs,
  codec: CodecName,
  message: object,
  end: boolean,
  limit: number,
): void {
  const writer = exchange.beginData();
  const start = writer.position;
  let length: number;
  try {
    writer.ensure(envelopeBytes);
    writer.position = start + envelopeBytes;
    encodeMessage(codecs, codec, message, writer);
    length = writer.position - start - envelopeBytes;
    if (length > limit) {
      throw new CallError("resource_exhausted", `message of ${length} bytes exceeds the limit of ${limit} bytes`);
    }
  } catch (error) {
    exchange.abandonData();
    throw error;
  }
  writer.bytes[start] = 0;
  writer.bytes.writeUInt32BE(length, start + 1);
  exchange.commitData(end);
}

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

  constructor(codec: CodecName, encoding: string | undefined, messageBytesMax: number) {
    this.codec = codec;
    this.#encoding = encoding === "identity" ? undefined : encoding;
    this.#reader = new EnvelopeReader(messageBytesMax);
  }

  /** Fields of the head that say which protocol answers. */
  protected abstract headFields(call: ServerCall): readonly HeaderField[];

  /** Ends a body whose head has been sent. */
  protected abstract end(call: ServerCall, error: RpcError | undefined): void;

  /** Ends a call before any head: gRPC's trailers-only. By default a head and an ordinary end. */
  protected endWithoutBody(call: ServerCall, error: RpcError): void {
    this.#sendHead(call);
    this.end(call, error);
  }

  data(call: ServerCall, chunk: Buffer, start: number, end: number): void {
    this.#call = call;
    this.#reader.read(chunk, start, end, this);
  }

  envelope(flags: number, bytes: Buffer, start: number, end: number): void {
    const call = this.#call as ServerCall; // set by data()
    if (call.isSettled) return;
    const { input } = call.method;
    const size = end - start + envelopeBytes;
    if (flags === 0) {
      call.message(decodeMessage(input, this.codec, bytes, start, end), size);
    } else if (flags === compressedFlag) {
      if (this.#encoding === undefined) {
        throw new CallError("internal", "a message is flagged as compressed, but the request names no compression");
      }
      const plain = decompress(this.#encoding, bytes.subarray(start, end), call.host.messageBytesMax);
      call.message(decodeMessage(input, this.codec, plain, 0, plain.length), size);
    } else {
      throw new CallError("invalid_argument", `a message has the unknown flags 0x${flags.toString(16)}`);
    }
  }

  ended(): void {
    if (!this.#reader.isAtBoundary) throw new CallError("invalid_argument", "the request ends inside a message");
  }

  respond(call: ServerCall, message: object): void {
    this.send(call, message);
    this.end(call, undefined);
  }

  send(call: ServerCall, message: object): void {
    if (!this.#headSent) this.#sendHead(call);
    writeEnvelope(call.exchange, call.method.output, this.codec, message, false, call.host.messageBytesMax);
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
    call.exchange.sendHead(200, headWithMetadata(call, this.headFields(call)), false);
  }
}

/** The fixed fields, with the handler's response headers where it set some. */
export function headWithMetadata(call: ServerCall, fixed: readonly HeaderField[]): readonly HeaderField[] {
  if (!call.hasResponseHeaders) return fixed;
  const fields = [...fixed];
  appendFields(fields, call.responseHeaders);
  return fields;
}
