import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compileEvent, type RuleViolation } from "../../contract/index.ts";
import { ByteWriter } from "../../platform/index.ts";
import { ledger } from "../conformance/ledger.ts";
import type { EventAttributes } from "../record.ts";
import { EventCatalog } from "./catalog.ts";
import { storedRecord } from "./fake-lane.fixture.ts";
import { contractOf, judgeEvent, readEvent, typeText, Unreadable } from "./read-record.ts";

const { PlacedSchema, NotedSchema, file } = ledger("ledger");
const placed = compileEvent(PlacedSchema);
const noted = compileEvent(NotedSchema);
const catalog = new EventCatalog();
catalog.learn(file);
const types = catalog.topic("ledger");

const found = (attributes: Partial<EventAttributes>, body: object | Uint8Array = {}) =>
  contractOf(storedRecord("ledger", "a", body, attributes), types);

test("CloudEvents' type decides, whatever the body says", () => {
  assert.equal(found({ type: "ledger.placed", source: "/x" }, { event_type: "LEDGER_NOTED" }), placed);
  assert.equal(found({ type: "ledger.gone", source: "/x" }, { event_type: "LEDGER_NOTED" }), undefined);
});

test("a plain producer's type: the routing key where it means something, else event_type in either spelling", () => {
  assert.equal(found({ type: "ledger.placed" }, { event_type: "LEDGER_NOTED" }), placed);
  assert.equal(found({ type: "some.queue" }, { event_type: "LEDGER_NOTED" }), noted);
  assert.equal(found({}, { event_type: "LEDGER_PLACED" }), placed);
  assert.equal(found({}, { event_type: "ledger.placed" }), placed);
});

test("what names no type, or names it in a way that cannot be meant, is unknown", () => {
  for (const body of [
    {},
    { event_type: 7 },
    { event_type: "" },
    { event_type: "x".repeat(300) },
    [1],
    Buffer.from("{"),
  ]) {
    assert.equal(found({}, body), undefined, JSON.stringify(body));
  }
  assert.match(typeText(storedRecord("ledger", "a", {})), /no type, neither/);
  assert.match(typeText(storedRecord("ledger", "a", { event_type: "GONE" })), /its type is "GONE"/);
});

test("JSON by any of its names, and without a name", () => {
  for (const contentType of [
    "application/json",
    "application/json; charset=utf-8",
    "Application/JSON",
    "application/cloudevents+json",
    undefined,
  ]) {
    const attributes = contentType === undefined ? {} : { contentType };
    const event = readEvent(storedRecord("ledger", "a", { account: "ä", number: 3, later: [] }, attributes), placed);
    assert.deepEqual([(event as { account: string }).account, (event as { number: number }).number], ["ä", 3]);
  }
});

test("protobuf by any of its names", () => {
  const writer = new ByteWriter();
  placed.binary.encode({ account: "a", number: 3 }, writer);
  const body = writer.copyFrom(0);
  for (const contentType of ["application/protobuf", "application/x-protobuf", "application/protobuf; proto=x"]) {
    const event = readEvent(storedRecord("ledger", "a", body, { contentType }), placed);
    assert.equal((event as { number: number }).number, 3);
  }
});

test("what cannot be read says so, and where", () => {
  const cases: readonly [Uint8Array | object, string | undefined, RegExp][] = [
    [Buffer.from([0xff, 0xfe]), undefined, /not UTF-8/],
    [Buffer.from("{"), "application/json", /no conformance\.Placed: the text is not JSON/],
    [{ number: "many" }, "application/json", /number: /],
    [Buffer.from([0x0a, 0xff]), "application/protobuf", /no conformance\.Placed/],
    [{}, "application/avro", /the content type is "application\/avro"; it must be application\/json or/],
  ];
  for (const [body, contentType, text] of cases) {
    const record = storedRecord("ledger", "a", body, contentType === undefined ? {} : { contentType });
    assert.throws(
      () => readEvent(record, placed),
      error => {
        assert.ok(error instanceof Unreadable && error.reason === "undecodable");
        assert.match(error.message, text);
        return true;
      },
    );
  }
});

test("rules that are broken are all named", () => {
  const violation = (name: string): RuleViolation => ({
    field: () => name,
    message: "too long",
    rule: "string.max_len",
  });
  assert.throws(
    () => judgeEvent({}, placed, () => [violation("note"), violation("account")]),
    /conformance\.Placed: note: too long \(string\.max_len\); account: too long/,
  );
  judgeEvent({}, placed, () => []);
});

test("any bytes of anybody end in an event or in Unreadable", () => {
  const contentTypes = fc.constantFrom(undefined, "application/json", "application/protobuf", "x", ";;");
  const bodies = fc.oneof(
    fc.uint8Array({ maxLength: 64 }),
    fc.json().map(text => Buffer.from(text)),
  );
  fc.assert(
    fc.property(bodies, contentTypes, (body, contentType) => {
      const record = storedRecord("ledger", "a", body, contentType === undefined ? {} : { contentType });
      contractOf(record, types);
      typeText(record);
      try {
        readEvent(record, placed);
      } catch (error) {
        assert.ok(error instanceof Unreadable, String(error));
      }
    }),
    { numRuns: 1_000 },
  );
});
