import type { EventContract } from "../../contract/index.ts";
import type { ReplyContract } from "../requests/index.ts";
import type { OperationObject, Reference } from "./asyncapi.ts";
import { receiveBindings, sendBindings } from "./bindings.ts";
import type { DocumentedEvents } from "./documented-events.ts";
import { referenceTo } from "./pointer.ts";
import type { DocumentedReplies } from "./replies.ts";
import type { Protocol } from "./servers.ts";
import { uniqueName } from "./unique-name.ts";

/**
 * What the service does: `send` for each event that it publishes, `receive` for each group and topic, because the events of a
 * topic come to a group together; requests stand alone, because each has a reply of its own.
 */
export function operationObjects(
  documented: DocumentedEvents,
  replies: DocumentedReplies,
  protocols: ReadonlySet<Protocol>,
): Readonly<Record<string, OperationObject>> {
  const messageOf = (event: EventContract): Reference =>
    referenceTo("channels", event.topic, "messages", documented.messageKey(event));
  const operations = new Map<string, OperationObject>();
  const add = (wanted: string, operation: OperationObject) => {
    operations.set(
      uniqueName(wanted, name => operations.has(name)),
      operation,
    );
  };
  const repliedTo = (reply: ReplyContract | undefined): Pick<OperationObject, "reply"> =>
    reply === undefined ? {} : { reply: replies.replyTo(reply) };
  for (const event of documented.published) {
    const reply = documented.replyToOwn(event);
    add(`send.${event.typeName}`, {
      action: "send",
      channel: referenceTo("channels", event.topic),
      summary: reply === undefined ? `Publishes ${event.type}.` : `Asks ${event.type}.`,
      messages: [messageOf(event)],
      ...repliedTo(reply),
      ...given(sendBindings(event.type, protocols)),
    });
  }
  for (const { group, topic, events, requests, queues } of byGroupAndTopic(documented)) {
    const queue = queues.length === 0 ? "" : ` It reads the queue ${queues.map(name => `\`${name}\``).join(", ")}.`;
    const received = {
      action: "receive",
      channel: referenceTo("channels", topic),
      description: `Each event goes to one member of the group \`${group}\`, once or more often.${queue}`,
      tags: [{ name: group }],
      ...given(receiveBindings(group, protocols)),
    } as const;
    if (events.length > 0) {
      const types = events.map(({ type }) => type).join(", ");
      add(`receive.${group}.${topic}`, { ...received, summary: `Handles ${types}.`, messages: events.map(messageOf) });
    }
    for (const [event, reply] of requests) {
      add(`receive.${group}.${event.typeName}`, {
        ...received,
        summary: `Replies to ${event.type}.`,
        messages: [messageOf(event)],
        ...repliedTo(reply),
      });
    }
  }
  return Object.fromEntries(operations);
}

function given(bindings: NonNullable<OperationObject["bindings"]>): Pick<OperationObject, "bindings"> {
  return Object.keys(bindings).length > 0 ? { bindings } : {};
}

interface GroupOnTopic {
  readonly group: string;
  readonly topic: string;
  /** Without requests. */
  readonly events: EventContract[];
  readonly requests: Map<EventContract, ReplyContract>;
  readonly queues: string[];
}

/** A group may have several subscriptions, and each of them several topics. */
function byGroupAndTopic(documented: DocumentedEvents): readonly GroupOnTopic[] {
  const found = new Map<string, GroupOnTopic>();
  for (const subscription of documented.subscriptions) {
    const { group, queue } = subscription;
    for (const event of subscription.events) {
      const key = `${group} ${event.topic}`;
      let one = found.get(key);
      if (one === undefined) {
        one = { group, topic: event.topic, events: [], requests: new Map(), queues: [] };
        found.set(key, one);
      }
      const reply = documented.replyOf(subscription, event);
      if (reply !== undefined) one.requests.set(event, reply);
      else if (!one.events.includes(event)) one.events.push(event);
      if (queue !== undefined && !one.queues.includes(queue)) one.queues.push(queue);
    }
  }
  return [...found.keys()].sort().map(key => {
    const { group, topic, events, requests, queues } = found.get(key) as GroupOnTopic;
    const inOrder = documented.all.filter(event => events.includes(event));
    const replied = documented.all.flatMap(event => {
      const reply = requests.get(event);
      return reply === undefined ? [] : [[event, reply] as const];
    });
    return { group, topic, events: inOrder, requests: new Map(replied), queues: queues.sort() };
  });
}
