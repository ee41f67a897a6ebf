/**
 * Publishing to and consuming from Kafka, beside the client library that we build on, used at its best: batches of 1,000
 * and `MessagesStream`. Both write and read the same records, with key, 230 bytes of JSON and CloudEvents headers, in turns.
 * Starts a broker of its own.
 *
 *     node --conditions=trunkline-source bench/events/kafka.ts [events]
 */
import { randomUUID } from "node:crypto";
import process from "node:process";
import { Consumer, Producer, stringDeserializers } from "@platformatic/kafka";
import { ledger } from "../../src/events/conformance/ledger.ts";
import { connectBroker, on } from "../../src/events/index.ts";
import { startKafka } from "../../test/servers/index.ts";

const events = Number(process.argv[2] ?? 100_000);
const rounds = 3;
const oneByOne = 2_000;
const kafka = await startKafka();
const address = kafka.url.replace("kafka://", "");
const say = (line: string) => process.stdout.write(`${line}\n`);

interface Measured {
  readonly perSecond: number;
  readonly cpuMicros: number;
}

async function measure(count: number, run: () => Promise<unknown>): Promise<Measured> {
  const cpu = process.cpuUsage();
  const start = performance.now();
  await run();
  const seconds = (performance.now() - start) / 1_000;
  const { user, system } = process.cpuUsage(cpu);
  return { perSecond: count / seconds, cpuMicros: (user + system) / count };
}

/** A stretch of work that begins later than its set-up: joining a group is not what is measured. */
class Stretch {
  #cpu = process.cpuUsage();
  #start = 0;

  begin(): void {
    if (this.#start > 0) return;
    this.#cpu = process.cpuUsage();
    this.#start = performance.now();
  }

  end(count: number): Measured {
    const { user, system } = process.cpuUsage(this.#cpu);
    return { perSecond: (count / (performance.now() - this.#start)) * 1_000, cpuMicros: (user + system) / count };
  }
}

const best = (all: readonly Measured[]): Measured =>
  all.reduce((one, other) => (one.perSecond >= other.perSecond ? one : other));

function report(what: string, ours: readonly Measured[], raw: readonly Measured[], target: number): void {
  const [mine, theirs] = [best(ours), best(raw)];
  const ratio = mine.perSecond / theirs.perSecond;
  const text = ({ perSecond, cpuMicros }: Measured) =>
    `${Math.round(perSecond).toLocaleString("en")}/s, ${cpuMicros.toFixed(1)} us CPU`;
  say(
    `${what}: ours ${text(mine)}; raw ${text(theirs)}; ratio ${ratio.toFixed(2)}, target ${target}${ratio >= target ? "" : " MISSED"}`,
  );
}

const note = "x".repeat(10);
const padding = Buffer.alloc(90, 7);
const numbers = Array.from({ length: events }, (_, number) => number);
const eventOf = (number: number) => ({ account: `account-${number % 1_000}`, number, note, padding });

await using broker = await connectBroker(kafka.url, { createTopics: true });
const { PlacedSchema, topic } = ledger(`bench-${Date.now()}`);
await broker.publish(PlacedSchema, eventOf(0));

const producer = new Producer({
  clientId: "raw",
  bootstrapBrokers: [address],
  idempotent: true,
  serializers: { key: Buffer.from, value: Buffer.from, headerKey: Buffer.from, headerValue: Buffer.from } as never,
} as never) as unknown as { send(options: object): Promise<void>; close(): Promise<void> };

/** What a user of the library writes: the same JSON and the same headers. */
function rawMessage(number: number, into: string) {
  const event = eventOf(number);
  const json = JSON.stringify({ account: event.account, number, padding: event.padding.toString("base64"), note });
  return {
    topic: into,
    key: Buffer.from(event.account),
    value: Buffer.from(json),
    headers: new Map(
      Object.entries({
        ce_specversion: "1.0",
        ce_id: randomUUID(),
        ce_source: "/bench",
        ce_type: "ledger.placed",
        ce_time: new Date().toISOString(),
        ce_subject: event.account,
        "content-type": "application/json",
      }).map(([name, value]) => [Buffer.from(name), Buffer.from(value)]),
    ),
  };
}

async function rawPublish(count: number): Promise<void> {
  for (let first = 0; first < count; first += 1_000) {
    const messages = numbers.slice(first, Math.min(first + 1_000, count)).map(number => rawMessage(number, topic));
    await producer.send({ messages });
  }
}

const publishes: [Measured[], Measured[]] = [[], []];
for (let round = 0; round < rounds; round++) {
  publishes[0].push(await measure(events, () => broker.publishAll(PlacedSchema, numbers.map(eventOf))));
  publishes[1].push(await measure(events, () => rawPublish(events)));
}
report("publish, pipelined", ...publishes, 0.9);

const singles: [Measured[], Measured[]] = [[], []];
for (let round = 0; round < rounds; round++) {
  // The caller awaits nothing before the end, as in a server's handlers.
  const many = numbers.slice(0, Math.min(events, oneByOne * 10));
  singles[0].push(
    await measure(many.length, () => Promise.all(many.map(number => broker.publish(PlacedSchema, eventOf(number))))),
  );
  singles[1].push(
    await measure(oneByOne, async () => {
      for (let number = 0; number < oneByOne; number++) await producer.send({ messages: [rawMessage(number, topic)] });
    }),
  );
}
report("publish, one by one", ...singles, 20);

async function rawConsume(groupId: string): Promise<Measured> {
  const consumer = new Consumer({
    clientId: "raw",
    groupId,
    bootstrapBrokers: [address],
    autocommit: false,
    maxBytes: 4 * 1_048_576,
    deserializers: stringDeserializers,
  } as never) as unknown as {
    consume(options: object): Promise<AsyncIterable<{ value: string; headers: Map<string, string> }>>;
    close(force: boolean): Promise<void>;
  };
  const stretch = new Stretch();
  const stream = await consumer.consume({ topics: [topic], mode: "earliest", autocommit: 200, maxWaitTime: 100 });
  let left = events;
  for await (const { value, headers } of stream) {
    stretch.begin();
    if (headers.get("ce_type") === undefined || JSON.parse(value).account === "") throw new Error("not ours");
    if (--left === 0) break;
  }
  const measured = stretch.end(events);
  await consumer.close(true);
  return measured;
}

const consumes: [Measured[], Measured[]] = [[], []];
for (let round = 0; round < rounds; round++) {
  const stretch = new Stretch();
  let left = events;
  const { promise, resolve } = Promise.withResolvers<void>();
  const subscription = await broker.subscribe(
    { group: `ours-${topic}-${round}`, concurrency: 64 },
    on(PlacedSchema, () => {
      stretch.begin();
      if (--left === 0) resolve();
    }),
  );
  await promise;
  consumes[0].push(stretch.end(events));
  await subscription.drain();
  consumes[1].push(await rawConsume(`raw-${topic}-${round}`));
}
report("consume", ...consumes, 0.9);

await producer.close();
await broker.close();
await kafka.stop();
