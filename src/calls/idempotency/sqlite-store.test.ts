import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import { virtualPlatform } from "../../platform/virtual/index.ts";
import { sqliteIdempotencyStore } from "./sqlite-store.ts";
import type { IdempotencyTicket } from "./store.ts";
import { storeSuite, ticket } from "./store-suite.ts";

storeSuite("SQLite store", platform => sqliteIdempotencyStore(new DatabaseSync(":memory:"), { platform }));

function temporaryFile(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "idempotency-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "keys.db");
}

const rows = (database: DatabaseSync) =>
  Number(database.prepare("SELECT count(*) AS rows FROM trunkline_idempotency").get()?.["rows"]);

test("answers outlive the connection, and two connections to one file are one store", async t => {
  const file = temporaryFile(t);
  const a = new DatabaseSync(file);
  const first = ticket();
  const storeA = sqliteIdempotencyStore(a);
  await storeA.begin(first);
  const b = new DatabaseSync(file);
  t.after(() => b.close());
  const storeB = sqliteIdempotencyStore(b);
  assert.equal((await storeB.begin(ticket())).kind, "running");
  await storeA.complete(first, new Uint8Array([7]));
  a.close();
  const claim = await storeB.begin(ticket());
  assert.deepEqual(claim.kind === "stored" && [...claim.answer], [7]);
});

test("the application's tables and version are left alone; tables of a newer version are refused", t => {
  const file = temporaryFile(t);
  const database = new DatabaseSync(file);
  t.after(() => database.close());
  database.exec("PRAGMA user_version = 42; CREATE TABLE orders (id TEXT)");
  sqliteIdempotencyStore(database);
  sqliteIdempotencyStore(database);
  assert.equal(database.prepare("PRAGMA user_version").get()?.["user_version"], 42);
  database.exec("UPDATE trunkline_schema SET version = 9");
  assert.throws(() => sqliteIdempotencyStore(database), /have version 9, this package knows up to 1: update it/);
});

test("while another connection writes it tries again in time of its own, and gives up with SQLite's error", async t => {
  const file = temporaryFile(t);
  const platform = virtualPlatform();
  const [ours, other] = [new DatabaseSync(file), new DatabaseSync(file)];
  t.after(() => {
    ours.close();
    other.close();
  });
  const store = sqliteIdempotencyStore(ours, { platform });
  other.exec("BEGIN IMMEDIATE");
  const waiting = Promise.resolve(store.begin(ticket({ key: "patient" })));
  await platform.clock.advance(1_000);
  other.exec("COMMIT");
  await platform.clock.advance(100);
  assert.equal((await waiting).kind, "new");

  other.exec("BEGIN IMMEDIATE");
  const failing = assert.rejects(Promise.resolve(store.begin(ticket())), /locked/);
  await platform.clock.advance(2_100);
  await failing;
  assert.equal(platform.clock.pendingTimers, 0);
  other.exec("ROLLBACK");
  assert.equal((await store.begin(ticket())).kind, "new");
});

test("a store that finds the file locked when it is made has its tables when it is used", async t => {
  const file = temporaryFile(t);
  const [ours, other] = [new DatabaseSync(file), new DatabaseSync(file)];
  t.after(() => {
    ours.close();
    other.close();
  });
  other.exec("BEGIN EXCLUSIVE");
  const store = sqliteIdempotencyStore(ours);
  other.exec("COMMIT");
  assert.equal((await store.begin(ticket())).kind, "new");
});

test("a full disk is an error that changes nothing", async t => {
  const file = temporaryFile(t);
  const database = new DatabaseSync(file);
  t.after(() => database.close());
  const store = sqliteIdempotencyStore(database);
  const first = ticket();
  await store.begin(first);
  const pages = Number(database.prepare("PRAGMA page_count").get()?.["page_count"]);
  database.exec(`PRAGMA max_page_count = ${pages}`);
  await assert.rejects(Promise.resolve(store.complete(first, new Uint8Array(100_000))), /full/);
  assert.equal(database.isTransaction, false);
  assert.equal((await store.begin(ticket())).kind, "running");
  for (let key = 0; ; key++) {
    try {
      await store.begin(ticket({ key: String(key), scope: "s".repeat(1_000) }));
    } catch (error) {
      assert.match(String(error), /full/);
      break;
    }
  }
  assert.equal(database.isTransaction, false);
  database.exec("PRAGMA max_page_count = 1000000");
  assert.equal(await store.complete(first, new Uint8Array(100_000)), true);
});

test("new keys remove expired ones, a few at a time, so that the table stays as large as the traffic", async () => {
  const platform = virtualPlatform();
  const database = new DatabaseSync(":memory:");
  const store = sqliteIdempotencyStore(database, { platform });
  const run = async (one: IdempotencyTicket) => {
    await store.begin(one);
    await store.complete(one, new Uint8Array([1]));
  };
  for (let key = 0; key < 200; key++) await run(ticket({ key: `old-${key}` }));
  await platform.clock.advance(ticket().ttlMs);
  await run(ticket({ key: "new-0" }));
  assert.equal(rows(database), 200 - 16 + 1);
  for (let key = 1; key < 13; key++) await run(ticket({ key: `new-${key}` }));
  assert.equal(rows(database), 13);
});

const contender = `
  import { DatabaseSync } from "node:sqlite";
  import { sqliteIdempotencyStore } from "trunkline";
  const store = sqliteIdempotencyStore(new DatabaseSync(process.argv[1]), { busyMs: 20_000 });
  // Pauses of the store keep no process alive; in a server, its port does.
  setInterval(() => {}, 1_000);
  let won = 0;
  for (let key = 0; key < 100; key++) {
    const ticket = { scope: "s", key: String(key), fingerprint: new Uint8Array(32), leaseMs: 60_000, ttlMs: 60_000 };
    const holder = process.argv[2] + key;
    const claim = await store.begin({ ...ticket, holder });
    if (claim.kind !== "new") continue;
    won++;
    await store.complete({ ...ticket, holder }, new Uint8Array([1]));
  }
  process.stdout.write(String(won), () => process.exit(0));
`;

test("of two processes that claim the same keys, each key goes to one", async t => {
  const file = temporaryFile(t);
  const won = await Promise.all(
    ["a", "b"].map(async name => {
      const flags = ["--conditions=trunkline-source", "--input-type=module", "--eval", contender];
      const child = spawn(process.execPath, [...flags, file, name], { stdio: ["ignore", "pipe", "inherit"] });
      let output = "";
      child.stdout.setEncoding("utf8").on("data", text => {
        output += text;
      });
      assert.deepEqual(await once(child, "close"), [0, null]);
      return Number(output);
    }),
  );
  assert.equal((won[0] ?? 0) + (won[1] ?? 0), 100, won.join(" + "));
});
