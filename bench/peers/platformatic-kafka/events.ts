import { randomUUID } from "node:crypto";
import { Admin, Consumer, Producer, stringDeserializers } from "@platformatic/kafka";
import {
  contractOf,
  type EventsSample,
  type EventsTask,
  measuredOf,
  rawEvent,
  runEvents,
  Stretch,
} from "../protocol/events.ts";

const batch = 1_000;

/** As much of the library as is used here; its generic types say nothing more. */
interface RawProducer {
  send(options: { readonly messages: readonly object[] }): Promise<unknown>;
}
interface RawConsumer {
  consume(
    options: object,
  ): Promise<AsyncIterable<{ readonly value: string; readonly headers: ReadonlyMap<string, string> }>>;
}

async function open(task: EventsTask) {
  const bootstrapBrokers = [new URL(task.url).host];
  const { topic } = contractOf(task);
  const admin = new Admin({ clientId: "raw", bootstrapBrokers });
  await admin.createTopics({ topics: [topic], partitions: -1, replicas: -1 });
  await admin.close();
  const serializers = { key: Buffer.from, value: Buffer.from, headerKey: Buffer.from, headerValue: Buffer.from };
  const options = { clientId: "raw", bootstrapBrokers, idempotent: true, serializers };
  const producer = new Producer(options as never) as unknown as RawProducer;
  return { bootstrapBrokers, topic, producer };
}

function messageOf(number: number, topic: string) {
  const { key, body, time } = rawEvent(number);
  const headers = {
    ce_specversion: "1.0",
    ce_id: randomUUID(),
    ce_source: "/bench",
    ce_type: "ledger.placed",
    ce_time: time,
    ce_subject: key,
    "content-type": "application/json",
  };
  return {
    topic,
    key: Buffer.from(key),
    value: Buffer.from(body),
    headers: new Map(Object.entries(headers).map(([name, value]) => [Buffer.from(name), Buffer.from(value)])),
  };
}

async function publishAll(producer: RawProducer, topic: string, count: number): Promise<void> {
  for (let first = 0; first < count; first += batch) {
    const length = Math.min(batch, count - first);
    await producer.send({ messages: Array.from({ length }, (_, index) => messageOf(first + index, topic)) });
  }
}

async function publish(task: EventsTask): Promise<EventsSample> {
  const { producer, topic } = await open(task);
  await publishAll(producer, topic, Math.min(task.events, 5_000));
  const stretch = new Stretch();
  stretch.begin();
  await publishAll(producer, topic, task.events);
  return stretch.end(task.events);
}

async function oneByOne(task: EventsTask): Promise<EventsSample> {
  const { producer, topic } = await open(task);
  await publishAll(producer, topic, 1);
  // A tenth: one at a time takes its time.
  const count = Math.ceil(task.events / 10);
  const stretch = new Stretch();
  stretch.begin();
  for (let number = 0; number < count; number++) await producer.send({ messages: [messageOf(number, topic)] });
  return stretch.end(count);
}

async function consume(task: EventsTask): Promise<EventsSample> {
  const { producer, topic, bootstrapBrokers } = await open(task);
  await publishAll(producer, topic, task.events);
  const options = {
    clientId: "raw",
    groupId: task.name,
    bootstrapBrokers,
    autocommit: false,
    maxBytes: 4 * 1_048_576,
    deserializers: stringDeserializers,
  };
  const consumer = new Consumer(options as never) as unknown as RawConsumer;
  const stream = await consumer.consume({ topics: [topic], mode: "earliest", autocommit: 200, maxWaitTime: 100 });
  const stretch = new Stretch();
  const measured = measuredOf(task);
  let left = task.events;
  for await (const { value, headers } of stream) {
    if (left <= measured) stretch.begin();
    if (headers.get("ce_type") === undefined || JSON.parse(value).account === "") throw new Error("not ours");
    if (--left === 0) break;
  }
  return stretch.end(measured);
}

await runEvents({ "kafka-publish": publish, "kafka-consume": consume, "kafka-one-by-one": oneByOne });
