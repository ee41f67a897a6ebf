import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { promisify } from "node:util";

// The shop's services were awaiting `connectBroker` while Kafka was away, and ended with code 13 in the pause before another
// attempt, because nothing else kept them alive.
test("a process that awaits a pause before another attempt lives to see its end", async () => {
  const program = `
    import { systemPlatform } from ${JSON.stringify(new URL("../../../platform/index.ts", import.meta.url))};
    import { pause } from ${JSON.stringify(new URL("./pause.ts", import.meta.url))};
    await pause(systemPlatform.clock, 20);
    process.stdout.write("over");
  `;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", program]);
  assert.equal(stdout, "over");
});
