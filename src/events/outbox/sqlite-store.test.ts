import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { virtualPlatform } from "../../platform/virtual/index.ts";
import { transaction } from "../database/index.ts";
import { outbox } from "./outbox.ts";
import { anySchema, type OutboxHarness, outboxSuite } from "./outbox-suite.fixture.ts";
import { recordingBroker } from "./recording-broker.fixture.ts";
import { SqliteOutboxStore } from "./sqlite-store.ts";

async function harness(): Promise<OutboxHarness> {
  const platform = virtualPlatform({ seed: 1 });
  const folder = mkdtempSync(join(tmpdir(), "trunkline-outbox-"));
  const databases: DatabaseSync[] = [];
  const connect = () => {
    const database = new DatabaseSync(join(folder, "app.db"));
    database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF");
    databases.push(database);
    return database;
  };
  return {
    platform,
    async open(options) {
      const database = connect();
      const made = await outbox({ ...options, database });
      return {
        outbox: made,
        commit: (events, failure) =>
          transaction(
            database,
            tx => {
              for (const event of events) made.publish(tx, anySchema, event as never);
              if (failure !== undefined) throw failure;
            },
            { platform },
          ),
        commitAll: events => transaction(database, tx => made.publishAll(tx, anySchema, events as never), { platform }),
      };
    },
    async until(check, what) {
      for (let step = 0; step < 2_000; step++) {
        if (await check()) return;
        await platform.clock.advance(10);
      }
      assert.fail(`not within 20 s: ${what}`);
    },
    pass: ms => platform.clock.advance(ms),
    expireLeases: async () =>
      connect().exec("UPDATE trunkline_outbox_lease SET owner = NULL, until = 0; DELETE FROM trunkline_outbox_relay"),
    storeMethods: SqliteOutboxStore.prototype,
    async close() {
      for (const database of databases) database.close();
      rmSync(folder, { recursive: true });
    },
  };
}

outboxSuite("an outbox in SQLite", harness);

test("events of a transaction that the user begins and commits are found", async t => {
  const platform = virtualPlatform({ seed: 1 });
  const database = new DatabaseSync(":memory:");
  const broker = recordingBroker();
  const made = await outbox({ database, broker, platform });
  t.after(() => made.close());
  database.exec("BEGIN");
  made.publish(database, anySchema, { id: "a" } as never);
  await platform.clock.advance(2_000);
  assert.equal(broker.taken.length, 0, "not before the commit");
  database.exec("COMMIT");
  await platform.clock.advance(2_000);
  assert.equal(broker.taken.length, 1);
  database.exec("BEGIN");
  made.publish(database, anySchema, { id: "b" } as never);
  database.exec("ROLLBACK");
  await platform.clock.advance(2_000);
  assert.equal(broker.taken.length, 1);
});

test("a transaction on SQLite whose callback returns a promise is rolled back with an error that says so", async () => {
  const database = new DatabaseSync(":memory:");
  database.exec("CREATE TABLE t (x)");
  const work = async (tx: DatabaseSync) => {
    tx.exec("INSERT INTO t VALUES (1)");
  };
  await assert.rejects(transaction(database, work), /synchronous: its callback must not return a promise/);
  assert.equal(database.prepare("SELECT count(*) AS n FROM t").get()?.["n"], 0);
});

test("tables of a newer version are left alone", async () => {
  const database = new DatabaseSync(":memory:");
  await (await outbox({ database, broker: recordingBroker() })).close();
  database.exec("UPDATE trunkline_outbox_version SET version = 9");
  await assert.rejects(outbox({ database, broker: recordingBroker() }), /version 9, this package knows 1/);
});

test("sent rows are removed after their time", async t => {
  const platform = virtualPlatform({ seed: 1 });
  const database = new DatabaseSync(":memory:");
  const broker = recordingBroker();
  const made = await outbox({ database, broker, platform, keepSentMs: 60_000 });
  t.after(() => made.close());
  await transaction(database, tx => made.publish(tx, anySchema, { id: "a" } as never), { platform });
  const count = () => database.prepare("SELECT count(*) AS n FROM trunkline_outbox").get()?.["n"];
  await platform.clock.advance(50_000);
  assert.equal(count(), 1);
  await platform.clock.advance(40_000);
  assert.equal(count(), 0);
});

test("options out of range and a foreign connection are errors that name them", async t => {
  const database = new DatabaseSync(":memory:");
  const broker = recordingBroker();
  await assert.rejects(outbox({ database, broker, leaseMs: Number.NaN }), /leaseMs is NaN/);
  await assert.rejects(outbox({ database, broker, pollMs: 0 }), /pollMs is 0/);
  const made = await outbox({ database, broker });
  t.after(() => made.close());
  assert.throws(
    () => made.publish(new DatabaseSync(":memory:"), anySchema, { id: "a" } as never),
    /another connection/,
  );
});
