import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { virtualPlatform } from "../../platform/virtual/index.ts";
import { type ConnectionPool, openPool } from "../../wire/index.ts";
import { endpointKey, parseTarget, type ResolvedEndpoint, resolvedEndpoint } from "../discovery/index.ts";
import { EndpointSet } from "./endpoint-set.ts";

function world(target = "orders:80") {
  const platform = virtualPlatform();
  const names: string[] = [];
  const pools: ConnectionPool[] = [];
  const set = new EndpointSet(parseTarget(target), (host, port, serverName) => {
    const pool = openPool({ host, port, platform });
    names.push(serverName);
    pools.push(pool);
    return pool;
  });
  return { set, names, pools };
}

const endpoint = fc.record({ last: fc.integer({ min: 1, max: 6 }), uid: fc.constantFrom("x", "y"), weight: fc.nat(3) });
const list = fc
  .uniqueArray(endpoint, { selector: ({ last }) => last })
  .map(all =>
    all.map(({ last, uid, weight }) =>
      resolvedEndpoint(`10.0.0.${last}`, 80, { weight: weight + 1, metadata: { uid } }),
    ),
  );

test("an endpoint is the same object for as long as its instance stays in the list, and its pool is open for as long", () => {
  fc.assert(
    fc.property(fc.array(list), lists => {
      const { set, pools } = world();
      let before = new Map<string, { object: object; resolved: ResolvedEndpoint }>();
      for (const one of lists) {
        const endpoints = set.update(one, false);
        assert.deepEqual(
          endpoints.map(({ key }) => key),
          one.map(endpointKey),
        );
        const now = new Map(endpoints.map(object => [object.key, { object, resolved: object.resolved }]));
        for (const [key, { object, resolved }] of now) {
          const known = before.get(key);
          const isSame = known !== undefined && known.resolved.metadata.uid === resolved.metadata.uid;
          assert.equal(known?.object === object, isSame);
        }
        assert.equal(pools.filter(pool => !pool.isClosed).length, one.length);
        assert.deepEqual(
          set.views(() => ({ state: "ready", latencyMs: undefined })).map(({ weight }) => weight),
          one.map(({ weight }) => weight),
        );
        before = now;
      }
      set.destroy();
      assert.ok(pools.every(pool => pool.isClosed));
    }),
    { numRuns: 50 },
  );
});

test("certificates are for the name in the target, or for each endpoint's own where the target lists them", () => {
  const of = (target: string, ...endpoints: readonly ResolvedEndpoint[]) => {
    const { set, names } = world(target);
    return set.update(endpoints, false).map(({ authority }, index) => [authority.value, names[index]]);
  };
  const address = resolvedEndpoint("10.0.0.1", 81, { hostname: "a.example" });
  assert.deepEqual(of("orders:80", address), [["orders:80", "orders"]]);
  assert.deepEqual(of("dns+srv:///_grpc._tcp.orders.example", address), [["orders.example:81", "orders.example"]]);
  assert.deepEqual(of("k8s:///orders.shop:grpc", address), [["orders.shop.svc:81", "orders.shop.svc"]]);
  assert.deepEqual(of("file:///x.json", address), [["a.example:81", "a.example"]]);
  assert.deepEqual(of("static:///[::1]:81", resolvedEndpoint("::1", 81)), [["[::1]:81", "::1"]]);
});

test("ten thousand endpoints come, change and go", () => {
  const { set, pools } = world();
  const all = Array.from({ length: 10_000 }, (_, index) => resolvedEndpoint(`10.0.${index >> 8}.${index & 255}`, 80));
  const first = set.update(all, false);
  const second = set.update([...all].reverse(), true);
  assert.equal(second[0], first.at(-1));
  set.update([], false);
  assert.equal(pools.length, 10_000);
  assert.ok(pools.every(pool => pool.isClosed));
});
