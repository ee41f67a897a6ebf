import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Producer } from "@platformatic/kafka";
import { ledger } from "../../src/events/conformance/ledger.ts";
import { type Broker, connectBroker, on } from "../../src/events/index.ts";
import { systemPlatform } from "../../src/platform/index.ts";
import { type Kafka, skipWithoutOwn, startKafka, uniqueName } from "../servers/index.ts";

const waitMs = 90_000;
const pause = (ms: number) => new Promise<void>(resolve => systemPlatform.clock.after(ms, resolve, true));

async function eventually(isThere: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const untilMs = systemPlatform.clock.now() + waitMs;
  while (!(await isThere())) {
    assert.ok(systemPlatform.clock.now() < untilMs, `waited ${waitMs} ms for ${what}`);
    await pause(20);
  }
}

describe("transactions of Kafka", { skip: skipWithoutOwn("kafka") }, () => {
  let kafka: Kafka;
  let broker: Broker;
  before(async () => {
    kafka = await startKafka();
    broker = await connectBroker(kafka.url, { createTopics: true, source: "/test" });
  });
  after(async () => {
    await broker.close();
    await kafka.stop();
  });

  const orders = (count: number, first = 0) =>
    Array.from({ length: count }, (_, index) => ({ account: `account-${index % 16}`, number: first + index }));

  /** Numbers that readers of committed records see, in the order of partitions. */
  function reader(topic: string) {
    const numbers: { account: string; number: number }[] = [];
    const leaving = new AbortController();
    const ended = (async () => {
      for await (const { body } of broker.tail([topic], { from: "beginning", signal: leaving.signal })) {
        const { account, number = 0 } = JSON.parse(Buffer.from(body).toString());
        numbers.push({ account, number });
      }
    })();
    return {
      numbers,
      async stop() {
        leaving.abort();
        await ended;
      },
    };
  }

  function exactlyOnceInOrder(seen: readonly { account: string; number: number }[], count: number): void {
    assert.equal(seen.length, count);
    assert.equal(new Set(seen.map(({ number }) => number)).size, count);
    const last = new Map<string, number>();
    for (const { account, number } of seen) {
      assert.ok(number > (last.get(account) ?? -1), `${account}: ${number} after ${last.get(account)}`);
      last.set(account, number);
    }
  }

  async function scene() {
    const [from, to, group] = [uniqueName("orders"), uniqueName("payments"), uniqueName("billing")];
    await broker.publish(ledger(to).PlacedSchema, { account: "first", number: 1_000_000 });
    const start = (sessionMs: number, staticId?: string) => new Member(kafka.url, from, to, group, sessionMs, staticId);
    return { from, to, group, start, placed: ledger(from).PlacedSchema };
  }

  test("a process is killed again and again in the middle of 2,000 events: readers see each output exactly once", async t => {
    const { to, start, placed } = await scene();
    await broker.publishAll(placed, orders(2_000));
    const seen = reader(to);
    let kills = 0;
    let handled = 0;
    const numbers = () => seen.numbers.filter(({ number }) => number < 1_000_000);
    while (numbers().length < 2_000) {
      // A static member: its next start ends what it has left open, instead of waiting until it is too old.
      const member = start(6_000, "one");
      await eventually(() => member.numbers.length > 0, "the first event of a process");
      // At another moment each time: in handlers, in a transaction, between two.
      await pause(60 + kills * 45);
      if (kills < 4) {
        kills++;
        member.signal("SIGKILL");
      } else {
        await eventually(() => numbers().length >= 2_000, "all outputs");
        member.signal("SIGTERM");
      }
      await member.ended;
      handled += member.numbers.length;
    }
    await pause(1_500);
    exactlyOnceInOrder(numbers(), 2_000);
    t.diagnostic(`${kills} kills, ${handled} events were handled for ${numbers().length} outputs`);
    assert.ok(handled > 2_000, "no process was killed with something in hand");
    await seen.stop();
  });

  test("a process that is stopped for longer than its session is fenced: what it had in hand comes once", async t => {
    const { to, start, placed } = await scene();
    const seen = reader(to);
    const numbers = () => seen.numbers.filter(({ number }) => number < 1_000_000);
    const zombie = start(1_500);
    let published = 0;
    const publish = async (count: number) => {
      await broker.publishAll(placed, orders(count, published));
      published += count;
    };
    await publish(200);
    await eventually(() => zombie.numbers.length > 50, "the first process");
    for (let round = 0; round < 3; round++) {
      await publish(300);
      await pause(40 * round);
      zombie.signal("SIGSTOP");
      const other = start(1_500);
      await publish(100);
      await eventually(() => other.numbers.length > 0, "the second process");
      zombie.signal("SIGCONT");
      await eventually(() => numbers().length >= published, "all outputs");
      other.signal("SIGTERM");
      await other.ended;
    }
    await pause(1_500);
    assert.equal(new Set(numbers().map(({ number }) => number)).size, numbers().length);
    assert.equal(numbers().length, published);
    t.diagnostic(`${zombie.numbers.length} events were handled by the process that was stopped, of ${published}`);
    zombie.signal("SIGKILL");
    await zombie.ended;
    await seen.stop();
  });

  for (const protocol of ["classic", "consumer"] as const) {
    test(`a member of the ${protocol} protocol publishes and commits together`, async () => {
      const { from, to, group, placed } = await scene();
      const target = ledger(to).PlacedSchema;
      const seen = reader(to);
      await broker.publishAll(placed, orders(300));
      const failed = new Set<number>();
      const subscription = await broker.subscribe(
        { group, transactions: true, kafka: { protocol }, retry: { initialDelayMs: 50 } },
        on(placed, async ({ account, number }) => {
          await broker.publish(target, { account, number });
          if (number % 50 !== 7 || failed.has(number)) return;
          failed.add(number);
          throw new Error("once");
        }),
      );
      await eventually(() => seen.numbers.length > 300, "all outputs");
      await subscription.drain();
      exactlyOnceInOrder(
        seen.numbers.filter(({ number }) => number < 1_000_000),
        300,
      );
      const lags = (await broker.groups()).filter(one => one.group === group && one.topic === from);
      assert.ok(lags.length > 0 && lags.every(({ lag }) => lag === 0), JSON.stringify(lags));
      await seen.stop();
    });
  }

  test("events of a foreign producer's transaction are handled when it is committed, and never when it is aborted", async () => {
    const { PlacedSchema, topic } = ledger(uniqueName("orders"));
    await broker.publish(PlacedSchema, { account: "a", number: 1 });
    const numbers: number[] = [];
    const subscription = await broker.subscribe(
      { group: uniqueName("billing") },
      on(PlacedSchema, ({ number }) => numbers.push(number)),
    );
    const producer = new Producer({
      clientId: "foreign",
      bootstrapBrokers: [kafka.url.replace("kafka://", "")],
      idempotent: true,
      transactionalId: uniqueName("foreign"),
    });
    const send = async (...some: number[]) => {
      const transaction = await producer.beginTransaction();
      const messages = some.map(number => ({
        topic,
        key: Buffer.from("a"),
        value: Buffer.from(JSON.stringify({ event_type: "ledger.placed", account: "a", number })),
      }));
      await transaction.send({ messages });
      return transaction;
    };
    await (await send(2, 3)).abort();
    await (await send(4, 5)).commit();
    await eventually(() => numbers.includes(5), "committed events");
    const open = await send(6);
    // Behind the open transaction, of the same key.
    await broker.publish(PlacedSchema, { account: "a", number: 7 });
    await pause(700);
    assert.deepEqual(numbers, [1, 4, 5]);
    await open.abort();
    await eventually(() => numbers.includes(7), "what lies behind");
    assert.deepEqual(numbers, [1, 4, 5, 7]);
    await producer.close();
    await subscription.drain();
  });
});

const children = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of children) child.kill("SIGKILL");
});

class Member {
  readonly numbers: number[] = [];
  readonly ended: Promise<void>;
  readonly #process: ChildProcess;

  constructor(url: string, from: string, to: string, group: string, sessionMs: number, staticId = "") {
    const script = fileURLToPath(new URL("kafka-transactional-process.ts", import.meta.url));
    const args = ["--conditions=trunkline-source", script, url, from, to, group, String(sessionMs), staticId];
    this.#process = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    createInterface({ input: this.#process.stdout as NodeJS.ReadableStream }).on("line", line => {
      if (/^[0-9]+$/.test(line)) this.numbers.push(Number(line));
    });
    children.add(this.#process);
    this.ended = new Promise(resolve =>
      this.#process.once("exit", () => {
        children.delete(this.#process);
        resolve();
      }),
    );
  }

  signal(name: "SIGKILL" | "SIGSTOP" | "SIGCONT" | "SIGTERM"): void {
    this.#process.kill(name);
  }
}
