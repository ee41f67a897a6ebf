import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient } from "../calls/rpc/index.ts";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../contract/gen/grpc/health/v1/health_pb.ts";
import { virtualPlatform } from "../platform/virtual/index.ts";
import { createServer } from "./server.ts";

test("a server that drains tells those who watch its health, and does not wait for them until its time is over", async () => {
  const platform = virtualPlatform();
  const server = createServer({ services: [], platform });
  const { port } = await server.listen({ port: 0 });
  const seen: Status[] = [];
  const watching = (async () => {
    for await (const { status } of createClient(Health, `localhost:${port}`, { platform }).watch({})) seen.push(status);
  })();
  await platform.clock.advance(1_000);
  assert.deepEqual(seen, [Status.SERVING]);

  const drainedAt = server.drain({ timeoutMs: 25_000 }).then(() => platform.clock.now());
  await platform.clock.advance(30_000);
  await watching;
  assert.deepEqual(seen, [Status.SERVING, Status.NOT_SERVING]);
  assert((await drainedAt) < 5_000);
});
