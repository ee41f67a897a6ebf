import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { endpointKey } from "../endpoint-list.ts";
import { type EndpointSlice, MalformedObject, parseEndpointSlice, type SliceEndpoint } from "./endpoint-slice.ts";
import { mergeSlices } from "./merge-slices.ts";
import { ResourceVersionGone, SliceStore } from "./slice-store.ts";
import { LineSplitter } from "./watch-lines.ts";

function slice(
  name: string,
  endpoints: readonly Partial<SliceEndpoint>[],
  rest: Partial<EndpointSlice> = {},
): EndpointSlice {
  return {
    name,
    resourceVersion: "1",
    addressType: "IPv4",
    ports: [{ name: "grpc", port: 80 }],
    endpoints: endpoints.map(one => ({
      address: "10.0.0.1",
      state: "ready",
      zone: undefined,
      nodeName: undefined,
      zoneHints: undefined,
      pod: undefined,
      ...one,
    })),
    ...rest,
  };
}

const merged = (slices: readonly EndpointSlice[], options: Partial<Parameters<typeof mergeSlices>[1]> = {}) =>
  mergeSlices(slices, { port: "grpc", ...options }).endpoints.map(endpointKey);

test("conditions mean what the API says: an absent ready is ready, terminating counts only while it serves", () => {
  const state = (conditions: unknown) =>
    parseEndpointSlice({
      metadata: { name: "a", resourceVersion: "1" },
      addressType: "IPv4",
      endpoints: [{ addresses: ["10.0.0.1", "10.0.0.2"], conditions }],
      ports: null,
    }).endpoints[0]?.state;
  assert.equal(state(undefined), "ready");
  assert.equal(state({}), "ready");
  assert.equal(state({ ready: null }), "ready");
  assert.equal(state({ ready: true, terminating: true }), "ready");
  assert.equal(state({ ready: false, serving: true, terminating: true }), "terminating");
  assert.equal(state({ ready: false, serving: false, terminating: true }), "unusable");
  assert.equal(state({ ready: false, serving: true, terminating: false }), "unusable");
  assert.equal(state({ ready: false }), "unusable");
});

test("all slices count, an endpoint that moves counts once, and terminating ones only when nothing is ready", () => {
  const moving = [
    slice("b", [{}, { address: "10.0.0.2" }]),
    slice("a", [{ state: "terminating" }, { address: "10.0.0.3" }]),
  ];
  assert.deepEqual(merged(moving), ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]);
  const leaving = [slice("a", [{ state: "terminating" }, { address: "10.0.0.2", state: "unusable" }])];
  assert.deepEqual(merged(leaving), ["10.0.0.1:80"]);
  assert.equal(mergeSlices(leaving, { port: "grpc" }).endpoints[0]?.health, "terminating");
});

test("a port is found by name, by number, or because it is the only one", () => {
  const two = [
    slice("a", [{}], {
      ports: [
        { name: "grpc", port: 80 },
        { name: "admin", port: 81 },
      ],
    }),
  ];
  assert.deepEqual(merged(two, { port: "admin" }), ["10.0.0.1:81"]);
  assert.deepEqual(merged(two, { port: "80" }), ["10.0.0.1:80"]);
  assert.deepEqual(merged(two, { port: undefined }), []);
  const missing = mergeSlices(two, { port: "http" });
  assert.deepEqual([missing.hasPort, missing.ports], [false, ["admin", "grpc"]]);
  assert.deepEqual(merged([slice("a", [{}], { ports: [{ name: "", port: 8080 }] })], { port: undefined }), [
    "10.0.0.1:8080",
  ]);
});

test("of a dual-stack service one family is used: IPv4 where it has any", () => {
  const four = slice("a", [{}]);
  const six = slice("b", [{ address: "fd00::1" }], { addressType: "IPv6" });
  assert.deepEqual(merged([four, six]), ["10.0.0.1:80"]);
  assert.deepEqual(merged([four, six], { family: 6 }), ["[fd00::1]:80"]);
  assert.deepEqual(merged([slice("a", []), six]), ["[fd00::1]:80"]);
  assert.deepEqual(merged([slice("a", [{ address: "x.example" }], { addressType: "FQDN" })]), []);
});

test("hints are obeyed when every endpoint has some and one is for this zone", () => {
  const hinted = [slice("a", [{ zoneHints: ["x"] }, { address: "10.0.0.2", zoneHints: ["y"] }])];
  assert.deepEqual(merged(hinted, { zone: "y" }), ["10.0.0.2:80"]);
  assert.deepEqual(merged(hinted, { zone: "z" }), ["10.0.0.1:80", "10.0.0.2:80"]);
  assert.deepEqual(merged(hinted), ["10.0.0.1:80", "10.0.0.2:80"]);
  assert.deepEqual(merged([...hinted, slice("b", [{ address: "10.0.0.3" }])], { zone: "y" }).length, 3);
});

const arbitraryEndpoint = fc.record({
  address: fc.integer({ min: 1, max: 6 }).map(last => `10.0.0.${last}`),
  state: fc.constantFrom("ready" as const, "terminating" as const, "unusable" as const),
});
const arbitrarySlices = fc
  .uniqueArray(fc.record({ name: fc.constantFrom("a", "b", "c", "d"), endpoints: fc.array(arbitraryEndpoint) }), {
    selector: ({ name }) => name,
  })
  .map(all => all.map(({ name, endpoints }) => slice(name, endpoints)));

test("merging is the union of what is ready, whatever the order and however it is split", () => {
  fc.assert(
    fc.property(arbitrarySlices, fc.infiniteStream(fc.integer({ min: 0, max: 3 })), (slices, places) => {
      const all = slices.flatMap(({ endpoints }) => endpoints);
      const of = (state: string) =>
        [...new Set(all.filter(one => one.state === state).map(({ address }) => `${address}:80`))].sort();
      const expected = of("ready").length > 0 ? of("ready") : of("terminating");
      assert.deepEqual(merged(slices), expected);
      assert.deepEqual(merged([...slices].reverse()), expected);
      const split = [0, 1, 2, 3].map(index => ({ index, endpoints: [] as SliceEndpoint[] }));
      for (const one of all) split[places.next().value as number]?.endpoints.push(one);
      assert.deepEqual(merged(split.map(({ index, endpoints }) => slice(`s${index}`, endpoints))), expected);
    }),
  );
});

test("a store that hears events knows what a store that lists knows", () => {
  const json = (one: EndpointSlice, resourceVersion: string) => ({
    metadata: { name: one.name, resourceVersion },
    addressType: one.addressType,
    ports: one.ports,
    endpoints: one.endpoints.map(({ address }) => ({ addresses: [address] })),
  });
  const event = fc.record({ type: fc.constantFrom("put", "DELETED", "BOOKMARK"), slices: arbitrarySlices });
  fc.assert(
    fc.property(fc.array(event), events => {
      const store = new SliceStore();
      const model = new Map<string, string>();
      let version = 0;
      store.replace([], "0");
      for (const { type, slices } of events) {
        for (const one of slices) {
          const line = (kind: string) => JSON.stringify({ type: kind, object: json(one, String(++version)) });
          if (type === "put") {
            store.apply(line(model.has(one.name) ? "MODIFIED" : "ADDED"));
            model.set(one.name, one.endpoints.map(({ address }) => address).join());
          } else {
            const hasChanged = store.apply(line(type));
            assert.equal(hasChanged, type === "DELETED" && model.delete(one.name));
          }
          assert.equal(store.resourceVersion, String(version));
        }
      }
      const known = Array.from(store.slices, one => [one.name, one.endpoints.map(({ address }) => address).join()]);
      assert.deepEqual(new Map(known as [string, string][]), model);
    }),
  );
});

test("a line that is no event is refused, and an old version is told from other errors", () => {
  const store = new SliceStore();
  for (const line of [
    "",
    "{",
    "7",
    "null",
    '{"type":"ADDED"}',
    '{"type":"OTHER","object":{}}',
    '{"type":"ADDED","object":{"metadata":{}}}',
  ]) {
    assert.throws(() => store.apply(line), MalformedObject, line);
  }
  assert.throws(() => store.apply('{"type":"ERROR","object":{"code":410,"message":"too old"}}'), ResourceVersionGone);
  assert.throws(() => store.apply('{"type":"ERROR","object":{"code":500,"message":"x"}}'), /the watch reports 500: x/);
  fc.assert(
    fc.property(
      fc.constantFrom("ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"),
      fc.jsonValue(),
      (type, object) => {
        try {
          store.apply(JSON.stringify({ type, object }));
        } catch (error) {
          assert.ok(error instanceof Error && !(error instanceof TypeError));
        }
      },
    ),
  );
});

test("lines are the same however their bytes are cut, and half a line is none", () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: "grapheme" })),
      fc.string({ unit: "grapheme" }),
      fc.integer({ min: 1, max: 9 }),
      (texts, rest, size) => {
        const clean = (text: string) => text.replace(/[\r\n]/g, "").toWellFormed();
        const lines = texts.map(clean).filter(text => text !== "");
        const seen: string[] = [];
        const splitter = new LineSplitter(1_000, line => seen.push(line));
        const bytes = Buffer.from(`${lines.map(line => `${line}\n`).join("")}${clean(rest)}`);
        for (let at = 0; at < bytes.length; at += size) splitter.push(bytes.subarray(at, at + size));
        assert.deepEqual(seen, lines);
      },
    ),
  );
});

test("a line without an end is refused at its limit", () => {
  const splitter = new LineSplitter(100, () => {});
  splitter.push(Buffer.alloc(100, "x"));
  assert.throws(() => splitter.push(Buffer.from("x")), /longer than 100 characters/);
});
