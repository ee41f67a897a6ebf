import type { DescFile, DescMessage } from "@bufbuild/protobuf";
import { compileEvent, type EventContract, isEvent } from "../../contract/index.ts";

/**
 * The types of events that this process knows, by topic: those of the files that handlers, publishes and
 * `BrokerOptions.contracts` come from, and of the files that they import. A known type without a handler is passed over; only
 * one that is in no loaded contract is unknown.
 */
export class EventCatalog {
  readonly #topics = new Map<string, TopicTypes>();
  readonly #files = new Set<DescFile>();

  /** @throws ContractError for an event of the file that cannot be used */
  learn(file: DescFile): void {
    if (this.#files.has(file)) return;
    this.#files.add(file);
    for (const imported of file.dependencies) this.learn(imported);
    for (const message of file.messages) this.#learnMessage(message);
  }

  /** What is known of a topic; grows when more contracts are learnt. */
  topic(name: string): TopicTypes {
    let topic = this.#topics.get(name);
    if (topic === undefined) {
      topic = new TopicTypes();
      this.#topics.set(name, topic);
    }
    return topic;
  }

  /** Every event that is known. */
  *events(): Generator<EventContract, void, undefined> {
    for (const topic of this.#topics.values()) yield* topic.events();
  }

  #learnMessage(message: DescMessage): void {
    if (isEvent(message)) {
      const event = compileEvent(message);
      this.topic(event.topic).add(event);
    }
    for (const nested of message.nestedMessages) this.#learnMessage(nested);
  }
}

/** The types of one topic. */
export class TopicTypes {
  readonly #byType = new Map<string, EventContract>();
  readonly #byTypeName = new Map<string, EventContract>();
  readonly #byLooseName = new Map<string, EventContract>();

  add(event: EventContract): void {
    this.#byType.set(event.type, event);
    this.#byTypeName.set(event.typeName, event);
    this.#byLooseName.set(looseName(event.type), event);
  }

  events(): Iterable<EventContract> {
    return this.#byType.values();
  }

  byType(type: string): EventContract | undefined {
    return this.#byType.get(type);
  }

  /** By the full name of the message. */
  byTypeName(name: string): EventContract | undefined {
    return this.#byTypeName.get(name);
  }

  /** By the text of a field: `ORDER_CREATED` is `order.created`. */
  byFieldText(text: string): EventContract | undefined {
    return this.#byType.get(text) ?? this.#byLooseName.get(looseName(text));
  }
}

function looseName(text: string): string {
  return text.toLowerCase().replaceAll(/[-_]/g, ".");
}
