import type { BrokerDriver } from "./driver.ts";
import { PublishError } from "./errors.ts";
import { PendingRecord, type Publisher, type PublishListener } from "./publisher.ts";
import type { EventRecord } from "./record.ts";

/** A topic that has been asked for. */
interface AskedTopic {
  failure: PublishError | undefined;
  readonly waiting: PendingRecord[];
  /** Resolves when the answer is there, whichever it is. */
  answered: Promise<void>;
}

/**
 * Lets records through to the publisher once their topic is known to be there. The first record of a topic asks; those that
 * come meanwhile wait behind it, in their order.
 */
export class TopicGate {
  readonly #driver: BrokerDriver;
  readonly #publisher: Publisher;
  readonly #topics = new Map<string, "ready" | AskedTopic>();

  constructor(driver: BrokerDriver, publisher: Publisher) {
    this.#driver = driver;
    this.#publisher = publisher;
  }

  add(record: EventRecord, listener: PublishListener, index = 0): PendingRecord {
    const topic = this.#topics.get(record.topic);
    if (topic === "ready") return this.#publisher.add(record, listener, index);
    const pending = new PendingRecord(record, listener, index);
    (topic ?? this.#ask(record.topic)).waiting.push(pending);
    return pending;
  }

  /** Resolves when it is known whether the topic is there: for those who have more to publish than should wait here. */
  answered(topic: string): Promise<void> | undefined {
    const asked = this.#topics.get(topic) ?? this.#ask(topic);
    return asked === "ready" ? undefined : asked.answered;
  }

  /** Resolves when the topic is there. @throws PublishError when it is not */
  async ensure(topic: string): Promise<void> {
    const asked = this.#topics.get(topic) ?? this.#ask(topic);
    if (asked === "ready") return;
    await asked.answered;
    if (asked.failure !== undefined) throw asked.failure;
  }

  /** Resolves when no record waits here any more. */
  async empty(): Promise<void> {
    await Promise.all([...this.#topics.values()].map(topic => (topic === "ready" ? undefined : topic.answered)));
  }

  #ask(topic: string): AskedTopic {
    const waiting: PendingRecord[] = [];
    const asked: AskedTopic = { waiting, answered: Promise.resolve(), failure: undefined };
    asked.answered = this.#driver.prepare([topic]).then(
      () => {
        this.#topics.set(topic, "ready");
        for (const pending of waiting) this.#publisher.take(pending);
      },
      (cause: Error) => {
        // The next publish asks again: the topic may be made, the broker be reached by then.
        this.#topics.delete(topic);
        asked.failure = new PublishError(`${topic} cannot be published to: ${cause.message}`, true, { cause });
        for (const pending of waiting) if (!pending.isGivenUp) pending.listener.failed(pending, asked.failure);
      },
    );
    this.#topics.set(topic, asked);
    return asked;
  }
}
