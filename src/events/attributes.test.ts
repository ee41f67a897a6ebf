import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  type AttributePrefix,
  HeaderReader,
  headersOf,
  historyHeaders,
  isReservedHeader,
  pairsOf,
  type SaidByHeaders,
} from "./attributes.ts";
import type { EventRecord } from "./record.ts";

const text = fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 });
const ms = fc.integer({ min: 0, max: 4_102_444_800_000 });
const absent = fc.constant(undefined);
const ownName = fc.stringMatching(/^[a-z][a-z0-9-]{0,10}$/).filter(name => !isReservedHeader(name));

const records: fc.Arbitrary<EventRecord> = fc.record({
  id: text,
  source: text,
  type: text,
  timeMs: ms,
  contentType: fc.constantFrom("application/json", "application/protobuf"),
  trace: fc.oneof(
    absent,
    fc.record(
      { traceparent: text, tracestate: fc.oneof(absent, text), baggage: fc.oneof(absent, text) },
      { noNullPrototype: true },
    ),
  ),
  priority: fc.constantFrom("critical" as const, "default" as const, "sheddable" as const),
  expiresAtMs: fc.oneof(absent, ms),
  notBeforeMs: fc.oneof(absent, ms),
  replyTo: fc.oneof(absent, text),
  correlationId: fc.oneof(absent, text),
  headers: fc.dictionary(ownName, fc.string(), { noNullPrototype: false }),
  topic: text,
  key: fc.oneof(absent, text),
  body: fc.uint8Array(),
});

const reader = new HeaderReader();

function attributesFrom(headers: readonly (readonly [name: string, value: string])[]): SaidByHeaders {
  for (const [name, value] of headers) reader.add(name, value);
  return reader.take();
}

/** Without members that say nothing. */
function said(value: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined));
}

test("what a record says is read back from its headers, with either prefix", () => {
  fc.assert(
    fc.property(records, fc.constantFrom<AttributePrefix>("ce_", "cloudEvents_"), (record, prefix) => {
      const read = attributesFrom([...pairsOf(headersOf(record, prefix))]);
      const { topic: _topic, key, body: _body, ...attributes } = record;
      const expected = { ...said(attributes), headers: { ...attributes.headers } };
      if (record.priority === "default") Reflect.deleteProperty(expected, "priority");
      assert.deepEqual({ ...read.attributes, headers: { ...read.attributes.headers } }, expected);
      assert.equal(read.subject, key);
      assert.deepEqual(read.history, { attempts: 0, firstFailedAtMs: undefined });
    }),
  );
});

test("attempts travel beside the attributes", () => {
  const { history } = attributesFrom([...pairsOf(historyHeaders({ attempts: 3, firstFailedAtMs: 1_700_000_000_000 }))]);
  assert.deepEqual(history, { attempts: 3, firstFailedAtMs: 1_700_000_000_000 });
});

test("headers of strangers: names in any case, times and numbers that are none", () => {
  const { attributes, history } = attributesFrom([
    ["CE_Id", "7"],
    ["cloudEvents:type", "order.created"],
    ["ce_time", "yesterday"],
    ["trunkline-expires-at", "-1"],
    ["trunkline-attempts", "1e3"],
    ["trunkline-priority", "urgent"],
    ["ce_source", ""],
    ["X-Tenant", "a"],
    ["__proto__", "b"],
  ]);
  assert.deepEqual(Object.keys(attributes).sort(), ["headers", "id", "type"]);
  assert.deepEqual(Object.entries(attributes.headers ?? {}), [
    ["x-tenant", "a"],
    ["__proto__", "b"],
  ]);
  assert.equal(history.attempts, 0);
});

test("anything at all can be read", () => {
  const any = fc.array(
    fc.tuple(fc.oneof(fc.string(), fc.constantFrom("ce_id", "CE_TIME", "traceparent")), fc.string()),
  );
  fc.assert(fc.property(any, headers => void attributesFrom(headers)));
});

test("a record has nothing of the one that was read before", () => {
  attributesFrom([...pairsOf(historyHeaders({ attempts: 2, firstFailedAtMs: 5 })), ["ce_id", "1"], ["x-tenant", "a"]]);
  const { attributes, subject, history } = attributesFrom([]);
  assert.deepEqual(Object.keys(attributes), ["headers"]);
  assert.deepEqual(Object.keys(attributes.headers ?? {}), []);
  assert.equal(subject, undefined);
  assert.deepEqual(history, { attempts: 0, firstFailedAtMs: undefined });
});

test("what was said elsewhere counts where no header says it", () => {
  reader.add("ce_id", "1");
  const { attributes } = reader.take({ id: "2", type: "order.created" });
  assert.equal(attributes.id, "1");
  assert.equal(attributes.type, "order.created");
  assert.equal("source" in attributes, false);
});

test("what a reply says of an error is nobody else's to say, and arrives among the headers", () => {
  assert.equal(isReservedHeader("trunkline-error-code"), true);
  const read = attributesFrom([
    ["Trunkline-Error-Code", "not_found"],
    ["trunkline-error-message", "größer ✓"],
    ["trunkline-unheard-of", "x"],
  ]);
  assert.deepEqual(
    { ...read.attributes.headers },
    { "trunkline-error-code": "not_found", "trunkline-error-message": "größer ✓" },
  );
});
