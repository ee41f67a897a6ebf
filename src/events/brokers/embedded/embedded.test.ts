import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import { VirtualClock, type VirtualPlatform, virtualPlatform } from "../../../platform/virtual/index.ts";
import type { BrokerDriver } from "../../driver.ts";
import { PublishError } from "../../errors.ts";
import { driverSuite } from "../../log/driver-suite.fixture.ts";
import { LogDriver, type LogLane, type LogRecord } from "../../log/index.ts";
import {
  demand,
  driverContext,
  eventRecord,
  member,
  numbered,
  RecordingSink,
} from "../../log/recording-sink.fixture.ts";
import { EmbeddedStore } from "./embedded-store.ts";
import { connectEmbedded } from "./index.ts";
import { InlineWriter } from "./inline-writer.ts";
import { pollMsMax } from "./limits.ts";
import { LogReader } from "./log-reader.ts";
import { openForReading, openForWriting } from "./open-file.ts";
import { parseEmbeddedUrl } from "./url.ts";

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "embedded-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

async function connect(t: TestContext, url: string, platform: VirtualPlatform, options = {}): Promise<BrokerDriver> {
  const driver = await connectEmbedded(url, driverContext(platform, options));
  t.after(() => driver.close());
  return driver;
}

/** A file, connections to it, and one that does as it likes. */
function setting(t: TestContext, query = "") {
  const platform = virtualPlatform();
  const file = join(folder(t), "events.db");
  const open = () => connect(t, `sqlite:${file}${query}`, platform);
  const raw = () => {
    const database = new DatabaseSync(file);
    t.after(() => database.close());
    return database;
  };
  return { platform, file, open, raw, settle: () => platform.clock.advance(150) };
}

driverSuite("embedded", async (t, platform) => {
  const file = join(folder(t), "events.db");
  return () => connect(t, `sqlite:${file}`, platform);
});

test("events outlive their process, and a group goes on where it was", async t => {
  const { open, settle } = setting(t);
  const first = await open();
  await first.prepare(["orders"]);
  await first.publish(numbered(10));
  const sink = await member(first);
  await settle();
  for (const record of sink.records_.slice(0, 4)) sink.settle(record);
  await first.close();
  const again = await member(await open());
  await settle();
  assert.deepEqual(again.bodies(), ["4", "5", "6", "7", "8", "9"]);
  assert.ok(again.records_.every(({ history }) => history.attempts === 0));
});

test("what one process publishes, another hears of, soon and while it is idle for long", async t => {
  const { open, platform, settle } = setting(t);
  const [publisher, consumer] = [await open(), await open()];
  const sink = (await member(consumer)).settleAll();
  await settle();
  for (let index = 0; index < 3; index++) {
    await platform.clock.advance(1_900);
    await publisher.publish([eventRecord(String(index))]);
    await platform.clock.advance(pollMsMax + 5);
    assert.equal(sink.records_.length, index + 1);
  }
});

test("an event has everything that its publisher said", async t => {
  const { open, settle } = setting(t);
  const driver = await open();
  const sink = await member(driver);
  const event = eventRecord("body", {
    trace: { traceparent: "00-1-2-01", tracestate: "a=b", baggage: undefined },
    priority: "critical",
    expiresAtMs: 1_800_000_000_000,
    replyTo: "answers",
    correlationId: "c-1",
    headers: { tenant: "é" },
  });
  await driver.publish([event]);
  await settle();
  const [record] = sink.records_ as [LogRecord];
  const { topic, key, body, ...attributes } = event;
  assert.deepEqual({ ...record.attributes, headers: { ...record.attributes.headers } }, attributes);
  assert.deepEqual([record.topic, record.key, Buffer.from(record.body).toString()], [topic, key, "body"]);
  assert.match(record.place, /^orders\/\d@0$/);
});

test("large events and many in one publish", async t => {
  const { open, settle } = setting(t);
  const driver = await open();
  const sink = (await member(driver)).settleAll();
  const large = "x".repeat(5_000_000);
  await driver.publish([eventRecord(large), ...numbered(3_000), eventRecord(large)]);
  for (let turn = 0; turn < 5; turn++) await settle();
  assert.equal(sink.records_.length, 3_002);
  assert.equal(sink.records_[3_001]?.body.length, 5_000_000);
  assert.deepEqual(
    sink.bodies().slice(1, 3_001),
    numbered(3_000).map((_, index) => String(index)),
  );
});

test("overlapping publishes of one key keep their order, also while their topic is being made", async t => {
  const { open, settle } = setting(t);
  const driver = await open();
  const sink = (await member(await open(), { topics: ["news"] })).settleAll();
  await Promise.all(
    Array.from({ length: 50 }, (_, index) =>
      driver.publish([eventRecord(String(index), { topic: index % 2 ? "news" : "other" })]),
    ),
  );
  await settle();
  assert.deepEqual(
    sink.bodies(),
    Array.from({ length: 25 }, (_, index) => String(index * 2 + 1)),
  );
});

/** A process that can be stopped: it has its own clock, which nobody moves then. */
async function stoppable(t: TestContext, url: string, wallMs: number) {
  const platform = { ...virtualPlatform(), clock: new VirtualClock(wallMs) };
  const driver = await connect(t, url, platform);
  return { driver, sink: await member(driver), clock: platform.clock };
}

test("an event that kills its process is counted over crashes, and comes to the next with its attempts", async t => {
  const { file, platform } = setting(t);
  const start = platform.clock.wall();
  for (let crash = 0; crash < 5; crash++) {
    const { driver, sink, clock } = await stoppable(
      t,
      `sqlite:${file}?leaseMs=1000&partitions=1`,
      start + crash * 10_000,
    );
    if (crash === 0) await driver.publish([eventRecord("poison")]);
    await clock.advance(1_500);
    const [record] = sink.records_ as [LogRecord];
    assert.equal(record.history.attempts, crash);
    const beginning = (record.lane as LogLane).begin(record, record.history.attempts);
    await clock.advance(50);
    await beginning;
    // From here on nobody hears of it.
  }
});

test("a member that was stopped for longer than its lease has lost its lanes, and what it commits has no effect", async t => {
  const { file, platform } = setting(t);
  const url = `sqlite:${file}?leaseMs=2000&partitions=2`;
  const stalled = await stoppable(t, url, platform.clock.wall());
  await stalled.driver.publish([eventRecord("a", { key: "1" }), eventRecord("b", { key: "2" })]);
  await stalled.clock.advance(500);
  const had = stalled.sink.records_.slice();
  assert.equal(had.length, 2);
  const next = await stoppable(t, url, platform.clock.wall() + 10_000);
  await next.clock.advance(500);
  assert.deepEqual(next.sink.bodies().toSorted(), ["a", "b"]);
  // It goes on where it was.
  for (const record of had) stalled.sink.settle(record);
  await stalled.clock.advance(120);
  assert.deepEqual(stalled.sink.lostLanes.toSorted(), ["orders/0", "orders/1"]);
  const third = await stoppable(t, url, platform.clock.wall() + 60_000);
  await third.clock.advance(500);
  assert.deepEqual(third.sink.bodies().toSorted(), ["a", "b"], "nothing that the stopped one settled counts");
});

test("a full disk: the publish is refused, nothing is half written, and it goes on when there is room", async t => {
  const { file, platform, settle } = setting(t);
  const context = driverContext(platform);
  const database = openForWriting(file, "full");
  const reader = new LogReader(openForReading(file), file);
  const store = new EmbeddedStore(
    parseEmbeddedUrl(`sqlite:${file}`),
    reader,
    new InlineWriter(database, platform),
    context,
  );
  const pace = { clock: platform.clock, commitEveryMs: 100, heartbeatMs: 3_000, tracksCrashes: true };
  const driver = new LogDriver("sqlite", store, pace, 1e9, context);
  t.after(() => driver.close());
  const sink = (await member(driver)).settleAll();
  await driver.publish([eventRecord("before")]);
  await settle();
  const pages = Number(database.prepare("PRAGMA page_count").get()?.["page_count"]);
  database.exec(`PRAGMA max_page_count = ${pages}`);
  const failures = await driver.publish([eventRecord("x".repeat(300_000)), eventRecord("small", { key: "other" })]);
  assert.ok(failures.every(failure => failure?.isRetryable && failure.error instanceof PublishError));
  assert.match(String(failures[0]?.error), /events\.db: the disk, or the quota, is full: make room/);
  assert.equal(driver.status().isReady, false);
  assert.match(driver.status().detail, /full/);
  await settle();
  assert.deepEqual(sink.bodies(), ["before"]);
  database.exec("PRAGMA max_page_count = 1000000");
  assert.deepEqual(await driver.publish([eventRecord("after")]), [undefined]);
  assert.deepEqual(driver.status(), { isReady: true, detail: file });
  await settle();
  assert.deepEqual(sink.bodies(), ["before", "after"]);
});

test("while another process has the file, writes wait without holding up the program, and fail with what to do", async t => {
  const { open, raw, platform } = setting(t);
  const driver = await open();
  await driver.publish([eventRecord("a")]);
  const other = raw();
  other.exec("BEGIN IMMEDIATE");
  const waiting = driver.publish([eventRecord("b")]);
  await platform.clock.advance(2_000);
  other.exec("COMMIT");
  await platform.clock.advance(100);
  assert.deepEqual(await waiting, [undefined]);
  other.exec("BEGIN IMMEDIATE");
  const failing = driver.publish([eventRecord("c")]);
  await platform.clock.advance(5_200);
  const [failure] = await failing;
  assert.equal(failure?.isRetryable, true);
  assert.match(String(failure?.error), /another process has held it locked for 5 seconds/);
  other.exec("ROLLBACK");
});

test("files that cannot be used are refused with what to do", async t => {
  const path = folder(t);
  const context = driverContext(virtualPlatform());
  const refused = (file: string, message: RegExp) =>
    assert.rejects(connectEmbedded(`sqlite:${file}`, context), message);
  writeFileSync(join(path, "text.db"), "this is a letter, and no database at all ".repeat(50));
  await refused(join(path, "text.db"), /text\.db: it is not a SQLite database: choose another path/);
  await refused(path, /it cannot be opened: check that the path is a file/);
  const newer = new DatabaseSync(join(path, "newer.db"));
  newer.exec("CREATE TABLE trunkline_schema (part TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT");
  newer.exec("INSERT INTO trunkline_schema VALUES ('events', 9)");
  newer.close();
  await refused(join(path, "newer.db"), /newer\.db have version 9, this package knows up to 2: update it/);
  writeFileSync(join(path, "file"), "");
  await refused(join(path, "file", "events.db"), /ENOTDIR|EEXIST/);
  if (process.getuid?.() !== 0) {
    chmodSync(path, 0o500);
    await refused(join(path, "none.db"), /cannot be opened/);
    chmodSync(path, 0o700);
  }
});

test("a file of version 1, which had nothing parked, goes on with all that it has", async t => {
  const { file, open, platform, settle } = setting(t);
  const before = await open();
  const sink = await member(before);
  await before.publish([eventRecord("a"), eventRecord("b")]);
  await settle();
  const [a, b] = sink.records_ as [LogRecord, LogRecord];
  const held = sink.subscription.retryLater(a, 1_000, { attempts: 3, firstFailedAtMs: 7 });
  await settle();
  await held;
  sink.settle(a);
  sink.settle(b);
  await settle();
  await before.close();
  const database = new DatabaseSync(file);
  database.exec(`
    DROP INDEX trunkline_parked;
    DROP INDEX trunkline_returned_due;
    ALTER TABLE trunkline_returned DROP COLUMN parked_key;
    ALTER TABLE trunkline_returned DROP COLUMN parked_position;
    CREATE INDEX trunkline_returned_due ON trunkline_returned (group_name, partition_id, due_at, id);
    UPDATE trunkline_schema SET version = 1;
  `);
  database.close();
  const again = await member(await open());
  await platform.clock.advance(2_000);
  assert.deepEqual(again.bodies(), ["a"]);
  assert.equal(again.records_[0]?.history.attempts, 3);
});

test("a file that may only be read is refused for writing", async t => {
  const { file, open } = setting(t);
  await (await open()).close();
  chmodSync(file, 0o400);
  if (process.getuid?.() === 0) return; // root may write everything
  await assert.rejects(open(), /cannot be written to/);
});

test("the folder is made when it is missing; the application's own tables are left alone", async t => {
  const path = join(folder(t), "a", "b", "events.db");
  const platform = virtualPlatform();
  await (await connect(t, `sqlite:${path}`, platform)).close();
  assert.ok(existsSync(path));
  const database = new DatabaseSync(path);
  database.exec("PRAGMA user_version = 42; CREATE TABLE orders (id TEXT)");
  database.close();
  const driver = await connect(t, `sqlite:${path}`, platform);
  assert.deepEqual(await driver.publish([eventRecord("a")]), [undefined]);
});

test("URLs are explained", () => {
  assert.equal(parseEmbeddedUrl("sqlite:./events.db").file, resolve("events.db"));
  assert.equal(parseEmbeddedUrl("sqlite:.trunkline/my%20events.db").file, resolve(".trunkline/my events.db"));
  assert.equal(parseEmbeddedUrl("sqlite:///var/events.db").file, "/var/events.db");
  assert.equal(parseEmbeddedUrl("sqlite:x.db?durability=normal&leaseMs=500").durability, "normal");
  for (const [url, message] of [
    ["sqlite::memory:", /for events in memory use memory:/],
    ["sqlite:", /need a path/],
    ["sqlite://events.db", /one slash or three/],
    ["sqlite:x.db?durability=maybe", /durability=maybe is none of durability=full\|normal/],
    ["sqlite:x.db?leaseMs=5", /leaseMs=5 is no integer from 100 to 600000/],
    ["sqlite:x.db?toString=5", /toString=5 is none of/],
    ["sqlite:%zz", /%25/],
  ] as const) {
    assert.throws(() => parseEmbeddedUrl(url), message, url);
  }
});

test("what is too old goes once all groups have settled it; what a live group has not settled stays", async t => {
  const { open, platform, raw, settle } = setting(t, "?retentionMs=60000&partitions=1");
  const driver = await open();
  const [fast, slow] = [await member(driver), await member(driver, { group: "slow" })];
  fast.settleAll();
  for (let index = 0; index < 200; index++) await driver.publish([eventRecord(String(index))]);
  await settle();
  for (const record of slow.records_.slice(0, 150)) slow.settle(record);
  await platform.clock.advance(200_000);
  const rows = () => raw().prepare("SELECT count(*) AS rows, min(last_offset) AS first FROM trunkline_log").get();
  assert.deepEqual({ ...rows() }, { rows: 50, first: 150 });
  for (const record of slow.records_) slow.settle(record);
  await platform.clock.advance(200_000);
  assert.equal(rows()?.["rows"], 0);
  await driver.publish([eventRecord("next")]);
  await settle();
  assert.equal(fast.records_.at(-1)?.offset, 200);
  const late = await member(driver, { group: "late" });
  await settle();
  assert.deepEqual(late.bodies(), ["next"]);
});

test("the log is kept within its bytes; when a group keeps it from that, publishes are refused in the end", async t => {
  const { open, platform, settle } = setting(t, "?retentionBytes=100000&partitions=1");
  const driver = await open();
  const sink = (await member(driver)).settleAll();
  const body = "x".repeat(10_000);
  for (let index = 0; index < 60; index++) {
    assert.deepEqual(await driver.publish([eventRecord(body)]), [undefined]);
    await platform.clock.advance(5_000);
  }
  sink.onRecord = () => {};
  let failure: PublishError | undefined;
  for (let index = 0; index < 60 && failure === undefined; index++) {
    failure = (await driver.publish([eventRecord(body)]))[0]?.error as PublishError | undefined;
    await settle();
  }
  assert.match(
    String(failure?.message),
    /more than 400000 \(4 times retentionBytes\), and group billing is \d+ behind/,
  );
  for (const record of sink.records_) sink.settle(record);
  await platform.clock.advance(120_000);
  assert.deepEqual(await driver.publish([eventRecord(body)]), [undefined]);
});

test("a group that nobody was a member of for the time of retention holds nothing back", async t => {
  const { open, platform, raw } = setting(t, "?retentionMs=60000&partitions=1");
  const driver = await open();
  await (await member(driver, { group: "forgotten" })).subscription.close();
  await driver.publish([eventRecord("a")]);
  await platform.clock.advance(30_000);
  assert.equal(raw().prepare("SELECT count(*) AS rows FROM trunkline_log").get()?.["rows"], 1);
  await platform.clock.advance(120_000);
  assert.equal(raw().prepare("SELECT count(*) AS rows FROM trunkline_log").get()?.["rows"], 0);
  const late = await member(driver, { group: "forgotten" });
  await driver.publish([eventRecord("b")]);
  await platform.clock.advance(200);
  assert.deepEqual(late.bodies(), ["b"]);
});

test("scheduled events and retries outlive the process that made them", async t => {
  const { open, platform, settle } = setting(t);
  const first = await open();
  const sink = await member(first);
  await first.publish([eventRecord("now"), eventRecord("later", { notBeforeMs: platform.clock.wall() + 60_000 })]);
  await settle();
  const [now] = sink.records_ as [LogRecord];
  await sink.subscription.retryLater(now, 30_000, { attempts: 4, firstFailedAtMs: 9 });
  sink.settle(now);
  await first.close();
  const again = await member(await open());
  await platform.clock.advance(29_000);
  assert.deepEqual(again.bodies(), []);
  await platform.clock.advance(1_500);
  assert.deepEqual(again.bodies(), ["now"]);
  assert.deepEqual(again.records_[0]?.history, { attempts: 4, firstFailedAtMs: 9 });
  await platform.clock.advance(60_000);
  assert.deepEqual(again.bodies(), ["now", "later"]);
});

test("a batch that is damaged ends the subscription with an error, and harms nobody else", async t => {
  const { open, raw, settle } = setting(t);
  const driver = await open();
  await driver.publish([eventRecord("a")]);
  raw().exec("UPDATE trunkline_log SET batch = x'0102'");
  const sink = await member(driver);
  await settle();
  assert.match(String(sink.failures[0]), /orders\/\d at offset 0 is damaged/);
  assert.equal(driver.status().isReady, false);
});

test("topics that are missing are refused when they may not be made", async t => {
  const { file, platform } = setting(t);
  const driver = await connect(t, `sqlite:${file}`, platform, { createTopics: false });
  await assert.rejects(driver.prepare(["orders"]), /has no topic orders, and createTopics is false/);
  const [failure] = await driver.publish([eventRecord("a")]);
  assert.equal(failure?.isRetryable, false);
  await assert.rejects(driver.subscribe(demand(), new RecordingSink()), /has no topic orders/);
});

test("closing leaves no timers", async t => {
  const { open, platform, settle } = setting(t);
  const driver = await open();
  const sink = await member(driver);
  await driver.publish([eventRecord("a"), eventRecord("b", { notBeforeMs: platform.clock.wall() + 60_000 })]);
  await settle();
  await sink.subscription.retryLater(sink.records_[0] as LogRecord, 50_000, { attempts: 1, firstFailedAtMs: 1 });
  await settle();
  await driver.close();
  assert.equal(platform.clock.pendingTimers, 0);
});

test("a topic of replies leaves no row behind, also where topics may not be made; its number may be another's", async t => {
  const { file, platform, raw, settle } = setting(t);
  const maker = await connect(t, `sqlite:${file}`, platform);
  await maker.prepare(["orders"]);
  const asking = await connect(t, `sqlite:${file}`, platform, { createTopics: false });
  const received: string[] = [];
  const address = await asking.replies?.open(({ body }) => void received.push(Buffer.from(body).toString()));
  const watcher = await connect(t, `sqlite:${file}`, platform);
  const controller = new AbortController();
  // Somebody looks into it, and has its records in memory.
  const seen: string[] = [];
  const watched = (async () => {
    for await (const { body } of watcher.tail([address ?? ""], "beginning", controller.signal)) {
      seen.push(Buffer.from(body).toString());
    }
  })();
  await maker.replies?.send(eventRecord("reply", { topic: address ?? "", key: undefined }));
  await settle();
  assert.deepEqual([received, seen], [["reply"], ["reply"]]);
  await asking.close();
  await settle();
  const database = raw();
  const count = (table: string, where: string) =>
    Number(database.prepare(`SELECT count(*) AS n FROM ${table} WHERE ${where}`).get()?.["n"]);
  assert.equal(count("trunkline_partition", "topic LIKE 'trunkline.replies.%'"), 0);
  assert.equal(count("trunkline_log", "partition_id NOT IN (SELECT id FROM trunkline_partition)"), 0);
  controller.abort();
  await watched;
  // This one gets the number that has become free.
  await maker.prepare(["invoices"]);
  const sink = await member(watcher, { topics: ["invoices"] });
  await maker.publish([eventRecord("invoice", { topic: "invoices", key: "k" })]);
  await settle();
  assert.deepEqual(sink.bodies(), ["invoice"]);
});
