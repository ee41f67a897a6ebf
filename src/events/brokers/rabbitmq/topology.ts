import { outsideContext } from "../../../platform/index.ts";
import { BrokerError } from "../../errors.ts";
import { type AmqpChannel, type AmqpConnection, AmqpError, type AmqpTable } from "./amqp.ts";
import { explainOperation } from "./connect-error.ts";

/** What a new queue is to be; one that exists is used as it is. */
export interface QueueWish {
  readonly type: "quorum" | "classic";
  /** One consumer at a time; an existing queue without it is refused, because the order would be a lie. */
  readonly isSingleActive: boolean;
  /** Exchange for what the broker gives up itself. */
  readonly dead: string | undefined;
}

/**
 * Runs `work` on a channel of its own: a refusal closes the channel that it happens on.
 */
export async function onChannel<T>(connection: AmqpConnection, work: (channel: AmqpChannel) => Promise<T>): Promise<T> {
  const channel = await outsideContext(() => connection.channel(false));
  try {
    return await work(channel);
  } finally {
    await channel.close();
  }
}

/** `false`: the broker says that there is none (404). */
export async function exists(
  connection: AmqpConnection,
  look: (channel: AmqpChannel) => Promise<unknown>,
): Promise<boolean> {
  try {
    await onChannel(connection, look);
    return true;
  } catch (error) {
    if (error instanceof AmqpError && error.code === 404) return false;
    throw error;
  }
}

/**
 * Makes sure of durable topic exchanges. One that exists is used as it is, whatever its type.
 * @throws BrokerError
 */
export async function ensureTopics(
  connection: AmqpConnection,
  topics: readonly string[],
  mayCreate: boolean,
): Promise<void> {
  for (const topic of topics) {
    try {
      if (await exists(connection, channel => channel.findExchange(topic))) continue;
      if (!mayCreate) {
        throw new BrokerError(
          `RabbitMQ: there is no exchange "${topic}", and createTopics is false: declare a durable topic exchange of this name`,
        );
      }
      await onChannel(connection, channel => channel.declareExchange(topic, "topic"));
    } catch (error) {
      throw explainOperation(error, `the exchange "${topic}"`);
    }
  }
}

/**
 * Makes sure of a durable queue. Looked for first, because a declaration that differs in any argument is refused.
 * @throws BrokerError
 */
export async function ensureQueue(connection: AmqpConnection, queue: string, wish: QueueWish): Promise<void> {
  try {
    if (await exists(connection, channel => channel.findQueue(queue))) {
      if (wish.isSingleActive) await requireSingleActive(connection, queue);
      return;
    }
    const args = queueArguments(wish, connection.version);
    await onChannel(connection, channel => channel.declareQueue(queue, { isDurable: true, args }));
  } catch (error) {
    throw explainOperation(error, `the queue "${queue}"`);
  }
}

/**
 * Makes sure of a quorum queue with an exchange of the same name in front of it. The default exchange would do as well, but
 * nobody can be allowed to write to some queues by it and not to all.
 * @throws BrokerError
 */
export async function ensureQueueByExchange(connection: AmqpConnection, name: string): Promise<void> {
  await ensureQueue(connection, name, { type: "quorum", isSingleActive: false, dead: undefined });
  try {
    await onChannel(connection, async channel => {
      await channel.declareExchange(name, "fanout");
      await channel.bindQueue(name, name, "");
    });
  } catch (error) {
    throw explainOperation(error, `the exchange "${name}"`);
  }
}

/**
 * Arguments of a new queue. A quorum queue counts returns, and before 4.0 one with a limit drops what is over it unless there
 * is a dead-letter exchange; since 4.0 there is a limit of 20 unless it says otherwise. We count attempts ourselves.
 */
export function queueArguments(wish: QueueWish, version: string): AmqpTable {
  return {
    ...(wish.isSingleActive && { "x-single-active-consumer": true }),
    ...(wish.type === "quorum" && { "x-queue-type": "quorum" }),
    ...(wish.type === "quorum" &&
      wish.dead !== undefined && {
        "x-dead-letter-exchange": wish.dead,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
      }),
    ...(wish.type === "quorum" && majorOf(version) >= 4 && { "x-delivery-limit": -1 }),
  };
}

export function majorOf(version: string): number {
  return Number(/^\d+/.exec(version)?.[0] ?? 0);
}

/** @throws BrokerError */
export function requireVersion(version: string): void {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major > 3 || (major === 3 && minor >= 10)) return;
  throw new BrokerError(
    `RabbitMQ ${version} is too old: retries need quorum queues that dead-letter at least once, which 3.10 brought; upgrade it`,
  );
}

/**
 * AMQP does not show the arguments of a queue, but a declaration that differs is refused with the name of the first that
 * does. So the queue is declared as single-active, with whatever the refusals say of its other arguments.
 */
async function requireSingleActive(connection: AmqpConnection, queue: string): Promise<void> {
  const args: Record<string, unknown> = { "x-single-active-consumer": true };
  for (let attempt = 0; attempt < 24; attempt++) {
    try {
      await onChannel(connection, channel => channel.declareQueue(queue, { isDurable: true, args }));
      return;
    } catch (error) {
      if (!(error instanceof AmqpError) || error.code !== 406) throw error;
      const found = inequivalentArgument(error.message);
      if (found === undefined) throw error;
      if (found.name === "x-single-active-consumer") {
        throw new BrokerError(
          `RabbitMQ: the queue "${queue}" exists without x-single-active-consumer, so it keeps no order; use another queue ` +
            "(rabbitmq.queue), delete this one when it is empty, or give up order",
        );
      }
      if (!found.name.startsWith("x-") || found.name in args) throw error;
      args[found.name] = found.current;
    }
  }
}

/** Reads "inequivalent arg 'x-queue-type' for queue …: received none but current is the value 'quorum' of type 'longstr'". */
export function inequivalentArgument(
  message: string,
): { readonly name: string; readonly current: unknown } | undefined {
  const parts =
    /inequivalent arg '([^']+)'[\s\S]*but current is (?:the value )?'?([^']*)'?(?: of type '([^']+)')?/.exec(message);
  if (parts === null) return undefined;
  const [, name = "", text = "", type = ""] = parts;
  if (/long|signedint|short|byte/.test(type) && type !== "longstr") return { name, current: Number(text) };
  return { name, current: type === "bool" ? text === "true" : text };
}

/** Exchange in front of the partitions of a group. */
export function partitionExchange(base: string): string {
  return `${base}.partitions`;
}

/**
 * Spreads a group's events over `partitions` queues by their key. The broker hashes the header `cloudEvents_subject`, so
 * foreign producers that set it are spread as well, and all events without it stay together in one partition.
 *
 * @param openAside makes a connection that may break: an exchange of an unknown type ends the whole connection
 * @throws BrokerError
 */
export async function ensurePartitionExchange(
  connection: AmqpConnection,
  base: string,
  openAside: () => Promise<AmqpConnection>,
): Promise<void> {
  const exchange = partitionExchange(base);
  if (await exists(connection, channel => channel.findExchange(exchange))) return;
  const aside = await openAside();
  try {
    await onChannel(aside, channel =>
      channel.declareExchange(exchange, "x-consistent-hash", { "hash-header": "cloudEvents_subject" }),
    );
  } catch (error) {
    if (error instanceof AmqpError && /unknown exchange type/.test(error.message)) {
      throw new BrokerError(
        "RabbitMQ: partitions need the plugin rabbitmq_consistent_hash_exchange, which is part of RabbitMQ and not enabled; " +
          "enable it on every node: rabbitmq-plugins enable rabbitmq_consistent_hash_exchange",
        { cause: error },
      );
    }
    throw explainOperation(error, `the exchange "${exchange}"`);
  } finally {
    await aside.close();
  }
}
