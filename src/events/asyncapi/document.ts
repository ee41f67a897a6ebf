import { type EventContract, type Validate, validation } from "../../contract/index.ts";
import { EventSchemas } from "../../contract/schema/index.ts";
import type { AttributePrefix } from "../attributes.ts";
import type { BrokerDescription } from "../broker.ts";
import type { AsyncApiDocument, ChannelObject, MessageObject } from "./asyncapi.ts";
import { channelBindings } from "./bindings.ts";
import type { CheckedAsyncApi } from "./checked-options.ts";
import { DocumentedEvents, type GroupEvents } from "./documented-events.ts";
import { commonHeaders } from "./headers.ts";
import { type MessageContext, messageObject } from "./message.ts";
import { operationObjects } from "./operations.ts";
import { referenceTo } from "./pointer.ts";
import { DocumentedReplies } from "./replies.ts";
import type { Protocol } from "./servers.ts";

/** As much of a broker's description as the document shows; what is not known is left out. */
export interface ServiceEvents extends Partial<Omit<BrokerDescription, "subscriptions">> {
  readonly subscriptions?: readonly GroupEvents[];
}

/**
 * The AsyncAPI 3.0 document of a service: a channel for each topic, a message for each event, operations for what it publishes and
 * for what its groups handle. The same events make the same document, in whatever order they are named.
 *
 * @param broker what it is for at the moment
 */
export async function asyncapiDocument(
  options: CheckedAsyncApi,
  broker: ServiceEvents = options.describe() ?? {},
): Promise<AsyncApiDocument> {
  const { title, version, description } = options;
  const { servers, securitySchemes, vhost } = options.servers;
  const events = new DocumentedEvents(options.publishes, broker.subscriptions ?? [], options.requests);
  const protocols = protocolsOf(options, broker);
  const schemas = new EventSchemas();
  const context: MessageContext = {
    schemas,
    contentType: broker.contentType ?? "application/json",
    source: broker.source,
    protocols,
    headers: new Map(
      prefixesOf(protocols).map(prefix => [prefix, schemas.add(headersName(prefix), commonHeaders(prefix))] as const),
    ),
  };
  const messages: [name: string, message: MessageObject][] = [];
  for (const event of events.all) {
    const [isOwn, isRequest] = [events.isOnlyPublished(event), events.isRequest(event)];
    messages.push([events.componentName(event), messageObject(event, isOwn, isRequest, await rulesOf(event), context)]);
  }
  const taken = new Set(messages.map(([name]) => name));
  const replies = new DocumentedReplies(events.replies, events.topics, name => taken.has(name));
  const hasReplies = replies.all.length > 0;
  if (hasReplies)
    for (const [name, message] of await replies.messages(context, rulesOf)) messages.push([name, message]);
  const tags = new Set(messages.flatMap(([, { tags = [] }]) => tags.map(({ name }) => name)));
  return {
    asyncapi: "3.0.0",
    info: {
      title: title ?? titleOf(broker),
      version,
      ...(description === undefined ? {} : { description }),
      ...(tags.size > 0 ? { tags: [...tags].sort().map(name => ({ name })) } : {}),
    },
    defaultContentType: context.contentType,
    ...(Object.keys(servers).length > 0 ? { servers } : {}),
    channels: Object.fromEntries([
      ...events.topics.map(topic => [topic, channelObject(topic, events, protocols, vhost)] as const),
      ...(hasReplies ? [[replies.channelName, replies.channel] as const] : []),
    ]),
    operations: operationObjects(events, replies, protocols),
    components: {
      messages: Object.fromEntries(messages),
      schemas: schemas.components,
      ...(Object.keys(securitySchemes).length > 0 ? { securitySchemes } : {}),
    },
  };
}

function channelObject(
  topic: string,
  events: DocumentedEvents,
  protocols: ReadonlySet<Protocol>,
  vhost: string | undefined,
): ChannelObject {
  const bindings = channelBindings(topic, protocols, vhost);
  const messages = events.of(topic).map(event => {
    return [events.messageKey(event), referenceTo("components", "messages", events.componentName(event))] as const;
  });
  const routing = protocols.has("amqp") ? " On RabbitMQ it is a topic exchange, and the routing key is the type." : "";
  return {
    address: topic,
    description: `The events of the topic \`${topic}\` that the service publishes or handles; there may be others.${routing}`,
    messages: Object.fromEntries(messages),
    ...(Object.keys(bindings).length > 0 ? { bindings } : {}),
  };
}

/** Those of the servers that are named; otherwise that of the broker; otherwise what the contract means for each. */
function protocolsOf({ servers }: CheckedAsyncApi, broker: ServiceEvents): ReadonlySet<Protocol> {
  if (servers.protocols.size > 0) return servers.protocols;
  switch (broker.name) {
    case undefined:
      return new Set(["amqp", "kafka"]);
    case "rabbitmq":
      return new Set(["amqp"]);
    case "kafka":
      return new Set(["kafka"]);
    default:
      return new Set(["other"]);
  }
}

function prefixesOf(protocols: ReadonlySet<Protocol>): readonly AttributePrefix[] {
  return [
    ...(protocols.has("kafka") || protocols.has("other") ? (["ce_"] as const) : []),
    ...(protocols.has("amqp") ? (["cloudEvents_"] as const) : []),
  ];
}

/** The name of a component. */
function headersName(prefix: AttributePrefix): string {
  return prefix === "ce_" ? "EventHeaders" : "EventHeaders.amqp";
}

async function rulesOf({ desc }: Pick<EventContract, "desc">): Promise<Validate | undefined> {
  return await validation(desc);
}

/** `/order-service` is that of order-service. */
function titleOf(broker: ServiceEvents): string {
  const source = broker.source?.replace(/^\/+/, "") ?? "";
  return source === "" ? "Events" : source;
}
