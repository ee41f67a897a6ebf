import type { EventContract } from "../../contract/index.ts";
import type { Bindings } from "./asyncapi.ts";
import type { Protocol } from "./servers.ts";

/**
 * What is said for one protocol only: a topic is a topic exchange of AMQP 0-9-1 and a topic of Kafka, a type is a routing key, a
 * group is a consumer group. Versions are those of the bindings' own specifications.
 */
const amqpVersion = "0.3.0";
const kafkaVersion = "0.5.0";

export function channelBindings(topic: string, protocols: ReadonlySet<Protocol>, vhost: string | undefined): Bindings {
  const exchange = {
    name: topic,
    type: "topic",
    durable: true,
    autoDelete: false,
    ...(vhost === undefined ? {} : { vhost }),
  };
  return {
    ...(protocols.has("amqp") ? { amqp: { is: "routingKey", exchange, bindingVersion: amqpVersion } } : {}),
    ...(protocols.has("kafka") ? { kafka: { topic, bindingVersion: kafkaVersion } } : {}),
  };
}

export function messageBindings({ keyPath }: EventContract, protocols: ReadonlySet<Protocol>): Bindings {
  if (keyPath === undefined || !protocols.has("kafka")) return {};
  const key = { type: "string", description: `${keyPath} of the payload.` };
  return { kafka: { key, bindingVersion: kafkaVersion } };
}

/** @param type the routing key */
export function sendBindings(type: string, protocols: ReadonlySet<Protocol>): Bindings {
  if (!protocols.has("amqp")) return {};
  return { amqp: { cc: [type], deliveryMode: 2, timestamp: true, bindingVersion: amqpVersion } };
}

export function receiveBindings(group: string, protocols: ReadonlySet<Protocol>): Bindings {
  return {
    ...(protocols.has("amqp") ? { amqp: { ack: true, bindingVersion: amqpVersion } } : {}),
    ...(protocols.has("kafka")
      ? { kafka: { groupId: { type: "string", enum: [group] }, bindingVersion: kafkaVersion } }
      : {}),
  };
}
