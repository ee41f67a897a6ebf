/** Outbox and inbox in a real PostgreSQL. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import pg from "pg";
import { inbox } from "../../src/events/inbox/index.ts";
import { outbox, transaction } from "../../src/events/index.ts";
import { anySchema, type OutboxHarness, outboxSuite } from "../../src/events/outbox/outbox-suite.fixture.ts";
import { PostgresOutboxStore } from "../../src/events/outbox/postgres-store.ts";
import { systemPlatform } from "../../src/platform/index.ts";
import { type Postgres, skipWithoutOwn, startPostgres } from "../servers/index.ts";

const skip = skipWithoutOwn("postgres");

describe("PostgreSQL", { skip }, () => {
  let server: Postgres;
  let count = 0;
  before(async () => {
    server = await startPostgres();
  });
  after(() => server[Symbol.asyncDispose]());

  /** A database of its own, and pools to it that end with `close`. */
  async function freshDatabase() {
    const name = `test_${++count}`;
    const admin = new pg.Client({ connectionString: server.url });
    await admin.connect();
    await admin.query(`CREATE DATABASE ${name}`);
    await admin.end();
    const pools: pg.Pool[] = [];
    const connect = () => {
      const pool = new pg.Pool({ connectionString: server.url.replace(/[^/]*$/, name), max: 5 });
      pool.on("error", () => {});
      pools.push(pool);
      return pool;
    };
    const close = async () => {
      for (const pool of pools) await pool.end();
    };
    return { connect, close };
  }

  const pass = (ms: number) =>
    new Promise<void>(resolve => {
      systemPlatform.clock.after(ms, resolve, true);
    });

  async function harness(): Promise<OutboxHarness> {
    const { connect, close } = await freshDatabase();
    const opened: { close(): Promise<void> }[] = [];
    return {
      platform: systemPlatform,
      async open(options) {
        const pool = connect();
        const made = await outbox({ ...options, database: pool });
        opened.push(made);
        return {
          outbox: made,
          commit: (events, failure) =>
            transaction(pool, async tx => {
              for (const event of events) await made.publish(tx, anySchema, event as never);
              if (failure !== undefined) throw failure;
            }),
          commitAll: events => transaction(pool, tx => made.publishAll(tx, anySchema, events as never)),
        };
      },
      async until(check, what) {
        const until = systemPlatform.clock.now() + 20_000;
        while (!(await check())) {
          if (systemPlatform.clock.now() > until) assert.fail(`not within 20 s: ${what}`);
          await pass(5);
        }
      },
      pass,
      async expireLeases() {
        await connect().query("UPDATE trunkline_outbox_lease SET owner = NULL, until = '-infinity'");
        await connect().query("DELETE FROM trunkline_outbox_relay");
      },
      storeMethods: PostgresOutboxStore.prototype,
      async close() {
        for (const one of opened) await one.close();
        await close();
      },
    };
  }

  outboxSuite("an outbox in PostgreSQL", harness);

  test("tables are made once when processes start together", async () => {
    const { connect, close } = await freshDatabase();
    const broker = { encode: () => assert.fail(), forward: async () => [] };
    const made = await Promise.all(
      Array.from({ length: 5 }, () => outbox({ database: connect(), broker, relay: false })),
    );
    assert.equal((await made[0]?.counts())?.unsent, 0);
    await Promise.all(Array.from({ length: 5 }, () => inbox({ database: connect(), group: "g" })));
    await close();
  });

  test("an inbox handles an event once; what fails is handled again", async () => {
    const { connect, close } = await freshDatabase();
    const pool = connect();
    await pool.query("CREATE TABLE effects (name text)");
    const once = await inbox({ database: pool, group: "g" });
    const effect = (id: string, failure?: Error) =>
      once.run({ id, source: "/tests" }, async tx => {
        await tx.query("INSERT INTO effects VALUES ($1)", [id]);
        if (failure !== undefined) throw failure;
        return id;
      });
    await assert.rejects(effect("a", new Error("broken")), /broken/);
    assert.equal(await effect("a"), "a");
    assert.equal(await effect("a"), undefined);
    const together = await Promise.all([effect("b"), effect("b"), effect("b"), effect("b")]);
    assert.deepEqual(together.filter(result => result === "b").length, 1);
    const { rows } = await pool.query("SELECT name FROM effects ORDER BY name");
    assert.deepEqual(
      rows.map(row => row.name),
      ["a", "b"],
    );
    await close();
  });

  test("an inbox handles a batch in one transaction, each event of it once", async () => {
    const { connect, close } = await freshDatabase();
    const pool = connect();
    await pool.query("CREATE TABLE effects (name text)");
    const once = await inbox({ database: pool, group: "g" });
    const run = (ids: readonly string[], failure?: Error) =>
      once.runBatch(
        ids.map(id => ({ id, source: "/tests" })),
        async (tx, fresh) => {
          await tx.query("INSERT INTO effects SELECT unnest($1::text[])", [fresh.map(index => ids[index])]);
          if (failure !== undefined) throw failure;
          return fresh;
        },
      );
    await assert.rejects(run(["a", "b"], new Error("broken")), /broken/);
    assert.deepEqual(await run(["c", "a", "c"]), [0, 1]);
    assert.equal(await run(["a", "c"]), undefined);
    assert.equal(await run([]), undefined);
    // The same events in several orders at the same time: nobody waits in a circle.
    const ids = Array.from({ length: 200 }, (_, index) => `id-${index}`);
    const together = await Promise.all([run(ids), run(ids.toReversed()), run(ids), run(ids.toReversed())]);
    assert.equal(together.filter(result => result !== undefined).length, 1);
    const { rows } = await pool.query("SELECT name, count(*)::int AS times FROM effects GROUP BY name");
    assert.equal(rows.length, 202);
    assert.ok(rows.every(({ times }) => times === 1));
    await close();
  });

  test("of two deliveries at the same time, the second runs when the first is rolled back", async () => {
    const { connect, close } = await freshDatabase();
    const pool = connect();
    const once = await inbox({ database: pool, group: "g" });
    let fail = (_error: Error) => {};
    const first = once.run({ id: "1", source: undefined }, () => new Promise<void>((_, reject) => (fail = reject)));
    // It holds the id from the moment on in which its work has begun.
    while ((await pool.query("SELECT 1 FROM pg_locks WHERE locktype = 'transactionid'")).rowCount === 0) await pass(5);
    const second = once.run({ id: "1", source: undefined }, () => "ran");
    await pass(20);
    fail(new Error("broken"));
    await assert.rejects(first, /broken/);
    assert.equal(await second, "ran");
    await close();
  });

  test("a transaction in which a statement failed and was caught rejects, because PostgreSQL rolls it back", async () => {
    const { connect, close } = await freshDatabase();
    const failing = transaction(connect(), async tx => {
      await tx.query("SELECT 1 / 0").catch(() => {});
    });
    await assert.rejects(failing, /rolled back, because a statement in it failed/);
    await close();
  });

  test("rows that were not sent when the server was killed are sent when it is back", async () => {
    const { platform, open, until, close } = await harness();
    const { recordingBroker } = await import("../../src/events/outbox/recording-broker.fixture.ts");
    const broker = recordingBroker();
    const { commit } = await open({ broker, platform });
    await commit([{ id: "a", key: "k" }]);
    await until(() => broker.taken.length === 1, "the first is sent");
    broker.answer = () => ({ isRetryable: true, error: new Error("not now") });
    await commit([{ id: "b", key: "k" }]);
    await server.kill();
    await server.start();
    broker.answer = () => undefined;
    await until(() => broker.taken.some(({ id }) => id === "b"), "the second is sent");
    await close();
  });
});
