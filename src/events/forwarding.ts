import type { PublishFailure } from "./driver.ts";
import { PublishError } from "./errors.ts";
import type { PendingRecord, Publisher, PublishListener } from "./publisher.ts";
import type { EventRecord } from "./record.ts";
import type { TopicGate } from "./topic-gate.ts";

type Outcome = { readonly failure: PublishFailure | undefined };

/**
 * Publishes records that are made already, and tells of each what became of it. When one is not durable that may be so
 * later, the rest of its key is called back: whoever repeats it repeats those too, in their order.
 */
export class Forwarding implements PublishListener {
  readonly #publisher: Publisher;
  readonly #records: readonly EventRecord[];
  readonly #resolve: (failures: readonly (PublishFailure | undefined)[]) => void;
  readonly #indices: ReadonlyMap<EventRecord, number>;
  readonly #outcomes: (Outcome | undefined)[];
  readonly #pending: (PendingRecord | undefined)[];
  /** By key: what the records behind a failed one share. */
  readonly #failedKeys = new Map<string, Outcome>();
  #open: number;

  constructor(
    publisher: Publisher,
    records: readonly EventRecord[],
    resolve: (failures: readonly (PublishFailure | undefined)[]) => void,
  ) {
    this.#publisher = publisher;
    this.#records = records;
    this.#resolve = resolve;
    this.#indices = new Map(records.map((record, index) => [record, index]));
    this.#outcomes = new Array(records.length);
    this.#pending = new Array(records.length);
    this.#open = records.length;
  }

  static run(
    publisher: Publisher,
    topics: TopicGate,
    records: readonly EventRecord[],
  ): Promise<readonly (PublishFailure | undefined)[]> {
    if (records.length === 0) return Promise.resolve([]);
    return new Promise(resolve => new Forwarding(publisher, records, resolve).#addAll(topics));
  }

  #addAll(topics: TopicGate): void {
    for (const [index, record] of this.#records.entries()) {
      const failed = record.key === undefined ? undefined : this.#failedKeys.get(record.key);
      if (failed !== undefined) this.#settle(index, failed);
      else this.#pending[index] = topics.add(record, this);
    }
  }

  published({ record }: PendingRecord): void {
    this.#settle(this.#indices.get(record) as number, { failure: undefined });
  }

  failed({ record }: PendingRecord, error: Error): void {
    const isRetryable = error instanceof PublishError && error.isRetryable;
    const outcome: Outcome = { failure: { isRetryable, error } };
    const index = this.#indices.get(record) as number;
    this.#settle(index, outcome);
    if (isRetryable && record.key !== undefined) this.#callBack(record.key, index, outcome);
  }

  #callBack(key: string, from: number, outcome: Outcome): void {
    this.#failedKeys.set(key, outcome);
    for (let index = from + 1; index < this.#records.length; index++) {
      const pending = this.#pending[index];
      if (pending?.record.key !== key || this.#outcomes[index] !== undefined) continue;
      this.#publisher.giveUp(pending);
      this.#settle(index, outcome);
    }
  }

  #settle(index: number, outcome: Outcome): void {
    if (this.#outcomes[index] !== undefined) return;
    this.#outcomes[index] = outcome;
    if (--this.#open === 0) this.#resolve(this.#outcomes.map(one => one?.failure));
  }
}
