import type { Clock } from "../platform/index.ts";
import type { Published } from "./broker.ts";
import { PublishError } from "./errors.ts";
import { publishAllErrorsMax, publishAllTurnMs, publishAllTurnRecords, publishAllWindow } from "./limits.ts";
import type { PendingRecord, Publisher, PublishListener } from "./publisher.ts";
import type { EventRecord } from "./record.ts";
import type { TopicGate } from "./topic-gate.ts";

/**
 * Publishes a sequence: many records on the way at once, and no further one taken from the sequence while the publisher has
 * no room. One promise for all of them. The event loop has its turn again and again, also where a broker answers at once.
 */
export class PublishAll implements PublishListener {
  readonly #publisher: Publisher;
  readonly #topics: TopicGate;
  readonly #clock: Clock;
  readonly #published: Published[] = [];
  readonly #errors: { readonly index: number; readonly error: Error }[] = [];
  /** What has no answer; only kept where a signal can give it up. */
  readonly #open: Set<PendingRecord> | undefined;
  #onTheWay = 0;
  #refused = 0;
  #isGivenUp = false;
  #wake: (() => void) | undefined;
  #wakeBelow = 0;

  /** Records of this turn of the event loop, and when it began. */
  #turnRecords = 0;
  #turnMs: number;

  constructor(publisher: Publisher, topics: TopicGate, clock: Clock, canBeGivenUp: boolean) {
    this.#publisher = publisher;
    this.#topics = topics;
    this.#clock = clock;
    this.#turnMs = clock.now();
    this.#open = canBeGivenUp ? new Set() : undefined;
  }

  /** @throws AggregateError with a PublishError for each refused one; what `write` and the sequence throw; the signal's reason */
  async run<T>(
    events: Iterable<T> | AsyncIterable<T>,
    write: (event: T) => EventRecord,
    signal: AbortSignal | undefined,
  ): Promise<readonly Published[]> {
    const giveUp = () => this.#giveUp();
    signal?.addEventListener("abort", giveUp, { once: true });
    try {
      let count = 0;
      if (Symbol.asyncIterator in events) {
        for await (const event of events) {
          signal?.throwIfAborted();
          await this.#add(write(event), count++);
          if (this.#turnIsOver()) await this.#nextTurn();
        }
      } else {
        for (const event of events) {
          signal?.throwIfAborted();
          const room = this.#add(write(event), count++);
          if (room !== undefined) await room;
          if (this.#turnIsOver()) await this.#nextTurn();
        }
      }
      await this.#fewerThan(1);
      signal?.throwIfAborted();
    } finally {
      signal?.removeEventListener("abort", giveUp);
    }
    if (this.#refused > 0) throw this.#failure();
    return this.#published;
  }

  published({ record, index }: PendingRecord): void {
    this.#published[index] = { id: record.id };
    this.#answered();
  }

  failed(pending: PendingRecord, error: Error): void {
    this.#refused++;
    this.#open?.delete(pending);
    if (this.#errors.length < publishAllErrorsMax) this.#errors.push({ index: pending.index, error });
    this.#answered();
  }

  #answered(): void {
    if (--this.#onTheWay < this.#wakeBelow) this.#wake?.();
  }

  #giveUp(): void {
    this.#isGivenUp = true;
    for (const pending of this.#open ?? []) this.#publisher.giveUp(pending);
    this.#wake?.();
  }

  #turnIsOver(): boolean {
    const count = ++this.#turnRecords;
    if (count >= publishAllTurnRecords) return true;
    // Large events are few in a turn, and so are looks at the clock.
    return count % 8 === 0 && this.#clock.now() - this.#turnMs >= publishAllTurnMs;
  }

  async #nextTurn(): Promise<void> {
    await new Promise<void>(resolve => this.#clock.endOfTurn(resolve));
    this.#turnRecords = 0;
    this.#turnMs = this.#clock.now();
  }

  /** @returns when the next may be added; `undefined`: at once */
  #add(record: EventRecord, index: number): Promise<void> | undefined {
    this.#onTheWay++;
    const pending = this.#topics.add(record, this, index);
    this.#open?.add(pending);
    if (this.#publisher.hasRoom && this.#onTheWay < publishAllWindow) return undefined;
    return this.#room();
  }

  async #room(): Promise<void> {
    if (this.#onTheWay >= publishAllWindow) await this.#fewerThan(publishAllWindow / 2);
    if (this.#isGivenUp) return;
    await new Promise<void>(resolve => {
      this.#wake = resolve;
      void this.#publisher.room().then(resolve);
    });
    this.#wake = undefined;
  }

  #fewerThan(count: number): Promise<void> {
    if (this.#onTheWay < count || this.#isGivenUp) return Promise.resolve();
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
    const which = listed.length < this.#refused ? `${listed.length} of them are listed` : "all are listed";
    return new AggregateError(listed, `publishAll: ${this.#refused} events are not durable; ${which}`);
  }
}
