import { setTimeout as sleep } from "node:timers/promises";
import { Health } from "../../src/contract/gen/grpc/health/v1/health_pb.ts";
import { type DiscoveryOptions, discover } from "../../src/exports/discovery.ts";
import {
  createChannel,
  createClient,
  createServer,
  type Platform,
  type Server,
  systemPlatform,
} from "../../src/exports/index.ts";

const grpcCallers = 8;
const httpCallers = 4;
const pauseMs = 15;

/** A server that says who it is, in gRPC and in plain HTTP. */
export async function startServer(id: string, host: string, port: number): Promise<{ server: Server; port: number }> {
  const server = createServer({
    services: [],
    interceptors: [
      (call, next) => {
        call.responseHeaders.set("x-server", id);
        return next();
      },
    ],
    fetch: () => new Response(id),
  });
  return { server, port: (await server.listen({ host, port })).port };
}

/** Callers of a target that never rest: gRPC over one channel, plain HTTP over another, with no retries but the channel's own. */
export class Load implements AsyncDisposable {
  readonly channel;
  readonly service;
  calls = 0;
  readonly failures: string[] = [];
  /** The servers that have answered to the callers of each channel: the two follow the target each for itself. */
  readonly #seen = { rpc: new Set<string>(), http: new Set<string>() };
  readonly #callers: Promise<void>[] = [];
  #isStopped = false;

  constructor(target: string, discovery: DiscoveryOptions = {}, platform: Platform = systemPlatform) {
    this.channel = createChannel(target, { discovery, platform });
    this.service = discover(target, { discovery, platform });
    const health = createClient(Health, this.channel);
    const rpc = async () => {
      let id = "";
      const onHeaders = (headers: { get(name: string): unknown }) => {
        id = String(headers.get("x-server"));
      };
      await health.check({}, { timeoutMs: 5_000, onHeaders });
      return id;
    };
    const http = async () => (await this.service.fetch("/who", { timeoutMs: 5_000 })).text();
    for (let index = 0; index < grpcCallers; index++) this.#callers.push(this.#run(rpc, this.#seen.rpc));
    for (let index = 0; index < httpCallers; index++) this.#callers.push(this.#run(http, this.#seen.http));
  }

  /** The servers that answered in the next `ms`, sorted; both kinds of callers must agree on them. */
  async serversFor(ms: number): Promise<string> {
    this.#seen.rpc.clear();
    this.#seen.http.clear();
    await sleep(ms);
    const [rpc, http] = [this.#seen.rpc, this.#seen.http].map(ids => [...ids].sort().join()) as [string, string];
    return rpc === http ? rpc : `${rpc} (gRPC), ${http} (HTTP)`;
  }

  /** Waits until exactly these servers answer, to both kinds of callers. @throws Error when they do not in time */
  async until(servers: string, withinMs: number): Promise<number> {
    const startMs = performance.now();
    let seen = "";
    while (performance.now() - startMs < withinMs) {
      seen = await this.serversFor(200);
      if (seen === servers) return Math.round(performance.now() - startMs);
    }
    throw new Error(`answers came from "${seen}", expected "${servers}" within ${withinMs} ms`);
  }

  /** @throws Error when a call has failed since the last time; answers how many there were */
  expectNoFailure(): string {
    if (this.failures.length > 0) {
      const [first] = this.failures;
      const count = this.failures.length;
      this.failures.length = 0;
      throw new Error(`${count} calls failed, the first with: ${first}`);
    }
    return `${this.calls} calls, none failed`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#callers);
    this.channel.close();
    this.service.close();
  }

  async #run(call: () => Promise<string>, seen: Set<string>): Promise<void> {
    while (!this.#isStopped) {
      try {
        seen.add(await call());
      } catch (error) {
        this.failures.push(String(error));
      }
      this.calls++;
      await sleep(pauseMs);
    }
  }
}
