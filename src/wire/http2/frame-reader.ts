import { ErrorCode, Http2ConnectionError } from "./errors.ts";
import { frameHeaderBytes, uint31 } from "./frames.ts";

/** Takes whole frames. `chunk.subarray(start, end)` is the payload, valid only during the call. */
export interface FrameSink {
  frame(type: number, flags: number, streamId: number, chunk: Buffer, start: number, end: number): void;
  /** `true` once frames are no longer wanted: the rest of the input is dropped. */
  readonly isClosing: boolean;
}

/**
 * Cuts a byte stream into frames, in place. Only a frame that the end of a chunk cuts is copied: its header into nine
 * bytes, then itself into a buffer of its own size.
 */
export class FrameReader {
  readonly #sink: FrameSink;
  readonly #frameBytesMax: number;
  /** The cut frame; nothing but (part of) its header while `#neededBytes` is that of a header. */
  #carry: Buffer | undefined;
  #carriedBytes = 0;

  constructor(sink: FrameSink, frameBytesMax: number) {
    this.#sink = sink;
    this.#frameBytesMax = frameBytesMax;
  }

  /** @throws Http2ConnectionError when a frame is larger than allowed, and whatever the sink throws */
  read(chunk: Buffer, position: number): void {
    const sink = this.#sink;
    const end = chunk.length;
    let at = this.#carry === undefined ? position : this.#continueCarried(chunk, position);
    while (end - at >= frameHeaderBytes) {
      if (sink.isClosing) return;
      const length = (chunk[at]! << 16) | (chunk[at + 1]! << 8) | chunk[at + 2]!;
      if (length > this.#frameBytesMax) throw this.#tooLarge(length);
      const payload = at + frameHeaderBytes;
      const next = payload + length;
      if (next > end) break;
      sink.frame(chunk[at + 3]!, chunk[at + 4]!, uint31(chunk, at + 5), chunk, payload, next);
      at = next;
    }
    if (at < end && !sink.isClosing) this.#carryRest(chunk, at);
  }

  #continueCarried(chunk: Buffer, position: number): number {
    let at = position;
    if (this.#carriedBytes < frameHeaderBytes) {
      at += this.#take(chunk, at, frameHeaderBytes);
      if (this.#carriedBytes < frameHeaderBytes) return at;
      this.#carry = this.#frameBuffer(this.#carry!);
    }
    const carry = this.#carry!;
    at += this.#take(chunk, at, carry.length);
    if (this.#carriedBytes < carry.length) return at;
    this.#carry = undefined;
    this.#carriedBytes = 0;
    if (!this.#sink.isClosing) {
      this.#sink.frame(carry[3]!, carry[4]!, uint31(carry, 5), carry, frameHeaderBytes, carry.length);
    }
    return at;
  }

  /** Copies as much of the chunk as the carried frame still lacks. */
  #take(chunk: Buffer, from: number, wantedBytes: number): number {
    const count = Math.min(wantedBytes - this.#carriedBytes, chunk.length - from);
    chunk.copy(this.#carry!, this.#carriedBytes, from, from + count);
    this.#carriedBytes += count;
    return count;
  }

  #carryRest(chunk: Buffer, at: number): void {
    const restBytes = chunk.length - at;
    this.#carry =
      restBytes < frameHeaderBytes
        ? Buffer.allocUnsafe(frameHeaderBytes)
        : this.#frameBuffer(chunk.subarray(at, at + frameHeaderBytes));
    this.#carriedBytes = 0;
    this.#take(chunk, at, this.#carry.length);
  }

  #frameBuffer(header: Buffer): Buffer {
    const length = (header[0]! << 16) | (header[1]! << 8) | header[2]!;
    if (length > this.#frameBytesMax) throw this.#tooLarge(length);
    const frame = Buffer.allocUnsafe(frameHeaderBytes + length);
    header.copy(frame, 0, 0, frameHeaderBytes);
    return frame;
  }

  #tooLarge(length: number): Http2ConnectionError {
    return new Http2ConnectionError(
      ErrorCode.frameSizeError,
      `frame of ${length} bytes, at most ${this.#frameBytesMax} are allowed`,
    );
  }
}
