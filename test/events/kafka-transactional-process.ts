/**
 * A member of a transactional group as a process of its own, for tests that kill or stop it: publishes for each event of one
 * topic one of the same number to another, and prints the number. Arguments: URL, topic, other topic, group, session time-out, id of a static member.
 */
import process from "node:process";
import { ledger } from "../../src/events/conformance/ledger.ts";
import { connectBroker, on } from "../../src/events/index.ts";

const [url = "", from = "", to = "", group = "", sessionMs = "3000", staticId = ""] = process.argv.slice(2);
const member = staticId === "" ? {} : { staticMemberId: staticId };
const broker = await connectBroker(url, { createTopics: true });
const target = ledger(to).PlacedSchema;
const subscription = await broker.subscribe(
  { group, transactions: true, concurrency: 32, kafka: { sessionTimeoutMs: Number(sessionMs), ...member } },
  on(ledger(from).PlacedSchema, async ({ account, number }) => {
    await broker.publish(target, { account, number });
    process.stdout.write(`${number}\n`);
  }),
);
process.stdout.write("ready\n");
await subscription.ended;
