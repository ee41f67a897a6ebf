import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { type LogRecord, noHistory } from "../../log/index.ts";
import { eventRecord } from "../../log/recording-sink.fixture.ts";
import type { EventRecord } from "../../record.ts";
import { RecordCursor, readBatchHeader } from "./batch-reader.ts";
import { BatchWriter, batchHeaderBytes, type OutgoingRecord } from "./batch-writer.ts";
import type { MakeRecord } from "./partition-reader.ts";
import { outgoingCopy, outgoingEvent, outgoingRetry, RetriedRecord, recordAt, retriedAt } from "./records.ts";

/** What a consumer gets of a record that was sent. */
function received(record: OutgoingRecord, make: MakeRecord = recordAt, topic = record.topic): LogRecord {
  const writer = new BatchWriter(bytes => crc32(bytes));
  writer.add(record, 1e9);
  const bytes = writer.finish({ producerId: 1n, producerEpoch: 0, sequence: 0 });
  bytes.writeBigInt64BE(41n, 0);
  const header = readBatchHeader(bytes, 0, crc32);
  assert.ok(header !== undefined);
  const cursor = new RecordCursor(bytes, batchHeaderBytes, header.end, header);
  assert.ok(cursor.next());
  return make(cursor, header, topic, 3);
}

const word = fc.string({ unit: fc.constantFrom(..."abcäöü-0 €😀"), minLength: 1, maxLength: 20 });
const whole = fc.integer({ min: 0, max: 4_102_444_800_000 });
const event: fc.Arbitrary<EventRecord> = fc.record({
  topic: fc.constant("orders"),
  key: fc.option(word, { nil: undefined }),
  body: fc.uint8Array({ maxLength: 200 }),
  id: word,
  source: word,
  type: word,
  timeMs: whole,
  contentType: fc.constantFrom("application/json", "application/protobuf"),
  trace: fc.constant(undefined),
  priority: fc.constantFrom("critical", "default", "sheddable"),
  expiresAtMs: fc.option(whole, { nil: undefined }),
  notBeforeMs: fc.constant(undefined),
  replyTo: fc.option(word, { nil: undefined }),
  correlationId: fc.option(word, { nil: undefined }),
  headers: fc.dictionary(fc.constantFrom("tenant", "region", "x-ä"), fc.string({ maxLength: 10 })),
});

function assertSame(record: LogRecord, sent: EventRecord): void {
  assert.equal(record.key, sent.key);
  assert.deepEqual(Buffer.from(record.body), Buffer.from(sent.body));
  const { id, source, type, timeMs, contentType, expiresAtMs, replyTo, correlationId } = record.attributes;
  assert.deepEqual(
    { id, source, type, timeMs, contentType, expiresAtMs, replyTo, correlationId },
    {
      id: sent.id,
      source: sent.source,
      type: sent.type,
      timeMs: sent.timeMs,
      contentType: sent.contentType,
      expiresAtMs: sent.expiresAtMs,
      replyTo: sent.replyTo,
      correlationId: sent.correlationId,
    },
  );
  assert.equal(record.attributes.priority ?? "default", sent.priority);
  assert.deepEqual({ ...record.attributes.headers }, { ...sent.headers });
}

describe("records", () => {
  test("an event arrives with all that its publisher has said", () => {
    fc.assert(
      fc.property(event, sent => {
        const record = received(outgoingEvent(sent, 1_767_225_600_123));
        assertSame(record, sent);
        assert.equal(record.place, "orders/3@41");
        assert.equal(record.fallbackId, "orders/3/41");
        assert.equal(record.storedAtMs, 1_767_225_600_123);
        assert.equal(record.history, noHistory);
      }),
    );
  });

  test("a record without headers is key and body, and nothing is made up", () => {
    const body = Buffer.from('{"event_type": "ORDER_CREATED"}');
    const record = received({ topic: "orders", key: "o-1", value: body, headers: [], timestampMs: 5 });
    assert.deepEqual(record.attributes, {});
    assert.equal(record.key, "o-1");
    assert.deepEqual(Buffer.from(record.body), body);
  });

  test("a record that is retried, and retried again, is the same event of its first topic", () => {
    fc.assert(
      fc.property(event, sent => {
        const first = received(outgoingEvent(sent, 1));
        const again = received(outgoingRetry(first, "g.retry", 100, { attempts: 2, firstFailedAtMs: 7 }, 2), retriedAt);
        const twice = received(outgoingRetry(again, "g.retry", 200, { attempts: 3, firstFailedAtMs: 7 }, 3), retriedAt);
        for (const [record, dueMs, attempts] of [[again, 100, 2] as const, [twice, 200, 3] as const]) {
          assertSame(record, sent);
          assert.ok(record instanceof RetriedRecord);
          assert.equal(record.topic, "orders");
          assert.equal(record.dueMs, dueMs);
          assert.deepEqual(record.history, { attempts, firstFailedAtMs: 7 });
          assert.equal(record.fallbackId, first.fallbackId);
          assert.equal(record.place, "g.retry/3@41");
        }
      }),
    );
  });

  test("a foreign record that is retried keeps saying nothing of itself", () => {
    const foreign = received({ topic: "orders", key: "o-1", value: Buffer.from("{}"), headers: [], timestampMs: 5 });
    const retry = outgoingRetry(foreign, "g.retry", 100, { attempts: 1, firstFailedAtMs: undefined }, 6);
    assert.ok(!retry.headers.some(one => one.startsWith("ce_")));
    const again = received(retry, retriedAt);
    const { headers: _own, ...said } = again.attributes;
    assert.deepEqual(said, {});
    assert.equal(again.key, "o-1");
  });

  test("what somebody else has written into the retry topic is a record of that topic", () => {
    const record = received(
      { topic: "g.retry", key: "k", value: Buffer.from("x"), headers: ["a", "b"], timestampMs: 5 },
      retriedAt,
    );
    assert.ok(!(record instanceof RetriedRecord));
    assert.equal(record.topic, "g.retry");
  });

  test("a tombstone is an empty body", () => {
    const record = received({ topic: "orders", key: "k", value: undefined, headers: [], timestampMs: 5 });
    assert.equal(record.body.length, 0);
  });

  test("a copy under another key keeps the event's own", () => {
    const record = received(outgoingEvent(eventRecord("body", { key: "o-1" }), 1));
    const copy = received(outgoingCopy(record, "g.dead", "letter-1", ["trunkline-letter-key", "o-1"], 2));
    assert.equal(copy.key, "letter-1");
    assert.equal(copy.attributes.id, record.attributes.id);
  });
});
