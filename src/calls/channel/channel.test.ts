import assert from "node:assert/strict";
import { test } from "node:test";
import {
  Health,
  type HealthCheckResponse_ServingStatus as Status,
} from "../../contract/gen/grpc/health/v1/health_pb.ts";
import { isRpcError } from "../../errors/index.ts";
import { type VirtualPlatform, virtualPlatform } from "../../platform/virtual/index.ts";
import { ServiceDiscoveryError } from "../discovery/index.ts";
import { createClient, implement, RpcServer } from "../rpc/index.ts";
import { Channel } from "./channel.ts";

/** A server that says who it is by what it answers, at 10.0.0.<id>:80. */
async function serve(platform: VirtualPlatform, id: number, hold?: Promise<void>) {
  const seen: string[] = [];
  const server = new RpcServer({
    services: [
      implement(Health, {
        async check({ service }) {
          seen.push(service);
          if (service === "held") await hold;
          return { status: id as Status };
        },
      }),
    ],
    platform,
  });
  await server.listen({ host: `10.0.0.${id}`, port: 80 });
  return { server, seen };
}

function world(t: { after(run: () => void): void }) {
  const platform = virtualPlatform();
  const dns = platform.network.dnsServer;
  // In turn, so that every endpoint of the list shows.
  const channel = new Channel("orders:80", { platform, balancing: { rule: "round_robin" } });
  t.after(() => channel.close());
  const client = createClient(Health, channel);
  /** Calls `count` times, and tells which servers answered. */
  const call = async (count: number) => {
    const answers = Array.from({ length: count }, () => client.check({}));
    await platform.clock.settle();
    return new Set((await Promise.all(answers)).map(({ status }) => status as number));
  };
  return { platform, dns, channel, client, call };
}

test("clients follow the list: new endpoints get calls, removed ones finish theirs and are closed", async t => {
  const { platform, dns, channel, client, call } = world(t);
  const held = Promise.withResolvers<void>();
  await serve(platform, 1, held.promise);
  await serve(platform, 2);
  dns.set("orders", ["10.0.0.1"], 5);
  assert.deepEqual(await call(4), new Set([1]));
  const long = client.check({ service: "held" });
  await platform.clock.settle();
  dns.set("orders", ["10.0.0.2"], 5);
  await platform.clock.advance(7_000);
  assert.deepEqual(await call(4), new Set([2]));
  assert.deepEqual(
    channel.endpoints().map(({ address, connections, isStale }) => [address, connections, isStale]),
    [["10.0.0.2", 1, false]],
  );
  assert.equal(platform.network.connections.size, 2, "the connection of the removed endpoint serves its call");
  held.resolve();
  assert.equal((await long).status, 1);
  await platform.clock.advance(1_000);
  dns.set("orders", ["10.0.0.1", "10.0.0.2"], 5);
  await platform.clock.advance(7_000);
  assert.deepEqual(await call(8), new Set([1, 2]), "an endpoint that comes back gets calls again");
});

test("an endpoint that stays keeps its connections over updates of the list", async t => {
  const { platform, dns, channel, call } = world(t);
  await serve(platform, 1);
  await serve(platform, 2);
  dns.set("orders", ["10.0.0.1"], 1);
  await call(1);
  const endpoint = channel.pick();
  for (const other of [["10.0.0.2"], [], ["10.0.0.2"]]) {
    dns.set("orders", ["10.0.0.1", ...other], 1);
    await platform.clock.advance(2_000);
    await call(4);
    assert.ok([channel.pick(), channel.pick()].includes(endpoint));
  }
  assert.equal(endpoint?.pool.connections, 1);
});

test("a call that begins before the first resolution waits for it, and its deadline for nothing", async t => {
  const { platform, dns, client } = world(t);
  await serve(platform, 1);
  dns.set("orders", ["10.0.0.1"]);
  dns.delayMs = 1_000;
  const patient = client.check({});
  const hasty = client.check({}, { timeoutMs: 300 });
  const outcome = assert.rejects(hasty, error => isRpcError(error, "deadline_exceeded"));
  await platform.clock.advance(400);
  await outcome;
  await platform.clock.advance(700);
  assert.equal((await patient).status, 1);
});

test("a name that is not known fails calls as unavailable, with the reason, at once and without a storm", async t => {
  const { platform, dns, client, call } = world(t);
  const fail = async () => {
    const outcome = assert.rejects(
      client.check({}),
      error =>
        isRpcError(error, "unavailable") &&
        error.cause instanceof ServiceDiscoveryError &&
        error.cause.service === "orders" &&
        /service "orders" was not found/.test(error.message),
    );
    await platform.clock.settle();
    await outcome;
  };
  for (let count = 0; count < 50; count++) await fail();
  assert.equal(dns.queries.filter(one => one.startsWith("A ")).length, 1);
  await serve(platform, 1);
  dns.set("orders", ["10.0.0.1"]);
  await platform.clock.advance(1_500);
  assert.deepEqual(await call(1), new Set([1]));
});

test("calls go to other endpoints while one cannot be reached, and none of them fails", async t => {
  const { platform, dns, call } = world(t);
  await serve(platform, 1);
  await serve(platform, 3);
  dns.set("orders", ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"], 300);
  for (let round = 0; round < 20; round++) {
    assert.deepEqual(await call(8), new Set([1, 3]));
    await platform.clock.advance(500);
  }
});

test("connections that fail make the target be resolved again before its time is over", async t => {
  const { platform, dns, client, call } = world(t);
  const { server } = await serve(platform, 1);
  dns.set("orders", ["10.0.0.1"], 300);
  await call(1);
  await server.close();
  await serve(platform, 2);
  dns.set("orders", ["10.0.0.2"], 300);
  await platform.clock.advance(5_000);
  const lost = client.check({}).catch(() => undefined);
  await platform.clock.advance(1_500);
  await lost;
  assert.deepEqual(await call(4), new Set([2]));
});

test("a channel that is closed before its target is resolved fails what waits", async t => {
  const { platform, dns, channel, client } = world(t);
  dns.delayMs = 5_000;
  const outcome = assert.rejects(
    client.check({}),
    error => isRpcError(error, "unavailable") && /is closed/.test(error.message),
  );
  await platform.clock.settle();
  channel.close();
  await outcome;
  await assert.rejects(client.check({}), error => isRpcError(error, "unavailable"));
  await platform.clock.advance(60_000);
  assert.equal(platform.clock.pendingTimers, 0);
});

test("authority is the target's name, or the address where the target lists addresses", t => {
  const platform = virtualPlatform();
  const listed = new Channel("static:///a:1,[::1]:2", { platform });
  t.after(() => listed.close());
  const seen = new Set(Array.from({ length: 20 }, () => listed.pick()?.authority.value));
  assert.deepEqual(seen, new Set(["a:1", "[::1]:2"]));
});

test("an address needs no waiting", t => {
  const channel = new Channel("10.0.0.1:80", { platform: virtualPlatform() });
  t.after(() => channel.close());
  assert.equal(channel.pick()?.key, "10.0.0.1:80");
  assert.equal(channel.size, 1);
});

test("calls that wait for the first resolution are bounded", async t => {
  const { platform, dns, channel } = world(t);
  dns.delayMs = 1_000;
  const waiting = Array.from({ length: 1_024 }, () => channel.resolved());
  await assert.rejects(channel.resolved(), /1024 calls wait for orders:80 to be resolved already/);
  dns.set("orders", ["10.0.0.1"]);
  await platform.clock.advance(1_100);
  await Promise.all(waiting);
});

test("calls that are given up while they wait for the first resolution make place for others", async t => {
  const { platform, dns, channel, client } = world(t);
  dns.delayMs = 1_000;
  const controller = new AbortController();
  const calls = Promise.allSettled(
    Array.from({ length: 1_024 }, () => client.check({}, { signal: controller.signal })),
  );
  const oneMore = channel.resolved(controller.signal);
  controller.abort(new Error("no longer wanted"));
  await assert.rejects(oneMore, /1024 calls wait for orders:80/);
  await assert.rejects(channel.resolved(controller.signal), /no longer wanted/);
  for (const call of await calls) assert.ok(call.status === "rejected" && isRpcError(call.reason, "cancelled"));
  const others = Array.from({ length: 1_024 }, () => channel.resolved());
  dns.set("orders", ["10.0.0.1"]);
  await platform.clock.advance(1_100);
  await Promise.all(others);
});
