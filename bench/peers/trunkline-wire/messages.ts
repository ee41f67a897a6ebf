import type { BinaryCodec } from "../../../src/contract/index.ts";
import { ByteWriter } from "../../../src/platform/index.ts";
import type { Exchange } from "../../../src/wire/exchange.ts";

/** gRPC's length prefix: a flag that no compression is used, and four bytes of length. */
const prefixBytes = 5;

/** Above this, a message is sent by reference instead of being copied into the connection's buffer. */
const copiedBytesMax = 16 * 1024;

/** Writes one message straight into the connection's buffer. */
export function sendMessage(exchange: Exchange, codec: BinaryCodec, message: object, end: boolean): void {
  const writer = exchange.beginData();
  const start = writer.position;
  writer.ensure(prefixBytes);
  writer.position += prefixBytes;
  codec.encode(message, writer);
  writePrefix(writer.bytes, start, writer.position - start - prefixBytes);
  exchange.commitData(end);
}

export function sendLarge(
  exchange: Exchange,
  codec: BinaryCodec,
  message: object,
  sizeHint: number,
  end: boolean,
): void {
  if (sizeHint < copiedBytesMax) {
    sendMessage(exchange, codec, message, end);
    return;
  }
  const writer = new ByteWriter(sizeHint + 64);
  writer.position = prefixBytes;
  codec.encode(message, writer);
  writePrefix(writer.bytes, 0, writer.position - prefixBytes);
  exchange.sendData(writer.bytes.subarray(0, writer.position), end);
}

function writePrefix(bytes: Buffer, start: number, length: number): void {
  bytes[start] = 0;
  bytes.writeUInt32BE(length, start + 1);
}

/** Cuts a body into messages: in place when a message is within one chunk, otherwise from a copy. */
export class MessageReader {
  #held = Buffer.alloc(0);
  #heldBytes = 0;

  read(chunk: Buffer, start: number, end: number, message: (bytes: Buffer, from: number, to: number) => void): void {
    let bytes = chunk;
    let at = start;
    let limit = end;
    if (this.#heldBytes > 0) {
      this.#hold(chunk, start, end);
      [bytes, at, limit] = [this.#held, 0, this.#heldBytes];
    }
    while (limit - at >= prefixBytes) {
      const next = at + prefixBytes + bytes.readUInt32BE(at + 1);
      if (next > limit) break;
      message(bytes, at + prefixBytes, next);
      at = next;
    }
    if (bytes === this.#held) {
      this.#held.copy(this.#held, 0, at, limit);
      this.#heldBytes = limit - at;
    } else if (at < limit) this.#hold(bytes, at, limit);
  }

  #hold(chunk: Buffer, start: number, end: number): void {
    const needed = this.#heldBytes + end - start;
    // Room for the whole message at once: its prefix is here, if not always in the very first bytes.
    if (this.#heldBytes === 0 && needed >= prefixBytes) this.#reserve(prefixBytes + chunk.readUInt32BE(start + 1));
    if (needed > this.#held.length) this.#reserve(Math.max(needed, this.#held.length * 2));
    chunk.copy(this.#held, this.#heldBytes, start, end);
    this.#heldBytes = needed;
  }

  #reserve(bytes: number): void {
    if (bytes <= this.#held.length) return;
    const grown = Buffer.allocUnsafeSlow(bytes);
    this.#held.copy(grown, 0, 0, this.#heldBytes);
    this.#held = grown;
  }
}
