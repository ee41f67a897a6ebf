import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CompressionAlgorithms, createRecordsBatch } from "@platformatic/kafka";
import { systemPlatform } from "../../../platform/index.ts";
import { virtualPlatform } from "../../../platform/virtual/index.ts";
import type { LogRecord } from "../../log/index.ts";
import { BatchWriter } from "./batch-writer.ts";
import { loadClient } from "./client.ts";
import { Cluster } from "./cluster.ts";
import { FakeCluster } from "./fake-cluster.fixture.ts";
import { Fetcher } from "./fetcher.ts";
import { type FetchTarget, PartitionReader } from "./partition-reader.ts";
import { recordAt } from "./records.ts";
import { parseKafkaUrl } from "./url.ts";

const client = await loadClient(parseKafkaUrl("kafka://localhost"), "test", systemPlatform.clock);

class Target implements FetchTarget {
  readonly topic = "orders";
  readonly partition = 0;
  isOpen = true;
  room = Number.POSITIVE_INFINITY;
  limit = Number.POSITIVE_INFINITY;
  position = 0;
  readonly bodies: string[] = [];

  deliver(records: readonly LogRecord[], nextOffset?: number): void {
    for (const { offset, body } of records) {
      assert.ok(offset >= this.position, `offset ${offset} came again`);
      this.position = offset + 1;
      this.bodies.push(Buffer.from(body).toString());
    }
    if (nextOffset !== undefined) this.position = Math.max(this.position, nextOffset);
  }

  skipTo(offset: number): void {
    this.position = offset;
  }
}

function batch(first: number, bodies: readonly string[]): Buffer {
  const writer = new BatchWriter(client.crc32c);
  for (const body of bodies) {
    writer.add({ topic: "orders", key: "k", value: Buffer.from(body), headers: [], timestampMs: 1 }, 1e9);
  }
  const bytes = writer.finish({ producerId: -1n, producerEpoch: -1, sequence: -1 });
  bytes.writeBigInt64BE(BigInt(first), 0);
  return bytes;
}

const answer = (...batches: readonly Buffer[]) => ({ records: Buffer.concat(batches), abortedTransactions: [] });

describe("what was fetched of a partition", () => {
  test("a fetch from the middle of a batch gives what is from there on", () => {
    const target = new Target();
    target.position = 2;
    const reader = new PartitionReader(target, client, recordAt);
    reader.add(answer(batch(0, ["a", "b", "c", "d"])));
    reader.deliver(100);
    assert.deepEqual(target.bodies, ["c", "d"]);
    assert.equal(reader.fetchOffset, 4);
  });

  test("a batch that was cut off at the end of an answer is fetched again", () => {
    const target = new Target();
    const reader = new PartitionReader(target, client, recordAt);
    const second = batch(2, ["c", "d"]);
    reader.add(answer(batch(0, ["a", "b"]), second.subarray(0, 50)));
    reader.deliver(100);
    assert.equal(reader.fetchOffset, 2);
    reader.add(answer(second));
    reader.deliver(100);
    assert.deepEqual(target.bodies, ["a", "b", "c", "d"]);
  });

  test("records are made as there is room, up to the limit, in any portions", () => {
    for (const portion of [1, 2, 3, 5]) {
      const target = new Target();
      target.limit = 3;
      const reader = new PartitionReader(target, client, recordAt);
      reader.add(answer(batch(0, ["a", "b"]), batch(2, ["c", "d", "e"])));
      while (reader.deliver(portion) > 0);
      assert.deepEqual(target.bodies, ["a", "b", "c"]);
      target.limit = Number.POSITIVE_INFINITY;
      while (reader.deliver(portion) > 0);
      assert.deepEqual(target.bodies, ["a", "b", "c", "d", "e"]);
      reader.deliver(portion);
      assert.equal(reader.bytes, 0);
    }
  });

  for (const compression of Object.values(CompressionAlgorithms)) {
    test(`batches compressed with ${compression} are read`, () => {
      const messages = Array.from({ length: 50 }, (_, index) => ({
        topic: "orders",
        partition: 0,
        value: Buffer.from(`body ${index} ${"x".repeat(100)}`),
        headers: new Map(),
        timestamp: 1n,
      }));
      const written = createRecordsBatch(messages as never, { compression });
      const target = new Target();
      const reader = new PartitionReader(target, client, recordAt);
      reader.add(answer(written.buffer));
      reader.deliver(100);
      assert.equal(target.bodies.length, 50);
      assert.match(target.bodies[49] ?? "", /^body 49 x+$/);
    });
  }

  test("a small batch that claims to be huge is refused", () => {
    const bomb = {
      ...client,
      crc32c: client.crc32c,
      decompress: (codec: number, bytes: Buffer) => client.decompress(codec, bytes, 1_000),
    };
    const messages = [
      { topic: "orders", partition: 0, value: Buffer.alloc(1_000_000), headers: new Map(), timestamp: 1n },
    ];
    for (const compression of [CompressionAlgorithms.GZIP, CompressionAlgorithms.ZSTD]) {
      const reader = new PartitionReader(new Target(), bomb, recordAt);
      reader.add(answer(createRecordsBatch(messages as never, { compression }).buffer));
      assert.throws(() => reader.deliver(10), /cannot be decompressed/);
    }
  });

  test("what was on its way when reading began again does not leave a gap", async () => {
    const platform = virtualPlatform();
    const fake = new FakeCluster(platform.clock);
    const [partition] = fake.topic("orders", 1);
    assert.ok(partition !== undefined);
    // More than is fetched ahead, so that a second answer is on its way while the first is read.
    const bodies = Array.from({ length: 60 }, (_, index) => `${index} ${"x".repeat(60_000)}`);
    for (const [index, body] of bodies.entries()) {
      const writer = new BatchWriter(fake.crc32c);
      writer.add({ topic: "orders", key: "k", value: Buffer.from(body), headers: [], timestampMs: 1 }, 1e9);
      partition.append(writer.finish({ producerId: 1n, producerEpoch: 0, sequence: index }));
    }
    const damaged = partition.batches[14]?.bytes;
    assert.ok(damaged !== undefined);
    const flip = () => {
      damaged[damaged.length - 1] = (damaged[damaged.length - 1] as number) ^ 1;
    };
    flip();
    const target = new Target();
    target.room = 2;
    const failures: Error[] = [];
    const cluster = new Cluster(fake.channel(), [{ host: "b1", port: 9_092 }], platform);
    const fetcher = new Fetcher(fake, cluster, platform, { truncated() {}, failed: error => failures.push(error) });
    fetcher.add(target, recordAt);
    await platform.clock.advance(120);
    flip();
    await platform.clock.advance(5_000);
    assert.deepEqual(
      target.bodies.map(body => body.split(" ")[0]),
      bodies.map((_, index) => String(index)),
    );
    assert.deepEqual(failures, []);
    await fetcher.close();
  });
});
