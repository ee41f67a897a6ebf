import amqplib from "amqplib";
import { connectRabbitmq, type RabbitmqEvent } from "../../src/events/brokers/rabbitmq/index.ts";
import { EventIds } from "../../src/events/event-id.ts";
import type {
  BrokerDriver,
  BrokerOptions,
  DeadLetter,
  EventRecord,
  SubscriptionDemand,
} from "../../src/events/index.ts";
import { systemPlatform } from "../../src/platform/index.ts";

const ids = new EventIds(systemPlatform);

/** A driver on the real machine, and what it told its observer. */
export async function connect(url: string, options: BrokerOptions = {}) {
  const events: RabbitmqEvent[] = [];
  const observer = { emit: (event: unknown) => void events.push(event as RabbitmqEvent) };
  const driver = await connectRabbitmq(url, { platform: systemPlatform, observer, options, ids });
  return { driver, events, [Symbol.asyncDispose]: () => driver.close() };
}

export function event(topic: string, type: string, body: string, rest: Partial<EventRecord> = {}): EventRecord {
  return {
    topic,
    type,
    key: "order-1",
    body: Buffer.from(body),
    id: ids.next(),
    source: "/tests",
    timeMs: systemPlatform.clock.wall(),
    contentType: "application/json",
    trace: undefined,
    priority: "default",
    expiresAtMs: undefined,
    notBeforeMs: undefined,
    replyTo: undefined,
    correlationId: undefined,
    headers: {},
    ...rest,
  };
}

export function demand(group: string, topic: string, rest: Partial<SubscriptionDemand> = {}): SubscriptionDemand {
  return {
    group,
    topics: [topic],
    types: ["order.created"],
    order: "none",
    concurrency: 8,
    largestBatch: 1,
    eventsAtOnce: 8,
    from: "now",
    specific: {},
    ...rest,
  };
}

/** Publishes, and throws when one was refused. */
export async function publish(driver: BrokerDriver, records: readonly EventRecord[]): Promise<void> {
  for (const outcome of await driver.publish(records)) if (outcome !== undefined) throw outcome.error;
}

export async function letters(driver: BrokerDriver, group: string): Promise<DeadLetter[]> {
  const found: DeadLetter[] = [];
  for await (const letter of driver.deadLetters.list({ group })) found.push(letter);
  return found;
}

/** A client as any other program has it. */
export async function foreign(url: string) {
  const model = await amqplib.connect(url);
  model.on("error", () => {});
  const channel = await model.createConfirmChannel();
  channel.on("error", () => {});
  return {
    channel,
    /** As the guide's producer does. */
    async publish(
      exchange: string,
      routingKey: string,
      body: string,
      encoding: BufferEncoding = "utf8",
    ): Promise<void> {
      channel.publish(exchange, routingKey, Buffer.from(body, encoding), {
        deliveryMode: 2,
        contentType: "application/json",
      });
      await channel.waitForConfirms();
    },
    [Symbol.asyncDispose]: () => model.close(),
  };
}
