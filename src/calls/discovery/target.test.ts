import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isIPv4, isIPv6, parseTarget } from "./target.ts";

test("every form of a target is taken apart", () => {
  const parse = (text: string) => {
    const { text: _text, service: _service, ...rest } = parseTarget(text);
    return rest;
  };
  const dns = { scheme: "dns", host: "orders", port: 80, authority: { host: "orders", port: 80 } };
  assert.deepEqual(parse("orders:80"), { ...dns, server: undefined });
  assert.deepEqual(parse("dns:///orders:80"), { ...dns, server: undefined });
  assert.deepEqual(parse("dns://10.0.0.10:53/orders:80"), { ...dns, server: "10.0.0.10:53" });
  assert.deepEqual(parse("static:///a:1,[::1]:2"), {
    scheme: "static",
    authority: undefined,
    addresses: [
      { host: "a", port: 1, priority: 0 },
      { host: "::1", port: 2, priority: 0 },
    ],
  });
  const groups = parseTarget("static:///a:1,b:1;c:1;[::1]:2,d:1");
  assert.deepEqual(groups.scheme === "static" && groups.addresses.map(({ host, priority }) => `${host} ${priority}`), [
    "a 0",
    "b 0",
    "c 1",
    "::1 2",
    "d 2",
  ]);
  assert.deepEqual(parse("dns+srv:///_grpc._tcp.orders.example"), {
    scheme: "dns+srv",
    record: "_grpc._tcp.orders.example",
    server: undefined,
    authority: { host: "orders.example", port: undefined },
  });
  const authority = { host: "orders.shop.svc", port: undefined };
  assert.deepEqual(parse("k8s:///orders.shop:grpc"), {
    scheme: "k8s",
    name: "orders",
    namespace: "shop",
    port: "grpc",
    authority,
  });
  assert.deepEqual(parse("k8s:///orders"), {
    scheme: "k8s",
    name: "orders",
    namespace: undefined,
    port: undefined,
    authority: { host: "orders", port: undefined },
  });
  assert.deepEqual(parse("file:///etc/a%20b.json"), { scheme: "file", authority: undefined, path: "/etc/a b.json" });
  assert.deepEqual(parse("file:///C:/a.json"), { scheme: "file", authority: undefined, path: "C:/a.json" });
});

const mistakes: readonly (readonly [target: string, what: RegExp])[] = [
  ["orders", /"orders" is not host:port/],
  ["orders:0", /port from 1 to 65535/],
  ["orders:65536", /port from 1 to 65535/],
  ["orders:80/path", /is not host:port/],
  ["a..b:80", /is not host:port/],
  ["[::g]:80", /is not host:port/],
  ["::1:80", /is not host:port/],
  ["dns://orders:80", /third slash/],
  ["http://orders:80/", /scheme "http" is not known; use static:\/\/\//],
  ["dns://ns.example/orders:80", /the DNS server "ns.example" is not an IP address/],
  ["static://a/b:1", /static:\/\/ takes no server/],
  ["static:///a:1,", /"" is not host:port/],
  [`static:///${"a:1,".repeat(1000)}a:1`, /1001 addresses, at most 1000/],
  ["dns+srv:///orders.example", /not _service\._protocol\.name/],
  ["k8s:///Orders.shop:grpc", /not service\.namespace:port-name/],
  ["k8s:///orders.shop.example:grpc", /not service\.namespace:port-name/],
  ["k8s:///", /not service\.namespace:port-name/],
  ["file:///", /path of a JSON file/],
  ["file:///a%", /broken percent escape/],
];
for (const [target, what] of mistakes) {
  test(`a target is refused by name: ${target.slice(0, 40)}`, () => {
    assert.throws(() => parseTarget(target), what);
    assert.throws(
      () => parseTarget(target),
      (error: Error) => error instanceof TypeError && /^target "/.test(error.message),
    );
  });
}

test("whatever text is given, a target parses or is refused with a TypeError that names it", () => {
  const piece = fc.constantFrom(
    "dns",
    "static",
    "k8s",
    "file",
    "dns+srv",
    "://",
    "/",
    ":",
    ",",
    ".",
    "_",
    "[",
    "]",
    "80",
    "a",
  );
  const text = fc.oneof(
    fc.string(),
    fc.array(piece, { maxLength: 12 }).map(pieces => pieces.join("")),
  );
  fc.assert(
    fc.property(text, target => {
      try {
        parseTarget(target);
      } catch (error) {
        assert.ok(error instanceof TypeError && error.message.startsWith("target "));
      }
    }),
    { numRuns: 2_000 },
  );
});

test("addresses are told from names as URLs tell them", () => {
  fc.assert(fc.property(fc.ipV4(), address => isIPv4(address)));
  fc.assert(fc.property(fc.ipV6(), address => isIPv6(address)));
  for (const text of ["1.2.3", "1.2.3.256", "01.2.3.4", "1.2.3.4.5", ""]) assert.equal(isIPv4(text), false, text);
  for (const text of ["::1%lo", "1", ":", ":::", "g::"]) assert.equal(isIPv6(text), false, text);
});
