/**
 * Large memory that goes round instead of to the garbage collector: V8 starts a collection for every few MiB of buffers,
 * and fresh pages cost as much as copying into them. Kept for the whole process, a few at most.
 */
const spares: Buffer[] = [];
const sparesMax = 4;
const spareBytesMin = 262_144;
const spareBytesMax = 8_388_608;

function largeMemory(bytes: number): Buffer {
  if (bytes >= spareBytesMin) {
    const index = spares.findIndex(({ length }) => length >= bytes);
    if (index !== -1) return spares.splice(index, 1)[0] as Buffer;
  }
  return Buffer.allocUnsafeSlow(bytes);
}

/** Takes back what a {@link ByteWriter} had as `bytes`; nobody may look at it any more. */
export function recycle(bytes: Buffer): void {
  if (bytes.length >= spareBytesMin && bytes.length <= spareBytesMax && spares.length < sparesMax) spares.push(bytes);
}

/**
 * A growing byte buffer that is written from the front. Codecs and the wire share it, so that a message is encoded
 * straight into the memory that the socket sends.
 *
 * Hot path: callers read `bytes` and move `position` themselves after `ensure`; nothing else is allocated per write.
 */
export class ByteWriter {
  bytes: Buffer;
  position = 0;

  /** @param capacity bytes reserved at first; the buffer doubles when it must. */
  constructor(capacity = 1024) {
    this.bytes = Buffer.allocUnsafeSlow(capacity);
  }

  /** Makes room for `count` more bytes behind `position`. `bytes` may be another buffer afterwards. */
  ensure(count: number): void {
    if (this.position + count > this.bytes.length) this.#grow(count);
  }

  #grow(count: number): void {
    const grown = largeMemory(Math.max(this.bytes.length * 2, this.position + count));
    this.bytes.copy(grown, 0, 0, this.position);
    this.bytes = grown;
  }

  /** Appends a copy of `bytes`. */
  append(bytes: Uint8Array): void {
    this.ensure(bytes.length);
    this.bytes.set(bytes, this.position);
    this.position += bytes.length;
  }

  /** The bytes from `start` to `position`, copied. */
  copyFrom(start: number): Buffer {
    const copy = Buffer.allocUnsafeSlow(this.position - start);
    this.bytes.copy(copy, 0, start, this.position);
    return copy;
  }
}
