/**
 * A group that is far behind: memory of a consumer with a backlog of a million events (or as many as its argument says), of
 * 300 bytes each with headers. Prints resident memory after each tenth: it must not grow with
 * what was read.
 *
 *     node --conditions=trunkline-source bench/kafka-backlog.ts [events]
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { ledger } from "../src/events/conformance/ledger.ts";
import { connectBroker, on } from "../src/events/index.ts";
import { startKafka } from "../test/servers/index.ts";

const [events = 1_000_000, url, topic] = [Number(process.argv[2] ?? 1_000_000), process.argv[3], process.argv[4]];
const say = (line: string) => process.stdout.write(`${line}\n`);
const megabytes = () => Math.round(process.memoryUsage.rss() / 1_048_576);

if (url === undefined || topic === undefined) {
  const kafka = await startKafka();
  const { PlacedSchema, topic: made } = ledger(`backlog-${Date.now()}`);
  const broker = await connectBroker(kafka.url, { createTopics: true });
  const padding = Buffer.alloc(90, 7);
  for (let first = 0; first < events; first += 50_000) {
    const numbers = Array.from({ length: Math.min(50_000, events - first) }, (_, index) => first + index);
    await broker.publishAll(
      PlacedSchema,
      numbers.map(number => ({ account: `account-${number % 1_000}`, number, padding })),
    );
  }
  await broker.close();
  const script = process.argv[1] ?? "";
  const args = ["--conditions=trunkline-source", script, String(events), kafka.url, made];
  const consumer = spawn(process.execPath, args, { stdio: "inherit" });
  await once(consumer, "exit");
  await kafka.stop();
} else {
  const { PlacedSchema } = ledger(topic);
  const broker = await connectBroker(url, { createTopics: true });
  const { promise, resolve } = Promise.withResolvers<void>();
  const start = performance.now();
  let handled = 0;
  const memory: number[] = [];
  await broker.subscribe(
    { group: `backlog-${topic}`, concurrency: 64 },
    on(PlacedSchema, () => {
      handled++;
      if (handled % Math.floor(events / 10) === 0) memory.push(megabytes());
      if (handled === events) resolve();
    }),
  );
  await promise;
  const perSecond = Math.round((events / (performance.now() - start)) * 1_000);
  say(`backlog of ${events} events: ${memory.join(", ")} MiB after each tenth; ${perSecond}/s`);
  await broker.close();
}
