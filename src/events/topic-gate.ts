import type { BrokerDriver } from "./driver.ts";
import { PublishError } from "./errors.ts";
import { PendingRecord, type Publisher, type PublishListener } from "./publisher.ts";
import type { EventRecord } from "./record.ts";

/**
 * Lets records through to the publisher once their topic is known to be there. The first record of a topic asks; those that
 * come meanwhile wait behind it, in their order.
 */
export class TopicGate {
  readonly #driver: BrokerDriver;
  readonly #publisher: Publisher;
  /** Topics that are there, and what waits for others. */
  readonly #topics = new Map<string, "ready" | PendingRecord[]>();

  constructor(driver: BrokerDriver, publisher: Publisher) {
    this.#driver = driver;
    this.#publisher = publisher;
  }

  add(record: EventRecord, listener: PublishListener, index = 0): PendingRecord {
    const topic = this.#topics.get(record.topic);
    if (topic === "ready") return this.#publisher.add(record, listener, index);
    const pending = new PendingRecord(record, listener, index);
    if (topic === undefined) this.#prepare(record.topic, [pending]);
    else topic.push(pending);
    return pending;
  }

  #prepare(topic: string, waiting: PendingRecord[]): void {
    this.#topics.set(topic, waiting);
    this.#driver.prepare([topic]).then(
      () => {
        this.#topics.set(topic, "ready");
        for (const pending of waiting) this.#publisher.take(pending);
      },
      (cause: Error) => {
        // The next publish asks again: the topic may be made, the broker be reached by then.
        this.#topics.delete(topic);
        const error = new PublishError(`${topic} cannot be published to: ${cause.message}`, true, { cause });
        for (const pending of waiting) if (!pending.isGivenUp) pending.listener.failed(pending, error);
      },
    );
  }
}
