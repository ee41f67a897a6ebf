import {
  type BodyReceiver,
  type BodySource,
  BodyStream,
  type ExchangeError,
  type ServerExchange,
} from "../../wire/index.ts";

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
export class RequestBody implements BodyReceiver, BodySource {
  /** More came than the limit allows: the stream failed. */
  isTooLarge = false;
  readonly #exchange: ServerExchange;
  readonly #bytesMax: number;
  readonly #abort = new AbortController();
  readonly #body = new BodyStream(this);
  #bytes = 0;
  #writable: (() => void) | undefined;

  constructor(exchange: ServerExchange, bytesMax: number) {
    this.#exchange = exchange;
    this.#bytesMax = bytesMax;
  }

  get stream(): ReadableStream<Uint8Array> {
    return this.#body.stream;
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
    if (!this.#body.isOver && this.#bytes > this.#bytesMax) this.#refuse();
    if (this.#body.isOver) this.consumed(end - start);
    else this.#body.data(chunk, start, end);
  }

  ended(): void {
    this.#body.complete();
  }

  aborted(error: ExchangeError): void {
    this.#abort.abort(error);
    // What has come completely can be read though the caller has left.
    if (!this.#body.isComplete) this.#body.fail(error);
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
    this.over(true, this.#body.discard());
    if (this.isAborted) this.#exchange.reset("no_error");
  }

  /** For the stream. */
  consumed(bytes: number): void {
    this.#exchange.consumed(bytes);
  }

  /** For the stream. */
  over(_isComplete: boolean, bytesDropped: number): void {
    if (bytesDropped > 0 && !this.isAborted) this.#exchange.consumed(bytesDropped);
  }

  #refuse(): void {
    this.isTooLarge = true;
    this.over(false, this.#body.fail(new BodyTooLargeError(this.#bytesMax)));
  }

  #wake(): void {
    const writable = this.#writable;
    this.#writable = undefined;
    writable?.();
  }
}
