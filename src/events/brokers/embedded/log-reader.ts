import type { DatabaseSync, SQLInputValue } from "node:sqlite";
import type { DeadLetter, DeadLetterFilter } from "../../dead-letter.ts";
import type { GroupStatus } from "../../driver.ts";
import { BrokerError } from "../../errors.ts";
import {
  LogRecord,
  letterMatches,
  type ParkedRow,
  type PartitionBounds,
  type ReadAnswer,
  type ReadRequest,
  type ReturnedAnswer,
  type ReturnedRequest,
} from "../../log/index.ts";
import { type CodedRecord, decodeBatch } from "./batch-codec.ts";
import { parkedRows, returnedRecord } from "./parked-rows.ts";
import { Statements } from "./statements.ts";

type Row = Record<string, SQLInputValue>;

interface Partition {
  readonly id: number;
  readonly topic: string;
  readonly partition: number;
  /** As far as this process has heard. */
  nextOffset: number;
}

interface DecodedBatch {
  readonly firstOffset: number;
  readonly lastOffset: number;
  readonly storedAtMs: number;
  readonly records: readonly CodedRecord[];
}

/** What others have done since the last look. */
export interface Changes {
  readonly appended: readonly { readonly topic: string; readonly partition: number }[];
  readonly regrouped: readonly string[];
  readonly held: readonly string[];
}

/** What a dead letter's row has as JSON. */
export type LetterDetails = Pick<
  DeadLetter,
  "reason" | "exception" | "attempts" | "firstFailedAtMs" | "place" | "consumer" | "contract"
>;

/** Letters that are read at a time, so that a long list does not hold up the program. */
const lettersPerRead = 100;

/** Reads the file on a connection of its own, which never writes: readers and the writer do not wait for each other. */
export class LogReader {
  readonly #database: DatabaseSync;
  readonly #file: string;
  readonly #statements: Statements;
  readonly #partitions = new Map<string, Partition>();
  readonly #byTopic = new Map<string, Partition[]>();
  /** The batch that was read last, by partition: a turn may end in the middle of it, and other groups read it too. */
  readonly #decoded = new Map<number, DecodedBatch>();
  readonly #generations = new Map<string, { generation: number; held: number }>();
  #dataVersion = -1;

  /** @param file for messages */
  constructor(database: DatabaseSync, file: string) {
    this.#database = database;
    this.#file = file;
    this.#statements = new Statements(database);
    this.changes();
  }

  /** Whether another connection has written since the last call. */
  hasChanged(): boolean {
    const found = Number(this.#get("PRAGMA data_version")?.["data_version"]);
    if (found === this.#dataVersion) return false;
    this.#dataVersion = found;
    return true;
  }

  changes(): Changes {
    const appended: Partition[] = [];
    const rows = this.#all("SELECT id, topic, partition, next_offset FROM trunkline_partition");
    for (const row of rows) {
      const partition = this.#partition(row);
      const nextOffset = Number(row["next_offset"]);
      if (nextOffset <= partition.nextOffset) continue;
      partition.nextOffset = nextOffset;
      appended.push(partition);
    }
    if (this.#partitions.size > rows.length) this.#forgetAllBut(new Set(rows.map(({ id }) => Number(id))));
    const [regrouped, held]: [string[], string[]] = [[], []];
    for (const row of this.#all("SELECT name, generation, held FROM trunkline_group")) {
      const name = row["name"] as string;
      const now = { generation: Number(row["generation"]), held: Number(row["held"]) };
      const before = this.#generations.get(name);
      this.#generations.set(name, now);
      if (before?.generation !== now.generation) regrouped.push(name);
      if (before !== undefined && before.held !== now.held) held.push(name);
    }
    return { appended, regrouped, held };
  }

  /** Topics of replies go with those who asked; another topic may get their numbers. */
  #forgetAllBut(ids: ReadonlySet<number>): void {
    for (const [name, { id, topic }] of this.#partitions) {
      if (ids.has(id)) continue;
      this.#partitions.delete(name);
      this.#byTopic.delete(topic);
      this.#decoded.delete(id);
    }
  }

  /** Of this process's own writes. @returns whether it was news */
  heardOf(topic: string, partition: number, nextOffset: number): boolean {
    const known = this.#partitions.get(`${topic}/${partition}`);
    if (known === undefined || nextOffset <= known.nextOffset) return false;
    known.nextOffset = nextOffset;
    return true;
  }

  /** How many partitions a topic has; 0: there is no such topic. */
  partitionCount(topic: string): number {
    const known = this.#byTopic.get(topic);
    if (known !== undefined) return known.length;
    for (const row of this.#all(
      "SELECT id, topic, partition, next_offset FROM trunkline_partition WHERE topic = ? ORDER BY partition",
      topic,
    )) {
      this.#partition(row);
    }
    return this.#byTopic.get(topic)?.length ?? 0;
  }

  bounds(topic: string): readonly PartitionBounds[] {
    const rows = this.#all(
      "SELECT partition, first_offset, next_offset FROM trunkline_partition WHERE topic = ? ORDER BY partition",
      topic,
    );
    return rows.map(row => ({
      partition: Number(row["partition"]),
      firstOffset: Number(row["first_offset"]),
      nextOffset: Number(row["next_offset"]),
    }));
  }

  read({ topic, partition, offset, limit, recordsMax }: ReadRequest): ReadAnswer {
    const source = this.#partitions.get(`${topic}/${partition}`);
    const records: LogRecord[] = [];
    let at = offset;
    while (source !== undefined && records.length < recordsMax && at < limit && at < source.nextOffset) {
      const batch = this.#batchAt(source, at);
      if (batch === undefined) {
        at = source.nextOffset;
        break;
      }
      at = Math.max(at, batch.firstOffset);
      const end = Math.min(batch.lastOffset + 1, limit, at + recordsMax - records.length);
      for (; at < end; at++) {
        const { key, attributes, body } = batch.records[at - batch.firstOffset] as CodedRecord;
        records.push(new LogRecord(topic, partition, at, key, attributes, body, batch.storedAtMs));
      }
    }
    return { records, nextOffset: at, isEnd: source === undefined || at >= source.nextOffset };
  }

  readReturned({ group, topic, partition, nowMs, recordsMax, except }: ReturnedRequest): ReturnedAnswer {
    const source = this.#partitions.get(`${topic}/${partition}`);
    const records: LogRecord[] = [];
    if (source === undefined) return { records, nextDueMs: Number.POSITIVE_INFINITY };
    const rows = this.#all(
      "SELECT id, due_at FROM trunkline_returned WHERE group_name = ? AND partition_id = ? AND parked_key IS NULL " +
        "ORDER BY due_at, id LIMIT ?",
      group,
      source.id,
      except.size + recordsMax + 1,
    );
    for (const row of rows) {
      const id = Number(row["id"]);
      if (except.has(id)) continue;
      const dueMs = Number(row["due_at"]);
      if (dueMs > nowMs || records.length >= recordsMax) return { records, nextDueMs: dueMs };
      const record = returnedRecord(this.#statements, topic, id);
      if (record !== undefined) records.push(record);
    }
    return { records, nextDueMs: Number.POSITIVE_INFINITY };
  }

  parked(group: string, topic: string, partition: number): readonly ParkedRow[] {
    this.partitionCount(topic);
    const source = this.#partitions.get(`${topic}/${partition}`);
    return source === undefined ? [] : parkedRows(this.#statements, group, source.id);
  }

  readParked(topic: string, ids: readonly number[]): readonly LogRecord[] {
    return ids.flatMap(id => returnedRecord(this.#statements, topic, id) ?? []);
  }

  /** When the next scheduled record is due; Infinity: there is none. */
  nextScheduledMs(): number {
    const due = this.#get("SELECT min(due_at) AS due FROM trunkline_scheduled")?.["due"];
    return typeof due === "number" ? due : Number.POSITIVE_INFINITY;
  }

  groups(nowMs: number): readonly GroupStatus[] {
    const rows = this.#all(
      "SELECT l.group_name, p.id, p.topic, p.partition, max(p.next_offset - l.next_offset, 0) AS lag, l.next_offset, " +
        "(SELECT count(*) FROM trunkline_returned r WHERE r.group_name = l.group_name AND r.partition_id = p.id " +
        "AND parked_key IS NULL) + (SELECT count(*) FROM trunkline_returned r WHERE r.group_name = l.group_name " +
        "AND r.partition_id = p.id AND parked_key IS NOT NULL) AS held, " +
        "(SELECT stored_at FROM trunkline_log b WHERE b.partition_id = p.id AND b.last_offset >= l.next_offset " +
        "ORDER BY b.last_offset LIMIT 1) AS oldest, " +
        "(SELECT count(*) FROM trunkline_member m, json_each(m.topics) t WHERE m.group_name = l.group_name " +
        "AND t.value = p.topic AND m.alive_until >= ?) AS members " +
        "FROM trunkline_lane l JOIN trunkline_partition p ON p.id = l.partition_id ORDER BY l.group_name, p.topic, p.partition",
      Math.floor(nowMs),
    );
    return rows.map(row => ({
      group: row["group_name"] as string,
      topic: row["topic"] as string,
      lane: `${row["topic"]}/${row["partition"]}`,
      lag: Number(row["lag"]) + Number(row["held"]),
      oldestAgeMs: row["oldest"] === null ? undefined : nowMs - Number(row["oldest"]),
      consumers: Number(row["members"]),
    }));
  }

  *letters(filter: DeadLetterFilter): Generator<DeadLetter> {
    let left = filter.limit ?? Number.POSITIVE_INFINITY;
    let after = 0;
    for (;;) {
      const rows = this.#all(
        "SELECT * FROM trunkline_letter WHERE id > ?1 AND (?2 IS NULL OR group_name = ?2) AND (?3 IS NULL OR topic = ?3) " +
          "AND died_at >= ?4 ORDER BY id LIMIT ?5",
        after,
        filter.group ?? null,
        filter.topic ?? null,
        Math.ceil(filter.sinceMs ?? 0),
        lettersPerRead,
      );
      for (const row of rows) {
        if (left <= 0) return;
        after = Number(row["id"]);
        const letter = letterFrom(row);
        if (!letterMatches(letter, filter)) continue;
        left--;
        yield letter;
      }
      if (rows.length < lettersPerRead) return;
    }
  }

  letter(letterId: string): DeadLetter | undefined {
    const row = this.#get("SELECT * FROM trunkline_letter WHERE letter_id = ?", letterId);
    return row === undefined ? undefined : letterFrom(row);
  }

  close(): void {
    this.#database.close();
  }

  #batchAt(source: Partition, offset: number): DecodedBatch | undefined {
    const known = this.#decoded.get(source.id);
    if (known !== undefined && known.firstOffset <= offset && offset <= known.lastOffset) return known;
    const row = this.#get(
      "SELECT last_offset, stored_at, batch FROM trunkline_log WHERE partition_id = ? AND last_offset >= ? " +
        "ORDER BY last_offset LIMIT 1",
      source.id,
      offset,
    );
    if (row === undefined) return undefined;
    const records = this.#decode(row["batch"] as Uint8Array, source, offset);
    const lastOffset = Number(row["last_offset"]);
    const firstOffset = lastOffset - records.length + 1;
    const batch = { firstOffset, lastOffset, storedAtMs: Number(row["stored_at"]), records };
    this.#decoded.set(source.id, batch);
    return batch;
  }

  #decode(batch: Uint8Array, { topic, partition }: Partition, offset: number): readonly CodedRecord[] {
    try {
      return decodeBatch(batch);
    } catch (cause) {
      const place = `${topic}/${partition} at offset ${offset}`;
      throw new BrokerError(`sqlite: ${this.#file}: ${place} is damaged, or of a newer version of this package`, {
        cause,
      });
    }
  }

  #partition(row: Row): Partition {
    const [topic, partition] = [row["topic"] as string, Number(row["partition"])];
    const name = `${topic}/${partition}`;
    let known = this.#partitions.get(name);
    if (known === undefined) {
      known = { id: Number(row["id"]), topic, partition, nextOffset: 0 };
      this.#partitions.set(name, known);
      const siblings = this.#byTopic.get(topic);
      if (siblings === undefined) this.#byTopic.set(topic, [known]);
      else siblings.push(known);
    }
    return known;
  }

  #get(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.#statements.get(sql).get(...values) as Row | undefined;
  }

  #all(sql: string, ...values: SQLInputValue[]): readonly Row[] {
    return this.#statements.get(sql).all(...values) as Row[];
  }
}

function letterFrom(row: Row): DeadLetter {
  const [coded] = decodeBatch(row["record"] as Uint8Array) as [CodedRecord];
  const details = JSON.parse(row["details"] as string) as LetterDetails;
  return {
    letterId: row["letter_id"] as string,
    group: row["group_name"] as string,
    topic: row["topic"] as string,
    key: coded.key,
    attributes: coded.attributes,
    body: coded.body,
    reason: details.reason,
    exception: details.exception,
    attempts: details.attempts,
    firstFailedAtMs: details.firstFailedAtMs,
    diedAtMs: Number(row["died_at"]),
    place: details.place,
    consumer: details.consumer,
    contract: details.contract,
  };
}
