import { type Clock, outsideContext, type Timer } from "../../platform/index.ts";
import { calmDown } from "./errors.ts";
import { type Http2Limits, limitToken } from "./limits.ts";

/** Puts a header block together that CONTINUATION frames cut, within limits of bytes, frames and time. */
export class HeaderBlock {
  /** The stream whose block is incomplete, 0: none. */
  streamId = 0;
  /** END_STREAM of the HEADERS frame that began the last block. */
  endStream = false;
  readonly #limits: Http2Limits;
  readonly #clock: Clock;
  readonly #tooSlow: () => void;
  #bytes: Buffer | undefined;
  #length = 0;
  #frames = 0;
  #timer: Timer | undefined;

  /** @param tooSlow the block was not complete in time */
  constructor(limits: Http2Limits, clock: Clock, tooSlow: () => void) {
    this.#limits = limits;
    this.#clock = clock;
    this.#tooSlow = tooSlow;
  }

  begin(streamId: number, endStream: boolean, chunk: Buffer, start: number, end: number): void {
    this.streamId = streamId;
    this.endStream = endStream;
    this.#frames = -1;
    this.#length = 0;
    this.#bytes = Buffer.allocUnsafe(Math.max(1024, (end - start) * 2));
    outsideContext(() => {
      this.#timer = this.#clock.after(this.#limits.headerBlockMs, this.#tooSlow);
    });
    this.append(chunk, start, end);
  }

  /** @throws Http2ConnectionError when the block has too many frames or bytes */
  append(chunk: Buffer, start: number, end: number): void {
    this.#frames++;
    if (this.#frames > this.#limits.continuationFramesMax) throw calmDown(limitToken.continuation);
    const total = this.#length + end - start;
    if (total > this.#limits.headerListBytesMax * this.#limits.headerListExcess) throw calmDown(limitToken.headerList);
    let bytes = this.#bytes!;
    if (total > bytes.length) {
      bytes = Buffer.allocUnsafe(Math.max(total, bytes.length * 2));
      this.#bytes!.copy(bytes, 0, 0, this.#length);
      this.#bytes = bytes;
    }
    chunk.copy(bytes, this.#length, start, end);
    this.#length = total;
  }

  /** The complete block; the next one may begin. */
  take(): Buffer {
    const block = this.#bytes!.subarray(0, this.#length);
    this.streamId = 0;
    this.#bytes = undefined;
    this.stop();
    return block;
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
