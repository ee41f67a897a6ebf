import { CarriedBytes } from "./carried-bytes.ts";

/** Reads input piece by piece: a head, a part of a body. */
export interface InputReader {
  /** Takes one piece of `bytes` from `at` on. @returns where it ends, or `stopped`: none can be taken now */
  take(bytes: Buffer, at: number, end: number): number;
}

/** An incomplete head, or a request whose time has not come. */
export const stopped = -1;

/**
 * The bytes of a connection on their way to a reader that may stop between any two of them. What is behind waits here: a
 * part of a head, or pipelined requests.
 */
export class PipelinedInput {
  readonly #reader: InputReader;
  #carry: CarriedBytes | undefined;
  /** What is being read, and how far. */
  #bytes: Buffer | undefined;
  #at = 0;

  constructor(reader: InputReader) {
    this.#reader = reader;
  }

  get isReading(): boolean {
    return this.#bytes !== undefined;
  }

  get waitingBytes(): number {
    return this.#carry === undefined ? 0 : this.#carry.length;
  }

  /**
   * Reads `chunk`, behind what waits.
   *
   * @param isRestOfHead what waits is an incomplete head, which is not looked at again for every few bytes
   * @returns whether anything was looked at
   */
  read(chunk: Buffer, isRestOfHead: boolean): boolean {
    const carry = this.#carry;
    if (carry === undefined) {
      const at = this.#run(chunk);
      if (at < chunk.length) this.hold(chunk.subarray(at));
      return true;
    }
    carry.append(chunk);
    return (!isRestOfHead || carry.isWorthReading(chunk)) && this.resume();
  }

  /** Reads what waits; `false`: nothing does. */
  resume(): boolean {
    const carry = this.#carry;
    if (carry === undefined) return false;
    this.#carry = undefined;
    const { length } = carry;
    const at = this.#run(carry.bytes);
    if (at < length) {
      carry.stoppedAt(at);
      this.#carry = carry;
    }
    return true;
  }

  /** Keeps `chunk` behind what waits, unread. */
  hold(chunk: Buffer): void {
    if (this.#carry === undefined) this.#carry = new CarriedBytes(chunk);
    else this.#carry.append(chunk);
  }

  /** For the reader: it is past `at`, and what it does now may ask for the rest. */
  passed(at: number): void {
    this.#at = at;
  }

  /** A copy of everything that was not read. */
  rest(): Buffer {
    return Buffer.from(this.#bytes?.subarray(this.#at) ?? this.#carry?.bytes ?? []);
  }

  /** Throws away what waits. */
  clear(): void {
    this.#carry = undefined;
  }

  /** @returns where the reader stopped */
  #run(bytes: Buffer): number {
    const end = bytes.length;
    let at = 0;
    this.#bytes = bytes;
    while (at < end) {
      const next = this.#reader.take(bytes, at, end);
      if (next === stopped) break;
      at = next;
    }
    this.#bytes = undefined;
    return at;
  }
}
