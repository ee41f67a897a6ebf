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
  /** Answers by server since the last `reset`. */
  readonly seen = new Map<string, number>();
  calls = 0;
  readonly failures: string[] = [];
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
    for (let index = 0; index < grpcCallers; index++) this.#callers.push(this.#run(rpc));
    for (let index = 0; index < httpCallers; index++) this.#callers.push(this.#run(http));
  }

  reset(): void {
    this.seen.clear();
  }

  /** The servers that answered in the next `ms`, sorted. */
  async serversFor(ms: number): Promise<string> {
    this.reset();
    await sleep(ms);
    return [...this.seen.keys()].sort().join();
  }

  /** Waits until exactly these servers answer. @throws Error when they do not in time */
  async until(servers: string, withinMs: number): Promise<number> {
    const startMs = performance.now();
    let seen = "";
    while (performance.now() - startMs < withinMs) {
      seen = await this.serversFor(200);
      if (seen === servers) return Math.round(performance.now() - startMs);
    }
    throw new Error(`answers came from "${seen}", expected "${servers}" within ${withinMs} ms`);
  }

  /**
   * Waits until the channel of the gRPC callers knows so many endpoints: the two channels follow the target each for
   * itself, and answers may come through the other one first. @throws Error when it does not in time
   */
  async untilEndpoints(count: number, withinMs: number): Promise<void> {
    const startMs = performance.now();
    while (this.channel.endpoints().length !== count) {
      const known = this.channel.endpoints().length;
      if (performance.now() - startMs > withinMs) throw new Error(`${known} endpoints are known, expected ${count}`);
      await sleep(20);
    }
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

  async #run(call: () => Promise<string>): Promise<void> {
    while (!this.#isStopped) {
      try {
        const id = await call();
        this.seen.set(id, (this.seen.get(id) ?? 0) + 1);
      } catch (error) {
        this.failures.push(String(error));
      }
      this.calls++;
      await sleep(pauseMs);
    }
  }
}
