import type { EventContract } from "../../contract/index.ts";
import type { RequestContract, SubscriptionDescription } from "../broker.ts";
import type { ReplyContract } from "../requests/index.ts";
import { uniqueName } from "./unique-name.ts";

/** What a group handles, as far as the document shows it. */
export type GroupEvents = Pick<SubscriptionDescription, "group" | "events" | "queue"> & {
  readonly requests?: readonly RequestContract[];
};

/** The events of a document, each of them once, in an order that does not depend on who named them first. */
export class DocumentedEvents {
  /** By topic, type and name of the message. */
  readonly all: readonly EventContract[];
  readonly published: readonly EventContract[];
  readonly subscriptions: readonly GroupEvents[];
  readonly topics: readonly string[];
  readonly #componentNames = new Map<EventContract, string>();
  readonly #messageKeys = new Map<EventContract, string>();
  readonly #received: ReadonlySet<EventContract>;
  readonly #asked: ReadonlyMap<string, ReplyContract>;

  /** @param asked requests that the service sends */
  constructor(
    publishes: readonly EventContract[],
    subscriptions: readonly GroupEvents[],
    asked: readonly RequestContract[],
  ) {
    // Generated code that is loaded twice has two contracts of one event.
    const found = new Map<string, EventContract>();
    const sent = [...publishes, ...asked.map(({ request }) => request)];
    for (const event of [...sent, ...subscriptions.flatMap(({ events }) => events)]) {
      if (!found.has(identity(event))) found.set(identity(event), event);
    }
    const sorted = [...found.keys()].sort();
    const inOrder = (events: readonly EventContract[]) => {
      const wanted = new Set(events.map(identity));
      return sorted.filter(name => wanted.has(name)).map(name => found.get(name) as EventContract);
    };
    this.all = sorted.map(name => found.get(name) as EventContract);
    this.published = inOrder(sent);
    this.#asked = new Map(asked.map(({ request, reply }) => [identity(request), reply]));
    this.subscriptions = subscriptions.map(one => ({ ...one, events: inOrder(one.events) }));
    this.#received = new Set(this.subscriptions.flatMap(({ events }) => events));
    this.topics = [...new Set(this.all.map(({ topic }) => topic))];
    const taken = new Set<string>();
    for (const event of this.all) {
      const name = uniqueName(event.typeName, one => taken.has(one));
      taken.add(name);
      this.#componentNames.set(event, name);
    }
    for (const topic of this.topics) {
      const keys = new Set<string>();
      for (const event of this.of(topic)) {
        const key = uniqueName(event.type, one => keys.has(one));
        keys.add(key);
        this.#messageKeys.set(event, key);
      }
    }
  }

  /** The events of a topic. */
  of(topic: string): readonly EventContract[] {
    return this.all.filter(event => event.topic === topic);
  }

  /** The name of an event's message among the components. */
  componentName(event: EventContract): string {
    return this.#componentNames.get(event) as string;
  }

  /** The name of an event's message within its channel. */
  messageKey(event: EventContract): string {
    return this.#messageKeys.get(event) as string;
  }

  /** What the service is replied to an event that it publishes; `undefined` for one that is no request. */
  replyToOwn(event: EventContract): ReplyContract | undefined {
    return this.#asked.get(identity(event));
  }

  /** What a group replies to an event; `undefined` when it does not. */
  replyOf({ requests = [] }: GroupEvents, event: EventContract): ReplyContract | undefined {
    return requests.find(({ request }) => identity(request) === identity(event))?.reply;
  }

  /** Every message that is a reply to one of the events. */
  get replies(): readonly ReplyContract[] {
    return [
      ...this.#asked.values(),
      ...this.subscriptions.flatMap(({ requests = [] }) => requests.map(({ reply }) => reply)),
    ];
  }

  /** Whether an event is a request, by somebody who asks or somebody who replies. */
  isRequest(event: EventContract): boolean {
    return (
      this.replyToOwn(event) !== undefined || this.subscriptions.some(one => this.replyOf(one, event) !== undefined)
    );
  }

  /** Whether the service publishes an event and does not handle it: then it knows how every one of them is written. */
  isOnlyPublished(event: EventContract): boolean {
    return !this.#received.has(event);
  }
}

/** Neither of the parts has a space in it. */
function identity({ topic, type, typeName }: EventContract): string {
  return `${topic} ${type} ${typeName}`;
}
