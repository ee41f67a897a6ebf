/** The commands for events and dead letters do the same on every broker; `src/cli` has their options and messages. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { run } from "../../src/cli/recorded-terminal.fixture.ts";
import { type Ledger, ledger } from "../../src/events/conformance/ledger.ts";
import { on } from "../../src/events/handler.ts";
import { type Broker, connectBroker, Discard } from "../../src/events/index.ts";
import { jsonLines } from "../cli/virtual-broker.ts";
import { sharedKafka, sharedRabbitmq, skipWithout, uniqueName } from "../servers/index.ts";

interface Carrier {
  readonly name: string;
  readonly skip: string | false;
  readonly start: () => Promise<{ readonly url: string } & AsyncDisposable>;
}

const carriers: readonly Carrier[] = [
  { name: "the embedded broker", skip: false, start: embedded },
  { name: "RabbitMQ", skip: skipWithout("rabbitmq"), start: sharedRabbitmq },
  { name: "Kafka", skip: skipWithout("kafka"), start: sharedKafka },
];

async function embedded() {
  const folder = mkdtempSync(join(tmpdir(), "trunkline-cli-"));
  return {
    url: `sqlite:${join(folder, "events.db")}`,
    [Symbol.asyncDispose]: async () => rmSync(folder, { recursive: true }),
  };
}

for (const { name, skip, start } of carriers) {
  describe(`the command line on ${name}`, { skip }, () => {
    let carrier: Awaited<ReturnType<Carrier["start"]>>;
    before(async () => {
      carrier = await start();
    });
    after(() => carrier[Symbol.asyncDispose]());

    test("events are published, seen, counted, die, and are corrected, replayed and discarded", async t => {
      const bench = await Bench.start(t, carrier.url);
      const { cli, topic, group } = bench;

      const tailing = cli("events", "tail", topic, "--limit", "4", "--idle", "20s", "--json");
      await delay(1_000);
      const lines = [1, 2, 3, 4].map(number => JSON.stringify({ account: "a", number })).join("\n");
      const published = jsonLines(
        await bench.cliWith(
          lines,
          ...["events", "publish", "ledger.placed", "--topic", topic, "--key", "a", "--lines", "--json"],
        ),
      );
      assert.equal(published.length, 4);
      const ids = published.map(({ id }) => id);
      assert.deepEqual(
        jsonLines(await tailing).map(({ id, key, type }) => [id, key, type]),
        ids.map(id => [id, "a", "ledger.placed"]),
      );

      const list = async () => jsonLines(await cli("dead-letters", "list", "--group", group, "--json"));
      await until("all have died", async () => (await list()).length === 4);
      const letters = await list();
      assert.deepEqual(
        letters.map(({ id, key, reason, attempts }) => [id, key, reason, attempts]),
        ids.map(id => [id, "a", "discarded", 1]),
      );

      const groups = jsonLines(await cli("events", "groups", "--group", group, "--json"));
      // On Kafka the topic of its retries is a line too.
      assert.deepEqual([...new Set(groups.map(line => line.group))], [group]);
      await until("nothing waits", async () => {
        const { exitCode } = await cli("events", "lag", "--group", group, "--max", "0");
        return exitCode === 0;
      });

      const [first, second, third] = letters.map(({ letter_id }) => String(letter_id));
      const shown = await cli("dead-letters", "show", String(first), "--group", group);
      assert.equal(shown.exitCode, 0, shown.error);
      assert.match(shown.out, /Discard: not yet/);

      // A dry run changes nothing; an edit may give the letter another id.
      const dry = await cli("dead-letters", "replay", "--group", group, "--dry-run");
      assert.equal(dry.exitCode, 0, dry.error);
      const edit = ["dead-letters", "edit", String(second), "--group", group, "--header", "mended=yes", "--json"];
      const [edited] = jsonLines(await cli(...edit));
      assert.equal((await list()).length, 4);
      assert.deepEqual(bench.handled, []);

      bench.isFailing = false;
      const one = await cli("dead-letters", "replay", String(edited?.letter_id), "--group", group);
      assert.equal(one.exitCode, 0, one.error);
      await until("the corrected one was handled", () => bench.handled.length === 1);
      assert.deepEqual(bench.handled, [{ number: 2, mended: "yes" }]);

      const gone = await cli("dead-letters", "discard", String(third), "--group", group, "--yes");
      assert.equal(gone.exitCode, 0, gone.error);
      const rest = await cli("dead-letters", "replay", "--group", group, "--key", "a");
      assert.equal(rest.exitCode, 0, rest.error);
      await until("the others were handled", () => bench.handled.length === 3);
      assert.deepEqual(
        bench.handled.slice(1).map(({ number }) => number),
        [1, 4],
      );
      assert.deepEqual(await list(), []);
    });

    test("what is not there is said, with 1 as the exit code", async t => {
      const { cli, group } = await Bench.start(t, carrier.url);
      const missing = await cli("dead-letters", "show", "0198c0de-0000-7000-8000-000000000001", "--group", group);
      assert.equal(missing.exitCode, 1);
      assert.match(missing.error, /no dead letter/);
      const topic = await cli("events", "publish", "a.b", "--topic", uniqueName("nowhere"), "--body", "{}");
      assert.equal(topic.exitCode, 1);
      assert.match(topic.error, /--create-topic makes it/);
    });
  });
}

/** A topic and a group of their own, whose handler gives events up for as long as it is told to. */
class Bench {
  readonly url: string;
  readonly topic: string;
  readonly group = uniqueName("stock");
  readonly handled: { readonly number: number; readonly mended: string | undefined }[] = [];
  isFailing = true;

  private constructor(url: string, topic: string) {
    this.url = url;
    this.topic = topic;
  }

  static async start(t: TestContext, url: string): Promise<Bench> {
    const contract: Ledger = ledger(uniqueName("ledger"));
    const bench = new Bench(url, contract.topic);
    const broker: Broker = await connectBroker(url, { createTopics: true });
    t.after(() => broker.close());
    await broker.subscribe(
      // On RabbitMQ competing consumers keep no order.
      { group: bench.group, concurrency: 1, rabbitmq: { singleActiveConsumer: true } },
      on(contract.PlacedSchema, ({ number }, { headers }) => {
        if (bench.isFailing) throw new Discard("not yet");
        bench.handled.push({ number, mended: headers["mended"] });
      }),
    );
    return bench;
  }

  readonly cli = (...args: readonly string[]) => this.cliWith("", ...args);

  cliWith(input: string, ...args: readonly string[]) {
    return run(process.cwd(), args, Buffer.from(input), { environment: { EVENTS_URL: this.url } });
  }
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 30_000;
  while (!(await holds())) {
    assert(performance.now() < endMs, `waited in vain until ${what}`);
    await delay(100);
  }
}
