// Half load for a long time, with cut calls, streams and connections: memory must not grow after the warm-up.
// `node --expose-gc --conditions=trunkline-source bench/soak.ts [minutes, 60 by default]`; exit code 1 when it grew.
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { createChannel, createClient, createServer, implement, isRpcError } from "../src/exports/index.ts";
import { OrderService } from "./gen/bench_pb.ts";
import { createdAtMs, plainOrder } from "./peers/protocol/order.ts";

const minutes = Number(process.argv[2] ?? 60);
const growthBytesMax = 4 * 1024 * 1024;
const workers = 32;
const steps = 10;
const collectGarbage = globalThis.gc;
if (collectGarbage === undefined || !(minutes > 0)) {
  process.stderr.write("usage: node --expose-gc --conditions=trunkline-source bench/soak.ts [minutes]\n");
  process.exit(2);
}

const order = (id: string) => ({ ...plainOrder(id), createdAt: BigInt(createdAtMs) });
const server = createServer({
  services: [
    implement(OrderService, {
      getOrder: request => order(request.orderId),
      async *streamOrders(request) {
        for (let sent = 1; sent <= request.count; sent++) yield order(`order-${sent}`);
      },
    }),
  ],
});
const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
let channel = createChannel(`127.0.0.1:${port}`);
let calls = 0;
let cuts = 0;
let pauseMs = 1;

/** One call, or a stream; every tenth is cut on its way. */
async function step(): Promise<void> {
  const client = createClient(OrderService, channel);
  const controller = new AbortController();
  const isCut = Math.random() < 0.1;
  calls++;
  try {
    if (Math.random() < 0.9) {
      const running = client.getOrder({ orderId: "order-123456" }, { signal: controller.signal });
      if (isCut) setImmediate(() => controller.abort());
      await running;
    } else {
      for await (const _ of client.streamOrders({ count: 100 })) if (isCut) break;
    }
    if (isCut) cuts++;
  } catch (error) {
    if (!isRpcError(error, "cancelled", "unavailable")) throw error;
    cuts++;
  }
}

const end = performance.now() + minutes * 60_000;
async function worker(): Promise<void> {
  while (performance.now() < end) {
    for (let n = 0; n < 20; n++) await step();
    await sleep(pauseMs);
  }
}

/** Keeps the event loop busy for half of the time, and cuts all connections now and then. */
async function pace(): Promise<void> {
  let before = performance.eventLoopUtilization();
  while (performance.now() < end) {
    await sleep(1_000);
    const { utilization } = performance.eventLoopUtilization(before);
    before = performance.eventLoopUtilization();
    pauseMs = Math.max(1, pauseMs * (utilization > 0.5 ? 1.2 : 0.85));
    const old = channel;
    if (Math.random() < 0.2) {
      channel = createChannel(`127.0.0.1:${port}`);
      old.close();
    }
  }
}

async function weigh(): Promise<number> {
  for (let round = 0; round < 4; round++) {
    await collectGarbage?.({ execution: "async" });
    await sleep(1);
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const running = Promise.all([pace(), ...Array.from({ length: workers }, worker)]);
let first = 0;
let growth = 0;
for (let n = 1; n <= steps; n++) {
  await sleep((minutes * 60_000) / steps - 100);
  const bytes = await weigh();
  if (n === 1) first = bytes;
  growth = bytes - first;
  const mebibytes = (bytes / 2 ** 20).toFixed(2);
  process.stdout.write(`${n * 10} %: ${calls} calls, ${cuts} cut, ${mebibytes} MiB, pause ${pauseMs.toFixed(1)} ms\n`);
}
await running;
channel.close();
await server.close();
const hasGrown = growth > growthBytesMax;
process.stdout.write(
  `${(growth / 1024).toFixed(0)} KiB more after ${calls} calls: ${hasGrown ? "it grows" : "no growth"}\n`,
);
process.exit(hasGrown ? 1 : 0);
