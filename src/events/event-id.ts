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
  /** The text of an id. Its time stays the same for a millisecond. */
  readonly #text = Buffer.from("00000000-0000-7000-8000-000000000000", "latin1");
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

  /** Hot path: digits are put into bytes, because a text made of pieces keeps all of them in memory. */
  #format(ms: number, counter: number): string {
    if (this.#used + 8 > this.#random.length) {
      // One call for many ids: asking the system for each costs more than all the rest.
      this.#random = this.#platform.random.bytes(8 * 512);
      this.#used = 0;
    }
    const text = this.#text;
    if (ms !== this.#timeMs) {
      const time = ms.toString(16).padStart(12, "0");
      this.#timeMs = ms;
      text.write(time.slice(0, 8), 0, "latin1");
      text.write(time.slice(8), 9, "latin1");
    }
    text[15] = digit(counter >> 8);
    putHex(text, 16, counter & 0xff);
    const bytes = this.#random;
    const at = this.#used;
    this.#used += 8;
    putHex(text, 19, 0x80 | ((bytes[at] as number) & 0x3f));
    putHex(text, 21, bytes[at + 1] as number);
    for (let index = 0; index < 6; index++) putHex(text, 24 + index * 2, bytes[at + 2 + index] as number);
    return text.toString("latin1");
  }
}

function putHex(text: Uint8Array, at: number, byte: number): void {
  text[at] = digit(byte >> 4);
  text[at + 1] = digit(byte & 0xf);
}

function digit(value: number): number {
  return value < 10 ? 0x30 + value : 0x57 + value;
}
