/** A record on its way to Kafka. */
export interface OutgoingRecord {
  readonly topic: string;
  readonly key: string | undefined;
  /** `undefined`: a tombstone, which deletes the key from a compacted topic. */
  readonly value: Uint8Array | undefined;
  /** Names and values by turns. */
  readonly headers: readonly string[];
  readonly timestampMs: number;
  /** @default where the key belongs */
  readonly partition?: number | undefined;
}

/** Whom the broker takes a batch from, and which record of the partition its first one is (KIP-98). */
export interface BatchStamp {
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly sequence: number;
  /** Counts only when the transaction of the producer is committed. @default false */
  readonly isTransactional?: boolean;
}

/** Bytes before the records, see `RecordBatch` in kafka.apache.org/documentation/#recordbatch. */
export const batchHeaderBytes = 61;
/** Of a batch's attributes. */
const transactionalBit = 0x10;
const scratchBytes = 1_048_576;

/**
 * Writes record batches of version 2, uncompressed. One scratch buffer serves all; a finished batch is a copy of the right
 * size. Nothing is allocated for a record: encoding is half of what publishing costs here.
 */
export class BatchWriter {
  readonly #crc32c: (bytes: Uint8Array) => number;
  #scratch = Buffer.allocUnsafeSlow(scratchBytes);
  #at = batchHeaderBytes;
  #count = 0;
  #firstMs = 0;
  #lastMs = 0;

  constructor(crc32c: (bytes: Uint8Array) => number) {
    this.#crc32c = crc32c;
  }

  get count(): number {
    return this.#count;
  }

  /** @returns false when the batch would exceed `bytesMax` with it; the first record is taken whatever its size */
  add(record: OutgoingRecord, bytesMax: number): boolean {
    const start = this.#at;
    this.#reserve(start + largestSize(record));
    if (this.#count === 0) {
      this.#firstMs = record.timestampMs;
      this.#lastMs = record.timestampMs;
    }
    // Most records take two bytes for their length; where it is another one, what follows is moved.
    const body = start + 2;
    this.#at = body;
    this.#scratch[this.#at++] = 0;
    this.#varint(record.timestampMs - this.#firstMs);
    this.#varint(this.#count);
    if (record.key === undefined) this.#varint(-1);
    else this.#text(record.key);
    this.#bytes(record.value);
    const { headers } = record;
    this.#varint(headers.length / 2);
    for (let index = 0; index < headers.length; index++) this.#text(headers[index] as string);
    const length = this.#at - body;
    const lengthBytes = varintSize(length);
    if (lengthBytes !== 2) this.#scratch.copyWithin(start + lengthBytes, body, this.#at);
    this.#at = start;
    this.#varint(length);
    this.#at += length;
    if (this.#at > bytesMax && this.#count > 0) {
      this.#at = start;
      return false;
    }
    this.#count++;
    if (record.timestampMs > this.#lastMs) this.#lastMs = record.timestampMs;
    return true;
  }

  /** The batch, and an empty writer. */
  finish(stamp: BatchStamp): Buffer {
    const batch = Buffer.allocUnsafeSlow(this.#at);
    this.#scratch.copy(batch, 0, 0, this.#at);
    batch.fill(0, 0, batchHeaderBytes);
    batch.writeInt32BE(batch.length - 12, 8);
    batch.writeInt32BE(-1, 12);
    batch[16] = 2;
    if (stamp.isTransactional === true) batch.writeInt16BE(transactionalBit, 21);
    batch.writeInt32BE(this.#count - 1, 23);
    batch.writeBigInt64BE(BigInt(this.#firstMs), 27);
    batch.writeBigInt64BE(BigInt(this.#lastMs), 35);
    batch.writeInt32BE(this.#count, 57);
    this.#at = batchHeaderBytes;
    this.#count = 0;
    this.stamp(batch, stamp);
    return batch;
  }

  /** Makes a batch one of another producer. */
  stamp(batch: Buffer, { producerId, producerEpoch, sequence }: BatchStamp): void {
    batch.writeBigInt64BE(producerId, 43);
    batch.writeInt16BE(producerEpoch, 51);
    batch.writeInt32BE(sequence, 53);
    batch.writeUInt32BE(this.#crc32c(batch.subarray(21)), 17);
  }

  #reserve(bytes: number): void {
    if (bytes <= this.#scratch.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(bytes, this.#scratch.length * 2));
    this.#scratch.copy(larger, 0, 0, this.#at);
    this.#scratch = larger;
  }

  #bytes(value: Uint8Array | undefined): void {
    if (value === undefined) {
      this.#varint(-1);
      return;
    }
    this.#varint(value.length);
    this.#scratch.set(value, this.#at);
    this.#at += value.length;
  }

  #text(text: string): void {
    const { length } = text;
    const start = this.#at;
    // Most are short and plain; a call into the runtime costs more than this loop.
    if (length < 64) {
      const scratch = this.#scratch;
      let at = start + 1;
      let index = 0;
      for (; index < length; index++) {
        const unit = text.charCodeAt(index);
        if (unit > 0x7f) break;
        scratch[at++] = unit;
      }
      if (index === length) {
        scratch[start] = length << 1;
        this.#at = at;
        return;
      }
    }
    const bytes = Buffer.byteLength(text);
    this.#varint(bytes);
    this.#scratch.write(text, this.#at, bytes, "utf8");
    this.#at += bytes;
  }

  /** Zigzag, seven bits a byte, as in protobuf's sint32. */
  #varint(value: number): void {
    let rest = ((value << 1) ^ (value >> 31)) >>> 0;
    while (rest > 0x7f) {
      this.#scratch[this.#at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#scratch[this.#at++] = rest;
  }
}

/** Bytes that a record takes at most. A unit of UTF-16 takes three of UTF-8. */
export function largestSize({ key, value, headers }: OutgoingRecord): number {
  let bytes = 40 + (value?.length ?? 0) + (key?.length ?? 0) * 3;
  for (let index = 0; index < headers.length; index++) bytes += 5 + (headers[index] as string).length * 3;
  return bytes;
}

function varintSize(length: number): number {
  return length < 64 ? 1 : length < 8_192 ? 2 : length < 1_048_576 ? 3 : length < 134_217_728 ? 4 : 5;
}
