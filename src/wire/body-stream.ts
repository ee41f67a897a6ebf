/** Who gives a {@link BodyStream} its bytes. */
export interface BodySource {
  /** So many bytes were taken: the peer's window may open. */
  consumed(bytes: number): void;
  /** The stream was read to its end, or its reader has let go of it, and so many bytes that waited are dropped. */
  over(isComplete: boolean, bytesDropped: number): void;
}

/**
 * The body of a message as a web stream, pulled as fast as it is read: what waits here is bounded by the peer's window, which
 * opens as chunks are taken.
 */
export class BodyStream {
  readonly stream: ReadableStream<Uint8Array>;
  readonly #source: BodySource;
  readonly #chunks: Uint8Array[] = [];
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #wantsMore = false;
  #isComplete = false;
  #isOver = false;

  constructor(source: BodySource) {
    this.#source = source;
    this.stream = new ReadableStream<Uint8Array>(
      {
        start: controller => {
          this.#controller = controller;
        },
        pull: () => {
          this.#wantsMore = true;
          this.#push();
        },
        cancel: () => this.#end(false),
      },
      { highWaterMark: 0 },
    );
  }

  /** Nothing more comes of the stream; what comes for it must be consumed by who gets it. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** All has come, and has been taken or waits to be. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** A piece of the body came. The bytes are copied: the chunk is the connection's. */
  data(chunk: Uint8Array, start: number, end: number): void {
    this.#chunks.push(Uint8Array.prototype.slice.call(chunk, start, end));
    this.#push();
  }

  /** The last piece has come. */
  complete(): void {
    this.#isComplete = true;
    this.#push();
  }

  /** Ends the stream with an error, now; what waits is dropped. Answers how many bytes that was. */
  fail(error: unknown): number {
    if (this.#isOver) return 0;
    this.#controller?.error(error);
    return this.discard();
  }

  /** Nobody reads it any more: what waits is dropped. Answers how many bytes that was. */
  discard(): number {
    this.#isOver = true;
    return this.#chunks.splice(0).reduce((sum, chunk) => sum + chunk.length, 0);
  }

  #push(): void {
    if (this.#isOver) return;
    if (this.#wantsMore) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        this.#wantsMore = false;
        this.#source.consumed(chunk.length);
        this.#controller?.enqueue(chunk);
      }
    }
    if (this.#isComplete && this.#chunks.length === 0) {
      this.#controller?.close();
      this.#end(true);
    }
  }

  #end(isComplete: boolean): void {
    if (!this.#isOver) this.#source.over(isComplete, this.discard());
  }
}
