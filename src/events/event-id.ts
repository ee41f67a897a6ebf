import type { Platform } from "../platform/index.ts";

/**
 * Makes UUIDs of version 7 (RFC 9562, section 5.7): 48 bits of milliseconds, a counter of 12 bits that keeps those of one
 * millisecond in order (section 6.2, method 1), and 62 random bits.
 */
export class EventIds {
  readonly #platform: Platform;
  #lastMs = -1;
  #counter = 0;
  #random: Uint8Array = new Uint8Array(0);
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
    if (this.#used + 8 > this.#random.length) {
      // One call for many ids: asking the system for each costs more than all the rest.
      this.#random = this.#platform.random.bytes(8 * 512);
      this.#used = 0;
    }
    if (ms !== this.#timeMs) {
      const time = ms.toString(16).padStart(12, "0");
      this.#timeMs = ms;
      this.#time = `${time.slice(0, 8)}-${time.slice(8)}-`;
    }
    const bytes = this.#random;
    const at = this.#used;
    this.#used += 8;
    const count = hex(0x70 | (counter >> 8)) + hex(counter & 0xff);
    const variant = hex(0x80 | ((bytes[at] as number) & 0x3f)) + hex(bytes[at + 1] as number);
    let node = "";
    for (let index = at + 2; index < at + 8; index++) node += hex(bytes[index] as number);
    return `${this.#time}${count}-${variant}-${node}`;
  }
}

const pairs = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

function hex(byte: number): string {
  return pairs[byte] as string;
}
