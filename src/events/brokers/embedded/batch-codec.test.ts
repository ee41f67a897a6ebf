import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type CodedRecord, decodeBatch, encodeBatch } from "./batch-codec.ts";

const text = fc.string({ unit: "grapheme", maxLength: 60 });
const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const time = fc.integer({ min: 0, max: 2 ** 50 });
const record: fc.Arbitrary<CodedRecord> = fc.record({
  key: optional(text),
  attributes: fc.record({
    id: text,
    source: text,
    type: fc.constantFrom("order.created", "order.cancelled"),
    timeMs: time,
    contentType: fc.constant("application/json"),
    trace: optional(
      fc.record({ traceparent: text, tracestate: optional(text), baggage: optional(text) }, { noNullPrototype: true }),
    ),
    priority: fc.constantFrom("critical", "default", "sheddable"),
    expiresAtMs: optional(time),
    notBeforeMs: optional(time),
    replyTo: optional(text),
    correlationId: optional(text),
    headers: fc.dictionary(text, text, { noNullPrototype: false }),
  }),
  body: fc.uint8Array({ maxLength: 300 }),
});

const plain = ({ key, attributes, body }: CodedRecord) => ({
  key,
  attributes: { ...attributes, headers: { ...attributes.headers } },
  body: [...body],
});

test("what is written is read back, whatever is in it", () => {
  fc.assert(
    fc.property(fc.array(record, { maxLength: 12 }), records => {
      assert.deepEqual(decodeBatch(encodeBatch(records)).map(plain), records.map(plain));
    }),
  );
});

test("bytes that are no batch are refused with a RangeError", () => {
  const good = encodeBatch([
    { key: "k", attributes: { id: "1", source: "/s", type: "t", timeMs: 1 }, body: new Uint8Array(5) },
  ]);
  for (let length = 0; length < good.length; length++) {
    assert.throws(() => decodeBatch(good.subarray(0, length)), RangeError);
  }
  assert.throws(() => decodeBatch(new Uint8Array([2, 0, 0])), /version 2, this package knows 1/);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), bytes => {
      try {
        decodeBatch(Uint8Array.of(1, ...bytes));
      } catch (error) {
        assert.ok(error instanceof RangeError);
      }
    }),
  );
});
