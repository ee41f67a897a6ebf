import assert from "node:assert/strict";
import { after, test } from "node:test";
import { virtualPlatform } from "../platform/virtual/index.ts";
import type { ReadinessCheck } from "./health-routes.ts";
import { createServer } from "./server.ts";

const platform = virtualPlatform();
let nextPort = 3000;

/** Status and body of a GET. */
async function get(
  readiness: Readonly<Record<string, ReadinessCheck>>,
  path: string,
): Promise<{ status: number; body: unknown }> {
  const server = createServer({ services: [], readiness, platform });
  after(() => server.close());
  const { port } = await server.listen({ host: "127.0.0.1", port: nextPort++ });
  const stream = await platform.network.connect({ host: "127.0.0.1", port });
  let answer = "";
  const ended = new Promise<void>(resolve => {
    stream.handler = {
      data: chunk => {
        answer += chunk.toString("latin1");
      },
      drained() {},
      ended: resolve,
      closed: () => resolve(),
    };
    stream.write(Buffer.from(`GET ${path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`));
  });
  await platform.clock.advance(2_000);
  await ended;
  const body = answer.slice(answer.indexOf("\r\n\r\n") + 4);
  return { status: Number(answer.slice(9, 12)), body: JSON.parse(body) };
}

test("a process without checks is alive and ready, also when the probe has a query", async () => {
  assert.deepEqual(await get({}, "/livez"), { status: 200, body: { status: "alive" } });
  assert.deepEqual(await get({}, "/healthz?verbose"), { status: 200, body: { status: "alive" } });
  assert.deepEqual(await get({}, "/readyz"), { status: 200, body: { status: "ready", checks: {} } });
});

test("one check that fails makes the service not ready and says why", async () => {
  const readiness = {
    database: async () => "12 orders",
    broker: () => {
      throw new Error("connection refused");
    },
  };
  assert.deepEqual(await get(readiness, "/readyz"), {
    status: 503,
    body: {
      status: "not_ready",
      checks: {
        database: { status: "ready", detail: "12 orders" },
        broker: { status: "not_ready", detail: "connection refused" },
      },
    },
  });
  assert.equal((await get(readiness, "/livez")).status, 200);
});

test("a check that does not answer is not ready after two seconds and hears of it", async () => {
  let wasTold = false;
  const hangs: ReadinessCheck = signal =>
    new Promise(() => {
      signal.addEventListener("abort", () => {
        wasTold = true;
      });
    });
  const { status, body } = await get({ database: hangs }, "/readyz");
  assert.equal(status, 503);
  assert.deepEqual(body, {
    status: "not_ready",
    checks: { database: { status: "not_ready", detail: "no answer within 2000 ms" } },
  });
  assert(wasTold);
});
