import { type ByteStream, ByteWriter, recycle } from "../../platform/index.ts";

/** A buffer above this is given back once what it held has left. */
const keptBufferBytes = 16_384;
/** Buffers grow to the size of a turn's output; above this the next turn starts small again. */
const bufferBytesMax = 262_144;

/**
 * Gathers the frames of one turn of the event loop: small ones are copied into one buffer, large payloads stand between
 * its parts by reference, and all leave in one write.
 */
export class Output {
  readonly writer = new ByteWriter(2048);
  /** The stream asked to wait for `drained`. */
  isBlocked = false;
  /** Control frames written while blocked. */
  controlFrames = 0;
  readonly #stream: ByteStream;
  #parts: Uint8Array[] = [];
  #partStart = 0;
  #referencedBytes = 0;
  /** Memory by the payload that it was given away for. */
  readonly #given = new WeakMap<Uint8Array, Buffer>();
  #finished: Buffer[] = [];

  constructor(stream: ByteStream) {
    this.#stream = stream;
  }

  /** Bytes that the next flush hands to the stream. */
  get gatheredBytes(): number {
    return this.writer.position - this.#partStart + this.#referencedBytes;
  }

  /** Everything that has not left this process. */
  get waitingBytes(): number {
    return this.gatheredBytes + this.#stream.bufferedBytes;
  }

  /** Puts `bytes` behind what was written so far, without copying. */
  reference(bytes: Uint8Array): void {
    const { writer } = this;
    if (writer.position > this.#partStart) this.#parts.push(writer.bytes.subarray(this.#partStart, writer.position));
    this.#parts.push(bytes);
    this.#referencedBytes += bytes.length;
    this.#partStart = writer.position;
  }

  /**
   * Gives away the memory behind `start + skipped`, so that what was encoded there need not be copied; writing goes on at
   * `start`, in new memory.
   */
  handOver(start: number, skipped: number): Uint8Array {
    const { writer } = this;
    const { bytes, position } = writer;
    const waiting = start - this.#partStart;
    writer.bytes = Buffer.allocUnsafeSlow(Math.max(keptBufferBytes, start + keptBufferBytes));
    if (waiting > 0) bytes.copy(writer.bytes, this.#partStart, this.#partStart, start);
    const payload = bytes.subarray(start + skipped, position);
    this.#given.set(payload, bytes);
    return payload;
  }

  /** All of `bytes` has been referenced: if it is memory that `handOver` gave, it can be used again after the next flush. */
  finished(bytes: Uint8Array): void {
    const memory = this.#given.get(bytes);
    if (memory === undefined) return;
    this.#given.delete(bytes);
    this.#finished.push(memory);
  }

  flush(): void {
    const { writer } = this;
    const stream = this.#stream;
    let hasRoom: boolean;
    if (this.#parts.length === 0) {
      if (writer.position === 0) return;
      hasRoom = stream.write(writer.bytes.subarray(0, writer.position));
    } else {
      if (writer.position > this.#partStart) this.#parts.push(writer.bytes.subarray(this.#partStart, writer.position));
      const parts = this.#parts;
      this.#parts = [];
      this.#referencedBytes = 0;
      hasRoom = stream.writeAll(parts);
    }
    if (!hasRoom) this.isBlocked = true;
    this.#partStart = 0;
    // The memory is ours again only when the stream has already passed it on, which is the rule on a socket with room.
    if (stream.bufferedBytes === 0) {
      for (const memory of this.#finished) recycle(memory);
      if (writer.bytes.length > bufferBytesMax) writer.bytes = Buffer.allocUnsafeSlow(keptBufferBytes);
    } else {
      writer.bytes = Buffer.allocUnsafeSlow(Math.min(writer.bytes.length, keptBufferBytes));
    }
    writer.position = 0;
    if (this.#finished.length > 0) this.#finished = [];
  }

  /** Gives large memory back when the connection has become quiet. */
  shrink(): void {
    if (this.writer.position === 0 && this.writer.bytes.length > keptBufferBytes) {
      this.writer.bytes = Buffer.allocUnsafeSlow(2048);
    }
  }
}
