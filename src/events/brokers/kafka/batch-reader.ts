import { batchHeaderBytes } from "./batch-writer.ts";
import type { AbortedTransaction } from "./wire.ts";

/** What a broker has sent cannot be what it should be; says where. */
export class CorruptBatch extends Error {
  override readonly name = "CorruptBatch";
}

export interface BatchHeader {
  readonly baseOffset: number;
  /** Offset of the record that follows the batch at the earliest; also where the batch was compacted. */
  readonly nextOffset: number;
  readonly baseTimestampMs: number;
  /** All records have the time of the append, this one. */
  readonly appendedAtMs: number | undefined;
  readonly isControl: boolean;
  readonly isTransactional: boolean;
  readonly codec: number;
  readonly producerId: bigint;
  readonly count: number;
  /** Where the batch ends. */
  readonly end: number;
}

const magicAt = 16;
const crcAt = 17;
const attributesAt = 21;

/**
 * The header of the batch at `at`, or `undefined` when the rest was cut off, as brokers do at the end of an answer.
 * @throws CorruptBatch
 */
export function readBatchHeader(
  bytes: Buffer,
  at: number,
  crc32c: ((bytes: Uint8Array) => number) | undefined,
): BatchHeader | undefined {
  if (bytes.length - at < 17) return undefined;
  const length = bytes.readInt32BE(at + 8);
  const magic = bytes[at + magicAt] as number;
  if (magic !== 2) {
    throw new CorruptBatch(`a record batch has format ${magic}; only 2 (Kafka 0.11 and later) can be read`);
  }
  if (length < batchHeaderBytes - 12) throw new CorruptBatch(`a record batch declares ${length} bytes`);
  const end = at + 12 + length;
  if (end > bytes.length) return undefined;
  if (crc32c !== undefined && bytes.readUInt32BE(at + crcAt) !== crc32c(bytes.subarray(at + attributesAt, end))) {
    throw new CorruptBatch("the checksum of a record batch is wrong");
  }
  const attributes = bytes.readInt16BE(at + attributesAt);
  const lastOffsetDelta = bytes.readInt32BE(at + 23);
  const count = bytes.readInt32BE(at + 57);
  if (lastOffsetDelta < 0 || count < 0 || count > lastOffsetDelta + 1) {
    throw new CorruptBatch(`a record batch declares ${count} records up to offset delta ${lastOffsetDelta}`);
  }
  const baseOffset = safeNumber(bytes.readBigInt64BE(at), "offset");
  return {
    baseOffset,
    nextOffset: baseOffset + lastOffsetDelta + 1,
    baseTimestampMs: Number(bytes.readBigInt64BE(at + 27)),
    appendedAtMs: (attributes & 8) === 0 ? undefined : Number(bytes.readBigInt64BE(at + 35)),
    isControl: (attributes & 32) !== 0,
    isTransactional: (attributes & 16) !== 0,
    codec: attributes & 7,
    producerId: bytes.readBigInt64BE(at + 43),
    count,
    end,
  };
}

/**
 * Reads the records of a batch one after the other, without allocating for them: after `next`, the fields say where the
 * record's parts are. Every length is checked against what is there.
 */
export class RecordCursor {
  readonly bytes: Buffer;
  readonly #end: number;
  readonly #lastDelta: number;
  #at: number;
  #left: number;
  #delta = -1;
  offsetDelta = 0;
  timestampDelta = 0;
  /** -1: no key. */
  keyStart = -1;
  keyEnd = -1;
  /** -1: no value. */
  valueStart = -1;
  valueEnd = -1;
  /** Start and end of names and values by turns; the start of a missing value is -1. */
  readonly headers: number[] = [];

  /** @param bytes the records, decompressed, from `start` to `end` */
  constructor(bytes: Buffer, start: number, end: number, header: BatchHeader) {
    this.bytes = bytes;
    this.#at = start;
    this.#end = end;
    this.#left = header.count;
    this.#lastDelta = header.nextOffset - header.baseOffset - 1;
  }

  /** @returns false when there is no more. @throws CorruptBatch */
  next(): boolean {
    if (this.#left === 0) return false;
    this.#left--;
    const length = this.#varint();
    const recordEnd = this.#at + length;
    if (length < 0 || recordEnd > this.#end)
      throw new CorruptBatch(`a record declares ${length} bytes, more than are there`);
    // Attributes of records mean nothing yet.
    this.#at++;
    this.timestampDelta = this.#varlong();
    this.offsetDelta = this.#varint();
    if (this.offsetDelta <= this.#delta || this.offsetDelta > this.#lastDelta) {
      throw new CorruptBatch(`a record has offset delta ${this.offsetDelta} after ${this.#delta}`);
    }
    this.#delta = this.offsetDelta;
    this.keyStart = this.#part(recordEnd);
    this.keyEnd = this.#at;
    this.valueStart = this.#part(recordEnd);
    this.valueEnd = this.#at;
    const headers = this.#varint();
    // Each takes two bytes at least, so that a number of headers cannot be much larger than what is there.
    if (headers < 0 || headers * 2 > recordEnd - this.#at)
      throw new CorruptBatch(`a record declares ${headers} headers`);
    this.headers.length = 0;
    for (let left = headers; left > 0; left--) {
      const name = this.#part(recordEnd);
      if (name < 0) throw new CorruptBatch("a header has no name");
      this.headers.push(name, this.#at);
      const value = this.#part(recordEnd);
      this.headers.push(value, this.#at);
    }
    if (this.#at !== recordEnd)
      throw new CorruptBatch(`a record ends ${recordEnd - this.#at} bytes after its last header`);
    return true;
  }

  /** Start of the bytes whose length is next; -1 for null. */
  #part(end: number): number {
    const length = this.#varint();
    if (length < 0) {
      if (length !== -1) throw new CorruptBatch(`a length is ${length}`);
      return -1;
    }
    const start = this.#at;
    if (length > end - start) throw new CorruptBatch(`a length is ${length}, and ${end - start} bytes are left`);
    this.#at = start + length;
    return start;
  }

  #varint(): number {
    const { bytes } = this;
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      if (this.#at >= this.#end) throw new CorruptBatch("a record is cut off");
      const byte = bytes[this.#at++] as number;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return (value >>> 1) ^ -(value & 1);
    }
    throw new CorruptBatch("a number has more than five bytes");
  }

  /** Timestamps may be further apart than 32 bits. Exact up to 53. */
  #varlong(): number {
    const { bytes } = this;
    let value = 0;
    let factor = 1;
    for (let count = 0; count < 10; count++) {
      if (this.#at >= this.#end) throw new CorruptBatch("a record is cut off");
      const byte = bytes[this.#at++] as number;
      value += (byte & 0x7f) * factor;
      factor *= 128;
      if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
    }
    throw new CorruptBatch("a number has more than ten bytes");
  }
}

/** Tells which transactional batches of an answer were aborted (KIP-98); they are skipped. */
export class AbortedFilter {
  readonly #pending: AbortedTransaction[];
  readonly #aborted = new Set<bigint>();

  constructor(transactions: readonly AbortedTransaction[]) {
    this.#pending = transactions.toSorted((one, other) => one.firstOffset - other.firstOffset);
  }

  /** Called for each batch in order. @returns whether its records count */
  takes(header: BatchHeader): boolean {
    while (this.#pending.length > 0 && (this.#pending[0] as AbortedTransaction).firstOffset < header.nextOffset) {
      this.#aborted.add((this.#pending.shift() as AbortedTransaction).producerId);
    }
    if (header.isControl) {
      // The end of a transaction, whichever; later ones of the producer are listed by themselves.
      this.#aborted.delete(header.producerId);
      return false;
    }
    return !(header.isTransactional && this.#aborted.has(header.producerId));
  }
}

function safeNumber(value: bigint, what: string): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number) || number < 0) throw new CorruptBatch(`an ${what} is ${value}`);
  return number;
}
