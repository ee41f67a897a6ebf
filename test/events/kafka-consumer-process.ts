/**
 * A member of a group as a process of its own, for tests that kill or stop it: prints the number of each event that it has
 * handled. Arguments: URL, topic, group, session time-out in milliseconds, time that a handler takes.
 */
import process from "node:process";
import { ledger } from "../../src/events/conformance/ledger.ts";
import { connectBroker, on } from "../../src/events/index.ts";
import { systemPlatform } from "../../src/platform/index.ts";

const [url = "", topic = "", group = "", sessionMs = "3000", handlerMs = "5"] = process.argv.slice(2);
const { PlacedSchema } = ledger(topic);
const broker = await connectBroker(url, { createTopics: true });
await broker.subscribe(
  { group, concurrency: 8, kafka: { sessionTimeoutMs: Number(sessionMs) } },
  on(PlacedSchema, async ({ number }) => {
    await new Promise<void>(resolve => systemPlatform.clock.after(Number(handlerMs), resolve, true));
    process.stdout.write(`${number}\n`);
  }),
);
process.stdout.write("ready\n");
