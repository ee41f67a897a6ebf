/** The embedded broker with real processes that are killed (SIGKILL) and stopped (SIGSTOP) at any instant. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { ledger } from "../../src/events/conformance/ledger.ts";
import { connectBroker } from "../../src/events/index.ts";

const program = fileURLToPath(new URL("./embedded-process.ts", import.meta.url));

/** A file of its own, and processes on it that end with the test. */
function setting(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), "embedded-crashes-"));
  const url = `sqlite:${join(folder, "events.db")}?leaseMs=600&partitions=4`;
  const running = new Set<ChildProcess>();
  const isOver = new AbortController();
  t.after(async () => {
    isOver.abort();
    for (const child of running) await kill(child);
    rmSync(folder, { recursive: true, force: true });
  });
  const start = (role: string, argument: string, hear: (words: readonly string[]) => void): ChildProcess => {
    const child = spawn(process.execPath, ["--conditions=trunkline-source", program, role, url, argument], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    running.add(child);
    child.on("exit", () => running.delete(child));
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on("line", line => hear(line.split(" ")));
    return child;
  };
  return { url, start, isOver };
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  child.kill("SIGCONT");
  await once(child, "close");
}

async function until(isTrue: () => boolean, what: string, waitMs = 30_000): Promise<void> {
  for (const endMs = Date.now() + waitMs; !isTrue(); await pause(20)) {
    if (Date.now() > endMs) assert.fail(`waited ${waitMs} ms for ${what}`);
  }
}

test("publishers and consumers are killed and stopped again and again: nothing confirmed is lost, keys keep their order", async t => {
  const { start } = setting(t);
  const [tried, confirmed] = [new Set<number>(), new Set<number>()];
  /** Of first deliveries, by key. */
  const first = new Map<string, number[]>();
  const handled = new Set<number>();
  let last = -1;
  let deliveries = 0;
  const publish = () =>
    start("publish", String(last + 1), ([word, number]) => {
      (word === "try" ? tried : confirmed).add(Number(number));
      last = Math.max(last, Number(number));
    });
  const consume = () =>
    start("consume", "judge", ([word, key = "", number]) => {
      if (word !== "handle") return;
      deliveries++;
      if (handled.has(Number(number))) return;
      handled.add(Number(number));
      first.set(key, [...(first.get(key) ?? []), Number(number)]);
    });
  let publisher = publish();
  const consumers = [consume(), consume()];
  const rounds = 12;
  for (let round = 0; round < rounds; round++) {
    // Each works for a while before the next falls.
    const goal = handled.size + 50;
    await until(() => handled.size >= goal, "progress");
    await pause(Math.random() * 200);
    const index = round % 2;
    if (round % 3 === 0) {
      await kill(publisher);
      publisher = publish();
    } else if (round % 3 === 1) {
      await kill(consumers[index] as ChildProcess);
      consumers[index] = consume();
    } else {
      // Longer than its lease: others take over, and what it says afterwards counts for nothing.
      const stopped = consumers[index];
      stopped?.kill("SIGSTOP");
      setTimeout(() => stopped?.kill("SIGCONT"), 900);
    }
  }
  await kill(publisher);
  await until(() => [...confirmed].every(number => handled.has(number)), "all that was confirmed");
  assert.ok(confirmed.size > 100, `${confirmed.size} confirmed`);
  for (const number of handled) assert.ok(tried.has(number), `${number} was never published`);
  for (const [key, numbers] of first) {
    assert.deepEqual(
      numbers,
      numbers.toSorted((one, other) => one - other),
      `order of ${key}`,
    );
  }
  t.diagnostic(
    `${rounds} kills and stops, ${confirmed.size} confirmed, ${handled.size} handled, ${deliveries - handled.size} again`,
  );
});

test("an event that kills its process is a dead letter after its attempts, and those beside it are handled", async t => {
  const { url, start, isOver } = setting(t);
  const { PlacedSchema } = ledger("ledger");
  const broker = await connectBroker(url);
  t.after(() => broker.close());
  const poison = { account: "bad", number: 5_000, note: "poison" };
  const good = Array.from({ length: 200 }, (_, number) => ({ account: `account-${number % 20}`, number }));
  await broker.publishAll(PlacedSchema, [...good.slice(0, 100), poison, ...good.slice(100)]);
  const attempts: number[] = [];
  const handled = new Set<number>();
  const consume = () => {
    const child = start("consume", "judge", ([word, key, number, attempt]) => {
      if (word !== "handle") return;
      if (key === "bad") attempts.push(Number(attempt));
      else handled.add(Number(number));
    });
    child.on("exit", () => {
      if (!isOver.signal.aborted) consume();
    });
  };
  consume();
  const letters = () => Array.fromAsync(broker.deadLetters({ group: "judge" }));
  for (const endMs = Date.now() + 30_000; (await letters()).length === 0; await pause(50)) {
    assert.ok(Date.now() < endMs, `no dead letter after attempts ${attempts.join(", ")}`);
  }
  await until(() => handled.size === 200, "the others");
  isOver.abort();
  const [letter, ...others] = await letters();
  assert.deepEqual(others, []);
  assert.deepEqual([letter?.key, letter?.reason, letter?.attempts], ["bad", "attempts", 4]);
  assert.deepEqual(attempts, [0, 1, 2, 3]);
});
