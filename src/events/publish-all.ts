import type { Published } from "./broker.ts";
import { PublishError } from "./errors.ts";
import { publishAllErrorsMax, publishAllWindow } from "./limits.ts";
import type { PendingRecord, Publisher, PublishListener } from "./publisher.ts";
import type { EventRecord } from "./record.ts";
import type { TopicGate } from "./topic-gate.ts";

/**
 * Publishes a sequence: many records on the way at once, and no further one taken from the sequence while the publisher has
 * no room. One promise for all of them.
 */
export class PublishAll implements PublishListener {
  readonly #publisher: Publisher;
  readonly #topics: TopicGate;
  readonly #published: Published[] = [];
  readonly #index = new Map<PendingRecord, number>();
  readonly #errors: { readonly index: number; readonly error: Error }[] = [];
  #refused = 0;
  #wake: (() => void) | undefined;
  #wakeBelow = 0;

  constructor(publisher: Publisher, topics: TopicGate) {
    this.#publisher = publisher;
    this.#topics = topics;
  }

  /** @throws AggregateError with a PublishError for each refused one; what `write` and the sequence throw; the signal's reason */
  async run<T>(
    events: Iterable<T> | AsyncIterable<T>,
    write: (event: T) => EventRecord,
    signal: AbortSignal | undefined,
  ): Promise<readonly Published[]> {
    const giveUp = () => {
      for (const pending of this.#index.keys()) this.#publisher.giveUp(pending);
      this.#index.clear();
      this.#wake?.();
    };
    signal?.addEventListener("abort", giveUp, { once: true });
    try {
      let count = 0;
      if (Symbol.asyncIterator in events) {
        for await (const event of events) await this.#add(write(event), count++, signal);
      } else {
        for (const event of events) {
          const full = this.#add(write(event), count++, signal);
          if (full !== undefined) await full;
        }
      }
      while (this.#index.size > 0) await this.#fewerThan(1);
      signal?.throwIfAborted();
    } finally {
      signal?.removeEventListener("abort", giveUp);
    }
    if (this.#refused > 0) throw this.#failure();
    return this.#published;
  }

  published(pending: PendingRecord): void {
    this.#published[this.#index.get(pending) ?? 0] = { id: pending.record.id };
    this.#answered(pending);
  }

  failed(pending: PendingRecord, error: Error): void {
    this.#refused++;
    if (this.#errors.length < publishAllErrorsMax) this.#errors.push({ index: this.#index.get(pending) ?? 0, error });
    this.#answered(pending);
  }

  #answered(pending: PendingRecord): void {
    this.#index.delete(pending);
    if (this.#index.size < this.#wakeBelow) this.#wake?.();
  }

  #add(record: EventRecord, index: number, signal: AbortSignal | undefined): Promise<void> | undefined {
    signal?.throwIfAborted();
    this.#index.set(this.#topics.add(record, this), index);
    if (this.#publisher.hasRoom && this.#index.size < publishAllWindow) return undefined;
    return this.#hasRoom();
  }

  async #hasRoom(): Promise<void> {
    if (this.#index.size >= publishAllWindow) await this.#fewerThan(publishAllWindow / 2);
    await this.#publisher.room();
  }

  #fewerThan(count: number): Promise<void> {
    if (this.#index.size < count) return Promise.resolve();
    this.#wakeBelow = count;
    return new Promise(resolve => {
      this.#wake = () => {
        this.#wake = undefined;
        this.#wakeBelow = 0;
        resolve();
      };
    });
  }

  #failure(): AggregateError {
    const listed = this.#errors
      .toSorted((a, b) => a.index - b.index)
      .map(({ index, error }) => {
        const isRetryable = error instanceof PublishError && error.isRetryable;
        return new PublishError(`event ${index}: ${error.message}`, isRetryable, { cause: error });
      });
    const indices = listed.length < this.#refused ? `${listed.length} of them are listed` : "all are listed";
    return new AggregateError(listed, `publishAll: ${this.#refused} events are not durable; ${indices}`);
  }
}
