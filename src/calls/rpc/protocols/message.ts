import type { MessageCodecs } from "../../../contract/index.ts";
import { RpcError } from "../../../errors/index.ts";
import { ByteWriter } from "../../../platform/index.ts";
import type { Exchange } from "../../../wire/index.ts";
import { compress, type Encoding } from "../compression.ts";
import { envelopeBytes } from "../envelope.ts";

/** How messages are written: protobuf's binary format, or ProtoJSON. */
export type CodecName = "binary" | "json";

/** Flag of a compressed message. */
export const compressedFlag = 1;

/** A frame with flags that its protocol does not have. */
export function unknownFlags(flags: number): RpcError {
  return new RpcError("internal", `a message has the unknown flags 0x${flags.toString(16)}`);
}

/**
 * Decodes one message.
 * @param isOwned nobody writes to `bytes` again: the message may keep views on them
 * @throws RpcError invalid_argument with the codec's reason
 */
export function decodeMessage(
  codecs: MessageCodecs,
  codec: CodecName,
  bytes: Buffer,
  start: number,
  end: number,
  isOwned = false,
): object {
  try {
    return codec === "binary"
      ? codecs.binary.decode(bytes, start, end, isOwned)
      : codecs.json.decode(bytes.toString("utf8", start, end));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new RpcError("invalid_argument", `${codecs.typeName} does not decode: ${reason}`, { cause: error });
  }
}

/** Decodes a message of an answer. @throws RpcError internal: the fault is not the caller's */
export function decodeAnswer(
  codecs: MessageCodecs,
  codec: CodecName,
  bytes: Buffer,
  start: number,
  end: number,
  isOwned = false,
): object {
  try {
    return decodeMessage(codecs, codec, bytes, start, end, isOwned);
  } catch (error) {
    throw new RpcError("internal", (error as Error).message, { cause: error });
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

/** @throws RpcError resource_exhausted */
export function checkLength(length: number, limit: number): void {
  if (length > limit) {
    throw new RpcError("resource_exhausted", `message of ${length} bytes exceeds the limit of ${limit} bytes`);
  }
}

/** One message in bytes of its own. @throws RpcError resource_exhausted over the limit */
export function messageBytes(codecs: MessageCodecs, codec: CodecName, message: object, limit: number): Buffer {
  const writer = new ByteWriter(256);
  encodeMessage(codecs, codec, message, writer);
  checkLength(writer.position, limit);
  return writer.bytes.subarray(0, writer.position);
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
    checkLength(length, limit);
  } catch (error) {
    exchange.abandonData();
    throw error;
  }
  writer.bytes[start] = 0;
  writer.bytes.writeUInt32BE(length, start + 1);
  exchange.commitData(end);
}

/** A message in its envelope, compressed when it has at least `bytesMin` bytes. */
export function compressedEnvelope(
  codecs: MessageCodecs,
  codec: CodecName,
  message: object,
  limit: number,
  encoding: Encoding | undefined,
  bytesMin: number,
): Buffer {
  const plain = messageBytes(codecs, codec, message, limit);
  if (encoding === undefined || plain.length < bytesMin) return envelope(0, plain);
  return envelope(compressedFlag, compress(encoding, plain));
}

/** A payload behind its prefix. */
export function envelope(flags: number, payload: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(envelopeBytes + payload.length);
  frame[0] = flags;
  frame.writeUInt32BE(payload.length, 1);
  frame.set(payload, envelopeBytes);
  return frame;
}
