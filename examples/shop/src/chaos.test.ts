import assert from "node:assert/strict";
import { test } from "node:test";
import { runShop } from "./black-box/running-shop.ts";
import type { Figures, Target } from "./chaos/figures.ts";
import { portOf } from "./processes/services.ts";

const offset = -26_000;

interface Report {
  readonly seed: number;
  readonly phases: Readonly<Record<string, Figures>>;
  readonly all: Figures;
  readonly targets: readonly Target[];
  readonly isMet: boolean;
}

async function nobodyListens(at: number): Promise<void> {
  for (const port of [portOf("order-service", at), ...[1, 2, 3].map(n => portOf("customer-service", at, n))]) {
    await assert.rejects(fetch(`http://127.0.0.1:${port}/livez`), `port ${port}`);
  }
}

// The share of answers with their customer and all times are for a machine that has nothing else to do: here the tests of other
// files run at the same time. That every read is answered, whoever dies, is true on any.
test("every read is answered while instances are killed, paused, restarted, and all gone; nothing stays behind", async () => {
  const chaos = runShop("chaos.ts", offset, ["--seconds", "3", "--seed", "3", "--json"]);
  const [output] = await Promise.all([chaos.output(), chaos.closed]);
  assert.equal(chaos.errors(), "");
  const report = JSON.parse(output) as Report;
  assert.deepEqual(Object.keys(report.phases), ["steady", "kill", "restart", "pause", "all paused", "all stopped"]);
  for (const [name, { reads, success }] of Object.entries(report.phases)) {
    assert.ok(reads > 50, `${name}: ${reads} reads`);
    assert.equal(success, 1, name);
  }
  // One instance in three is away for most of the time: a fifth of the answers would lack their customer if nobody tried another
  // one. What a machine that is too busy for three instances costs shows in the steady phase, too.
  const { whole, amplification } = report.all;
  const lostAnyway = 1 - (report.phases["steady"]?.whole ?? 0);
  assert.ok(whole >= 0.9 - 3 * lostAnyway, `${whole} with their customer, ${1 - lostAnyway} when nothing is troubled`);
  // Retries have a budget of 20 % and 10 a second; whatever lacks its customer may have been no request.
  assert.ok(amplification >= whole - 0.1 && amplification <= 1.25, `amplification ${amplification}`);
  assert.equal(report.phases["kill"]?.restarts, 1);
  assert.equal(report.phases["restart"]?.restarts, 1);
  assert.equal(report.phases["pause"]?.restarts, 0);
  assert.equal(report.phases["all paused"]?.whole, 0);
  assert.equal(report.phases["all stopped"]?.whole, 0);
  assert.equal(
    report.isMet,
    report.targets.every(({ isMet }) => isMet),
  );
  assert.deepEqual(await chaos.closed, [report.isMet ? 0 : 1, null]);
  await nobodyListens(offset);
});

test("Ctrl-C leaves no process behind, also while one is paused", async () => {
  const at = offset + 100;
  const chaos = runShop("chaos.ts", at, ["--seconds", "6", "--seed", "1"]);
  await chaos.until("pause:");
  chaos.child.kill("SIGINT");
  assert.deepEqual(await chaos.closed, [130, null]);
  await nobodyListens(at);
});

test("what cannot be is a usage error that names the option", async () => {
  for (const [parameters, environment, expected] of [
    [["--seconds", "2"], {}, /^--seconds: expected a whole number from 3 to 3600, got "2"/],
    [["--seconds", "x"], {}, /^--seconds: .* got "x"/],
    [["--seed", "-1"], {}, /--seed/],
    [["--seed", "1.5"], {}, /^--seed: expected a whole number from 0 to 4294967295, got "1.5"/],
    [["--nonsense"], {}, /--nonsense/],
    [[], { PORT_OFFSET: "x" }, /^PORT_OFFSET "x" must be/],
  ] as const) {
    const chaos = runShop("chaos.ts", offset, parameters, environment);
    assert.deepEqual(await chaos.closed, [2, null]);
    assert.match(chaos.errors(), expected);
  }
});
