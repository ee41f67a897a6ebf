import { historyHeaders } from "../../attributes.ts";
import { LogRecord } from "../../log/index.ts";
import type { AttemptHistory } from "../../record.ts";
import type { BatchHeader, RecordCursor } from "./batch-reader.ts";
import type { OutgoingRecord } from "./batch-writer.ts";
import { outgoingCopy, recordAt, textHeaders } from "./records.ts";

const prefix = "trunkline-parked-";

/** What is known of a parked record beside its content. */
export interface ParkedRow {
  /** Of the record in its topic, the same for all that is ever written of it. */
  readonly id: string;
  readonly lane: string;
  /** Of the topic that the lane is of: one that was made anew counts its offsets anew. */
  readonly topicId: string;
  /** Offset in the lane. */
  readonly position: number;
  /** What it is ordered by. */
  readonly key: string;
  dueAtMs: number;
  history: AttemptHistory;
  /** Where the newest of it is in the topic; `undefined`: it was written and not seen yet. */
  offset: number | undefined;
}

/** A record that waits in the parking topic: it counts as the one that it was first. */
export class ParkedRecord extends LogRecord {
  readonly #place: string;
  readonly #fallbackId: string;

  constructor(place: string, fallbackId: string, ...rest: ConstructorParameters<typeof LogRecord>) {
    super(...rest);
    this.#place = place;
    this.#fallbackId = fallbackId;
  }

  override get place(): string {
    return this.#place;
  }

  override get fallbackId(): string {
    return this.#fallbackId;
  }
}

export function parkedId(lane: string, topicId: string, position: number): string {
  return `${lane}@${position}@${topicId}`;
}

/** Lane, offset and topic of an id; `undefined` where somebody else has written to the topic. */
export function parsedId(id: string): Pick<ParkedRow, "lane" | "position" | "topicId"> | undefined {
  const [, lane, position, topicId] = /^(.+\/[0-9]{1,10})@([0-9]{1,16})@([^@]*)$/.exec(id) ?? [];
  if (lane === undefined || position === undefined || topicId === undefined) return undefined;
  return { lane, position: Number(position), topicId };
}

export function outgoingParked(topic: string, row: ParkedRow, record: LogRecord, nowMs: number): OutgoingRecord {
  const { id, key, dueAtMs, history } = row;
  const more = [
    ...[`${prefix}key`, key, `${prefix}due`, String(Math.ceil(dueAtMs))],
    ...[`${prefix}topic`, record.topic, `${prefix}place`, record.place, `${prefix}fallback-id`, record.fallbackId],
  ];
  if (record.key !== undefined) more.push(`${prefix}record-key`, record.key);
  if (record.storedAtMs !== undefined) more.push(`${prefix}stored`, String(record.storedAtMs));
  more.push(...historyHeaders(history));
  return outgoingCopy(record, topic, id, more, nowMs);
}

/** What a record of the parking topic says, for an index of it; the body stays where it is. */
export class ParkedMark extends LogRecord {
  isTombstone = false;
  row: ParkedRow | undefined;
}

/** @param wants whether more than the id is asked for */
export function markAt(wants: (lane: string) => boolean) {
  return (cursor: RecordCursor, header: BatchHeader, topic: string, partition: number): LogRecord => {
    const { bytes, keyStart, keyEnd, valueStart, offsetDelta } = cursor;
    const offset = header.baseOffset + offsetDelta;
    const id = keyStart < 0 ? undefined : bytes.toString("utf8", keyStart, keyEnd);
    const mark = new ParkedMark(topic, partition, offset, id, {}, noBytes, undefined);
    const parsed = id === undefined ? undefined : parsedId(id);
    mark.isTombstone = valueStart < 0;
    if (id === undefined || parsed === undefined || mark.isTombstone || !wants(parsed.lane)) return mark;
    const headers = new Map(textHeaders(cursor));
    const key = headers.get(`${prefix}key`);
    if (key === undefined) return mark;
    const history = recordAt(cursor, header, topic, partition).carried;
    mark.row = { id, ...parsed, key, dueAtMs: Number(headers.get(`${prefix}due`)) || 0, history, offset };
    return mark;
  };
}

/** The whole record; `key` is its id. */
export function parkedAt(cursor: RecordCursor, header: BatchHeader, topic: string, partition: number): LogRecord {
  return Object.assign(recordAt(cursor, header, topic, partition), { headers: new Map(textHeaders(cursor)) });
}

/** The record as it was first, out of what is in the topic. */
export function parkedRecord(stored: LogRecord, row: ParkedRow): ParkedRecord {
  const { headers } = stored as LogRecord & { readonly headers: ReadonlyMap<string, string> };
  const of = (name: string) => headers.get(`${prefix}${name}`);
  const partition = Number(row.lane.slice(row.lane.lastIndexOf("/") + 1));
  const storedAtMs = of("stored");
  const record = new ParkedRecord(
    of("place") ?? `${row.lane}@${row.position}`,
    of("fallback-id") ?? `${row.lane}/${row.position}`,
    of("topic") ?? row.lane.slice(0, row.lane.lastIndexOf("/")),
    partition,
    row.position,
    of("record-key"),
    stored.attributes,
    stored.body,
    storedAtMs === undefined ? undefined : Number(storedAtMs),
  );
  record.history = row.history;
  return record;
}

const noBytes = new Uint8Array(0);
