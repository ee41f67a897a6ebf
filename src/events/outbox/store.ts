import type { EventRecord } from "../record.ts";

/**
 * What an outbox keeps in a database. Rows are spread over buckets by their key, and relays lease buckets: rows of one key
 * are sent by one relay at a time. Every write of a relay carries the fence of its lease, so that one that has slept for
 * longer than its lease changes nothing.
 */
export interface OutboxStore<Tx> {
  /** Makes the tables where they are missing. @throws Error when a newer version of this package has made them */
  open(): Promise<void>;
  /** Adds rows in the caller's transaction. On SQLite they are there when it returns. */
  insert(tx: Tx, records: readonly EventRecord[]): undefined | Promise<void>;
  /**
   * Says that `owner` is alive and prolongs its leases. Unless `keepAll`, also gives up what is more than its share among
   * those alive, and takes what is free. Resolves with all that it holds.
   */
  lease(owner: string, leaseMs: number, keepAll: boolean): Promise<readonly Lease[]>;
  /** Gives all leases of `owner` back: it is a relay no more. */
  release(owner: string): Promise<void>;
  /** Makes rows whose time has come ready to be sent. Resolves with the milliseconds until the next, `undefined`: none waits. */
  wakeScheduled(): Promise<number | undefined>;
  /**
   * Lets rows wait that have come since one of their key was parked. Resolves with whether any row is parked: until then
   * there is nothing to look for.
   */
  holdBack(): Promise<boolean>;
  /**
   * The oldest rows of leased buckets that wait to be sent: at most `rowsMax`, and about `bytesMax` of bodies.
   * @param hasParked leaves out those behind a parked one of their key: `holdBack` has not seen what came after it
   */
  unsent(
    leases: readonly Lease[],
    rowsMax: number,
    bytesMax: number,
    hasParked: boolean,
  ): Promise<readonly OutboxRow[]>;
  /** Marks rows as sent. Resolves with how many were: fewer than given when a lease was lost. */
  markSent(rows: readonly SentRow[]): Promise<number>;
  /** Sets a row aside that the broker will never take. With `holdKey` later rows of its key wait until that is settled. */
  park(row: SentRow, reason: string, holdKey: boolean): Promise<void>;
  /** Removes rows that were sent longer ago than `keepMs`; at most `rowsMax`. Resolves with how many. */
  cleanUp(keepMs: number, rowsMax: number): Promise<number>;
  counts(): Promise<OutboxCounts>;
  /** Rows that were set aside, oldest first. */
  parked(rowsMax: number): Promise<readonly ParkedRow[]>;
  /** Sends a parked row again, or drops it; either lets the rows of its key go on. Resolves with whether it was there. */
  settleParked(sequence: number, how: "retry" | "discard"): Promise<boolean>;
  /**
   * Calls `wake` when another process has committed rows, and `lost` once when it cannot tell any more; resolves with what
   * stops it. `undefined` where a database never can.
   */
  listen(wake: () => void, lost: (error: Error) => void): Promise<(() => void) | undefined>;
  /** Tells other processes that rows have been committed. */
  notify(): Promise<void>;
  /** Whether rows that were inserted on `tx` are still open to a rollback. */
  isOpen(tx: Tx): boolean;
}

export interface Lease {
  readonly bucket: number;
  /** Grows with every owner of the bucket. */
  readonly fence: number;
}

export interface SentRow {
  readonly sequence: number;
  readonly lease: Lease;
}

export interface OutboxRow extends SentRow {
  readonly record: EventRecord;
}

export interface OutboxCounts {
  /** Ready to be sent. */
  readonly unsent: number;
  /** Waiting for their time. */
  readonly scheduled: number;
  /** Set aside, because the broker refused them. */
  readonly parked: number;
  /** Waiting behind a parked row of their key. */
  readonly held: number;
  /** Age of the oldest row that is ready, in milliseconds. */
  readonly oldestAgeMs: number | undefined;
}

export interface ParkedRow {
  readonly sequence: number;
  readonly reason: string;
  readonly record: EventRecord;
}

/** Buckets of an outbox: the most relays that can share the work, and few enough that leasing all is one small statement. */
export const bucketCount = 64;

/** Which bucket rows of a key, or without one the row itself, belong to: FNV-1a (32 bits) over UTF-16 units. */
export function bucketOf({ key, id }: EventRecord): number {
  const text = key ?? id;
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return (hash >>> 0) % bucketCount;
}

/** States of a row. `parked` rows hold later ones of their key back, which are `held`; `skipped` ones do not. */
export const rowState = { unsent: 0, sent: 1, scheduled: 2, parked: 3, held: 4, skipped: 5 } as const;

/** What of a record is kept as text beside topic, key and body. */
export function attributesText(record: EventRecord): string {
  // The time of a scheduled event has come when it is sent.
  const { topic: _topic, key: _key, body: _body, notBeforeMs: _due, ...attributes } = record;
  return JSON.stringify(attributes);
}

export function recordOf(row: {
  topic: string;
  key: string | null;
  attributes: string;
  body: Uint8Array;
}): EventRecord {
  const attributes = JSON.parse(row.attributes) as Omit<EventRecord, "topic" | "key" | "body">;
  return { ...absent, ...attributes, topic: row.topic, key: row.key ?? undefined, body: row.body };
}

/** What JSON leaves out. */
const absent = {
  trace: undefined,
  expiresAtMs: undefined,
  notBeforeMs: undefined,
  replyTo: undefined,
  correlationId: undefined,
} as const;

/** How many buckets are one owner's share, when `others` live beside it. */
export function fairShare(others: number): number {
  return Math.ceil(bucketCount / (others + 1));
}
