import type { BodyReceiver, ExchangeError, ServerExchange } from "../../wire/index.ts";

/** The body of a request is larger than the limit. */
export class BodyTooLargeError extends Error {
  override readonly name = "BodyTooLargeError";

  constructor(bytesMax: number) {
    super(`the body exceeds the limit of ${bytesMax} bytes (limits.fetchBodyBytesMax)`);
  }
}

/**
 * The body of a request as a stream, pulled as fast as the handler reads: what waits here is bounded by the peer's window.
 * Also the exchange's receiver, and so the one who hears that the caller has left.
 */
export class RequestBody implements BodyReceiver {
  readonly stream: ReadableStream<Uint8Array>;
  /** More came than the limit allows: the stream failed. */
  isTooLarge = false;
  readonly #exchange: ServerExchange;
  readonly #bytesMax: number;
  readonly #abort = new AbortController();
  readonly #chunks: Uint8Array[] = [];
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #bytes = 0;
  #wantsMore = false;
  #isEnded = false;
  #isDiscarded = false;
  #writable: (() => void) | undefined;

  constructor(exchange: ServerExchange, bytesMax: number) {
    this.#exchange = exchange;
    this.#bytesMax = bytesMax;
    this.stream = new ReadableStream<Uint8Array>(
      {
        start: controller => {
          this.#controller = controller;
        },
        pull: () => {
          this.#wantsMore = true;
          this.#push();
        },
        cancel: () => this.#discard(),
      },
      { highWaterMark: 0 },
    );
  }

  /** Aborted when the caller has left. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get isAborted(): boolean {
    return this.#abort.signal.aborted;
  }

  data(chunk: Buffer, start: number, end: number): void {
    this.#bytes += end - start;
    if (!this.#isDiscarded && this.#bytes > this.#bytesMax) this.#refuse();
    if (this.#isDiscarded) {
      this.#exchange.consumed(end - start);
      return;
    }
    this.#chunks.push(Uint8Array.prototype.slice.call(chunk, start, end));
    this.#push();
  }

  ended(): void {
    this.#isEnded = true;
    this.#push();
  }

  aborted(error: ExchangeError): void {
    this.#abort.abort(error);
    if (!this.#isDiscarded && !this.#isEnded) this.#controller?.error(error);
    this.#wake();
  }

  writable(): void {
    this.#wake();
  }

  /** Resolves when more may be sent, and when nobody listens any more. */
  untilWritable(): Promise<void> {
    if (this.isAborted) return Promise.resolve();
    return new Promise(resolve => {
      this.#writable = resolve;
    });
  }

  /** The handler is done: what it has not read passes unread, and a caller that left is let go of. */
  finish(): void {
    this.#discard();
    if (this.isAborted) this.#exchange.reset("no_error");
  }

  #refuse(): void {
    this.isTooLarge = true;
    this.#discard();
    this.#controller?.error(new BodyTooLargeError(this.#bytesMax));
  }

  #push(): void {
    if (!this.#wantsMore || this.#isDiscarded) return;
    const chunk = this.#chunks.shift();
    if (chunk !== undefined) {
      this.#wantsMore = false;
      this.#exchange.consumed(chunk.length);
      this.#controller?.enqueue(chunk);
    } else if (this.#isEnded) {
      this.#isDiscarded = true;
      this.#controller?.close();
    }
  }

  #discard(): void {
    if (this.#isDiscarded) return;
    this.#isDiscarded = true;
    const bytes = this.#chunks.splice(0).reduce((sum, chunk) => sum + chunk.length, 0);
    if (bytes > 0 && !this.isAborted) this.#exchange.consumed(bytes);
  }

  #wake(): void {
    const writable = this.#writable;
    this.#writable = undefined;
    writable?.();
  }
}
