import type { ByteStreamHandler } from "./network.ts";

/**
 * Stands in for the handler of a stream that has no owner yet, and keeps what happens meanwhile. A stream can be busy
 * before the owner's `await` goes on: a TLS peer's first bytes come with the end of its handshake.
 */
export class EarlyInput implements ByteStreamHandler {
  readonly #kept: ((handler: ByteStreamHandler) => void)[] = [];

  get isEmpty(): boolean {
    return this.#kept.length === 0;
  }

  data(chunk: Buffer): void {
    const copy = Buffer.from(chunk);
    this.#kept.push(handler => handler.data(copy));
  }

  drained(): void {
    this.#kept.push(handler => handler.drained());
  }

  ended(): void {
    this.#kept.push(handler => handler.ended());
  }

  closed(error?: Error): void {
    this.#kept.push(handler => (error === undefined ? handler.closed() : handler.closed(error)));
  }

  /** Tells the owner, in order. Input that comes during that is told too. */
  replay(current: () => ByteStreamHandler): void {
    for (let told = 0; told < this.#kept.length; told++) this.#kept[told]?.(current());
    this.#kept.length = 0;
  }
}
