import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile);

/** A program with a subscription whose first attempt fails, and with nothing else to keep it. */
const program = (options: string) => `
  import { ledger } from "./src/events/conformance/ledger.ts";
  import { on } from "./src/events/handler.ts";
  import { connectBroker } from "./src/events/index.ts";
  const { PlacedSchema } = ledger("ledger");
  const broker = await connectBroker("memory:");
  const { promise, resolve } = Promise.withResolvers();
  await broker.subscribe(
    { group: "g", retry: { immediate: 0, initialDelayMs: 200 }, ...${options} },
    on(PlacedSchema, (_event, { attempt }) => {
      if (attempt === 0) throw new Error("not yet");
      resolve();
    }),
  );
  await broker.publish(PlacedSchema, { account: "a" });
  await promise;
  console.log("handled");
  await broker.close();
`;

for (const options of ["{}", '{ order: "none", onFailure: "unordered" }']) {
  test(`an unsettled await: the process does not end before another attempt, with ${options}`, async () => {
    const args = ["--conditions=trunkline-source", "--input-type=module", "--eval", program(options)];
    const { stdout } = await run(process.execPath, args, { timeout: 20_000 });
    assert.equal(stdout, "handled\n");
  });
}
