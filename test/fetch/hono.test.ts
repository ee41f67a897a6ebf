import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Hono } from "hono";
import { getCookie } from "hono/cookie";
import { HTTPException } from "hono/http-exception";
import { stream, streamSSE } from "hono/streaming";
import { createServer, implement, type Server } from "trunkline";
import { ElizaService } from "../gen/eliza/v1/eliza_pb.ts";

/** A Hono application beside the routes of a contract, on one port. */
const told = new Map<string, PromiseWithResolvers<void>>();

/** What a handler tells its test. */
function heard(name: string): PromiseWithResolvers<void> {
  let resolvers = told.get(name);
  if (resolvers === undefined) {
    resolvers = Promise.withResolvers();
    told.set(name, resolvers);
  }
  return resolvers;
}

const app = new Hono();
app.get("/hello/:name", context => context.text(`hello ${context.req.param("name")}`));
app.get("/cookies", context => {
  context.header("set-cookie", "a=1; Path=/", { append: true });
  context.header("set-cookie", "b=2", { append: true });
  return context.json(getCookie(context));
});
app.post("/orders", async context => {
  const order = await context.req.json<{ item: string }>();
  return context.json({ got: order.item }, 201);
});
app.post("/upload", async context => {
  let bytes = 0;
  for await (const piece of context.req.raw.body ?? []) bytes += piece.length;
  return context.text(String(bytes));
});
app.get("/numbers", context =>
  stream(context, async answer => {
    for (let number = 1; number <= 3; number++) await answer.write(`${number}\n`);
  }),
);
app.get("/ticks", context =>
  streamSSE(context, async events => {
    events.onAbort(() => heard("ticks").resolve());
    await events.writeSSE({ event: "tick", data: "1" });
    // One event and then silence: the first must not wait for a second.
    await heard("ticks").promise;
  }),
);
app.get("/never", async context => {
  heard("arrived").resolve();
  await new Promise(resolve => context.req.raw.signal.addEventListener("abort", resolve));
  heard("never").resolve();
  return context.text("too late");
});
app.delete("/orders/:id", context => context.body(null, 204));
app.get("/forbidden", () => {
  throw new HTTPException(403, { message: "not you" });
});
app.get("/broken", () => {
  throw new Error("a secret");
});
app.onError((error, context) =>
  error instanceof HTTPException ? error.getResponse() : context.text("something broke", 500),
);

describe("a Hono application beside a contract", () => {
  let server: Server;
  let base = "";
  before(async () => {
    server = createServer({
      services: [implement(ElizaService, { say: ({ sentence }) => ({ sentence }) })],
      fetch: app.fetch,
    });
    base = `http://127.0.0.1:${(await server.listen({ port: 0, host: "127.0.0.1" })).port}`;
  });
  after(() => server.close());

  test("each answers for its own routes", async () => {
    assert.equal(await (await fetch(`${base}/hello/you`)).text(), "hello you");
    assert.deepEqual(await (await fetch(`${base}/v1/say/hi`)).json(), { sentence: "hi" });
    assert.equal((await fetch(`${base}/livez`)).status, 200);
  });

  test("what neither knows gets Hono's 404", async () => {
    const answer = await fetch(`${base}/nothing`);
    assert.equal(answer.status, 404);
    assert.equal(await answer.text(), "404 Not Found");
  });

  test("a body reaches its handler", async () => {
    const answer = await fetch(`${base}/orders`, { method: "POST", body: JSON.stringify({ item: "été" }) });
    assert.equal(answer.status, 201);
    assert.deepEqual(await answer.json(), { got: "été" });
  });

  test("a streamed upload reaches its handler piece by piece", async () => {
    const body = new ReadableStream({
      start(controller) {
        for (let index = 0; index < 30; index++) controller.enqueue(new Uint8Array(100_000));
        controller.close();
      },
    });
    const answer = await fetch(`${base}/upload`, { method: "POST", body, duplex: "half" });
    assert.equal(await answer.text(), "3000000");
  });

  test("a streamed answer is complete, and has no length when its end is not known at once", async () => {
    const answer = await fetch(`${base}/numbers`);
    assert.equal(await answer.text(), "1\n2\n3\n");
  });

  test("the first event of a silent stream arrives at once, and leaving tells its handler", async () => {
    const controller = new AbortController();
    const answer = await fetch(`${base}/ticks`, { signal: controller.signal });
    assert.equal(answer.headers.get("content-type"), "text/event-stream");
    const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
    assert.equal((await reader?.read())?.value, "event: tick\ndata: 1\n\n");
    controller.abort();
    await heard("ticks").promise;
  });

  test("request.signal is aborted when the caller leaves", async () => {
    const controller = new AbortController();
    const answer = fetch(`${base}/never`, { signal: controller.signal });
    await heard("arrived").promise;
    controller.abort();
    await assert.rejects(answer);
    await heard("never").promise;
  });

  test("cookies are set one by one and read back", async () => {
    const answer = await fetch(`${base}/cookies`, { headers: { cookie: "x=1; y=2" } });
    assert.deepEqual(await answer.json(), { x: "1", y: "2" });
    assert.deepEqual(answer.headers.getSetCookie(), ["a=1; Path=/", "b=2"]);
  });

  test("no content is no content, and HEAD has no body", async () => {
    const deleted = await fetch(`${base}/orders/1`, { method: "DELETE" });
    assert.equal(deleted.status, 204);
    assert.equal(deleted.headers.get("content-length"), null);
    const head = await fetch(`${base}/hello/you`, { method: "HEAD" });
    assert.equal(head.status, 200);
    assert.equal(await head.text(), "");
  });

  test("errors are Hono's", async () => {
    const forbidden = await fetch(`${base}/forbidden`);
    assert.equal(forbidden.status, 403);
    assert.equal(await forbidden.text(), "not you");
    const broken = await fetch(`${base}/broken`);
    assert.equal(broken.status, 500);
    assert.equal(await broken.text(), "something broke");
  });
});
