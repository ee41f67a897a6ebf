import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { LoadResult } from "../peers/protocol/drive.ts";
import { orderId } from "../peers/protocol/order.ts";
import type { ServerStats } from "../peers/protocol/serve.ts";
import { measureEvents } from "./events.ts";
import { failureOf } from "./failure.ts";
import { benchFolder, buildFolder } from "./folders.ts";
import { JsonProcess } from "./json-process.ts";
import type { BenchOptions } from "./options.ts";
import { commandOf, ourName, type Peer, type WrkRequest } from "./peers.ts";
import { writeRequestBody } from "./provision.ts";
import { type Scenario, streamsPerConnection } from "./scenarios.ts";
import type { Row, Sample } from "./statistics.ts";

interface Running {
  readonly peer: Peer;
  readonly row: Row;
  readonly server: JsonProcess;
  readonly port: number;
}

/**
 * One scenario for all its peers. The servers run side by side, idle but for the one whose turn it is; every round goes
 * through all peers, each time starting with another one, so that what disturbs the machine disturbs all alike.
 */
export async function measureScenario(
  scenario: Scenario,
  peers: readonly Peer[],
  options: BenchOptions,
): Promise<Row[]> {
  const rows = peers.map((peer): Row => ({ scenario: scenario.name, peer: peer.name, samples: [] }));
  if (scenario.load === "in-process") {
    await measureInProcess(scenario, peers, rows, options);
    return rows;
  }
  if (scenario.load === "events") {
    await measureEvents(scenario, peers, rows, options);
    return rows;
  }
  if (scenario.load === "hold-open") {
    // Memory does not depend on the neighbours' timing, but on history: a fresh server for each round.
    for (let round = 0; round < Math.min(options.rounds, 3); round++) {
      for (const [index, peer] of peers.entries()) await sampleInto(rows[index], () => weigh(scenario, peer));
    }
    return rows;
  }

  const all: Running[] = [];
  try {
    for (const [index, peer] of peers.entries()) {
      await sampleInto(rows[index], async row => {
        const name = scenario.serverPeer;
        const server = startServer(name === undefined ? peer : { ...peer, name, nodeOptions: [] }, options);
        try {
          const { port } = await server.next<{ port: number }>();
          all.push({ peer, row, server, port });
        } catch (error) {
          await server.stop();
          throw error;
        }
        return undefined;
      });
    }
    for (let round = 0; round < options.rounds; round++) {
      for (let turn = 0; turn < all.length; turn++) {
        const running = all[(turn + round) % all.length];
        if (running === undefined || running.row.failure !== undefined) continue;
        // The first round also warms the server up.
        const warmupSeconds = options.warmupSeconds * (round === 0 ? 2 : 1);
        await sampleInto(running.row, () => sample(scenario, running, { ...options, warmupSeconds }));
      }
    }
  } finally {
    await Promise.all(all.map(({ server }) => server.stop()));
  }
  return rows;
}

/** A peer that fails keeps the reason and takes no further part; the others go on. */
async function sampleInto(row: Row | undefined, take: (row: Row) => Promise<Sample | undefined>): Promise<void> {
  if (row === undefined || row.failure !== undefined) return;
  try {
    const sampled = await take(row);
    if (sampled !== undefined) row.samples.push(sampled);
  } catch (error) {
    row.failure = failureOf(error);
  }
}

function sample(scenario: Scenario, running: Running, options: BenchOptions): Promise<Sample> {
  return scenario.load === "client" ? sampleClient(scenario, running, options) : sampleTool(scenario, running, options);
}

function startServer(peer: Peer, options: BenchOptions): JsonProcess {
  return new JsonProcess(commandOf(peer, "server", profileOptions(peer, "server", options)), peer.environment);
}

function profileOptions(peer: Peer, role: string, options: BenchOptions): string[] {
  if (!options.profile || peer.name !== ourName) return [];
  return ["--cpu-prof", `--cpu-prof-dir=${join(buildFolder, "profiles", role)}`];
}

async function sampleClient(scenario: Scenario, running: Running, options: BenchOptions): Promise<Sample> {
  const { peer, server, port } = running;
  const load = {
    port,
    scenario: scenario.name,
    warmupSeconds: options.warmupSeconds,
    seconds: options.seconds,
    concurrency: scenario.concurrency,
  };
  const command = [...commandOf(peer, "client", profileOptions(peer, "client", options)), JSON.stringify(load)];
  const client = new JsonProcess(command, peer.environment);
  try {
    await client.next<{ measuring: true }>();
    const before = await server.ask<ServerStats>("stats");
    const result = await client.next<LoadResult>();
    const after = await server.ask<ServerStats>("stats");
    if (result.operations === 0) throw new Error("no operation ended in the measured time");
    return {
      perSecond: result.operations / result.seconds,
      serverCpuUs: (after.cpuUs - before.cpuUs) / result.operations,
      clientCpuUs: result.cpuUs / result.operations,
      p50Us: result.p50Us,
      p99Us: result.p99Us,
      serverRssBytes: after.rssBytes,
      clientRssBytes: result.rssBytes,
    };
  } finally {
    await client.stop();
  }
}

/** h2load and wrk: one run to warm up, one that counts. */
async function sampleTool(scenario: Scenario, { peer, server, port }: Running, options: BenchOptions): Promise<Sample> {
  const withWrk = (port: number, seconds: number) => runWrk(port, seconds, peer.request);
  const attack = scenario.load === "wrk" ? withWrk : runH2load;
  await attack(port, options.warmupSeconds);
  const before = await server.ask<ServerStats>("stats");
  const { requests, seconds } = await attack(port, options.seconds);
  const after = await server.ask<ServerStats>("stats");
  return {
    perSecond: requests / seconds,
    serverCpuUs: (after.cpuUs - before.cpuUs) / requests,
    serverRssBytes: after.rssBytes,
  };
}

interface Attack {
  readonly requests: number;
  readonly seconds: number;
}

/** Both tools count whole seconds. */
const wholeSeconds = (seconds: number) => Math.max(1, Math.round(seconds));

async function runH2load(port: number, forSeconds: number): Promise<Attack> {
  const seconds = wholeSeconds(forSeconds);
  const headers = ["-H", "content-type: application/grpc", "-H", "te: trailers", "-d", writeRequestBody(orderId)];
  const url = `http://127.0.0.1:${port}/bench.OrderService/GetOrder`;
  const text = await runTool("h2load", ["-c8", "-m20", "-t1", `-D${seconds}`, ...headers, url]);
  const succeeded = Number(/(\d+) 2xx/.exec(text)?.[1]);
  // Streams that are under way when the time is over are counted as errored by h2load: at most 8 × 20.
  const failed = Number(/(\d+) failed/.exec(text)?.[1]) + Number(/(\d+) [45]xx/.exec(text)?.[1]);
  if (!(succeeded > 0) || failed > 160) throw new Error(`h2load: ${text.slice(-600)}`);
  return { requests: succeeded, seconds };
}

async function runWrk(port: number, forSeconds: number, request: WrkRequest | undefined): Promise<Attack> {
  const path = request?.path ?? `/orders/${orderId}`;
  const script = request === undefined ? [] : ["-s", writeWrkScript(request)];
  const url = `http://127.0.0.1:${port}${path}`;
  const text = await runTool("wrk", ["-t1", "-c64", `-d${wholeSeconds(forSeconds)}s`, ...script, url]);
  const match = /(\d+) requests in ([\d.]+)s/.exec(text);
  if (match === null || /Non-2xx|Socket errors/.test(text)) throw new Error(`wrk: ${text}`);
  return { requests: Number(match[1]), seconds: Number(match[2]) };
}

/** The requests of wrk are made once, before the load. */
function writeWrkScript({ contentType, body }: WrkRequest): string {
  const file = join(buildFolder, "post.lua");
  const text = body.replaceAll("ORDER_ID", orderId);
  writeFileSync(
    file,
    `wrk.method = "POST"\nwrk.body = ${JSON.stringify(text)}\nwrk.headers["Content-Type"] = ${JSON.stringify(contentType)}\n`,
  );
  return file;
}

function runTool(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    let text = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (part: string) => {
        text += part;
      });
    }
    child.on("error", reject);
    child.on("close", code =>
      code === 0 ? resolve(text) : reject(new Error(`${program} ended with ${code}: ${text}`)),
    );
  });
}

async function measureInProcess(
  scenario: Scenario,
  peers: readonly Peer[],
  rows: readonly Row[],
  options: BenchOptions,
): Promise<void> {
  const argument = JSON.stringify({
    scenario: scenario.name,
    peers: peers.map(({ name }) => name),
    rounds: options.rounds,
    seconds: Math.min(options.seconds, 1),
  });
  const child = new JsonProcess([
    process.execPath,
    "--conditions=trunkline-source",
    "--expose-gc",
    join(benchFolder, scenario.group === "codec" ? "loads/codec.ts" : "loads/guard.ts"),
    argument,
  ]);
  try {
    const samples = await child.next<Record<string, Sample[]>>();
    for (const row of rows) row.samples.push(...(samples[row.peer] ?? []));
  } catch (error) {
    for (const row of rows) row.failure = failureOf(error);
  } finally {
    await child.stop();
  }
}

/** What one more connection, or one more stream on connections that are there already, costs a fresh server. */
async function weigh(scenario: Scenario, peer: Peer): Promise<Sample> {
  const streams = scenario.name === "open-stream";
  const connections = streams ? scenario.concurrency / streamsPerConnection : scenario.concurrency;
  const server = new JsonProcess(commandOf(peer, "server", ["--expose-gc"]), peer.environment);
  const held: JsonProcess[] = [];
  try {
    const { port } = await server.next<{ port: number }>();
    const hold = async (count: number, streamsPerConnection: number) => {
      const argument = JSON.stringify({ port, connections: count, streamsPerConnection });
      const holder = new JsonProcess([process.execPath, join(benchFolder, "loads/hold-open.ts"), argument]);
      held.push(holder);
      await holder.next<{ open: number }>();
    };
    // Compiled code and first-use tables belong to the server, not to a connection.
    await hold(50, streams ? streamsPerConnection : 0);
    await held.pop()?.stop();
    if (streams) await hold(connections, 0);
    const before = await server.ask<ServerStats>("gc");
    if (streams) await held.pop()?.stop();
    await hold(connections, streams ? streamsPerConnection : 0);
    const after = await server.ask<ServerStats>("gc");
    return {
      heapBytesEach: (after.heapBytes - before.heapBytes) / scenario.concurrency,
      rssBytesEach: (after.rssBytes - before.rssBytes) / scenario.concurrency,
    };
  } finally {
    await Promise.all([...held.map(holder => holder.stop()), server.stop()]);
  }
}
