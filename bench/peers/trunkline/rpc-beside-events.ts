import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { connectBroker, on } from "trunkline/events";
import { createServer, implement } from "../../../src/exports/index.ts";
import { OrderService } from "../../gen/bench_pb.ts";
import type { LoadOptions, LoadResult } from "../protocol/drive.ts";
import { contractOf, type EventsSample, type EventsTask, eventOf } from "../protocol/events.ts";
import { createdAtMs, plainOrder } from "../protocol/order.ts";

const eventsPerSecond = 10_000;
const burstMs = 1;

/**
 * A server whose client makes one call after the other; with events, the same process publishes to the embedded broker and
 * handles what it publishes, as the handlers of a busy service do: a few at a time, none awaited before the next.
 */
export async function callsOfServer(task: EventsTask, hasEvents: boolean): Promise<EventsSample> {
  const server = createServer({
    services: [
      implement(OrderService, {
        getOrder: request => ({ ...plainOrder(request.orderId), createdAt: BigInt(createdAtMs) }),
        echo: request => ({ payload: request.payload }),
        async *streamOrders() {},
        async *watch() {},
      }),
    ],
  });
  const { port } = await server.listen({ port: 0, host: "127.0.0.1" });
  const seconds = task.events / eventsPerSecond;
  const events = hasEvents ? await publishAndHandle(task) : undefined;
  const {
    operations,
    seconds: took,
    p50Us,
    p99Us,
  } = await call({
    port,
    scenario: "unary-1",
    warmupSeconds: 1,
    seconds,
    concurrency: 1,
  });
  const handled = events?.() ?? 0;
  // A broker that fell behind would be no load.
  if (hasEvents && handled < eventsPerSecond * seconds * 0.9) throw new Error(`only ${handled} events were handled`);
  return { perSecond: operations / took, p50Us, p99Us };
}

/** @returns how many were handled so far */
async function publishAndHandle(task: EventsTask): Promise<() => number> {
  const { PlacedSchema } = contractOf(task);
  const broker = await connectBroker(`sqlite:${join(task.folder, "events.db")}`, { source: "/bench" });
  let handled = 0;
  await broker.subscribe(
    { group: "bench", concurrency: 64 },
    on(PlacedSchema, () => void handled++),
  );
  let published = 0;
  const startMs = performance.now();
  setInterval(() => {
    const due = ((performance.now() - startMs) / 1_000) * eventsPerSecond;
    while (published < due) void broker.publish(PlacedSchema, eventOf(published++));
  }, burstMs);
  return () => handled;
}

/** The client is a process of its own. */
async function call(options: LoadOptions): Promise<LoadResult> {
  const program = join(import.meta.dirname, "client.ts");
  const args = ["--conditions=trunkline-source", program, JSON.stringify(options)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  for await (const line of createInterface({ input: child.stdout })) {
    const said = JSON.parse(line) as LoadResult | { readonly measuring: true };
    if ("p99Us" in said) return said;
  }
  throw new Error("the client has ended without a result");
}
