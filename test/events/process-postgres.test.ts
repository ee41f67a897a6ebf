/** Process managers in a real PostgreSQL. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import pg from "pg";
import type { Delivery, Handle, PostgresClient } from "../../src/events/index.ts";
import { fulfilment, PlacedSchema, TouchedSchema } from "../../src/events/process-manager/fulfilment.fixture.ts";
import { processManager } from "../../src/events/process-manager/index.ts";
import type { ObservedEvent } from "../../src/platform/index.ts";
import { skipWithoutOwn, startPostgres } from "../servers/index.ts";

describe("process managers in PostgreSQL", { skip: skipWithoutOwn("postgres") }, () => {
  test("of processes that change an instance at the same time one wins, and each event counts once", async t => {
    await using server = await startPostgres();
    const pools = [0, 1].map(() => new pg.Pool({ connectionString: server.url, max: 6 }));
    const [pool] = pools as [pg.Pool];
    await pool.query("CREATE TABLE sent (type text, event text)");
    const outbox = {
      async publish(tx: PostgresClient, schema: { typeName: string }): Promise<void> {
        await tx.query("INSERT INTO sent VALUES ($1)", [schema.typeName]);
      },
    };
    let conflicts = 0;
    const observer = { emit: ({ type }: ObservedEvent) => void (type === "process.conflicted" && conflicts++) };
    const managers = await Promise.all(
      pools.map(database => processManager({ process: fulfilment, database, outbox, observer })),
    );
    const eventsMax = 40;
    const deliver = async (number: number, copy: number) => {
      const handler = managers[copy % 2]?.handlers[number === 0 ? 0 : 3];
      assert.ok(handler);
      const schema = number === 0 ? PlacedSchema : TouchedSchema;
      const delivery = { id: `e${number}`, source: "/t", type: "t" } as Delivery;
      // As the broker does it: an event whose handler throws comes again.
      for (let attempt = 0; attempt < 100; attempt++) {
        try {
          await (handler.handle as Handle<object>)(create(schema, { orderId: "1", number }), delivery);
          return;
        } catch (error) {
          assert.equal((error as Error).name, "Conflict");
        }
      }
      assert.fail(`event ${number} never went through`);
    };
    await Promise.all([deliver(0, 0), deliver(0, 1), deliver(0, 2)]);
    const all = Array.from({ length: eventsMax }, (_, index) => [deliver(index + 1, 0), deliver(index + 1, 1)]);
    await Promise.all(all.flat());
    const kept = await managers[0]?.find("1");
    assert.equal(kept?.version, eventsMax + 1);
    assert.equal(new Set(kept?.state.seen).size, eventsMax + 1);
    const { rows } = await pool.query("SELECT type, count(*)::int AS count FROM sent GROUP BY type ORDER BY type");
    assert.deepEqual(rows, [
      { type: "sales.Reserve", count: 1 },
      { type: "trunkline.process.Timeout", count: eventsMax + 1 },
    ]);
    assert.ok(conflicts > 0, "they did meet");
    t.diagnostic(`${conflicts} conflicts`);
    for (const one of pools) await one.end();
  });
});
