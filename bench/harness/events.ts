import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startKafka, startPostgres, startRabbitmq } from "../../test/servers/index.ts";
import type { EventsSample, EventsScenario, EventsTask } from "../peers/protocol/events.ts";
import { failureOf } from "./failure.ts";
import { benchFolder } from "./folders.ts";
import { JsonProcess } from "./json-process.ts";
import type { BenchOptions } from "./options.ts";
import type { Peer } from "./peers.ts";
import type { Scenario } from "./scenarios.ts";
import type { Row } from "./statistics.ts";

const servers = { rabbitmq: startRabbitmq, kafka: startKafka, postgres: startPostgres } as const;

/** Events of a round that takes about a second on the machine of the published page. */
const eventsOfRound: Readonly<Record<EventsScenario, number>> = {
  "events-memory": 300_000,
  "embedded-publish": 100_000,
  "embedded-consume": 100_000,
  "rabbitmq-publish": 40_000,
  "rabbitmq-consume": 40_000,
  "kafka-publish": 100_000,
  "kafka-consume": 100_000,
  "kafka-one-by-one": 20_000,
  "embedded-idle": 100,
  "embedded-backlog": 1_000_000,
  "rpc-beside-embedded": 25_000,
  "events-keyed": 10_000,
  "outbox-postgres": 20_000,
  "outbox-postgres-single": 6_000,
  "outbox-postgres-half": 10_000,
  "inbox-sqlite": 20_000,
};

/** What takes long, or hardly varies, is measured less often than the rest. */
const roundsMax: Partial<Readonly<Record<EventsScenario, number>>> = { "embedded-idle": 3, "embedded-backlog": 1 };

/** One scenario of events: a server of its own for all rounds, and a process for every round of every peer, in turns. */
export async function measureEvents(
  scenario: Scenario,
  peers: readonly Peer[],
  rows: readonly Row[],
  options: BenchOptions,
): Promise<void> {
  const start = scenario.server === undefined ? undefined : servers[scenario.server];
  let server: Awaited<ReturnType<NonNullable<typeof start>>> | undefined;
  try {
    server = await start?.();
  } catch (error) {
    for (const row of rows) row.failure = failureOf(error);
    return;
  }
  try {
    const rounds = Math.min(options.rounds, roundsMax[scenario.name as EventsScenario] ?? options.rounds);
    for (let round = 0; round < rounds; round++) {
      for (let turn = 0; turn < peers.length; turn++) {
        const at = (turn + round) % peers.length;
        const [peer, row] = [peers[at], rows[at]];
        if (peer === undefined || row === undefined || row.failure !== undefined) continue;
        try {
          row.samples.push({ ...(await measureOnce(scenario, peer, round, server?.url ?? "", options)) });
        } catch (error) {
          row.failure = failureOf(error);
        }
      }
    }
  } finally {
    await server?.[Symbol.asyncDispose]();
  }
}

async function measureOnce(
  scenario: Scenario,
  peer: Peer,
  round: number,
  url: string,
  { quick }: BenchOptions,
): Promise<EventsSample> {
  const folder = mkdtempSync(join(tmpdir(), "trunkline-bench-"));
  const name = scenario.name as EventsScenario;
  const task: EventsTask = {
    scenario: name,
    url,
    name: `${name}-${peer.name}-${round}`,
    events: Math.ceil(eventsOfRound[name] / (quick ? 4 : 1)),
    folder,
  };
  const program = join(benchFolder, "peers", peer.name, "events.ts");
  const child = new JsonProcess([process.execPath, ...(peer.nodeOptions ?? []), program, JSON.stringify(task)]);
  try {
    return await child.next<EventsSample>();
  } finally {
    await child.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}
