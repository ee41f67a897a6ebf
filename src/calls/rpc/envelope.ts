import { RpcError } from "../../errors/index.ts";

export interface EnvelopeSink {
  /**
   * A message came: `start` and `end` bound the payload in `bytes`, which is valid only during the call, unless `isOwned`
   * says that the memory belongs to this message alone.
   */
  envelope(flags: number, bytes: Buffer, start: number, end: number, isOwned: boolean): void;
}

/** Bytes before a payload: one of flags, four of length, big-endian (gRPC over HTTP/2, Connect streaming). */
export const envelopeBytes = 5;

/** Memory reserved for a cut message, as a multiple of what has come of it: an announcement alone reserves next to nothing. */
const reserveTimes = 4;
const reserveBytesMin = 1024;

/**
 * Cuts a body into length-prefixed messages. A message that lies whole in one chunk, the usual case, is handed on in
 * place; only one that is cut is gathered, in a buffer that grows with what has really come, so that a length prefix
 * alone reserves nothing.
 */
export class EnvelopeReader {
  /** Largest payload in bytes. */
  readonly limit: number;
  #partial: Buffer | undefined;
  #filled = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Whether the body so far ends between two messages. */
  get isAtBoundary(): boolean {
    return this.#filled === 0;
  }

  /** @throws RpcError resource_exhausted for a payload over the limit. */
  read(chunk: Buffer, start: number, end: number, sink: EnvelopeSink): void {
    let position = start;
    if (this.#filled > 0) position = this.#continue(chunk, position, end, sink);
    while (end - position >= envelopeBytes) {
      const length = chunk.readUInt32BE(position + 1);
      this.#check(length);
      const payload = position + envelopeBytes;
      if (end - payload < length) break;
      position = payload + length;
      sink.envelope(chunk[payload - envelopeBytes] as number, chunk, payload, position, false);
    }
    if (position < end) this.#keep(chunk, position, end);
  }

  #continue(chunk: Buffer, start: number, end: number, sink: EnvelopeSink): number {
    let position = start;
    if (this.#filled < envelopeBytes) {
      const prefix = Math.min(envelopeBytes - this.#filled, end - position);
      this.#keep(chunk, position, position + prefix);
      position += prefix;
      if (this.#filled < envelopeBytes) return position;
    }
    const partial = this.#partial as Buffer; // set while #filled > 0
    const length = partial.readUInt32BE(1);
    this.#check(length);
    const missing = Math.min(envelopeBytes + length - this.#filled, end - position);
    this.#keep(chunk, position, position + missing);
    position += missing;
    if (this.#filled === envelopeBytes + length) {
      const whole = this.#partial as Buffer;
      this.#partial = undefined;
      this.#filled = 0;
      sink.envelope(whole[0] as number, whole, envelopeBytes, envelopeBytes + length, true);
    }
    return position;
  }

  #keep(chunk: Buffer, start: number, end: number): void {
    const needed = this.#filled + end - start;
    if (this.#partial === undefined || this.#partial.length < needed) {
      const total = this.#totalBytes(chunk, start, end);
      const grown = Buffer.allocUnsafeSlow(Math.min(total, Math.max(reserveTimes * needed, reserveBytesMin)));
      this.#partial?.copy(grown, 0, 0, this.#filled);
      this.#partial = grown;
    }
    chunk.copy(this.#partial, this.#filled, start, end);
    this.#filled = needed;
  }

  /** What the message will take in all; just room for its prefix while that is incomplete. */
  #totalBytes(chunk: Buffer, start: number, end: number): number {
    if (this.#filled >= envelopeBytes) return envelopeBytes + (this.#partial as Buffer).readUInt32BE(1);
    if (this.#filled === 0 && end - start >= envelopeBytes) return envelopeBytes + chunk.readUInt32BE(start + 1);
    return envelopeBytes;
  }

  #check(length: number): void {
    if (length > this.limit) {
      throw new RpcError("resource_exhausted", `message of ${length} bytes exceeds the limit of ${this.limit} bytes`);
    }
  }
}
