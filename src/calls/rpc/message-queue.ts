/**
 * A message that is unpacked when it is taken: compressed ones wait as they came, so that what waits is bounded by the
 * window and not by what a peer can make of it.
 */
export class PackedMessage {
  readonly unpack: () => unknown;

  /** @param unpack called once at most; what it throws, the reader gets */
  constructor(unpack: () => unknown) {
    this.unpack = unpack;
  }
}

/**
 * The messages of an inbound stream, pulled by one consumer. Whoever fills it is told when a message has been taken, so
 * that the peer's window opens only as fast as the application reads.
 */
export class MessageQueue implements AsyncIterableIterator<unknown> {
  readonly #taken: (bytes: number) => void;
  readonly #stopped: () => void;
  readonly #finished: () => void;
  readonly #items: { readonly message: unknown; readonly bytes: number }[] = [];
  #waiting:
    | {
        resolve(result: IteratorResult<unknown> | Promise<IteratorResult<unknown>>): void;
        reject(error: unknown): void;
      }
    | undefined;
  /** No more messages come. */
  #isEnded = false;
  /** The consumer has heard of the end, or has stopped. */
  #isFinished = false;
  #error: unknown;

  /**
   * @param taken told the size of each message that was read, or will not be
   * @param stopped the consumer reads no further, and there may be more to come
   * @param finished the consumer is done with the stream, in whatever way
   */
  constructor(taken: (bytes: number) => void, stopped: () => void, finished: () => void = () => {}) {
    this.#taken = taken;
    this.#stopped = stopped;
    this.#finished = finished;
  }

  push(message: unknown, bytes: number): void {
    if (this.#isEnded) {
      this.#taken(bytes);
      return;
    }
    const waiting = this.#waiting;
    if (waiting === undefined) {
      this.#items.push({ message, bytes });
      return;
    }
    this.#waiting = undefined;
    this.#taken(bytes);
    waiting.resolve(message instanceof PackedMessage ? this.#unpacked(message) : { done: false, value: message });
  }

  /** No more messages; with an error, the reader gets it after what is queued. The first end counts. */
  end(error?: unknown): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#error = error;
    this.#tellWaiting();
  }

  /** No more messages, those that are queued included: the reader gets `error` next, unless it knows of an end already. */
  abort(error: unknown): void {
    if (this.#isFinished) return;
    this.#drop();
    this.#isEnded = true;
    this.#error = error;
    this.#tellWaiting();
  }

  next(): Promise<IteratorResult<unknown>> {
    const item = this.#items.shift();
    if (item !== undefined) {
      this.#taken(item.bytes);
      const { message } = item;
      return message instanceof PackedMessage
        ? this.#unpacked(message)
        : Promise.resolve({ done: false, value: message });
    }
    if (this.#isEnded) {
      const error = this.#finish();
      return error === undefined ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(error);
    }
    if (this.#waiting !== undefined) return Promise.reject(new Error("a stream of messages has one reader at a time"));
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  return(): Promise<IteratorResult<unknown>> {
    this.#drop();
    const wasEnded = this.#isEnded;
    this.end();
    this.#finish();
    if (!wasEnded) this.#stopped();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async #unpacked(message: PackedMessage): Promise<IteratorResult<unknown>> {
    try {
      return { done: false, value: message.unpack() };
    } catch (error) {
      this.return();
      throw error;
    }
  }

  #tellWaiting(): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    this.#waiting = undefined;
    const error = this.#finish();
    if (error === undefined) waiting.resolve({ done: true, value: undefined });
    else waiting.reject(error);
  }

  /** @returns the error, which the consumer is told once */
  #finish(): unknown {
    const error = this.#error;
    this.#error = undefined;
    if (!this.#isFinished) {
      this.#isFinished = true;
      this.#finished();
    }
    return error;
  }

  #drop(): void {
    for (const { bytes } of this.#items.splice(0)) this.#taken(bytes);
  }
}
