import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { crc32c } from "@platformatic/kafka";
import fc from "fast-check";
import type { PublishFailure } from "../../driver.ts";
import { RecordCursor, readBatchHeader } from "./batch-reader.ts";
import { BatchWriter, batchHeaderBytes } from "./batch-writer.ts";
import { code } from "./error-codes.ts";
import { PartitionProducer } from "./partition-producer.ts";

const checksum = (bytes: Uint8Array) => crc32c(bytes as Buffer) >>> 0;

/** A partition as a broker keeps it: the sequence numbers of each producer, and the last batches of it (KIP-98). */
class BrokerPartition {
  readonly log: string[] = [];
  readonly #next = new Map<bigint, number>();
  readonly #last = new Map<bigint, { sequence: number; count: number }>();

  append(bytes: Buffer): number {
    const header = readBatchHeader(bytes, 0, checksum);
    assert.ok(header !== undefined);
    const sequence = bytes.readInt32BE(53);
    const last = this.#last.get(header.producerId);
    if (last?.sequence === sequence && last.count === header.count) return code.none;
    if (sequence !== (this.#next.get(header.producerId) ?? 0)) return code.outOfOrderSequenceNumber;
    const cursor = new RecordCursor(bytes, batchHeaderBytes, header.end, header);
    while (cursor.next()) this.log.push(bytes.toString("utf8", cursor.valueStart, cursor.valueEnd));
    this.#next.set(header.producerId, sequence + header.count);
    this.#last.set(header.producerId, { sequence, count: header.count });
    return code.none;
  }

  /** As after a loss of its state. */
  forget(): void {
    this.#next.clear();
    this.#last.clear();
  }
}

type Step =
  | { readonly do: "add"; readonly count: number }
  | { readonly do: "send"; readonly fate: "answered" | "answer-lost" | "request-lost" | number }
  | { readonly do: "give-up" };

const late: PublishFailure = { isRetryable: true, error: new Error("late") };

describe("the producing side of a partition", () => {
  test("whatever becomes of requests: what is confirmed is written once and in order, what is refused is not written", () => {
    const step: fc.Arbitrary<Step> = fc.oneof(
      fc.record({ do: fc.constant("add" as const), count: fc.integer({ min: 1, max: 4 }) }),
      fc.record({
        do: fc.constant("send" as const),
        fate: fc.oneof(
          {
            weight: 3,
            arbitrary: fc.constantFrom("answered" as const, "answer-lost" as const, "request-lost" as const),
          },
          {
            weight: 1,
            arbitrary: fc.constantFrom(
              code.notLeaderOrFollower,
              code.messageTooLarge,
              code.topicAuthorizationFailed,
              code.requestTimedOut,
              code.unknownProducerId,
            ),
          },
        ),
      }),
      fc.constant({ do: "give-up" as const }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), steps => {
        const broker = new BrokerPartition();
        const writer = new BatchWriter(checksum);
        const partition = new PartitionProducer("orders", 0);
        const outcomes = new Map<string, PublishFailure | "confirmed">();
        let records = 0;
        let identities = 0n;
        const add = () => {
          const value = String(records++);
          partition.add({
            record: { topic: "orders", key: "k", value: Buffer.from(value), headers: [], timestampMs: 1 },
            deadlineMs: 0,
            settle: failure => {
              assert.ok(!outcomes.has(value), "settled twice");
              outcomes.set(value, failure ?? "confirmed");
            },
          });
        };
        const send = (fate: (Step & { do: "send" })["fate"]) => {
          if (partition.isIdle) return;
          if (partition.identity === undefined) partition.adopt({ producerId: ++identities, producerEpoch: 0 });
          const bytes = partition.take(writer);
          if (fate === "request-lost") partition.unanswered(true);
          else if (fate === "answer-lost") {
            broker.append(bytes);
            partition.unanswered(true);
          } else if (typeof fate === "number") {
            // A broker that answers so has not written the batch, now or before.
            const isWritten = broker.log.includes(firstOf(bytes));
            const isRefusal = fate === code.messageTooLarge || fate === code.topicAuthorizationFailed;
            if (fate === code.requestTimedOut) broker.append(bytes);
            if (isWritten && (isRefusal || fate === code.unknownProducerId))
              partition.answered(broker.append(bytes), undefined);
            else partition.answered(fate, undefined);
          } else partition.answered(broker.append(bytes), undefined);
        };
        for (const one of steps) {
          if (one.do === "add") for (let left = one.count; left > 0; left--) add();
          else if (one.do === "send") send(one.fate);
          else partition.giveUp(late);
        }
        while (!partition.isIdle) send("answered");
        assert.equal(outcomes.size, records);
        const numbers = broker.log.map(Number);
        assert.deepEqual(
          numbers,
          numbers.toSorted((a, b) => a - b),
          "out of order",
        );
        assert.equal(new Set(numbers).size, numbers.length, "written twice");
        for (const [value, outcome] of outcomes) {
          if (outcome === "confirmed") assert.ok(broker.log.includes(value), `${value} is lost`);
          else if (!outcome.isRetryable) assert.ok(!broker.log.includes(value), `${value} was refused`);
        }
      }),
      { numRuns: 3_000 },
    );
  });

  test("a broker that has forgotten the producer takes the same batch from a new one", () => {
    const broker = new BrokerPartition();
    const writer = new BatchWriter(checksum);
    const partition = new PartitionProducer("orders", 0);
    partition.adopt({ producerId: 1n, producerEpoch: 0 });
    const add = (value: string) =>
      partition.add({
        record: { topic: "orders", key: "k", value: Buffer.from(value), headers: [], timestampMs: 1 },
        deadlineMs: 0,
        settle() {},
      });
    add("a");
    assert.equal(partition.answered(broker.append(partition.take(writer)), undefined), "settled");
    add("b");
    broker.forget();
    assert.equal(partition.answered(broker.append(partition.take(writer)), undefined), "again");
    assert.equal(partition.identity, undefined);
    partition.adopt({ producerId: 2n, producerEpoch: 0 });
    assert.equal(partition.answered(broker.append(partition.take(writer)), undefined), "settled");
    assert.deepEqual(broker.log, ["a", "b"]);
  });

  test("of a batch that is too large only the culprit fails, and the others keep their order", () => {
    const partition = new PartitionProducer("orders", 0);
    const writer = new BatchWriter(checksum);
    partition.adopt({ producerId: 1n, producerEpoch: 0 });
    const outcomes: string[] = [];
    const log: string[] = [];
    for (const [index, size] of [10, 10, 5_000, 10, 10].entries()) {
      partition.add({
        record: { topic: "orders", key: "k", value: Buffer.alloc(size, 65 + index), headers: [], timestampMs: 1 },
        deadlineMs: 0,
        settle: failure => outcomes.push(failure === undefined ? `${index}` : `${index} ${failure.isRetryable}`),
      });
    }
    while (!partition.isIdle) {
      const bytes = partition.take(writer);
      if (bytes.length > 3_000) partition.answered(code.messageTooLarge, undefined);
      else {
        log.push(firstOf(bytes).slice(0, 1));
        partition.answered(code.none, undefined);
      }
    }
    assert.deepEqual(outcomes, ["0", "1", "2 false", "3", "4"]);
    assert.ok(!log.includes("C"));
  });
});

function firstOf(bytes: Buffer): string {
  const header = readBatchHeader(bytes, 0, undefined);
  assert.ok(header !== undefined);
  const cursor = new RecordCursor(bytes, batchHeaderBytes, header.end, header);
  cursor.next();
  return bytes.toString("utf8", cursor.valueStart, cursor.valueEnd);
}
