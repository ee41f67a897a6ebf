import type { Platform } from "../platform/index.ts";

/**
 * Makes UUIDs of version 7 (RFC 9562, section 5.7): 48 bits of milliseconds, a counter of 12 bits that keeps those of one
 * millisecond in order (section 6.2, method 1), and 62 random bits.
 */
export class EventIds {
  readonly #platform: Platform;
  #lastMs = -1;
  #counter = 0;
  #random = new Uint16Array(0);
  #used = 0;
  /** The part of ids that stays the same for a millisecond. */
  #time = "";
  #timeMs = -1;

  constructor(platform: Platform) {
    this.#platform = platform;
  }

  next(): string {
    let ms = Math.floor(this.#platform.clock.wall());
    if (ms > this.#lastMs) {
      // The upper bit stays free, so that the counter has room.
      this.#counter = this.#platform.random.below(0x800);
    } else {
      // Also when the clock has gone back: ids never do.
      ms = this.#lastMs;
      if (++this.#counter > 0xfff) {
        ms++;
        this.#counter = 0;
      }
    }
    this.#lastMs = ms;
    return this.#format(ms, this.#counter);
  }

  #format(ms: number, counter: number): string {
    if (this.#used + 4 > this.#random.length) {
      // One call for many ids: asking the system for each costs more than all the rest.
      const bytes = this.#platform.random.bytes(8 * 512);
      this.#random = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
      this.#used = 0;
    }
    if (ms !== this.#timeMs) {
      const time = ms.toString(16).padStart(12, "0");
      this.#timeMs = ms;
      this.#time = `${time.slice(0, 8)}-${time.slice(8)}-`;
    }
    const random = this.#random;
    const at = this.#used;
    this.#used += 4;
    const tail = hex[0x8000 | ((random[at] as number) & 0x3fff)] as string;
    const node =
      (hex[random[at + 1] as number] as string) +
      (hex[random[at + 2] as number] as string) +
      (hex[random[at + 3] as number] as string);
    return `${this.#time}${hex[0x7000 | counter] as string}-${tail}-${node}`;
  }
}

/** Four digits for each number of 16 bits: eight look-ups less for each id than with bytes. */
const hex = Array.from({ length: 65_536 }, (_, number) => number.toString(16).padStart(4, "0"));
