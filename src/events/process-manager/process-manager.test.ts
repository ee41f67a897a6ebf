import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { create, type DescMessage } from "@bufbuild/protobuf";
import fc from "fast-check";
import { compileEvent } from "../../contract/index.ts";
import type { ObservedEvent } from "../../platform/index.ts";
import { virtualPlatform } from "../../platform/virtual/index.ts";
import { connectBroker } from "../connect.ts";
import { Discard } from "../errors.ts";
import type { Delivery, Handle } from "../handler.ts";
import { on } from "../handler.ts";
import { outbox } from "../outbox/index.ts";
import {
  type Fulfilment,
  fulfilment,
  PaidSchema,
  PlacedSchema,
  ReleaseSchema,
  ReservedSchema,
  ReserveSchema,
  ShipSchema,
  TouchedSchema,
} from "./fulfilment.fixture.ts";
import { type ProcessManager, processManager } from "./process-manager.ts";

test("a process goes through the broker: events in, commands out, a time-out when nobody pays", async t => {
  const platform = virtualPlatform();
  const database = new DatabaseSync(":memory:");
  const broker = await connectBroker("memory:", { platform, source: "/sales" });
  const box = await outbox({ database, broker, platform });
  const observed: ObservedEvent[] = [];
  const observer = { emit: (event: ObservedEvent) => void observed.push(event) };
  const manager = await processManager({ process: fulfilment, database, outbox: box, platform, observer });
  const commands: string[] = [];
  const saw = (name: string) => (event: { orderId: string }) => void commands.push(`${name} ${event.orderId}`);
  await broker.subscribe({ group: "fulfilment" }, ...manager.handlers);
  await broker.subscribe(
    { group: "warehouse" },
    on(ReserveSchema, saw("reserve")),
    on(ShipSchema, saw("ship")),
    on(ReleaseSchema, saw("release")),
  );
  const publish = async (schema: DescMessage, orderId: string, id: string) => {
    const done = broker.publish(schema, { orderId } as never, { id });
    await platform.clock.advance(2_000);
    await done;
  };
  for (const orderId of ["paid", "unpaid"]) {
    await publish(PlacedSchema, orderId, `${orderId}-1`);
    await publish(ReservedSchema, orderId, `${orderId}-2`);
  }
  await publish(PaidSchema, "paid", "paid-3");
  // The same once more: a publisher that had no answer.
  await publish(PaidSchema, "paid", "paid-3");
  await platform.clock.advance(700_000);
  assert.deepEqual(commands, ["reserve paid", "reserve unpaid", "ship paid", "release unpaid"]);
  assert.equal((await manager.find("unpaid"))?.state.status, "cancelled");
  assert.equal((await manager.find("paid"))?.isCompleted, true);
  const late = observed.filter(event => event.type === "process.passed_over") as { reason?: string }[];
  assert.ok(late.some(({ reason }) => reason === "duplicate"));
  const closed = Promise.all([box.close(), broker.close()]);
  await platform.clock.advance(5_000);
  await closed;
  t.diagnostic(`${observed.length} observed`);
});

const schemas = { placed: PlacedSchema, reserved: ReservedSchema, paid: PaidSchema, touched: TouchedSchema } as const;
type Kind = keyof typeof schemas;

/** An outbox that keeps what it is given in a table of the same transaction, and crashes when told to. */
function tableOutbox(database: DatabaseSync) {
  const box = {
    /** Publishes until the process is lost. */
    crashIn: Number.POSITIVE_INFINITY,
    publish(_tx: DatabaseSync, schema: DescMessage, event: object, _options?: object): undefined {
      if (--box.crashIn < 0) throw new Error("crash");
      const text = JSON.stringify(event, (_key, value) => (typeof value === "bigint" ? Number(value) : value));
      database.prepare("INSERT INTO sent (type, event) VALUES (?, ?)").run(schema.typeName, text);
    },
  };
  return box;
}

const scripts = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        step: fc.constant("event" as const),
        kind: fc.constantFrom<Kind>("placed", "reserved", "paid", "touched"),
        order: fc.nat(1),
        member: fc.nat(1),
        crash: fc.option(fc.nat(1), { freq: 4 }),
      }),
    },
    // An event that was delivered before: the acknowledgement was lost.
    { weight: 3, arbitrary: fc.record({ step: fc.constant("again" as const), which: fc.nat(), member: fc.nat(1) }) },
    // A time-out that was sent, whether it still runs or not.
    { weight: 3, arbitrary: fc.record({ step: fc.constant("timeout" as const), which: fc.nat(), member: fc.nat(1) }) },
    {
      weight: 2,
      arbitrary: fc.record({ step: fc.constant("together" as const), count: fc.integer({ min: 2, max: 4 }) }),
    },
  ),
  { maxLength: 50, size: "max" },
);

/** What the process is to an order, written down without versions, rows and transactions. */
class Model {
  state: Fulfilment | undefined;
  readonly timeouts = new Map<string, number>();
  readonly sent: string[] = [];

  take(kind: Kind, number: number): "retry" | "dead" | undefined {
    const before = this.state;
    if (before === undefined && kind !== "placed") {
      return kind === "reserved" ? "retry" : kind === "paid" ? "dead" : undefined;
    }
    if (before?.status === "shipped" || before?.status === "cancelled") return undefined;
    const { status, seen } = before ?? { status: "new", seen: [] };
    let next: Fulfilment["status"] = status;
    if (kind === "placed" && status === "new") {
      next = "reserving";
      this.sent.push("sales.Reserve");
      this.timeouts.set("stock", number);
    } else if (kind === "reserved" && status === "reserving") {
      next = "paying";
      this.timeouts.delete("stock");
      this.timeouts.set("payment", number);
    } else if (kind === "paid" && status === "paying") {
      next = "shipped";
      this.sent.push("sales.Ship");
      this.timeouts.clear();
    } else if (kind === "touched" && status === "reserving") this.timeouts.set("stock", number);
    this.state = { orderId: before?.orderId ?? "", status: next, seen: [...seen, number] };
    return undefined;
  }

  timeout(name: string, startedBy: number): void {
    if (this.state === undefined || this.timeouts.get(name) !== startedBy) return;
    this.timeouts.clear();
    if (name === "payment") this.sent.push("sales.Release");
    this.state = { ...this.state, status: "cancelled" };
  }
}

test("whatever comes in whichever order, twice, at once and through crashes: each event counts once, or not at all", async () => {
  const folder = mkdtempSync(join(tmpdir(), "trunkline-process-"));
  let runs = 0;
  try {
    await fc.assert(
      fc.asyncProperty(scripts, async script => {
        const file = join(folder, `${++runs}.db`);
        const platform = virtualPlatform({ seed: runs });
        const members = [0, 1].map(() => new DatabaseSync(file));
        for (const database of members)
          database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA busy_timeout = 0");
        members[0]?.exec("CREATE TABLE sent (number INTEGER PRIMARY KEY, type TEXT, event TEXT)");
        const boxes = members.map(tableOutbox);
        const managers: ProcessManager<Fulfilment>[] = [];
        for (const [index, database] of members.entries()) {
          const opening = processManager({ process: fulfilment, database, outbox: boxes[index] as never, platform });
          await platform.clock.advance(100);
          managers.push(await opening);
        }
        const settle = async (work: Promise<unknown>) => {
          const settled = work.then(
            () => undefined,
            (error: Error) => error,
          );
          await platform.clock.advance(1_000);
          return settled;
        };
        const deliver = async (member: number, desc: DescMessage, event: object, id: string) => {
          const contract = compileEvent(desc);
          const handler = managers[member]?.handlers.find(one => one.event.typeName === contract.typeName);
          assert.ok(handler);
          await (handler.handle as Handle<object>)(event, { id, source: "/t", type: contract.type } as Delivery);
        };
        const models = new Map(["a", "b"].map(name => [name, new Model()]));
        const delivered: { id: string; kind: Kind; orderId: string; number: number; isDone: boolean }[] = [];
        /** Time-outs as they were put into the outbox, with the number of the event that started them. */
        const startedBy = new Map<number, number>();
        const timeouts = () =>
          (members[0] as DatabaseSync)
            .prepare("SELECT number, event FROM sent WHERE type = 'trunkline.process.Timeout' ORDER BY number")
            .all()
            .map(row => ({ row: Number(row["number"]), ...JSON.parse(String(row["event"])) }));
        const noteTimeouts = (number: number) => {
          for (const { row } of timeouts()) if (!startedBy.has(row)) startedBy.set(row, number);
        };
        const take = async (one: (typeof delivered)[number], member: number, crash: number | null) => {
          const box = boxes[member] as ReturnType<typeof tableOutbox>;
          if (crash !== null) box.crashIn = crash;
          const { kind, orderId, number, id } = one;
          const error = await settle(deliver(member, schemas[kind], create(schemas[kind], { orderId, number }), id));
          const isCrash = error?.message === "crash";
          box.crashIn = Number.POSITIVE_INFINITY;
          if (isCrash || one.isDone) {
            if (one.isDone) assert.equal(error, undefined, "a repeat is acknowledged");
            return;
          }
          const refused = models.get(orderId)?.take(kind, number);
          if (refused === undefined) assert.equal(error, undefined);
          else assert.equal(error instanceof Discard, refused === "dead", String(error));
          one.isDone = refused === undefined;
          noteTimeouts(number);
        };
        let number = 0;
        const fresh = (kind: Kind, orderId: string) => {
          const one = { id: `e${++number}`, kind, orderId, number, isDone: false };
          delivered.push(one);
          return one;
        };
        for (const step of script) {
          if (step.step === "event")
            await take(fresh(step.kind, step.order === 0 ? "a" : "b"), step.member, step.crash);
          else if (step.step === "again") {
            const one = delivered[step.which % Math.max(1, delivered.length)];
            if (one !== undefined) await take(one, step.member, null);
          } else if (step.step === "timeout") {
            const all = timeouts();
            const one = all[step.which % Math.max(1, all.length)];
            if (one === undefined) continue;
            const { row, instance, name, version, dueAt } = one;
            const handler = managers[step.member]?.handlers.at(-1);
            const event = { instance, name, version: BigInt(version), dueAt: BigInt(dueAt) } as never;
            const run = Promise.resolve(handler?.handle(event, { id: `t${row}`, source: "/t", type: "t" } as Delivery));
            assert.equal(await settle(run), undefined);
            models.get(instance)?.timeout(name, startedBy.get(row) as number);
          } else {
            // The same event to both members at the same time, several times over.
            const one = fresh("touched", "a");
            const { kind, orderId, id } = one;
            const event = create(schemas[kind], { orderId, number: one.number });
            const all = Array.from({ length: step.count }, (_, index) => deliver(index % 2, schemas[kind], event, id));
            assert.equal(await settle(Promise.all(all)), undefined);
            models.get(orderId)?.take(kind, one.number);
            one.isDone = true;
            noteTimeouts(one.number);
          }
        }
        for (const [orderId, model] of models) {
          const kept = await managers[1]?.find(orderId);
          assert.deepEqual(kept?.state.seen, model.state?.seen);
          assert.equal(kept?.state.status, model.state?.status);
          assert.deepEqual(Object.keys(kept?.timeouts ?? {}).sort(), [...model.timeouts.keys()].sort());
          const sent = (members[0] as DatabaseSync)
            .prepare(
              "SELECT type FROM sent WHERE type <> 'trunkline.process.Timeout' AND json_extract(event, '$.orderId') = ? ORDER BY number",
            )
            .all(orderId)
            .map(row => row["type"]);
          assert.deepEqual(sent, model.sent);
        }
        for (const database of members) database.close();
      }),
      { numRuns: 100 },
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("completed instances are forgotten after their time; a time-out of the one before does not touch the next", async () => {
  const platform = virtualPlatform();
  const database = new DatabaseSync(":memory:");
  database.exec("CREATE TABLE sent (number INTEGER PRIMARY KEY, type TEXT, event TEXT)");
  const manager = await processManager({
    process: fulfilment,
    database,
    outbox: tableOutbox(database) as never,
    platform,
    keepCompletedMs: 0,
  });
  let ids = 0;
  const handle = async (index: number, event: object) => {
    const run = Promise.resolve(
      manager.handlers[index]?.handle(event as never, { id: `${++ids}`, source: "/t", type: "t" } as Delivery),
    );
    await platform.clock.advance(1_000);
    await run;
  };
  await handle(0, create(PlacedSchema, { orderId: "1" }));
  const row = database.prepare("SELECT event FROM sent WHERE type = 'trunkline.process.Timeout'").get();
  const { dueAt, version } = JSON.parse(String(row?.["event"]));
  const timeout = { instance: "1", name: "stock", version: BigInt(version), dueAt: BigInt(dueAt) };
  await handle(4, timeout);
  assert.equal(await manager.find("1"), undefined);
  await handle(0, create(PlacedSchema, { orderId: "1" }));
  await handle(4, timeout);
  assert.equal((await manager.find("1"))?.state.status, "reserving");
});

test("an event that names no instance is given up at once", async () => {
  const platform = virtualPlatform();
  const database = new DatabaseSync(":memory:");
  const manager = await processManager({
    process: fulfilment,
    database,
    outbox: tableOutbox(database) as never,
    platform,
  });
  const handle = manager.handlers[0]?.handle as Handle<object>;
  assert.throws(() => handle(create(PlacedSchema, {}), { id: "1", source: "/t", type: "t" } as Delivery), Discard);
});
