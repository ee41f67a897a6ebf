import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { InventoryUpdatedSchema } from "../../examples/shop/src/gen/inventory/inventory_pb.ts";
import { OrderCreatedSchema } from "../../examples/shop/src/gen/order/events_pb.ts";
import { OrderService } from "../../examples/shop/src/gen/order/order_pb.ts";
import { assertSound } from "../../test/asyncapi/referee.ts";
import type { AsyncApiDocument } from "../events/asyncapi/asyncapi.ts";
import { connectBroker, on } from "../events/index.ts";
import { createServer, implement, type Server, type ServerAsyncApiOptions, type ServerOptions } from "./index.ts";

type Ask = (path: string, init?: RequestInit) => Promise<Response>;

async function serving(
  asyncapi: ServerAsyncApiOptions | false | undefined,
  use: (ask: Ask) => Promise<void>,
  more: Partial<ServerOptions> = {},
): Promise<void> {
  const server: Server = createServer({ services: [implement(OrderService, {})], asyncapi, ...more });
  try {
    const { port } = await server.listen({ port: 0, host: "127.0.0.1" });
    await use((path, init) => fetch(`http://127.0.0.1:${port}${path}`, init));
  } finally {
    await server.drain({ timeoutMs: 1_000 });
  }
}

const publishes = [OrderCreatedSchema];

test("/asyncapi.json is served as /openapi.json is: type, validator, HEAD, other methods, CORS", async () => {
  const origin = "https://shop.example";
  await serving(
    { publishes },
    async ask => {
      const headers = { origin };
      for (const path of ["/asyncapi.json", "/openapi.json"]) {
        const answer = await ask(path, { headers });
        const text = await answer.text();
        const field = (name: string) => answer.headers.get(name);
        assert.equal(answer.status, 200);
        assert.equal(field("content-type"), "application/json");
        assert.equal(field("cache-control"), "no-cache");
        assert.equal(field("x-content-type-options"), "nosniff");
        assert.equal(field("access-control-allow-origin"), origin);
        const tag = field("etag") ?? "";
        assert.match(tag, /^W\/"/);
        const again = await ask(path, { headers: { "if-none-match": tag } });
        assert.deepEqual([again.status, await again.text()], [304, ""]);
        const head = await ask(`${path}?x=1`, { method: "HEAD" });
        assert.deepEqual(
          [head.status, head.headers.get("content-length"), await head.text()],
          [200, String(Buffer.byteLength(text)), ""],
        );
        const post = await ask(path, { method: "POST", body: "{}" });
        assert.deepEqual([post.status, post.headers.get("allow")], [405, "GET, HEAD, OPTIONS"]);
        assert.equal(post.headers.get("content-type"), "application/problem+json");
        assert.equal((await ask(path, { method: "OPTIONS" })).status, 204);
      }
    },
    { cors: { origins: [origin] } },
  );
});

test("the document follows the subscriptions: those of the moment, and its validator with them", async () => {
  const broker = await connectBroker("memory:", { source: "/order-service" });
  try {
    await serving({ broker, publishes, servers: { log: "kafka://me:hunter2@k1" } }, async ask => {
      const read = async () => {
        const answer = await ask("/asyncapi.json");
        const document = (await answer.json()) as AsyncApiDocument;
        assertSound(document);
        return { tag: answer.headers.get("etag"), operations: Object.keys(document.operations), document };
      };
      const before = await read();
      assert.deepEqual(before.operations, ["send.order.OrderCreated"]);
      assert.doesNotMatch(JSON.stringify(before.document), /hunter2/);
      await broker.subscribe(
        { group: "inventory" },
        on(InventoryUpdatedSchema, () => {}),
      );
      const [after, again] = await Promise.all([read(), read()]);
      assert.deepEqual(after.operations, ["send.order.OrderCreated", "receive.inventory.inventory"]);
      assert.notEqual(after.tag, before.tag);
      assert.equal(after.tag, again.tag);
    });
  } finally {
    await broker.close();
  }
});

test("it is served at another path, beside routes of the contract, when the server is told so", async () => {
  await serving({ publishes, path: "/events/asyncapi" }, async ask => {
    assert.equal((await ask("/events/asyncapi")).status, 200);
    assert.equal((await ask("/asyncapi.json")).status, 404);
  });
});

test("it is not served unless it is asked for", async () => {
  for (const asyncapi of [undefined, false] as const) {
    await serving(asyncapi, async ask => assert.equal((await ask("/asyncapi.json")).status, 404));
  }
});

describe("a server is not made with a document that cannot be", () => {
  const rows: readonly (readonly [what: string, options: object, RegExp])[] = [
    ["a path without a slash", { path: "asyncapi.json" }, /asyncapi.path is "asyncapi.json"; it must be a path/],
    ["a path with a query", { path: "/a?b" }, /without \? and #/],
    ["a message that is no event", { publishes: [OrderService.methods[0]?.input] }, /it is no event/],
    ["a server that is none", { servers: { a: "http://h" } }, /the scheme "http:", which names no broker/],
  ];
  for (const [what, options, message] of rows) {
    test(what, () => {
      const asyncapi = options as ServerAsyncApiOptions;
      assert.throws(() => createServer({ services: [], asyncapi }), message);
    });
  }
});
