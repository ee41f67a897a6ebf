import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Health } from "../src/contract/gen/grpc/health/v1/health_pb.ts";
import { type ClientOptions, createClient, createServer, isRpcError } from "../src/exports/index.ts";
import type { ByteStream } from "../src/platform/index.ts";
import { memoryPlatform } from "../src/wire/transport/index.ts";

const platform = memoryPlatform();
let nextPort = 5000;

type Direction = "request" | "answer";

/** Passes bytes on between a client and a server, and destroys the connection behind the given number in one direction. */
class Cutter {
  readonly direction: Direction;
  readonly bytesMax: number;
  passed = 0;

  constructor(direction: Direction, bytesMax: number) {
    this.direction = direction;
    this.bytesMax = bytesMax;
  }

  async listen(upstream: number): Promise<number> {
    const port = nextPort++;
    await platform.network.listen({ host: "127.0.0.1", port }, client => void this.#join(client, upstream));
    return port;
  }

  async #join(client: ByteStream, upstream: number): Promise<void> {
    const early: Buffer[] = [];
    const collect = (chunk: Buffer): void => void early.push(Buffer.from(chunk));
    client.handler = { data: collect, drained() {}, ended() {}, closed() {} };
    const server = await platform.network.connect({ host: "127.0.0.1", port: upstream });
    const pass = (from: ByteStream, to: ByteStream, direction: Direction) => (chunk: Buffer) => {
      if (direction !== this.direction) {
        to.write(Buffer.from(chunk));
        return;
      }
      const allowed = Math.min(chunk.length, this.bytesMax - this.passed);
      this.passed += allowed;
      if (allowed > 0) to.write(Buffer.from(chunk.subarray(0, allowed)));
      if (this.passed < this.bytesMax) return;
      from.destroy();
      to.destroy();
    };
    const forward = pass(client, server, "request");
    const other = (stream: ByteStream) => ({ drained() {}, ended: () => stream.end(), closed: () => stream.destroy() });
    client.handler = { data: forward, ...other(server) };
    server.handler = { data: pass(server, client, "answer"), ...other(client) };
    for (const chunk of early) forward(chunk);
  }
}

const variants: readonly (ClientOptions & { readonly name: string })[] = [
  { name: "gRPC", protocol: "grpc" },
  { name: "gRPC-Web over HTTP/1.1", protocol: "grpc-web", httpVersion: "1.1" },
  { name: "Connect over HTTP/1.1", protocol: "connect", httpVersion: "1.1" },
];

describe("a connection cut at any byte", async () => {
  const server = createServer({ services: [], platform });
  const { port } = await server.listen({ host: "127.0.0.1", port: nextPort++ });

  /** One call of each kind through a connection that is cut; answers how many bytes had passed. */
  async function callThrough(options: ClientOptions, direction: Direction, bytesMax: number): Promise<number> {
    const cutter = new Cutter(direction, bytesMax);
    const client = createClient(Health, `127.0.0.1:${await cutter.listen(port)}`, { ...options, platform });
    const unary = client.check({}, { timeoutMs: 5_000 }).then(
      () => "answered",
      (error: unknown) => error,
    );
    const stream = (async () => {
      for await (const _ of client.watch({}, { timeoutMs: 5_000 })) return "answered";
      return "ended";
    })().catch((error: unknown) => error);
    for (const outcome of await Promise.all([unary, stream])) {
      if (typeof outcome === "string") assert.equal(outcome, "answered");
      else assert(isRpcError(outcome, "unavailable", "internal", "cancelled"), String((outcome as Error).stack));
    }
    return cutter.passed;
  }

  for (const { name, ...options } of variants) {
    for (const direction of ["request", "answer"] as const) {
      test(`${name}, ${direction}: both sides come to an end, and the next call is served`, async () => {
        const total = await callThrough(options, direction, Number.POSITIVE_INFINITY);
        assert(total > 50);
        for (let bytes = 1; bytes <= total; bytes++) await callThrough(options, direction, bytes);
        while (server.activeCalls > 0) {
          await new Promise<void>(resolve => {
            setImmediate(resolve);
          });
        }
        await createClient(Health, `127.0.0.1:${port}`, { platform }).check({}, { timeoutMs: 5_000 });
      });
    }
  }
});
