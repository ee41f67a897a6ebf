import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import pg from "pg";
import { type Broker, connectBroker, inbox, on, outbox, transaction } from "trunkline/events";
import {
  contractOf,
  type EventsSample,
  type EventsTask,
  eventOf,
  eventsOf,
  measuredOf,
  percentiles,
  runEvents,
  Stretch,
} from "../protocol/events.ts";
import { callsOfServer } from "./rpc-beside-events.ts";

const connect = (url: string) => connectBroker(url, { source: "/bench", createTopics: true });
const handlersAtOnce = 64;

async function publish(
  task: EventsTask,
  url: string,
  before?: (broker: Broker) => Promise<unknown>,
): Promise<EventsSample> {
  await using broker = await connect(url);
  const { PlacedSchema } = contractOf(task);
  await before?.(broker);
  // Connections, topics, compiled code.
  await broker.publishAll(PlacedSchema, eventsOf(Math.min(task.events, 5_000)));
  const stretch = new Stretch();
  stretch.begin();
  await broker.publishAll(PlacedSchema, eventsOf(task.events));
  return stretch.end(task.events);
}

/** The group is there before the events: RabbitMQ keeps nothing for groups to come. */
async function reserveGroup(broker: Broker, task: EventsTask): Promise<void> {
  const { PlacedSchema } = contractOf(task);
  const waiting = await broker.subscribe(
    { group: task.name, concurrency: 1, rabbitmq: { queueType: "classic" } },
    on(PlacedSchema, () => new Promise<void>(() => {})),
  );
  await waiting.drain({ timeoutMs: 0 });
}

async function consume(task: EventsTask, url: string): Promise<EventsSample> {
  const { PlacedSchema } = contractOf(task);
  {
    await using writer = await connect(url);
    if (!writer.capabilities.replay) await reserveGroup(writer, task);
    await writer.publishAll(PlacedSchema, eventsOf(task.events));
  }
  await using broker = await connect(url);
  const stretch = new Stretch();
  const measured = measuredOf(task);
  let left = task.events;
  const { promise, resolve } = Promise.withResolvers<EventsSample>();
  await broker.subscribe(
    { group: task.name, concurrency: handlersAtOnce, rabbitmq: { prefetch: 300 } },
    on(PlacedSchema, () => {
      left--;
      if (left <= measured) stretch.begin();
      if (left === 0) resolve(stretch.end(measured));
    }),
  );
  return await promise;
}

async function throughMemory(task: EventsTask): Promise<EventsSample> {
  const { PlacedSchema } = contractOf(task);
  await using broker = await connect("memory:?bytesMax=2000000000");
  const { promise, resolve } = Promise.withResolvers<EventsSample>();
  const stretch = new Stretch();
  const warmUp = 20_000;
  let left = task.events + warmUp;
  await broker.subscribe(
    { group: "bench", concurrency: handlersAtOnce },
    on(PlacedSchema, () => {
      if (--left === 0) resolve(stretch.end(task.events));
    }),
  );
  await broker.publishAll(PlacedSchema, eventsOf(warmUp));
  stretch.begin();
  await broker.publishAll(PlacedSchema, eventsOf(task.events));
  return await promise;
}

async function oneByOne(task: EventsTask): Promise<EventsSample> {
  await using broker = await connect(task.url);
  const { PlacedSchema } = contractOf(task);
  await broker.publish(PlacedSchema, eventOf(0));
  const stretch = new Stretch();
  stretch.begin();
  // Nobody awaits another's publish, as in a server's handlers.
  await Promise.all(Array.from({ length: task.events }, (_, number) => broker.publish(PlacedSchema, eventOf(number))));
  return stretch.end(task.events);
}

interface OutboxLoad {
  readonly eventsPerTransaction: number;
  readonly writers: number;
  /** Transactions begin at this rate, whether those before have ended or not. @default each writer as soon as it can */
  readonly eventsPerSecond?: number;
}

/** Transactions of several writers, each on a connection of its own, until the broker has all their events. */
async function throughOutbox(task: EventsTask, load: OutboxLoad): Promise<EventsSample> {
  const { PlacedSchema } = contractOf(task);
  const { eventsPerTransaction, writers, eventsPerSecond } = load;
  // The relay needs a few as well.
  const pool = new pg.Pool({ connectionString: task.url, max: writers + 4 });
  await using broker = await connect("memory:");
  await using box = await outbox({ database: pool, broker });
  const committedAt = new Map<number, number>();
  const latencies: number[] = [];
  // Connections, tables and compiled code are there before the first that counts.
  const warmUp = 1_000;
  let left = task.events + warmUp;
  let warm = () => {};
  const { promise, resolve } = Promise.withResolvers<void>();
  await broker.subscribe(
    { group: "bench" },
    on(PlacedSchema, ({ number }) => {
      const at = committedAt.get(number);
      // One that arrives before its COMMIT has answered took no time.
      if (number >= warmUp) latencies.push(at === undefined ? 0 : (performance.now() - at) * 1_000);
      if (--left === task.events) warm();
      if (left === 0) resolve();
    }),
  );
  const run = async (first: number, end: number, perSecond: number | undefined) => {
    const startMs = performance.now();
    let next = first;
    const writer = async () => {
      while (next < end) {
        const dueMs = perSecond === undefined ? 0 : startMs + ((next - first) / perSecond) * 1_000;
        const numbers = Array.from({ length: eventsPerTransaction }, () => next++);
        const waitMs = dueMs - performance.now();
        if (waitMs > 0) await new Promise(later => setTimeout(later, waitMs));
        await transaction(pool, tx => box.publishAll(tx, PlacedSchema, numbers.map(eventOf)));
        for (const number of numbers) committedAt.set(number, performance.now());
      }
    };
    await Promise.all(Array.from({ length: writers }, writer));
  };
  const warmed = new Promise<void>(done => {
    warm = done;
  });
  await run(0, warmUp, undefined);
  await warmed;
  const stretch = new Stretch();
  stretch.begin();
  await run(warmUp, warmUp + task.events, eventsPerSecond);
  await promise;
  return { ...stretch.end(task.events), ...percentiles(latencies) };
}

async function throughInbox(task: EventsTask): Promise<EventsSample> {
  const database = new DatabaseSync(join(task.folder, "inbox.db"));
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE effects (number INTEGER)");
  const insert = database.prepare("INSERT INTO effects VALUES (?)");
  const once = await inbox({ database, group: "bench" });
  const stretch = new Stretch();
  stretch.begin();
  let next = 0;
  const handler = async () => {
    while (next < task.events) {
      const number = next++;
      await once.run({ id: String(number), source: "/bench" }, () => void insert.run(number));
    }
  };
  await Promise.all(Array.from({ length: handlersAtOnce }, handler));
  return stretch.end(task.events);
}

/** CPU of a process with a subscription and nothing to handle, in five seconds. */
async function idle(task: EventsTask): Promise<EventsSample> {
  await using broker = await connect(file(task));
  const { PlacedSchema } = contractOf(task);
  await broker.subscribe(
    { group: "bench" },
    on(PlacedSchema, () => {}),
  );
  await broker.publishAll(PlacedSchema, eventsOf(task.events));
  const wait = (ms: number) => new Promise(later => setTimeout(later, ms));
  await wait(1_000);
  const [before, startMs] = [process.cpuUsage(), performance.now()];
  await wait(5_000);
  const { user, system } = process.cpuUsage(before);
  const idlePercent = (user + system) / 10 / (performance.now() - startMs);
  return { idlePercent, clientRssBytes: process.memoryUsage.rss() };
}

/** The events are written by a process of its own, so that the consumer's memory is the consumer's. */
async function backlog(task: EventsTask): Promise<EventsSample> {
  const { PlacedSchema } = contractOf(task);
  if (process.argv[3] === "write") {
    await using broker = await connect(file(task));
    for (let first = 0; first < task.events; first += 50_000) {
      await broker.publishAll(PlacedSchema, eventsOf(Math.min(50_000, task.events - first)));
    }
    return {};
  }
  const args = [...process.execArgv, process.argv[1] ?? "", process.argv[2] ?? "", "write"];
  const writer = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"] });
  const [code] = (await once(writer, "exit")) as [number | null];
  if (code !== 0) throw new Error(`the events could not be written: ${code}`);
  await using broker = await connect(file(task));
  const tenth = Math.floor(task.events / 10);
  const rss: number[] = [];
  let handled = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  const stretch = new Stretch();
  stretch.begin();
  await broker.subscribe(
    { group: "bench", concurrency: handlersAtOnce, from: "beginning" },
    on(PlacedSchema, () => {
      if (++handled % tenth === 0) rss.push(process.memoryUsage.rss());
      if (handled === task.events) resolve();
    }),
  );
  await promise;
  return { ...stretch.end(task.events), growthBytes: Math.max(...rss.slice(2)) - (rss[1] ?? Number.NaN) };
}

/** Handlers that only take their time: the less of both shares of what that time allows. */
async function keyed(task: EventsTask): Promise<EventsSample> {
  const few = await throughKeys(task, 16, task.events / 4);
  const many = await throughKeys(task, 512, task.events);
  return (few.idealShare ?? 0) < (many.idealShare ?? 0) ? few : many;
}

async function throughKeys(task: EventsTask, keys: number, events: number): Promise<EventsSample> {
  const { PlacedSchema } = contractOf({ ...task, name: `${task.name}-${keys}` });
  await using broker = await connect("memory:");
  await broker.publishAll(
    PlacedSchema,
    Array.from({ length: events }, (_, number) => ({ ...eventOf(number), account: `account-${number % keys}` })),
  );
  const { promise, resolve } = Promise.withResolvers<EventsSample>();
  const stretch = new Stretch();
  // Neither the first ones, nor the last, when some keys have no more.
  const [first, last] = [Math.ceil(events * 0.1), Math.floor(events * 0.9)];
  let handled = 0;
  let handlerMs = 0;
  await broker.subscribe(
    { group: "bench", concurrency: handlersAtOnce, from: "beginning" },
    on(PlacedSchema, async () => {
      const startMs = performance.now();
      await new Promise(later => setTimeout(later, 10));
      handled++;
      if (handled === first) stretch.begin();
      if (handled > first && handled <= last) handlerMs += performance.now() - startMs;
      if (handled !== last) return;
      const sample = stretch.end(last - first);
      // Timers are not exact, so the time that handlers have really taken counts.
      const idealPerSecond = Math.min(keys, handlersAtOnce) / (handlerMs / (last - first) / 1_000);
      resolve({ ...sample, idealShare: (sample.perSecond ?? 0) / idealPerSecond });
    }),
  );
  return await promise;
}

const file = ({ folder }: EventsTask) => `sqlite:${join(folder, "events.db")}`;

await runEvents({
  "events-memory": throughMemory,
  "embedded-publish": task => publish(task, file(task)),
  "embedded-consume": task => consume(task, file(task)),
  "rabbitmq-publish": task => publish(task, task.url, broker => reserveGroup(broker, task)),
  "rabbitmq-consume": task => consume(task, task.url),
  "kafka-publish": task => publish(task, task.url),
  "kafka-consume": task => consume(task, task.url),
  "kafka-one-by-one": oneByOne,
  "embedded-idle": idle,
  "embedded-backlog": backlog,
  "rpc-beside-embedded": task => callsOfServer(task, true),
  "events-keyed": keyed,
  "outbox-postgres": task => throughOutbox(task, { eventsPerTransaction: 10, writers: 10 }),
  "outbox-postgres-single": task => throughOutbox(task, { eventsPerTransaction: 1, writers: 32 }),
  "outbox-postgres-half": task =>
    throughOutbox(task, { eventsPerTransaction: 10, writers: 10, eventsPerSecond: 5_000 }),
  "inbox-sqlite": throughInbox,
});
