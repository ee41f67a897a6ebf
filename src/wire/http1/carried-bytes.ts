import { ByteWriter } from "../../platform/index.ts";

/**
 * Bytes that came and could not be read yet. Taking from the front moves nothing: a pipeline of small requests would
 * otherwise cost the square of its length.
 */
export class CarriedBytes {
  readonly #writer: ByteWriter;
  #start = 0;

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

  /** Forgets the first `count` bytes. */
  drop(count: number): void {
    this.#start += count;
  }
}
