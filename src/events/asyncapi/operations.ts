import type { EventContract } from "../../contract/index.ts";
import type { OperationObject, Reference } from "./asyncapi.ts";
import { receiveBindings, sendBindings } from "./bindings.ts";
import type { DocumentedEvents } from "./documented-events.ts";
import { referenceTo } from "./pointer.ts";
import type { Protocol } from "./servers.ts";
import { uniqueName } from "./unique-name.ts";

/**
 * What the service does: `send` for each event that it publishes, `receive` for each group and topic, because the events of a
 * topic come to a group together.
 */
export function operationObjects(
  documented: DocumentedEvents,
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
  for (const event of documented.published) {
    add(`send.${event.typeName}`, {
      action: "send",
      channel: referenceTo("channels", event.topic),
      summary: `Publishes ${event.type}.`,
      messages: [messageOf(event)],
      ...given(sendBindings(event.type, protocols)),
    });
  }
  for (const { group, topic, events, queues } of byGroupAndTopic(documented)) {
    const queue = queues.length === 0 ? "" : ` It reads the queue ${queues.map(name => `\`${name}\``).join(", ")}.`;
    add(`receive.${group}.${topic}`, {
      action: "receive",
      channel: referenceTo("channels", topic),
      summary: `Handles ${events.map(({ type }) => type).join(", ")}.`,
      description: `Each event goes to one member of the group \`${group}\`, once or more often.${queue}`,
      tags: [{ name: group }],
      messages: events.map(messageOf),
      ...given(receiveBindings(group, protocols)),
    });
  }
  return Object.fromEntries(operations);
}

function given(bindings: NonNullable<OperationObject["bindings"]>): Pick<OperationObject, "bindings"> {
  return Object.keys(bindings).length > 0 ? { bindings } : {};
}

interface GroupOnTopic {
  readonly group: string;
  readonly topic: string;
  readonly events: EventContract[];
  readonly queues: string[];
}

/** A group may have several subscriptions, and each of them several topics. */
function byGroupAndTopic(documented: DocumentedEvents): readonly GroupOnTopic[] {
  const found = new Map<string, GroupOnTopic>();
  for (const { group, events, queue } of documented.subscriptions) {
    for (const event of events) {
      const key = `${group} ${event.topic}`;
      let one = found.get(key);
      if (one === undefined) {
        one = { group, topic: event.topic, events: [], queues: [] };
        found.set(key, one);
      }
      if (!one.events.includes(event)) one.events.push(event);
      if (queue !== undefined && !one.queues.includes(queue)) one.queues.push(queue);
    }
  }
  return [...found.keys()].sort().map(key => {
    const { group, topic, events, queues } = found.get(key) as GroupOnTopic;
    return { group, topic, events: documented.all.filter(event => events.includes(event)), queues: queues.sort() };
  });
}
