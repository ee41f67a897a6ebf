/** What calls that were given up may leave behind: nothing. At every moment of a call: `test/scenarios/abort.test.ts`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Health } from "../../contract/gen/grpc/health/v1/health_pb.ts";
import { isRpcError } from "../../errors/index.ts";
import { virtualPlatform } from "../../platform/virtual/index.ts";
import { Channel } from "../channel/index.ts";
import type { Call } from "./call.ts";
import { createClient } from "./client.ts";
import { implement } from "./implement.ts";
import { RpcServer } from "./server.ts";

const after = (platform: ReturnType<typeof virtualPlatform>, ms: number) =>
  new Promise<void>(resolve => platform.clock.after(ms, resolve));

test("calls that are given up while they wait for a connection make place for others", async t => {
  const platform = virtualPlatform();
  platform.network.conditions.isSilent = true;
  const channel = new Channel("10.0.0.1:80", { platform });
  t.after(() => channel.close());
  const client = createClient(Health, channel, { policy: false });
  const controller = new AbortController();
  const calls = Promise.allSettled(
    Array.from({ length: 1_024 }, () => client.check({}, { signal: controller.signal })),
  );
  await platform.clock.settle();
  assert.equal(channel.pick()?.pool.waiting, 1_024, "as many as may wait");
  controller.abort();
  assert.equal(channel.pick()?.pool.waiting, 0);
  for (const call of await calls) assert.ok(call.status === "rejected" && isRpcError(call.reason, "cancelled"));
});

test("an attempt whose time is over waits for no connection any more, and is not sent when there is one", async t => {
  const platform = virtualPlatform({ seed: 2 });
  const seen: string[] = [];
  for (const id of [1, 2]) {
    const check = async (_: unknown, call: Call) => {
      seen.push(`${id}, attempts before: ${call.metadata.get("grpc-previous-rpc-attempts") ?? 0}`);
      await after(platform, 15);
      return {};
    };
    const server = new RpcServer({ services: [implement(Health, { check })], platform });
    await server.listen({ host: `10.0.0.${id}`, port: 80 });
  }
  const channel = new Channel("static:///10.0.0.1:80,10.0.0.2:80", { platform });
  t.after(() => channel.close());
  const client = createClient(Health, channel, { policy: { hedge: { delayMs: 20 }, attemptTimeoutMs: 30 } });
  // The first attempt has a connection after 36 ms, when its time is over and its hedge is under way.
  platform.network.conditions.latencyMs = 18;
  const call = client.check({}, { retry: true });
  await platform.clock.advance(1);
  platform.network.conditions.latencyMs = 1;
  await platform.clock.advance(30);
  assert.equal(channel.endpoints().length, 2);
  await platform.clock.advance(100);
  await call;
  assert.equal(seen.length, 1, seen.join("; "));
});

test("a server forgets a call that was given up as soon as its handler has ended", async t => {
  const platform = virtualPlatform();
  const check = async () => {
    await after(platform, 10);
    return {};
  };
  const server = new RpcServer({
    services: [implement(Health, { check })],
    // With a place to lose, which a handler may hold for a minute after its call.
    methodLimits: { "/grpc.health.v1.Health/Check": { concurrent: 10 } },
    platform,
  });
  await server.listen({ host: "10.0.0.1", port: 80 });
  const channel = new Channel("10.0.0.1:80", { platform });
  t.after(() => channel.close());
  const client = createClient(Health, channel);
  const timersAfter = async (signal?: AbortSignal) => {
    const call = client.check({}, { signal }).catch(() => undefined);
    await platform.clock.advance(50);
    await call;
    return platform.clock.pendingTimers;
  };
  const idle = await timersAfter();
  for (let n = 0; n < 10; n++) {
    const controller = new AbortController();
    platform.clock.after(5, () => controller.abort());
    assert.equal(await timersAfter(controller.signal), idle);
  }
});
