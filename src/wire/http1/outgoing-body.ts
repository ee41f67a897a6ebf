import { ByteWriter } from "../../platform/index.ts";
import type { HeaderField } from "../exchange.ts";
import { fieldLine, meaningOf, refuseField } from "./field-lines.ts";
import type { Output } from "./output.ts";

/** How the body that goes out is delimited (RFC 9112, section 6); `none`: it is not sent at all (HEAD, 204, 304). */
export type OutgoingFraming = "length" | "chunked" | "untilClose" | "none";

/** Room for eight hexadecimal digits and a line end in front of a chunk. */
const chunkHeadBytes = 10;
/** Up to this size a chunk is moved to close the gap in front of it; above, leading zeros fill the gap. */
const moveBytesMax = 4096;

const hexDigits = Uint8Array.from("0123456789abcdef", character => character.charCodeAt(0));

/** Puts the body of one message after another into the output, and sees to it that its framing is kept. */
export class OutgoingBody {
  isEnded = true;
  readonly #output: Output;
  #framing: OutgoingFraming = "none";
  #remaining = 0;
  #pieceStart = 0;
  #writer: ByteWriter | undefined;

  constructor(output: Output) {
    this.#output = output;
  }

  /** @param length bytes to come, for `length`. */
  start(framing: OutgoingFraming, length = 0): void {
    this.#framing = framing;
    this.#remaining = length;
    this.isEnded = false;
  }

  begin(): ByteWriter {
    const writer = this.#framing === "none" ? new ByteWriter(64) : this.#output.writer();
    if (this.#framing === "chunked") {
      writer.ensure(chunkHeadBytes);
      writer.position += chunkHeadBytes;
    }
    this.#pieceStart = writer.position;
    this.#writer = writer;
    return writer;
  }

  abandon(): void {
    const writer = this.#writer;
    if (writer === undefined) return;
    this.#writer = undefined;
    writer.position = this.#pieceStart - (this.#framing === "chunked" ? chunkHeadBytes : 0);
  }

  /** @throws RangeError when the message would be longer than its content-length says; nothing was sent then. */
  commit(): void {
    const writer = this.#writer;
    if (writer === undefined) throw new Error("commitData without beginData");
    const size = writer.position - this.#pieceStart;
    if (size === 0) {
      this.abandon();
      return;
    }
    if (this.#framing === "length") {
      if (size > this.#remaining) {
        this.abandon();
        this.#refuseLength(size);
      }
      this.#remaining -= size;
    } else if (this.#framing === "chunked") this.#frame(writer, size);
    this.#writer = undefined;
  }

  send(bytes: Uint8Array): void {
    if (bytes.length === 0 || this.#framing === "none") return;
    if (this.#framing === "length") {
      if (bytes.length > this.#remaining) this.#refuseLength(bytes.length);
      this.#remaining -= bytes.length;
    }
    if (this.#framing === "chunked") {
      this.#output.appendText(`${bytes.length.toString(16)}\r\n`);
      this.#output.appendBytes(bytes);
      this.#output.appendText("\r\n");
    } else this.#output.appendBytes(bytes);
  }

  /**
   * Ends the body. Trailers are dropped where the framing has no place for them.
   * @returns `false` when fewer bytes were sent than announced: the connection cannot go on.
   */
  end(trailers: readonly HeaderField[]): boolean {
    this.isEnded = true;
    if (this.#framing === "chunked") {
      let text = "0\r\n";
      for (const field of trailers) {
        if (meaningOf(field.name) !== "plain") refuseField(field.name);
        text += fieldLine(field);
      }
      this.#output.appendText(`${text}\r\n`);
    }
    return this.#framing !== "length" || this.#remaining === 0;
  }

  /** The message is over without an end. */
  abort(): void {
    this.abandon();
    this.isEnded = true;
    this.#framing = "none";
  }

  /** Writes the chunk's size in front of it and the line end behind it (RFC 9112, section 7.1). */
  #frame(writer: ByteWriter, size: number): void {
    writer.ensure(2);
    const bytes = writer.bytes;
    bytes[writer.position++] = 0x0d;
    bytes[writer.position++] = 0x0a;
    const gapStart = this.#pieceStart - chunkHeadBytes;
    let at = this.#pieceStart;
    bytes[--at] = 0x0a;
    bytes[--at] = 0x0d;
    for (let rest = size; rest > 0; rest >>>= 4) bytes[--at] = hexDigits[rest & 15]!;
    if (size <= moveBytesMax) {
      bytes.copyWithin(gapStart, at, writer.position);
      writer.position -= at - gapStart;
    } else while (at > gapStart) bytes[--at] = 0x30;
  }

  #refuseLength(size: number): never {
    throw new RangeError(`the body exceeds its content-length: ${size} bytes where ${this.#remaining} remain`);
  }
}
