import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { type VirtualPlatform, virtualPlatform } from "../../platform/virtual/index.ts";
import { inbox } from "./inbox.ts";

async function open(platform: VirtualPlatform = virtualPlatform({ seed: 1 })) {
  const database = new DatabaseSync(":memory:");
  database.exec("CREATE TABLE effects (event TEXT)");
  const once = await inbox({ database, group: "g", platform });
  const effects = () =>
    database
      .prepare("SELECT event FROM effects")
      .all()
      .map(row => row["event"]);
  const effect = (name: string) => (tx: DatabaseSync) => {
    tx.prepare("INSERT INTO effects VALUES (?)").run(name);
    return name;
  };
  /** The outcomes of runs that are asked for in one turn. */
  const settle = async (...runs: Promise<unknown>[]) => {
    const settled = Promise.allSettled(runs);
    await platform.clock.advance(100);
    return (await settled).map(one => (one.status === "fulfilled" ? one.value : String(one.reason)));
  };
  return { database, once, effects, effect, settle, platform };
}

const delivery = (id: string, source = "/tests") => ({ id, source });

test("an event is handled once, however often it is delivered", async () => {
  const { once, effects, effect, settle } = await open();
  assert.deepEqual(await settle(once.run(delivery("1"), effect("a"))), ["a"]);
  assert.deepEqual(await settle(once.run(delivery("1"), effect("b"))), [undefined]);
  assert.deepEqual(await settle(once.run(delivery("1", "/elsewhere"), effect("c"))), ["c"], "ids are unique by source");
  assert.deepEqual(effects(), ["a", "c"]);
});

test("of deliveries at the same time one is handled", async () => {
  const { once, effects, effect, settle } = await open();
  const runs = Array.from({ length: 5 }, () => once.run(delivery("1"), effect("a")));
  assert.deepEqual(await settle(...runs), ["a", undefined, undefined, undefined, undefined]);
  assert.deepEqual(effects(), ["a"]);
});

test("work that fails is undone alone, and its event is handled when it comes again", async () => {
  const { once, effects, effect, settle } = await open();
  const fail = (tx: DatabaseSync) => {
    effect("half")(tx);
    throw new Error("broken");
  };
  const outcomes = await settle(
    once.run(delivery("1"), effect("a")),
    once.run(delivery("2"), fail),
    once.run(delivery("3"), effect("c")),
  );
  assert.deepEqual(outcomes, ["a", "Error: broken", "c"]);
  assert.deepEqual(effects(), ["a", "c"]);
  assert.deepEqual(await settle(once.run(delivery("2"), effect("b"))), ["b"]);
});

test("asynchronous work is refused, because it would run outside of the transaction", async () => {
  const { once, effects, settle } = await open();
  const work = async (tx: DatabaseSync) => {
    tx.exec("INSERT INTO effects VALUES ('x')");
  };
  assert.match(String((await settle(once.run(delivery("1"), work)))[0]), /must not return a promise/);
  assert.deepEqual(effects(), []);
});

test("groups have inboxes of their own", async () => {
  const { database, once, effects, effect, settle, platform } = await open();
  const other = await inbox({ database, group: "h", platform });
  await settle(once.run(delivery("1"), effect("g")), other.run(delivery("1"), effect("h")));
  assert.deepEqual(effects(), ["g", "h"]);
});

test("a transaction that the user has open is waited for", async () => {
  const { database, once, effects, effect, settle } = await open();
  database.exec("BEGIN; INSERT INTO effects VALUES ('user')");
  const run = once.run(delivery("1"), effect("a"));
  await settle();
  assert.deepEqual(effects(), ["user"]);
  database.exec("ROLLBACK");
  await settle(run);
  assert.deepEqual(effects(), ["a"]);
});

test("ids are forgotten after their time", async () => {
  const { database, once, effect, settle, platform } = await open();
  await settle(once.run(delivery("1"), effect("a")));
  await platform.clock.advance(15 * 24 * 3_600_000);
  await settle(once.run(delivery("2"), effect("b")));
  const ids = database.prepare("SELECT message FROM trunkline_inbox_v1").all();
  assert.deepEqual(
    ids.map(row => row["message"]),
    ["/tests 2"],
  );
});

test("options that mean nothing are errors", async () => {
  const database = new DatabaseSync(":memory:");
  await assert.rejects(inbox({ database, group: "", keepMs: 1 }), /group is empty/);
  await assert.rejects(inbox({ database, group: "g", keepMs: 0 }), /keepMs is 0/);
});

test("a batch is one transaction: its work gets what was not handled before, each event once", async () => {
  const { once, effects, effect, settle } = await open();
  const runs: (readonly number[])[] = [];
  const work = (names: readonly string[]) => (tx: DatabaseSync, fresh: readonly number[]) => {
    runs.push(fresh);
    for (const index of fresh) effect(names[index] as string)(tx);
    return fresh.length;
  };
  await settle(once.run(delivery("2"), effect("b")));
  const deliveries = ["1", "2", "3", "1"].map(id => delivery(id));
  assert.deepEqual(await settle(once.runBatch(deliveries, work(["a", "x", "c", "y"]))), [2]);
  assert.deepEqual(await settle(once.runBatch(deliveries, work(["z", "z", "z", "z"]))), [undefined]);
  assert.deepEqual(await settle(once.run(delivery("3"), effect("z"))), [undefined]);
  assert.deepEqual(await settle(once.runBatch([], work([]))), [undefined]);
  assert.deepEqual(runs, [[0, 2]]);
  assert.deepEqual(effects(), ["b", "a", "c"]);
});

test("a batch whose work fails is undone as a whole, and its events can be handled alone", async () => {
  const { once, effects, effect, settle } = await open();
  const fail = (tx: DatabaseSync) => {
    effect("half")(tx);
    throw new Error("broken");
  };
  const outcomes = await settle(
    once.run(delivery("0"), effect("zero")),
    once.runBatch([delivery("1"), delivery("2")], fail),
  );
  assert.deepEqual(outcomes, ["zero", "Error: broken"]);
  assert.deepEqual(await settle(once.run(delivery("1"), effect("a")), once.run(delivery("2"), effect("b"))), [
    "a",
    "b",
  ]);
  assert.deepEqual(effects(), ["zero", "a", "b"]);
});
