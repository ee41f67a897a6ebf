import { ByteWriter } from "../../platform/index.ts";

/** See {@link CarriedBytes.isWorthReading}. */
const rereadFromBytes = 1024;
const rereadEveryBytes = 512;

/**
 * Bytes that came and could not be read yet. Taking from the front moves nothing: a pipeline of small requests would
 * otherwise cost the square of its length.
 */
export class CarriedBytes {
  readonly #writer: ByteWriter;
  #start = 0;
  /** How many of them had been looked at when reading stopped. */
  #readBytes = 0;

  constructor(first: Buffer) {
    this.#writer = new ByteWriter(Math.max(256, first.length));
    this.#writer.append(first);
  }

  get length(): number {
    return this.#writer.position - this.#start;
  }

  /** A view, valid until `append`. */
  get bytes(): Buffer {
    return this.#writer.bytes.subarray(this.#start, this.#writer.position);
  }

  append(chunk: Buffer): void {
    const writer = this.#writer;
    // Front space is used again once it is the larger part, so that moving is paid for by what was taken.
    if (this.#start > this.length && writer.position + chunk.length > writer.bytes.length) {
      writer.bytes.copyWithin(0, this.#start, writer.position);
      writer.position -= this.#start;
      this.#start = 0;
    }
    writer.append(chunk);
  }

  /** Reading stopped behind the first `count` bytes, which are forgotten: the rest is no whole head, or its time has not come. */
  stoppedAt(count: number): void {
    this.#start += count;
    this.#readBytes = this.length;
  }

  /**
   * Whether to read an incomplete head again, from its start, now that `chunk` was appended. One that drips in is left
   * alone until a line ends or enough has come, so that a byte a packet costs no more than the packet; the limit on
   * fields bounds the lines.
   */
  isWorthReading(chunk: Buffer): boolean {
    return this.length <= rereadFromBytes || this.length - this.#readBytes >= rereadEveryBytes || chunk.includes(0x0a);
  }
}
