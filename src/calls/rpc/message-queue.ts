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
  readonly #items: { readonly message: unknown; readonly bytes: number }[] = [];
  #waiting:
    | {
        resolve(result: IteratorResult<unknown> | Promise<IteratorResult<unknown>>): void;
        reject(error: unknown): void;
      }
    | undefined;
  #isEnded = false;
  #error: unknown;

  /** @param taken told the size of each message that was read; @param stopped the consumer reads no further */
  constructor(taken: (bytes: number) => void, stopped: () => void) {
    this.#taken = taken;
    this.#stopped = stopped;
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
    waiting.resolve(message instanceof PackedMessage ? unpacked(message) : { done: false, value: message });
  }

  /** No more messages; with an error, the reader gets it after what is queued. */
  end(error?: unknown): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#error = error;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) return;
    if (error === undefined) waiting.resolve({ done: true, value: undefined });
    else waiting.reject(error);
  }

  /** The reader's own call was given up: it gets the error, and what it has not taken is forgotten. */
  abandon(error: unknown): void {
    if (this.#isEnded) return;
    for (const item of this.#items.splice(0)) this.#taken(item.bytes);
    this.end(error);
  }

  next(): Promise<IteratorResult<unknown>> {
    const item = this.#items.shift();
    if (item !== undefined) {
      this.#taken(item.bytes);
      const { message } = item;
      return message instanceof PackedMessage ? unpacked(message) : Promise.resolve({ done: false, value: message });
    }
    if (this.#isEnded) {
      const error = this.#error;
      this.#error = undefined;
      return error === undefined ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(error);
    }
    if (this.#waiting !== undefined) return Promise.reject(new Error("a stream of messages has one reader at a time"));
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  return(): Promise<IteratorResult<unknown>> {
    for (const item of this.#items.splice(0)) this.#taken(item.bytes);
    const wasEnded = this.#isEnded;
    this.end();
    if (!wasEnded) this.#stopped();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

async function unpacked(message: PackedMessage): Promise<IteratorResult<unknown>> {
  return { done: false, value: message.unpack() };
}
