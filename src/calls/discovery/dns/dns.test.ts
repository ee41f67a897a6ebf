import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { virtualPlatform } from "../../../platform/virtual/index.ts";
import { ttlMaxMs, ttlMinMs } from "../limits.ts";
import { listenTo } from "../listening.fixture.ts";
import { ServiceDiscoveryError } from "../service-discovery-error.ts";
import { clampedTtlMs } from "./addresses-of-name.ts";

function platformWith(records: Readonly<Record<string, readonly string[]>>, ttlSeconds = 60) {
  const platform = virtualPlatform();
  for (const [name, addresses] of Object.entries(records)) platform.network.dnsServer.set(name, addresses, ttlSeconds);
  return platform;
}

test("addresses and IP literals are known before start returns, and nobody is asked", () => {
  for (const [target, told] of [
    ["10.0.0.1:80", "10.0.0.1:80"],
    ["dns:///[::1]:80", "[::1]:80"],
    ["localhost:80", "localhost:80"],
    ["dns:///orders.localhost:80", "orders.localhost:80"],
    ["static:///b:2,a:1,b:2", "b:2,a:1"],
  ] as const) {
    const { told: lists, platform } = listenTo(target);
    assert.deepEqual(lists, [told]);
    assert.deepEqual(platform.network.dnsServer.queries, []);
  }
});

test("a name is asked for again when its time to live is over, and only changes are told", async () => {
  const platform = platformWith({ orders: ["10.0.0.2", "10.0.0.1"] }, 30);
  const { told } = listenTo("orders:80", { platform });
  await platform.clock.settle();
  assert.deepEqual(told, ["10.0.0.1:80,10.0.0.2:80"]);
  const server = platform.network.dnsServer;
  assert.deepEqual(server.queries, ["A orders", "AAAA orders"]);
  server.set("orders", ["10.0.0.1", "10.0.0.2"], 30);
  await platform.clock.advance(29_000);
  assert.equal(server.queries.length, 2);
  await platform.clock.advance(8_000);
  assert.equal(server.queries.length, 4);
  assert.equal(told.length, 1, "another order is no change");
  server.set("orders", ["10.0.0.3", "fd00::1"], 30);
  await platform.clock.advance(36_000);
  assert.deepEqual(told.slice(1), ["10.0.0.3:80,[fd00::1]:80"]);
});

for (const failure of ["server_failure", "timeout", "refused", "unreachable", "not_found"] as const) {
  test(`after an answer, ${failure} leaves the last endpoints, marked stale, until there is an answer again`, async () => {
    const platform = platformWith({ orders: ["10.0.0.1"] }, 5);
    const { told, errors } = listenTo("orders:80", { platform });
    await platform.clock.settle();
    platform.network.dnsServer.failure = failure;
    await platform.clock.advance(600_000);
    assert.deepEqual(told, ["10.0.0.1:80", "10.0.0.1:80?"]);
    assert.deepEqual(errors, []);
    platform.network.dnsServer.failure = undefined;
    await platform.clock.advance(40_000);
    assert.deepEqual(told.slice(2), ["10.0.0.1:80"]);
  });
}

test("a name that is not found at first is an error with service, resolver and cause, and is tried again", async () => {
  const platform = platformWith({});
  const { told, errors } = listenTo("dns:///orders:80", { platform });
  await platform.clock.settle();
  const [error] = errors;
  assert.ok(error instanceof ServiceDiscoveryError);
  assert.deepEqual([error.service, error.resolver, error.target], ["orders", "dns", "dns:///orders:80"]);
  assert.match(error.message, /service "orders" was not found .*A orders/);
  assert.equal((error.cause as Error).name, "DnsError");
  platform.network.dnsServer.set("orders", ["10.0.0.1"]);
  await platform.clock.advance(1_300);
  assert.deepEqual(told, ["10.0.0.1:80"]);
});

test("failed attempts come at growing intervals, half a minute at most", async () => {
  const platform = platformWith({});
  listenTo("orders:80", { platform });
  await platform.clock.advance(10 * 60_000);
  const attempts = platform.network.dnsServer.queries.length / 2;
  assert.ok(attempts >= 18 && attempts <= 26, `${attempts} attempts in ten minutes`);
});

test("a hundred failed connections make one query a second", async () => {
  const platform = platformWith({ orders: ["10.0.0.1"] }, 300);
  const { resolver } = listenTo("orders:80", { platform });
  await platform.clock.settle();
  const { queries } = platform.network.dnsServer;
  for (let round = 0; round < 100; round++) {
    assert.equal(resolver.resolveNow(), false);
    await platform.clock.advance(100);
  }
  const extra = queries.length / 2 - 1;
  assert.ok(extra >= 7 && extra <= 10, `${extra} queries in ten seconds`);
  await platform.clock.advance(60_000);
  const before = queries.length;
  assert.equal(resolver.resolveNow(), true, "the first hint after a quiet time is followed at once");
  assert.equal(queries.length >= before, true);
});

test("an answer that does not come is a failure, and its late arrival changes nothing", async () => {
  const platform = platformWith({ orders: ["10.0.0.1"] });
  platform.network.dnsServer.delayMs = 20_000;
  const { told, errors, resolver } = listenTo("orders:80", { platform });
  assert.equal(resolver.resolveNow(), true);
  await platform.clock.advance(15_000);
  assert.match(String(errors[0]), /no answer within 15000 ms/);
  platform.network.dnsServer.delayMs = 0;
  await platform.clock.advance(2_000);
  assert.deepEqual(told, ["10.0.0.1:80"]);
  await platform.clock.advance(30_000);
  assert.equal(told.length, 1);
});

test("a closed resolver asks nobody and tells nothing", async () => {
  const platform = platformWith({ orders: ["10.0.0.1"] }, 1);
  platform.network.dnsServer.delayMs = 10;
  const { told, errors, resolver } = listenTo("orders:80", { platform });
  resolver.close();
  await platform.clock.advance(60_000);
  assert.deepEqual([told, errors], [[], []]);
  assert.equal(platform.clock.pendingTimers, 0);
  assert.equal(resolver.resolveNow(), false);
});

test("the table of hosts goes before DNS, except where the target names a server", async () => {
  const platform = platformWith({ orders: ["10.0.0.1"] });
  platform.network.addHost("orders", "127.0.0.5");
  const usual = listenTo("orders:80", { platform });
  const asked = listenTo("dns://10.0.0.10/orders:80", { platform });
  await platform.clock.settle();
  assert.deepEqual(usual.told, ["127.0.0.5:80"]);
  assert.deepEqual(asked.told, ["10.0.0.1:80"]);
});

test("search domains are tried as resolv.conf says, and not where the name is complete or the server fails", async () => {
  const platform = platformWith({ "orders.default.svc.cluster.local": ["10.0.0.1"], "orders.example": ["10.0.0.9"] });
  const dns = { search: ["default.svc.cluster.local", ".svc.cluster.local"] };
  const { queries } = platform.network.dnsServer;
  const ask = async (target: string) => {
    queries.length = 0;
    const { told, resolver } = listenTo(target, { platform, dns });
    await platform.clock.settle();
    resolver.close();
    return { told, names: queries.filter(one => one.startsWith("A ")).map(one => one.slice(2)) };
  };
  assert.deepEqual(await ask("orders:80"), { told: ["10.0.0.1:80"], names: ["orders.default.svc.cluster.local"] });
  assert.deepEqual((await ask("orders.example:80")).names, ["orders.example"]);
  assert.deepEqual((await ask("orders.default:80")).names, [
    "orders.default",
    "orders.default.default.svc.cluster.local",
    "orders.default.svc.cluster.local",
  ]);
  assert.deepEqual((await ask("other.:80")).names, ["other"]);
  platform.network.dnsServer.failure = "server_failure";
  assert.equal((await ask("orders:80")).names.length, 1);
});

test("one family that fails does not take the other with it", async () => {
  const platform = platformWith({ orders: ["fd00::1"] });
  const { told } = listenTo("orders:80", { platform });
  const four = listenTo("orders:80", { platform, dns: { family: 4 } });
  await platform.clock.settle();
  assert.deepEqual(told, ["[fd00::1]:80"]);
  assert.equal(four.errors.length, 1);
});

test("service records give all that have addresses, with their priorities and with weights divided among addresses", async () => {
  const platform = platformWith({ "a.example": ["10.0.0.1", "10.0.0.2"], "b.example": ["10.0.1.1"] });
  const server = platform.network.dnsServer;
  server.services.set("_grpc._tcp.orders.example", [
    { name: "gone.example", port: 9, priority: 0, weight: 1 },
    { name: "a.example", port: 1, priority: 10, weight: 4 },
    { name: "b.example", port: 2, priority: 20, weight: 1 },
    { name: "", port: 3, priority: 0, weight: 1 },
    { name: "a.example", port: 0, priority: 10, weight: 1 },
  ]);
  const { told, lists } = listenTo("dns+srv:///_grpc._tcp.orders.example", { platform });
  await platform.clock.settle();
  assert.deepEqual(told, ["10.0.0.1:1,10.0.0.2:1,10.0.1.1:2"]);
  assert.deepEqual(
    lists[0]?.map(({ weight, priority, hostname }) => [weight, priority, hostname]),
    [
      [2, 10, "a.example"],
      [2, 10, "a.example"],
      [1, 20, "b.example"],
    ],
  );
  server.addresses.delete("a.example");
  await platform.clock.advance(40_000);
  assert.deepEqual(told.slice(1), ["10.0.1.1:2"], "the second priority is what is left");
  server.services.set("_grpc._tcp.orders.example", [{ name: ".", port: 1, priority: 0, weight: 0 }]);
  await platform.clock.advance(40_000);
  assert.deepEqual(told.slice(2), ["10.0.1.1:2?"]);
});

test("an address that service records name twice has the better priority; a change of priority is told", async () => {
  const platform = platformWith({ "a.example": ["10.0.0.9"], "b.example": ["10.0.0.1", "10.0.0.9"] });
  const server = platform.network.dnsServer;
  const name = "_grpc._tcp.orders.example";
  const records = (a: number, b: number) =>
    server.services.set(name, [
      { name: "b.example", port: 80, priority: b, weight: 1 },
      { name: "a.example", port: 80, priority: a, weight: 1 },
    ]);
  records(1, 2);
  const { lists } = listenTo(`dns+srv:///${name}`, { platform });
  const shown = () => lists.at(-1)?.map(({ address, priority }) => `${address} ${priority}`);
  await platform.clock.settle();
  assert.deepEqual(shown(), ["10.0.0.9 1", "10.0.0.1 2"]);
  records(3, 2);
  await platform.clock.advance(40_000);
  assert.deepEqual(shown(), ["10.0.0.1 2", "10.0.0.9 2"]);
  records(3, 5);
  await platform.clock.advance(40_000);
  assert.deepEqual(shown(), ["10.0.0.9 3", "10.0.0.1 5"]);
  assert.equal(lists.length, 3);
});

test("a thousand service records are asked for a few at a time", async () => {
  const platform = virtualPlatform();
  const server = platform.network.dnsServer;
  const names = Array.from({ length: 1_200 }, (_, index) => `n${index}.example`);
  for (const [index, name] of names.entries()) server.set(name, [`10.0.${index >> 8}.${index & 255}`]);
  server.services.set(
    "_grpc._tcp.orders.example",
    names.map(name => ({ name, port: 80, priority: 0, weight: 0 })),
  );
  const { lists } = listenTo("dns+srv:///_grpc._tcp.orders.example", { platform });
  await platform.clock.settle();
  assert.equal(lists[0]?.length, 1_000);
});

test("times to live are clamped, garbage too", () => {
  for (const [seconds, ms] of [
    [0, ttlMinMs],
    [-5, ttlMinMs],
    [60, 60_000],
    [1e9, ttlMaxMs],
    [2 ** 31, ttlMinMs],
    [Number.NaN, 30_000],
    [Number.POSITIVE_INFINITY, ttlMinMs],
  ] as const) {
    assert.equal(clampedTtlMs(seconds), ms);
  }
  fc.assert(
    fc.property(fc.double(), seconds => {
      const ms = clampedTtlMs(seconds);
      assert.ok(ms >= ttlMinMs && ms <= ttlMaxMs);
    }),
  );
});

test("thousands of addresses are kept up to the limit, and what is left out is told", async () => {
  const addresses = Array.from(
    { length: 12_000 },
    (_, index) => `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`,
  );
  const platform = platformWith({ orders: [...addresses, ...addresses] });
  const left: unknown[] = [];
  const observer = { emit: (event: { type: string }) => event.type.endsWith("left_out") && left.push(event) };
  const { lists } = listenTo("orders:80", { platform, observer });
  await platform.clock.settle();
  assert.equal(lists[0]?.length, 10_000);
  assert.deepEqual(left, [{ type: "discovery.endpoints.left_out", target: "orders:80", count: 2_000 }]);
});

test("whatever a flapping server answers, the list is never empty again, never told twice, and right in the end", async () => {
  const answer = fc.oneof(
    fc.constantFrom("server_failure" as const, "timeout" as const, "not_found" as const),
    fc.uniqueArray(
      fc.integer({ min: 1, max: 5 }).map(last => `10.0.0.${last}`),
      { minLength: 1 },
    ),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(answer, { minLength: 1, maxLength: 12 }), async answers => {
      const platform = platformWith({ orders: ["10.0.0.1"] }, 1);
      const server = platform.network.dnsServer;
      const { told, lists, resolver } = listenTo("orders:80", { platform });
      await platform.clock.settle();
      for (const one of [...answers, ["10.0.0.9"]]) {
        server.failure = typeof one === "string" ? one : undefined;
        if (typeof one !== "string") server.set("orders", one, 1);
        await platform.clock.advance(40_000);
      }
      resolver.close();
      assert.ok(lists.every(list => list.length > 0));
      assert.ok(told.every((one, index) => one !== told[index - 1]));
      assert.equal(told.at(-1), "10.0.0.9:80");
    }),
    { numRuns: 25 },
  );
});
