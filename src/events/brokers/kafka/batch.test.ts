import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CompressionAlgorithms, crc32c, createRecordsBatch, Reader, readRecordsBatches } from "@platformatic/kafka";
import fc from "fast-check";
import { AbortedFilter, CorruptBatch, RecordCursor, readBatchHeader } from "./batch-reader.ts";
import { BatchWriter, batchHeaderBytes, largestSize, type OutgoingRecord } from "./batch-writer.ts";

const checksum = (bytes: Uint8Array) => crc32c(bytes as Buffer) >>> 0;
const stamp = { producerId: 7n, producerEpoch: 3, sequence: 11 };

const text = fc.oneof(fc.string({ maxLength: 100 }), fc.string({ unit: "binary", maxLength: 80 }).filter(isWellFormed));
const record: fc.Arbitrary<OutgoingRecord> = fc.record({
  topic: fc.constant("orders"),
  key: fc.option(text, { nil: undefined }),
  value: fc.option(fc.uint8Array({ maxLength: 9_000 }), { nil: undefined }),
  headers: fc.array(fc.tuple(text, text), { maxLength: 5 }).map(pairs => pairs.flat()),
  timestampMs: fc.integer({ min: 1_700_000_000_000, max: 1_700_000_500_000 }),
});

interface Plain {
  readonly key: string | undefined;
  readonly value: string | undefined;
  readonly headers: readonly string[];
  readonly timestampMs: number;
}

const plain = ({ key, value, headers, timestampMs }: OutgoingRecord): Plain => ({
  key,
  value: value === undefined ? undefined : Buffer.from(value).toString("hex"),
  headers,
  timestampMs,
});

function write(records: readonly OutgoingRecord[], writer = new BatchWriter(checksum)): Buffer {
  for (const one of records) assert.ok(writer.add(one, Number.POSITIVE_INFINITY));
  return writer.finish(stamp);
}

function read(bytes: Buffer): readonly Plain[] {
  const header = readBatchHeader(bytes, 0, checksum);
  assert.ok(header !== undefined);
  const cursor = new RecordCursor(bytes, batchHeaderBytes, header.end, header);
  const records: Plain[] = [];
  const part = (start: number, end: number) => (start < 0 ? undefined : bytes.subarray(start, end));
  while (cursor.next()) {
    const headers: string[] = [];
    for (let index = 0; index < cursor.headers.length; index += 2) {
      headers.push(bytes.toString("utf8", cursor.headers[index], cursor.headers[index + 1]));
    }
    records.push({
      key: part(cursor.keyStart, cursor.keyEnd)?.toString(),
      value: part(cursor.valueStart, cursor.valueEnd)?.toString("hex"),
      headers,
      timestampMs: header.baseTimestampMs + cursor.timestampDelta,
    });
  }
  return records;
}

describe("record batches", () => {
  test("what is written can be read, whatever is in it", () => {
    const writer = new BatchWriter(checksum);
    fc.assert(
      fc.property(fc.array(record, { minLength: 1, maxLength: 20 }), records => {
        assert.deepEqual(read(write(records, writer)), records.map(plain));
      }),
    );
  });

  test("the library's codec reads what we write", () => {
    fc.assert(
      fc.property(fc.array(record, { minLength: 1, maxLength: 20 }), records => {
        const [batch] = readRecordsBatches(Reader.from(write(records)));
        assert.ok(batch !== undefined);
        assert.equal(batch.producerId, 7n);
        assert.equal(batch.firstSequence, 11);
        const theirs = batch.records.map(one => ({
          key: one.key?.toString(),
          value: one.value?.toString("hex"),
          headers: [...(one.headers as unknown as Iterable<[Buffer, Buffer]>)].flat().map(String),
          timestampMs: Number(batch.firstTimestamp) + Number(one.timestampDelta),
        }));
        assert.deepEqual(theirs, records.map(plain));
      }),
    );
  });

  test("we read what the library's codec writes", () => {
    fc.assert(
      fc.property(fc.array(record, { minLength: 1, maxLength: 20 }), records => {
        const messages = records.map(({ key, value, headers, timestampMs }) => ({
          topic: "orders",
          partition: 0,
          key: key === undefined ? null : Buffer.from(key),
          value: value === undefined ? null : Buffer.from(value),
          headers: new Map(pairs(headers).map(([name, content]) => [Buffer.from(name), Buffer.from(content)])),
          timestamp: BigInt(timestampMs),
        }));
        const written = createRecordsBatch(messages as never, { compression: CompressionAlgorithms.NONE });
        assert.deepEqual(read(written.buffer), records.map(plain));
      }),
    );
  });

  test("a record never takes more than was reserved for it", () => {
    fc.assert(fc.property(record, one => write([one]).length - batchHeaderBytes <= largestSize(one)));
  });

  test("a batch that is full takes no more, and loses nothing of what it has", () => {
    const writer = new BatchWriter(checksum);
    const one = { topic: "orders", key: "k", value: Buffer.alloc(400), headers: [], timestampMs: 1_700_000_000_000 };
    let count = 0;
    while (writer.add(one, 10_000)) count++;
    const bytes = writer.finish(stamp);
    assert.ok(bytes.length <= 10_000 && bytes.length > 9_500);
    assert.equal(read(bytes).length, count);
  });

  test("a batch can be made one of another producer", () => {
    const writer = new BatchWriter(checksum);
    const one = { topic: "orders", key: "k", value: Buffer.from("v"), headers: [], timestampMs: 1_700_000_000_000 };
    const bytes = write([one], writer);
    writer.stamp(bytes, { producerId: 99n, producerEpoch: 0, sequence: 0 });
    assert.equal(readBatchHeader(bytes, 0, checksum)?.producerId, 99n);
    assert.equal(read(bytes).length, 1);
  });
});

describe("hostile record batches", () => {
  test("bytes that were changed anywhere are refused by the checksum", () => {
    const good = write([
      { topic: "orders", key: "k", value: Buffer.from("value"), headers: ["a", "b"], timestampMs: 1_700_000_000_000 },
    ]);
    fc.assert(
      fc.property(fc.integer({ min: 21, max: good.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const bad = Buffer.from(good);
        bad[at] = (bad[at] as number) ^ change;
        assert.throws(() => readBatchHeader(bad, 0, checksum), CorruptBatch);
      }),
    );
  });

  test("whatever a broker sends, reading ends, with records of what is there or with an error that says why", () => {
    fc.assert(
      fc.property(
        fc.array(record, { minLength: 1, maxLength: 5 }),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 8 }),
        fc.option(fc.nat(), { nil: undefined }),
        (records, changes, cut) => {
          let bytes = write(records);
          for (const [at, value] of changes) bytes[at % bytes.length] = value;
          if (cut !== undefined) bytes = bytes.subarray(0, cut % bytes.length);
          try {
            const header = readBatchHeader(bytes, 0, undefined);
            if (header === undefined) return;
            const cursor = new RecordCursor(bytes, batchHeaderBytes, header.end, header);
            let count = 0;
            while (cursor.next()) {
              count++;
              assert.ok(cursor.valueEnd <= header.end && cursor.keyEnd <= header.end);
            }
            assert.ok(count <= header.count);
          } catch (error) {
            assert.ok(error instanceof CorruptBatch, String(error));
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test("old formats are named", () => {
    const bytes = write([{ topic: "t", key: "k", value: undefined, headers: [], timestampMs: 1_700_000_000_000 }]);
    bytes[16] = 1;
    assert.throws(() => readBatchHeader(bytes, 0, checksum), /format 1/);
  });
});

test("aborted transactions are skipped, committed ones and those of others are not", () => {
  const header = (baseOffset: number, producerId: bigint, change = {}) => ({
    baseOffset,
    nextOffset: baseOffset + 1,
    baseTimestampMs: 0,
    appendedAtMs: undefined,
    isControl: false,
    isTransactional: true,
    codec: 0,
    producerId,
    count: 1,
    end: 0,
    ...change,
  });
  const filter = new AbortedFilter([
    { producerId: 1n, firstOffset: 30 },
    { producerId: 1n, firstOffset: 10 },
  ]);
  const takes = (offset: number, producer: bigint, change = {}) => filter.takes(header(offset, producer, change));
  assert.equal(takes(9, 1n), true);
  assert.equal(takes(10, 1n), false);
  assert.equal(takes(11, 2n), true);
  assert.equal(takes(12, 1n, { isControl: true }), false);
  assert.equal(takes(20, 1n), true);
  assert.equal(takes(30, 1n), false);
  assert.equal(takes(31, 1n, { isTransactional: false }), true);
});

function pairs(headers: readonly string[]): [string, string][] {
  return Array.from({ length: headers.length / 2 }, (_, index) => [
    headers[index * 2] as string,
    headers[index * 2 + 1] as string,
  ]);
}

function isWellFormed(value: string): boolean {
  return Buffer.from(value).toString() === value;
}
