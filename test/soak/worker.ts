/**
 * A producer or a consumer of a soak run, as a process that is killed and stopped at any instant. What happens to it is in its journal
 * before anything else happens.
 *
 *     node worker.ts '{"role": "producer", ...}'
 */
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { inspect } from "node:util";
import { ledger } from "../../src/events/conformance/ledger.ts";
import type { NumberedEvent } from "../../src/exports/broker-conformance.ts";
import { type Broker, connectBroker, type EventHandler, on, onBatch } from "../../src/exports/events.ts";
import type { ConsumingGroup } from "./carrier.ts";
import { JournalReader, JournalWriter } from "./journal.ts";

export type WorkerTask = ProducerTask | ConsumerTask;

interface Task {
  readonly url: string;
  readonly topic: string;
  /** A file that only this producer, or all consumers, append to. */
  readonly journal: string;
}

export interface ProducerTask extends Task {
  readonly role: "producer";
  readonly producer: string;
  readonly keys: number;
  readonly perSecond: number;
}

export interface ConsumerTask extends Task {
  readonly role: "consumer";
  readonly group: ConsumingGroup;
}

/** Unconfirmed publishes of one producer; beyond it, it waits. */
const inFlightMax = 200;
const concurrency = 16;
/** One in so many handlers throws at its first attempt; one in so many is slow. Primes, so that each key has some. */
const throwsEvery = 53;
const slowEvery = 71;
const slowMs = 1_000;
const tickMs = 50;
const batches = { eventsMax: 20, waitMs: 100 };

/** Handlers throw once, but crashes count as attempts too, and there are many. */
const retry = { maxAttempts: 50, initialDelayMs: 200, factor: 2, maxDelayMs: 2_000 };

const task = JSON.parse(process.argv[2] ?? "{}") as WorkerTask;
const { PlacedSchema } = ledger(task.topic);
const isStopping = new AbortController();

/** To the log of the run. */
function tell(text: string): void {
  process.stderr.write(`${new Date().toISOString()} ${process.pid} ${task.role}: ${text}\n`);
}

for (const event of ["SIGTERM", "disconnect"]) {
  process.on(event, () => {
    tell(`is to end (${event})`);
    isStopping.abort();
  });
}

const quiet: ReadonlySet<string> = new Set([
  "events.handled",
  "events.failed",
  "events.retried",
  "events.published",
  "events.batch.handled",
  "events.batch.failed",
]);

const broker = await connectBroker(task.url, {
  source: `/${task.role}`,
  createTopics: true,
  observer: {
    emit(event) {
      if (quiet.has(event.type)) return;
      tell(inspect({ ...event }, { breakLength: Infinity, depth: 1 }));
    },
  },
});
// What the library waits for keeps no process alive; in a service, its port does.
const alive = setInterval(() => {}, 1_000);

if (task.role === "producer") await produce(broker, task);
else await consume(broker, task);
clearInterval(alive);
tell("has ended in good order");
process.exit(0);

async function produce(broker: Broker, { journal: path, producer, keys, perSecond }: ProducerTask): Promise<void> {
  let number = nextNumber(path);
  const journal = new JournalWriter(path);
  const inFlight = new Set<Promise<void>>();
  const publish = (): void => {
    const event: NumberedEvent = { id: `${producer}-${number}`, producer, key: `key-${number % keys}`, number };
    number++;
    journal.write({ what: "attempted", event });
    const { id, key } = event;
    const sent = broker
      .publish(PlacedSchema, { account: key, number: event.number, note: producer }, { id })
      .then(() => journal.write({ what: "confirmed", id }))
      .catch((error: unknown) => {
        journal.write({ what: "failed", id });
        tell(`${id}: ${String(error)}`);
      })
      .finally(() => inFlight.delete(sent));
    inFlight.add(sent);
  };
  tell("works");
  process.send?.("ready");
  for (let due = 0; !isStopping.signal.aborted; due += (perSecond * tickMs) / 1_000) {
    for (; due >= 1; due--) {
      if (inFlight.size >= inFlightMax) await Promise.race(inFlight);
      if (isStopping.signal.aborted) break;
      publish();
    }
    await pause(tickMs);
  }
  await Promise.all(inFlight);
  await broker.close();
}

/** Behind what an earlier process of this producer attempted. */
function nextNumber(path: string): number {
  const reader = new JournalReader(path);
  let next = 0;
  for (const entry of reader.entries()) if (entry.what === "attempted") next = entry.event.number + 1;
  reader.close();
  return next;
}

async function consume(broker: Broker, { journal: path, group }: ConsumerTask): Promise<void> {
  const journal = new JournalWriter(path);
  const handler = group.takesBatches ? manyAtOnce(journal, group.name) : oneByOne(journal, group.name);
  const options = { group: group.name, concurrency, retry, ...group.options };
  const subscription = await broker.subscribe(options, handler);
  tell("works");
  process.send?.("ready");
  const ended = subscription.ended.then(
    () => "the subscription has ended",
    (error: unknown) => `the subscription could not go on: ${String(error)}`,
  );
  const stopped = new Promise<undefined>(resolve => {
    if (isStopping.signal.aborted) resolve(undefined);
    isStopping.signal.addEventListener("abort", () => resolve(undefined));
  });
  const why = await Promise.race([ended, stopped]);
  if (why !== undefined) {
    tell(why);
    process.exit(3);
  }
  await broker.close();
}

function oneByOne(journal: JournalWriter, group: string): EventHandler {
  return on(PlacedSchema, async ({ account, number, note }, { id, attempt }) => {
    journal.write({ what: "delivered", group, event: { id, producer: note, key: account, number } });
    if (attempt === 0 && number % throwsEvery === 1) throw new Error("the first attempt of this one fails");
    await pause(number % slowEvery === 1 ? slowMs : number % 5);
    journal.write({ what: "handled", group, id });
  });
}

/** One in so many events fails at its first attempt: half of them alone, the others with all of their batch. */
function manyAtOnce(journal: JournalWriter, group: string): EventHandler {
  return onBatch(PlacedSchema, batches, async (events, batch) => {
    const idOf = (index: number) => batch.deliveries[index]?.id ?? "";
    for (const [index, { account, number, note }] of events.entries()) {
      const event: NumberedEvent = { id: idOf(index), producer: note, key: account, number };
      journal.write({ what: "delivered", group, event });
    }
    const failing = (number: number) => batch.attempt === 0 && number % throwsEvery === 1;
    if (events.some(({ number }) => failing(number) && number % 2 === 0)) throw new Error("one of this batch fails");
    await pause(events.some(({ number }) => number % slowEvery === 1) ? slowMs : events.length);
    const failed = new Set<string>();
    for (const [index, { account, number }] of events.entries()) {
      // What is behind one that has failed comes again behind it.
      if (failed.has(account)) continue;
      if (failing(number)) {
        batch.fail(index, new Error("the first attempt of this one fails"));
        failed.add(account);
      } else journal.write({ what: "handled", group, id: idOf(index) });
    }
  });
}
