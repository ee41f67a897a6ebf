import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { InventoryUpdatedSchema } from "../../examples/shop/src/gen/inventory/inventory_pb.ts";
import {
  file_order_events,
  OrderCancelledSchema,
  OrderCreatedSchema,
} from "../../examples/shop/src/gen/order/events_pb.ts";
import { assertSound } from "../../test/asyncapi/referee.ts";
import { EventCatalog } from "../events/runtime/catalog.ts";
import { createServer } from "../exports/index.ts";
import { run } from "./recorded-terminal.fixture.ts";

const root = process.cwd();
const events = "examples/shop/src/gen/order/events_pb.ts";
const inventory = "examples/shop/src/gen/inventory/inventory_pb.ts";

let folder: string;
before(() => {
  // Inside of the checkout, where buf is found.
  folder = mkdtempSync(join(root, ".build/asyncapi-"));
});
after(() => rmSync(folder, { recursive: true, force: true }));

async function documentOf(args: readonly string[], input?: Uint8Array) {
  const { exitCode, out, error } = await run(root, ["asyncapi", ...args], input);
  assert.equal(error, "");
  assert.equal(exitCode, 0);
  const document = JSON.parse(out);
  assertSound(document);
  return document;
}

test("the document of a module is what a server has at /asyncapi.json that publishes its events", async () => {
  const catalog = new EventCatalog();
  catalog.learn(file_order_events);
  const publishes = [...catalog.events()].map(({ desc }) => desc);
  const server = createServer({ services: [], asyncapi: { publishes } });
  const { port } = await server.listen({ port: 0, host: "127.0.0.1" });
  const served = await (await fetch(`http://127.0.0.1:${port}/asyncapi.json`)).json();
  await server.drain({ timeoutMs: 1_000 });
  assert.deepEqual(await documentOf([events]), served);
});

test("so is that of a folder of .proto files", async () => {
  const whole = await documentOf(["examples/shop/proto"]);
  assert.deepEqual(whole, await documentOf([events, inventory]));
});

test("events are named by type, by topic and type, or by message", async () => {
  const names = ["order.created", "orders/order.cancelled", InventoryUpdatedSchema.typeName];
  const published = names.flatMap(name => ["--publishes", name]);
  const { operations } = await documentOf([events, inventory, ...published, "--title", "Shop"]);
  assert.deepEqual(Object.keys(operations), [
    "send.inventory.InventoryUpdated",
    `send.${OrderCancelledSchema.typeName}`,
    `send.${OrderCreatedSchema.typeName}`,
  ]);
});

test("groups, servers and what the API is called go into the document; secrets do not", async () => {
  const handles = ["--handles", "billing=order.created,order.cancelled", "--handles", "audit=order.created"];
  const servers = ["--server", "log=kafka://me:hunter2@k1,k2?sasl=plain"];
  const about = ["--title", "Billing", "--version", "2.1.0", "--description", "What it hears."];
  const document = await documentOf([events, ...handles, ...servers, ...about]);
  assert.deepEqual(Object.keys(document.operations), ["receive.audit.orders", "receive.billing.orders"]);
  assert.equal(document.operations["receive.billing.orders"].summary, "Handles order.cancelled, order.created.");
  const { tags: _, ...info } = document.info;
  assert.deepEqual(info, { title: "Billing", version: "2.1.0", description: "What it hears." });
  assert.deepEqual(Object.keys(document.servers), ["log", "log-2"]);
  assert.doesNotMatch(JSON.stringify(document), /hunter2/);
});

test("--output writes the file and nothing else; --compact makes it one line", async () => {
  const file = join(folder, "asyncapi.json");
  const { exitCode, out } = await run(root, ["asyncapi", events, "--compact", "-o", file]);
  assert.deepEqual([exitCode, out], [0, ""]);
  const text = readFileSync(file, "utf8");
  assertSound(JSON.parse(text));
  assert.equal(text.indexOf("\n"), text.length - 1);
});

test("what cannot be done exits with 1, what makes no sense with 2, and says in one line what is wrong", async () => {
  const empty = join(folder, "empty.mjs");
  writeFileSync(empty, "export const answer = 42;");
  const lines: readonly (readonly [exitCode: number, args: readonly string[], RegExp])[] = [
    [1, ["nowhere"], /nowhere does not exist/],
    [1, [empty], /there is no event in .*empty\.mjs; events are messages with option/],
    [
      1,
      [events, "--publishes", "order.lost"],
      /no contract has the event "order\.lost"; they have orders\/order\.created, /,
    ],
    [1, [events, "--server", "a=nats://me:hunter2@h"], /the server a has the scheme "nats:"/],
    [1, [events, "-o", join(folder, "no/such/folder.json")], /cannot write .*ENOENT/],
    [2, [], /name a contract/],
    [2, [events, "--server", "amqp://me:hunter2@h"], /--server must be name=url/],
    [2, [events, "--server", "amqp://me:hunter2@h?heartbeat=10"], /--server must be name=url/],
    [2, [events, "--handles", "billing"], /--handles must be group=event/],
  ];
  for (const [expectedCode, args, expected] of lines) {
    const { exitCode, out, error } = await run(root, ["asyncapi", ...args]);
    assert.equal(exitCode, expectedCode, error);
    assert.equal(out, "");
    assert.match(error, expected);
    assert.match(error, /^trunkline asyncapi: [^\n]*\n$/, "one line");
    assert.doesNotMatch(error, /hunter2/);
  }
});
