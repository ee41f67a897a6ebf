import { createHash } from "node:crypto";
import process from "node:process";
import { ledger } from "../../../src/events/conformance/ledger.ts";

/** The scenarios of events, each measured in a process of its own for every round. */
export type EventsScenario =
  | "events-memory"
  | "embedded-publish"
  | "embedded-consume"
  | "rabbitmq-publish"
  | "rabbitmq-consume"
  | "kafka-publish"
  | "kafka-consume"
  | "kafka-one-by-one"
  | "embedded-idle"
  | "embedded-backlog"
  | "rpc-beside-embedded"
  | "events-keyed"
  | "outbox-postgres"
  | "outbox-postgres-single"
  | "outbox-postgres-half"
  | "inbox-sqlite";

export interface EventsTask {
  readonly scenario: EventsScenario;
  /** Of the server that the scenario needs; empty where it needs none. */
  readonly url: string;
  /** Distinguishes topics, queues and files of rounds and peers. */
  readonly name: string;
  readonly events: number;
  /** An empty folder. */
  readonly folder: string;
}

export interface EventsSample {
  readonly perSecond?: number;
  /** CPU of this process for each event. */
  readonly clientCpuUs?: number;
  readonly clientRssBytes?: number;
  readonly p50Us?: number;
  readonly p99Us?: number;
  /** Of the throughput that the handlers' own time allows. */
  readonly idealShare?: number;
  /** CPU of this process, of one core. */
  readonly idlePercent?: number;
  /** Of resident memory, between the second tenth of the work and the most in the others. */
  readonly growthBytes?: number;
}

export type EventsPeer = Readonly<Partial<Record<EventsScenario, (task: EventsTask) => Promise<EventsSample>>>>;

/** Runs the task that the harness gives, and prints the sample. */
export async function runEvents(peer: EventsPeer): Promise<void> {
  const task = JSON.parse(process.argv[2] ?? "{}") as EventsTask;
  const run = peer[task.scenario];
  if (run === undefined) throw new Error(`there is no scenario ${task.scenario} here`);
  process.stdout.write(`${JSON.stringify(await run(task))}\n`);
  process.exit(0);
}

/** A stretch of work that begins when it begins: connecting and joining are not what is measured. */
export class Stretch {
  #cpu = process.cpuUsage();
  #startMs = Number.NaN;

  /** Only the first call counts. */
  begin(): void {
    if (!Number.isNaN(this.#startMs)) return;
    this.#cpu = process.cpuUsage();
    this.#startMs = performance.now();
  }

  end(events: number): EventsSample {
    const seconds = (performance.now() - this.#startMs) / 1_000;
    const { user, system } = process.cpuUsage(this.#cpu);
    return {
      perSecond: events / seconds,
      clientCpuUs: (user + system) / events,
      clientRssBytes: process.memoryUsage.rss(),
    };
  }
}

const keys = 1_000;
const note = "x".repeat(10);
const padding = Buffer.alloc(90, 7);

/** About 230 bytes as JSON. */
export const eventOf = (number: number) => ({
  eventType: "LEDGER_PLACED",
  account: `account-${number % keys}`,
  number,
  note,
  padding,
});

export function* eventsOf(count: number) {
  for (let number = 0; number < count; number++) yield eventOf(number);
}

/** Of a backlog the first fifth warms the process up. */
export const measuredOf = ({ events }: EventsTask): number => events - Math.floor(events / 5);

/** A contract whose topic no other round has. */
export function contractOf({ name }: EventsTask) {
  return ledger(`bench-${createHash("sha256").update(name).digest("hex").slice(0, 16)}`);
}

/** The same event and headers as a user of a raw client writes them. */
export function rawEvent(number: number) {
  const event = eventOf(number);
  const body = JSON.stringify({
    event_type: event.eventType,
    account: event.account,
    number,
    padding: event.padding.toString("base64"),
    note,
  });
  return { key: event.account, body, time: new Date().toISOString() };
}

export function percentiles(latenciesUs: readonly number[]): { readonly p50Us: number; readonly p99Us: number } {
  const sorted = latenciesUs.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { p50Us: at(0.5), p99Us: at(0.99) };
}
