import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Health } from "../src/contract/gen/grpc/health/v1/health_pb.ts";
import {
  type Channel,
  type ClientOptions,
  createChannel,
  createClient,
  createServer,
  isRpcError,
} from "../src/exports/index.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const streams = 100_000;
const together = 100;
const growthBytesMax = 6 * 1024 * 1024;

/** mulberry32 */
function dice(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Opens a stream that would never end and cuts it in one of the ways in which streams are cut. */
async function cutStream(channel: Channel, next: () => number): Promise<void> {
  const controller = new AbortController();
  const way = next();
  const turns = Math.floor(next() * 4);
  const options = way < 0.1 ? { timeoutMs: 1 } : { signal: controller.signal };
  const reading = (async () => {
    for await (const _ of createClient(Health, channel).watch({}, options)) if (way > 0.4) break;
  })().catch((error: unknown) => error);
  if (way >= 0.1 && way <= 0.4) {
    for (let turn = 0; turn < turns; turn++) {
      await new Promise<void>(resolve => {
        setImmediate(resolve);
      });
    }
    controller.abort();
  }
  const error = await reading;
  if (error !== undefined && !isRpcError(error, "cancelled", "deadline_exceeded", "unavailable")) throw error;
}

const variants: readonly Pick<ClientOptions, "protocol" | "httpVersion">[] = [
  { protocol: "grpc" },
  { protocol: "connect", httpVersion: "2" },
  { protocol: "grpc-web", httpVersion: "1.1" },
];

test("a hundred thousand streams cut at random leave memory where it was", { timeout: 120_000 }, async t => {
  const seed = Number(process.env["TRUNKLINE_SEED"] ?? Math.floor(Math.random() * 1e9));
  t.diagnostic(`seed ${seed}`);
  const next = dice(seed);
  await using server = createServer({ services: [] });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  const heldBytes = (): number => {
    collectGarbage();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  let before = 0;
  const batches = streams / together;
  for (let batch = 0; batch < batches; batch++) {
    // The first tenth warms up: code is compiled, buffers reach their size.
    if (batch === batches / 10) before = heldBytes();
    const variant = variants[batch % 10 === 0 ? 2 : batch % 2] as (typeof variants)[number];
    const channel = createChannel(`127.0.0.1:${port}`, variant);
    const cuts = Array.from({ length: together }, () => cutStream(channel, next));
    // Now and then it is the connection that is cut, with all that is on it.
    if (next() < 0.1) setImmediate(() => channel.close());
    await Promise.all(cuts);
    channel.close();
  }
  while (server.activeCalls > 0) {
    await new Promise<void>(resolve => {
      setImmediate(resolve);
    });
  }
  const growth = heldBytes() - before;
  t.diagnostic(`${(growth / 1024).toFixed(0)} KiB more are held after ${streams} streams`);
  assert(growth <= growthBytesMax, `${growth} bytes more are held`);
});
