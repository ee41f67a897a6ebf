/**
 * A publisher or a consumer of the embedded broker as a process that can be killed at any instant. It tells what has happened
 * in lines on its standard output, each written before it goes on: `try n`, `confirmed n`; `handle key n attempt`.
 *
 *     node embedded-process.ts publish URL FIRST
 *     node embedded-process.ts consume URL GROUP
 */
import { writeSync } from "node:fs";
import process from "node:process";
import { ledger } from "../../src/events/conformance/ledger.ts";
import { connectBroker, on } from "../../src/events/index.ts";

const [role, url = "", argument = ""] = process.argv.slice(2);
const { PlacedSchema } = ledger("ledger");

/** Before anything else happens; a pipe that is full for the moment is tried again. */
function tell(line: string): void {
  for (;;) {
    try {
      writeSync(1, `${line}\n`);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
    }
  }
}

const broker = await connectBroker(url);

if (role === "publish") {
  for (let number = Number(argument); ; ) {
    const confirmed: Promise<void>[] = [];
    for (let count = 0; count < 20; count++, number++) {
      const mine = number;
      tell(`try ${mine}`);
      confirmed.push(
        broker
          .publish(PlacedSchema, { account: `account-${mine % 7}`, number: mine })
          .then(() => void tell(`confirmed ${mine}`)),
      );
    }
    await Promise.all(confirmed);
  }
} else {
  await broker.subscribe(
    { group: argument, concurrency: 8, retry: { maxAttempts: 4 } },
    on(PlacedSchema, async ({ account, number, note }, { attempt }) => {
      tell(`handle ${account} ${number} ${attempt}`);
      if (note === "poison") process.kill(process.pid, "SIGKILL");
      await new Promise<void>(resolve => {
        setTimeout(resolve, number % 3);
      });
    }),
  );
  tell("subscribed");
}
