import type { LogRecord } from "../../log/index.ts";
import { AbortedFilter, type BatchHeader, CorruptBatch, RecordCursor, readBatchHeader } from "./batch-reader.ts";
import { batchHeaderBytes } from "./batch-writer.ts";
import { decompressedBytesMax } from "./limits.ts";
import type { AbortedTransaction, FetchAnswer, KafkaClient } from "./wire.ts";

/** Who takes the records of a partition; a lane, or a tail. */
export interface FetchTarget {
  readonly topic: string;
  readonly partition: number;
  /** Offset of the next record that it takes. */
  readonly position: number;
  /** Whether it is going to take records: then some are fetched ahead. */
  readonly isOpen: boolean;
  /** Records that it takes now. */
  readonly room: number;
  /** It takes none from this offset on, for the moment. */
  readonly limit: number;
  deliver(records: readonly LogRecord[], nextOffset?: number): void;
  /** There is nothing below `offset`. */
  skipTo(offset: number): void;
}

export type MakeRecord = (cursor: RecordCursor, header: BatchHeader, topic: string, partition: number) => LogRecord;

/** Knows whether what a body is framed with has been looked up. */
export interface FrameGate {
  isReady(bytes: Buffer, start: number, end: number): boolean;
}

interface Chunk {
  readonly bytes: Buffer;
  readonly filter: AbortedFilter;
  at: number;
}

/**
 * What was fetched of a partition and not yet delivered. Record batches stay as they came; records are made only when the
 * target has room for them, so that what waits costs its bytes and nothing more.
 */
export class PartitionReader {
  readonly target: FetchTarget;
  readonly #client: Pick<KafkaClient, "crc32c" | "decompress">;
  readonly #make: MakeRecord;
  readonly #frames: FrameGate | undefined;
  readonly #chunks: Chunk[] = [];
  #bytes = 0;
  #header: BatchHeader | undefined;
  #cursor: RecordCursor | undefined;
  /** The cursor stands at a record that was not delivered. */
  #isAtRecord = false;
  #fetchOffset: number;
  /** Before this time it is not fetched. */
  notBeforeMs = 0;
  failures = 0;
  /** Answers in a row that could not be read. */
  damages = 0;
  /** The next record cannot be read before its schema is known. */
  waitsForSchema = false;
  /** Of the topic that the offsets are of. */
  topicId: string | undefined;

  constructor(
    target: FetchTarget,
    client: Pick<KafkaClient, "crc32c" | "decompress">,
    make: MakeRecord,
    frames?: FrameGate,
  ) {
    this.#frames = frames;
    this.target = target;
    this.#client = client;
    this.#make = make;
    this.#fetchOffset = target.position;
  }

  /** Where the next answer begins. */
  get fetchOffset(): number {
    return this.#fetchOffset;
  }

  /** That wait; an answer stays in memory until its last batch is delivered. */
  get bytes(): number {
    return this.#bytes;
  }

  get hasRecords(): boolean {
    return this.#chunks.length > 0;
  }

  /** Takes an answer. @throws CorruptBatch */
  add({ records, abortedTransactions }: Pick<FetchAnswer, "records" | "abortedTransactions">): void {
    if (records === undefined || records.length === 0) return;
    const end = this.#wholeBatches(records);
    if (end === 0) return;
    this.#chunks.push({ bytes: records.subarray(0, end), filter: filterOf(abortedTransactions), at: 0 });
    this.#bytes += end;
    this.failures = 0;
  }

  /** Forgets what was fetched and begins again where the target stands. */
  restart(): void {
    this.#chunks.length = 0;
    this.#bytes = 0;
    this.#header = undefined;
    this.#cursor = undefined;
    this.#isAtRecord = false;
    this.waitsForSchema = false;
    this.#fetchOffset = this.target.position;
  }

  /**
   * Delivers records, as many as the target has room for and `recordsMax` allows.
   * @returns how many. @throws CorruptBatch, when all before the damage is delivered
   */
  deliver(recordsMax: number): number {
    const { target } = this;
    const max = Math.min(recordsMax, target.room);
    if (max <= 0 || this.#chunks.length === 0) return 0;
    const records: LogRecord[] = [];
    let nextOffset: number | undefined;
    let damage: unknown;
    const { position, limit } = target;
    this.waitsForSchema = false;
    try {
      while (records.length < max) {
        if (!this.#isAtRecord) {
          const skipped = this.#advance(position);
          if (skipped === undefined) break;
          if (skipped >= 0) {
            nextOffset = skipped;
            continue;
          }
        }
        const header = this.#header as BatchHeader;
        const cursor = this.#cursor as RecordCursor;
        const offset = header.baseOffset + cursor.offsetDelta;
        const isReady = this.#frames?.isReady(cursor.bytes, cursor.valueStart, cursor.valueEnd) ?? true;
        if (!isReady) this.waitsForSchema = true;
        if (!isReady || offset >= limit) {
          this.#isAtRecord = true;
          break;
        }
        this.#isAtRecord = false;
        records.push(this.#make(cursor, header, target.topic, target.partition));
        nextOffset = undefined;
      }
    } catch (error) {
      if (!(error instanceof CorruptBatch)) throw error;
      damage = error;
    }
    if (records.length > 0 || nextOffset !== undefined) target.deliver(records, nextOffset);
    if (damage !== undefined) throw damage;
    if (records.length > 0) this.damages = 0;
    return records.length;
  }

  /**
   * To the next record. @returns -1 when the cursor stands at one, the offset where a batch ended, or `undefined` when
   * nothing is left
   */
  #advance(position: number): number | undefined {
    const chunk = this.#chunks[0];
    if (chunk === undefined) return undefined;
    if (this.#cursor === undefined) {
      const header = readBatchHeader(chunk.bytes, chunk.at, this.#client.crc32c);
      if (header === undefined) {
        this.#chunks.shift();
        this.#bytes -= chunk.bytes.length - chunk.at;
        return this.#chunks.length === 0 ? undefined : position;
      }
      const counts = chunk.filter.takes(header);
      if (!counts || header.count === 0 || header.nextOffset <= position) return this.#endBatch(chunk, header);
      this.#header = header;
      this.#cursor = this.#open(chunk, header);
    }
    const header = this.#header as BatchHeader;
    do {
      if (!this.#cursor.next()) return this.#endBatch(chunk, header);
      // A fetch gives whole batches, also when it began in the middle of one.
    } while (header.baseOffset + this.#cursor.offsetDelta < position);
    return -1;
  }

  #endBatch(chunk: Chunk, header: BatchHeader): number {
    this.#bytes -= header.end - chunk.at;
    chunk.at = header.end;
    this.#header = undefined;
    this.#cursor = undefined;
    return header.nextOffset;
  }

  #open(chunk: Chunk, header: BatchHeader): RecordCursor {
    const start = chunk.at + batchHeaderBytes;
    if (header.codec === 0) return new RecordCursor(chunk.bytes, start, header.end, header);
    let plain: Buffer;
    try {
      plain = this.#client.decompress(header.codec, chunk.bytes.subarray(start, header.end), decompressedBytesMax);
    } catch (cause) {
      throw new CorruptBatch(`a record batch cannot be decompressed: ${(cause as Error).message}`, { cause });
    }
    return new RecordCursor(plain, 0, plain.length, header);
  }

  /** Where the last whole batch ends; moves the fetch offset behind it. */
  #wholeBatches(records: Buffer): number {
    let at = 0;
    for (;;) {
      const header = readBatchHeader(records, at, undefined);
      if (header === undefined) return at;
      if (header.nextOffset > this.#fetchOffset) this.#fetchOffset = header.nextOffset;
      at = header.end;
    }
  }
}

const nothingAborted = new AbortedFilter([]);

function filterOf(transactions: readonly AbortedTransaction[]): AbortedFilter {
  return transactions.length === 0 ? nothingAborted : new AbortedFilter(transactions);
}
