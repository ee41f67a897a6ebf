import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { connectKafka } from "../../src/events/brokers/kafka/index.ts";
import { ledger } from "../../src/events/conformance/ledger.ts";
import { type Broker, BrokerError, connectBroker, on } from "../../src/events/index.ts";
import { driverContext, eventRecord, member } from "../../src/events/log/recording-sink.fixture.ts";
import { systemPlatform } from "../../src/platform/index.ts";
import { type Kafka, skipWithoutOwn, startKafka, uniqueName } from "../servers/index.ts";
import { closeProxies, connectKillable, cutConnections } from "./kafka-harness.ts";
import { TokenIssuer } from "./token-issuer.ts";

const waitMs = 60_000;
const pause = (ms: number) => new Promise<void>(resolve => systemPlatform.clock.after(ms, resolve, true));

async function eventually(isThere: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const untilMs = systemPlatform.clock.now() + waitMs;
  while (!(await isThere())) {
    assert.ok(systemPlatform.clock.now() < untilMs, `waited ${waitMs} ms for ${what}`);
    await pause(20);
  }
}

describe("Kafka", { skip: skipWithoutOwn("kafka") }, () => {
  let kafka: Kafka;
  let folder: string;
  let issuer: TokenIssuer;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "trunkline-kafka-"));
    issuer = new TokenIssuer(folder, 5_000);
    kafka = await startKafka(issuer.kafka);
    writeFileSync(join(folder, "ca.pem"), kafka.ca);
  });
  after(async () => {
    await closeProxies();
    await kafka.stop();
    rmSync(folder, { recursive: true });
  });
  const withCa = (url: string) => `${url}&ca=${encodeURIComponent(join(folder, "ca.pem"))}`;
  const driverOf = () =>
    connectKafka(kafka.url, driverContext(systemPlatform, { createTopics: true, source: "/test" }));

  test("highest seen offset committed on revoke: what was seen and not settled comes again after a rebalance", async () => {
    await using driver = await driverOf();
    await using other = await driverOf();
    const [topic, group] = [uniqueName("orders"), uniqueName("billing")];
    await driver.prepare([topic]);
    const specific = { sessionTimeoutMs: 6_000 };
    const one = await member(driver, { topics: [topic], group, specific });
    // All of one key, so that they are in one partition; the fourth is never settled.
    one.onRecord = (record, lane) => {
      if (Buffer.from(record.body).toString() !== "3") lane.settle(record);
    };
    await driver.publish(Array.from({ length: 10 }, (_, index) => eventRecord(String(index), { topic })));
    await eventually(() => one.records_.length === 10, "ten records");
    const two = (await member(other, { topics: [topic], group, specific })).settleAll();
    await eventually(() => one.revoked.length > 0, "a rebalance");
    const again = () => [...one.records_.slice(10), ...two.records_].map(({ body }) => Buffer.from(body).toString());
    await eventually(() => again().length >= 7, "what was not settled");
    assert.deepEqual(again(), ["3", "4", "5", "6", "7", "8", "9"]);
    await one.subscription.close();
    await two.subscription.close();
  });

  test("a handler that runs across a rebalance is waited for: it commits, and its event does not come again", async () => {
    await using driver = await driverOf();
    await using other = await driverOf();
    const [topic, group] = [uniqueName("orders"), uniqueName("billing")];
    await driver.prepare([topic]);
    const specific = { sessionTimeoutMs: 3_000 };
    const one = await member(driver, { topics: [topic], group, specific });
    // Longer than the session: heartbeats go on meanwhile.
    one.onRevoke = async lane => {
      await pause(4_500);
      for (const record of one.records_) if (record.lane === lane) lane.settle(record);
    };
    await driver.publish(
      Array.from({ length: 20 }, (_, index) => eventRecord(String(index), { topic, key: `k${index}` })),
    );
    await eventually(() => one.records_.length === 20, "twenty records");
    const two = (await member(other, { topics: [topic], group, specific })).settleAll();
    await driver.publish([eventRecord("last", { topic }), eventRecord("last", { topic, key: "k1" })]);
    await eventually(() => one.records_.length + two.records_.length >= 22, "the last records");
    await pause(300);
    assert.deepEqual(one.lostLanes, []);
    assert.equal(one.records_.length + two.records_.length, 22);
    await one.subscription.close();
    await two.subscription.close();
  });

  test("connections are cut again and again while records are published: none is lost, twice, or out of order", async t => {
    const broker = await connectKillable(kafka.url);
    const { PlacedSchema, topic } = ledger(uniqueName("orders"));
    const numbers = Array.from({ length: 4_000 }, (_, number) => number);
    const published: Promise<unknown>[] = [];
    let cuts = 0;
    for (const number of numbers) {
      published.push(broker.publish(PlacedSchema, { account: `account-${number % 8}`, number }));
      if (number % 10 === 0) await pause(3);
      if (number % 150 === 100) {
        await cutConnections();
        cuts++;
      }
    }
    await Promise.all(published);
    const seen: { account: string; number: number }[] = [];
    await using driver = await driverOf();
    const leaving = new AbortController();
    for await (const { body } of driver.tail([topic], "beginning", leaving.signal)) {
      const { account, number } = JSON.parse(Buffer.from(body).toString());
      seen.push({ account, number: number ?? 0 });
      if (seen.length === numbers.length) break;
    }
    assert.equal(new Set(seen.map(({ number }) => number)).size, numbers.length);
    const last = new Map<string, number>();
    for (const { account, number } of seen) {
      assert.ok(number > (last.get(account) ?? -1), `${number} comes after ${last.get(account)}`);
      last.set(account, number);
    }
    t.diagnostic(`${cuts} cuts, ${seen.length} records on the log`);
    await broker.close();
  });

  test("a consumer process is killed: what it had not settled comes to another, in the order of keys", async t => {
    const { topic, broker, publish, group } = await scene(kafka);
    await publish(600);
    const killed = new ConsumerProcess(kafka.url, topic, group, 2_000, 4);
    await eventually(() => killed.numbers.length > 100, "the first process");
    killed.signal("SIGKILL");
    await killed.ended;
    const other = new ConsumerProcess(kafka.url, topic, group, 2_000, 1);
    await eventually(() => new Set([...killed.numbers, ...other.numbers]).size === 600, "all events");
    const twice = killed.numbers.length + other.numbers.length - 600;
    t.diagnostic(`${twice} events came twice`);
    other.signal("SIGKILL");
    await other.ended;
    await broker.close();
  });

  test("a consumer is stopped for longer than its session: it commits nothing that is not its own any more", async () => {
    const { topic, broker, publish, group } = await scene(kafka);
    await publish(400);
    const stopped = new ConsumerProcess(kafka.url, topic, group, 1_500, 10);
    await eventually(() => stopped.numbers.length > 50, "the first process");
    stopped.signal("SIGSTOP");
    const other = new ConsumerProcess(kafka.url, topic, group, 1_500, 1);
    await eventually(() => other.numbers.length > 100, "the second process");
    stopped.signal("SIGCONT");
    await publish(200, 400);
    await eventually(() => new Set([...stopped.numbers, ...other.numbers]).size === 600, "all events");
    const lags = async () => (await broker.groups()).filter(one => one.group === group && one.topic === topic);
    await eventually(async () => (await lags()).every(({ lag }) => lag === 0), "no lag");
    for (const one of [stopped, other]) {
      one.signal("SIGKILL");
      await one.ended;
    }
    await broker.close();
  });

  test("a static member that restarts has its partitions again, and nobody else is disturbed", async () => {
    const [topic, group] = [uniqueName("orders"), uniqueName("billing")];
    const specific = (staticMemberId: string) => ({ sessionTimeoutMs: 20_000, staticMemberId });
    const drivers = [await driverOf(), await driverOf()] as const;
    const [first, second] = drivers;
    await first.prepare([topic]);
    const one = (await member(first, { topics: [topic], group, specific: specific("one") })).settleAll();
    const two = (await member(second, { topics: [topic], group, specific: specific("two") })).settleAll();
    const lanesOf = (sink: typeof one) => [...sink.lanes].map(({ name }) => name).toSorted();
    await eventually(
      () => one.lanes.size > 0 && two.lanes.size > 0 && one.revoked.length > 0,
      "both to have their share",
    );
    const [before, undisturbed, revocations] = [lanesOf(one), lanesOf(two), two.revoked.length];
    await first.close();
    const again = await driverOf();
    const back = (await member(again, { topics: [topic], group, specific: specific("one") })).settleAll();
    await eventually(() => back.lanes.size === before.length, "its partitions");
    assert.deepEqual(lanesOf(back), before);
    await pause(1_500);
    assert.deepEqual(lanesOf(two), undisturbed);
    assert.equal(two.revoked.length, revocations);
    // A second process of the same name takes its place; the former ends with a reason.
    const thief = await driverOf();
    const stolen = (await member(thief, { topics: [topic], group, specific: specific("one") })).settleAll();
    await eventually(() => back.failures.length > 0, "the fenced member to fail");
    assert.match(String(back.failures[0]), /same kafka\.staticMemberId/);
    await stolen.subscription.close();
    for (const driver of [again, thief, second]) await driver.close();
  });

  test("TLS with SCRAM works, and each thing that is wrong about it is said", async () => {
    await using broker = await connectBroker(withCa(kafka.tlsUrl), { createTopics: true });
    const { PlacedSchema } = ledger(uniqueName("orders"));
    const { promise, resolve } = Promise.withResolvers<number>();
    await broker.subscribe(
      { group: uniqueName("billing") },
      on(PlacedSchema, ({ number }) => resolve(number)),
    );
    await broker.publish(PlacedSchema, { account: "a", number: 7 });
    assert.equal(await promise, 7);
    const refusal = (url: string) =>
      connectBroker(url).then(
        () => assert.fail("connected"),
        (error: Error) => {
          assert.ok(error instanceof BrokerError);
          return error.message;
        },
      );
    assert.match(await refusal(kafka.tlsUrl), /certificate.*not trusted.*ca=/);
    assert.match(await refusal(withCa(kafka.tlsUrl.replace("secret", "wrong"))), /authentication failed; check user/);
    assert.match(await refusal(kafka.tlsUrl.replace(/\?.*/, "").replace(/\/\/.*@/, "//")), /wants TLS; add tls=true/);
    assert.match(await refusal(`${kafka.url}?tls=true`), /remove tls=true/);
    assert.match(await refusal("kafka://127.0.0.1:1"), /127\.0\.0\.1:1: connection refused/);
  });

  test("bearer tokens work, open connections renew their sessions with new ones, and a refusal is explained", async t => {
    const url = withCa(kafka.tlsUrl.replace(/\/\/.*@/, "//").replace("scram-sha-256", "oauthbearer"));
    let issued = 0;
    const token = () => {
      issued++;
      return issuer.issue("trunkline", 3_000);
    };
    const broker = await connectBroker(url, { createTopics: true, kafka: { oauth: { token } } });
    const { PlacedSchema } = ledger(uniqueName("orders"));
    const numbers: number[] = [];
    await broker.subscribe(
      { group: uniqueName("billing") },
      on(PlacedSchema, ({ number }) => numbers.push(number)),
    );
    // More than four lifetimes of a token, with something on its way all the time.
    const untilMs = systemPlatform.clock.now() + 13_000;
    let count = 0;
    while (systemPlatform.clock.now() < untilMs) {
      await broker.publish(PlacedSchema, { account: `a${count % 5}`, number: count });
      count++;
      assert.equal(broker.status().detail, "kafka: connected");
      if (count % 20 === 0) await pause(10);
    }
    await eventually(() => numbers.length >= count, "all events");
    assert.equal(numbers.length, count);
    assert.ok(issued >= 4 && issued <= 12, `${issued} tokens were asked for`);
    t.diagnostic(`${issued} tokens, ${count} events`);
    await broker.close();
    const refusal = (change: Readonly<Record<string, unknown>>) => {
      const { token: bad } = issuer.issue("trunkline", 60_000, change);
      return connectBroker(url, { kafka: { oauth: { token: bad } } }).then(
        () => assert.fail("connected"),
        (error: Error) => {
          for (let one: unknown = error; one instanceof Error; one = one.cause) {
            assert.ok(!`${one.message}${one.stack}`.includes(bad), "a token stands in an error");
          }
          return error.message;
        },
      );
    };
    assert.match(await refusal({ aud: "other" }), /authentication failed: the broker refused the token: invalid_token/);
    assert.match(await refusal({ exp: 1_000_000_000 }), /refused the token.*check issuer, audience, scope and expiry/);
    const limited = issuer.issue("limited", 60_000).token;
    await using other = await connectBroker(url, { kafka: { oauth: { token: limited } } });
    await assert.rejects(other.publish(PlacedSchema, { account: "a", number: 1 }), /may not use topic/);
  });

  test("a user without rights is told which right is missing", async () => {
    const { PlacedSchema, topic } = ledger(uniqueName("orders"));
    await using broker = await connectBroker(withCa(kafka.limitedUrl), { createTopics: true });
    const handler = on(PlacedSchema, () => {});
    await assert.rejects(broker.subscribe({ group: "billing" }, handler), (error: Error) => {
      assert.ok(error instanceof BrokerError);
      assert.match(error.message, new RegExp(`may not use topic "${topic}"`));
      return true;
    });
    await assert.rejects(broker.publish(PlacedSchema, { account: "a", number: 1 }), /may not use topic/);
  });

  test("a missing topic is an error with both remedies, unless topics may be made", async () => {
    await using broker = await connectBroker(kafka.url);
    const { PlacedSchema, topic } = ledger(uniqueName("orders"));
    const says = new RegExp(`no topic ${topic}; create it .*, or connect with createTopics: true`);
    await assert.rejects(broker.publish(PlacedSchema, { account: "a", number: 1 }), says);
    await assert.rejects(
      broker.subscribe(
        { group: "billing" },
        on(PlacedSchema, () => {}),
      ),
      says,
    );
  });
});

async function scene(kafka: Kafka) {
  const broker: Broker = await connectBroker(kafka.url, { createTopics: true });
  const { PlacedSchema, topic } = ledger(uniqueName("orders"));
  const publish = (count: number, first = 0) =>
    broker.publishAll(
      PlacedSchema,
      Array.from({ length: count }, (_, index) => ({
        account: `account-${(first + index) % 16}`,
        number: first + index,
      })),
    );
  return { broker, topic, publish, group: uniqueName("billing") };
}

class ConsumerProcess {
  readonly numbers: number[] = [];
  readonly ended: Promise<void>;
  readonly #process: ChildProcess;

  constructor(url: string, topic: string, group: string, sessionMs: number, handlerMs: number) {
    const script = fileURLToPath(new URL("kafka-consumer-process.ts", import.meta.url));
    const args = ["--conditions=trunkline-source", script, url, topic, group, String(sessionMs), String(handlerMs)];
    this.#process = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    createInterface({ input: this.#process.stdout as NodeJS.ReadableStream }).on("line", line => {
      if (/^[0-9]+$/.test(line)) this.numbers.push(Number(line));
    });
    this.ended = new Promise(resolve => this.#process.once("exit", () => resolve()));
    process.once("exit", () => this.#process.kill("SIGKILL"));
  }

  signal(name: "SIGKILL" | "SIGSTOP" | "SIGCONT"): void {
    this.#process.kill(name);
  }
}
