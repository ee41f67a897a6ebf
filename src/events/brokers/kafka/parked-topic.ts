import { BrokerError } from "../../errors.ts";
import type { LogRecord } from "../../log/index.ts";
import type { OutgoingRecord } from "./batch-writer.ts";
import { type LogPart, partsOf, type ScanParts, scan } from "./log-scan.ts";
import { markAt, outgoingParked, type ParkedMark, type ParkedRow, parkedAt, parsedId } from "./parked-records.ts";
import type { Producer } from "./producer.ts";
import { parkedTopicOf } from "./topics.ts";
import { CallError } from "./wire.ts";

/** The only one: also where somebody has made more of them. */
const partition = 0;

/**
 * The topic `<group>.parked`: compacted, one partition, a key for each parked record, whose newest version counts and which a
 * tombstone ends. What is written there of a record is true whoever writes it, so that members that have lost a lane do no
 * harm; and what somebody has written twice is there once.
 */
export class ParkedTopic {
  readonly topic: string;
  readonly #parts: ScanParts;
  readonly #producer: Producer;
  /** Lanes of this member, which look for their records. */
  readonly #lanes = new Map<string, (id: string, offset: number) => void>();
  #seenTo = 0;
  #looking: Promise<void> = Promise.resolve();

  constructor(topic: string, parts: ScanParts, producer: Producer) {
    this.topic = topic;
    this.#parts = parts;
    this.#producer = producer;
  }

  /** What waits there for lanes, by lane. @throws BrokerError for what will not change, other errors for what may */
  async load(lanes: ReadonlySet<string>): Promise<ReadonlyMap<string, ReadonlyMap<string, ParkedRow>>> {
    const found = new Map<string, Map<string, ParkedRow>>();
    const end = await this.#scan(
      0,
      lane => lanes.has(lane),
      ({ key: id, row }) => {
        const lane = id === undefined ? undefined : parsedId(id)?.lane;
        if (id === undefined || lane === undefined || !lanes.has(lane)) return;
        const rows = found.get(lane) ?? new Map<string, ParkedRow>();
        found.set(lane, rows);
        if (row === undefined) rows.delete(id);
        else rows.set(id, row);
      },
    );
    if (this.#lanes.size === 0) this.#seenTo = end;
    return found;
  }

  /** Tells a lane where its records are; returns when to stop. */
  watch(lane: string, seen: (id: string, offset: number) => void): () => void {
    this.#lanes.set(lane, seen);
    return () => {
      if (this.#lanes.get(lane) === seen) this.#lanes.delete(lane);
    };
  }

  /** Looks for where records are that were written before this call. */
  look(): Promise<void> {
    const looked = this.#looking.then(async () => {
      this.#seenTo = await this.#scan(
        this.#seenTo,
        () => false,
        ({ key: id, offset, isTombstone }) => {
          if (id !== undefined && !isTombstone) this.#lanes.get(parsedId(id)?.lane ?? "")?.(id, offset);
        },
      );
    });
    this.#looking = looked.catch(() => {});
    return looked;
  }

  /** The record of an id, at an offset or what has followed it there; `undefined`: the id is not there. */
  async read(rows: readonly ParkedRow[]): Promise<ReadonlyMap<string, LogRecord>> {
    const found = new Map<string, LogRecord>();
    let ahead = new Map<number, LogRecord>();
    for (const { id, offset } of rows.toSorted((one, other) => (one.offset ?? 0) - (other.offset ?? 0))) {
      if (offset === undefined) continue;
      if (!ahead.has(offset)) {
        ahead = new Map();
        const part = { topic: this.topic, partition, first: offset, next: Number.MAX_SAFE_INTEGER };
        for await (const records of scan(this.#parts, part, parkedAt)) {
          for (const record of records) ahead.set(record.offset, record);
          break;
        }
      }
      const record = ahead.get(offset);
      if (record?.key === id) found.set(id, record);
    }
    return found;
  }

  /** @throws Error when one of them is not durable */
  async write(rows: readonly { readonly row: ParkedRow; readonly record: LogRecord }[]): Promise<void> {
    const nowMs = this.#nowMs();
    await this.#send(rows.map(({ row, record }) => ({ ...outgoingParked(this.topic, row, record, nowMs), partition })));
  }

  end({ id }: ParkedRow): Promise<void> {
    const { topic } = this;
    return this.#send([{ topic, partition, key: id, value: undefined, headers: [], timestampMs: this.#nowMs() }]);
  }

  async #send(records: readonly OutgoingRecord[]): Promise<void> {
    const failures = await this.#producer.send(records);
    const failure = failures.find(one => one !== undefined);
    if (failure !== undefined) throw failure.error;
  }

  /** @returns where the next look begins */
  async #scan(first: number, wants: (lane: string) => boolean, each: (mark: ParkedMark) => void): Promise<number> {
    try {
      const [part] = (await partsOf(this.#parts, this.topic)) as readonly (LogPart | undefined)[];
      if (part === undefined) throw new BrokerError(`kafka: topic ${this.topic} has gone, and what was parked with it`);
      for await (const marks of scan(this.#parts, { ...part, first: Math.max(first, part.first) }, markAt(wants))) {
        for (const mark of marks) each(mark as ParkedMark);
      }
      return part.next;
    } catch (error) {
      // Repeated for a while already; the caller goes on with it.
      const { cause } = error as Error;
      if (cause === undefined || (cause instanceof CallError && cause.isFinal)) throw error;
      throw new Error((error as Error).message, { cause });
    }
  }

  #nowMs(): number {
    return Math.floor(this.#parts.platform.clock.wall());
  }
}

/** How many records a group has parked, by lane. */
export async function parkedByLane(parts: ScanParts, group: string): Promise<ReadonlyMap<string, number>> {
  const [part] = (await partsOf(parts, parkedTopicOf(group))) as readonly (LogPart | undefined)[];
  const ids = new Set<string>();
  if (part === undefined) return new Map();
  for await (const marks of scan(
    parts,
    part,
    markAt(() => false),
  )) {
    for (const mark of marks as readonly ParkedMark[]) {
      if (mark.key === undefined) continue;
      if (mark.isTombstone) ids.delete(mark.key);
      else ids.add(mark.key);
    }
  }
  const counts = new Map<string, number>();
  for (const id of ids) {
    const lane = parsedId(id)?.lane;
    if (lane !== undefined) counts.set(lane, (counts.get(lane) ?? 0) + 1);
  }
  return counts;
}
