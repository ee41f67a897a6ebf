import { type Clock, outsideContext } from "../../../platform/index.ts";
import type { FoundSequence, ParkingPlace, Recalled, RecordToPark } from "../../driver.ts";
import type { LogLane, LogRecord } from "../../log/index.ts";
import type { AttemptHistory } from "../../record.ts";
import { parkedAgainMs, parkedRecordsMax } from "./limits.ts";
import { type ParkedRow, parkedId, parkedRecord } from "./parked-records.ts";
import type { ParkedTopic } from "./parked-topic.ts";

/** The parking place of a lane in the topic of its group. */
export class KafkaParking implements ParkingPlace {
  readonly found: readonly FoundSequence[];
  readonly #lane: LogLane;
  readonly #topicId: string;
  readonly #topic: ParkedTopic;
  readonly #clock: Clock;
  readonly #rows = new Map<string, ParkedRow>();
  readonly #sequences = new Map<string, ParkedRow[]>();
  /** Records that are in work. */
  readonly #out = new Map<LogRecord, ParkedRow>();
  readonly #outRows = new Set<ParkedRow>();
  /** Writes that nobody waits for but the end. */
  readonly #writes = new Set<Promise<void>>();
  readonly #unwatch: () => void;
  #isClosed = false;

  /** @param rows what an earlier owner has left */
  constructor(lane: LogLane, topicId: string, topic: ParkedTopic, rows: Iterable<ParkedRow>, clock: Clock) {
    this.#lane = lane;
    this.#topicId = topicId;
    this.#topic = topic;
    this.#clock = clock;
    this.#unwatch = topic.watch(lane.name, (id, offset) => {
      const row = this.#rows.get(id);
      if (row !== undefined) row.offset = offset;
    });
    const isCurrent = (row: ParkedRow) => (row.topicId === topicId ? 1 : 0);
    // Of a topic that was made anew, what had been in the one before comes first.
    const inOrder = [...rows].sort((one, other) => isCurrent(one) - isCurrent(other) || one.position - other.position);
    for (const row of inOrder) this.#add(row);
    this.found = [...this.#sequences].map(([key, sequence]) => {
      const last = sequence.at(-1) as ParkedRow;
      const { dueAtMs } = sequence[0] as ParkedRow;
      return { key, records: sequence.length, through: isCurrent(last) ? last.position : undefined, dueAtMs };
    });
  }

  get room(): number {
    return this.#isClosed ? 0 : Math.max(parkedRecordsMax - this.#rows.size, 0);
  }

  positionOf({ offset }: LogRecord): number {
    return offset;
  }

  async park(records: readonly RecordToPark[]): Promise<void> {
    const rows = records.map(({ record, key, history, dueAtMs }) => {
      const { offset: position } = record as LogRecord;
      const id = parkedId(this.#lane.name, this.#topicId, position);
      const row: ParkedRow = {
        id,
        lane: this.#lane.name,
        topicId: this.#topicId,
        position,
        key,
        dueAtMs,
        history,
        offset: undefined,
      };
      return { row, record: record as LogRecord };
    });
    await this.#topic.write(rows);
    for (const { row } of rows) this.#add(row);
  }

  async recall(key: string, recordsMax: number): Promise<Recalled> {
    const rows: ParkedRow[] = [];
    for (const row of this.#sequences.get(key) ?? []) {
      if (rows.length >= recordsMax) break;
      if (!this.#outRows.has(row)) rows.push(row);
    }
    let stored = await this.#topic.read(rows);
    if (stored.size < rows.length) {
      // Written since the last look, or written anew and compacted.
      await this.#topic.look();
      stored = await this.#topic.read(rows);
    }
    const records: LogRecord[] = [];
    for (const row of rows) {
      const one = stored.get(row.id);
      if (one === undefined) {
        this.#remove(row);
        continue;
      }
      const record = parkedRecord(one, row);
      this.#out.set(record, row);
      this.#outRows.add(row);
      records.push(record);
    }
    return { records, missing: rows.length - records.length };
  }

  settle(record: LogRecord): void {
    const row = this.#out.get(record);
    if (row === undefined || this.#isClosed) return;
    this.#out.delete(record);
    this.#remove(row);
    this.#writeInTheEnd(() => this.#topic.end(row));
  }

  begin(record: LogRecord, attempts: number): Promise<void> | undefined {
    const row = this.#out.get(record);
    if (row === undefined) return undefined;
    row.history = { ...row.history, attempts: attempts + 1 };
    return this.#topic.write([{ row, record }]);
  }

  putBack(records: readonly LogRecord[], dueAtMs: number, history: AttemptHistory): void {
    for (const [index, record] of records.entries()) {
      const row = this.#out.get(record);
      if (row === undefined) continue;
      this.#out.delete(record);
      this.#outRows.delete(row);
      if (index > 0) continue;
      row.dueAtMs = dueAtMs;
      row.history = history;
      if (!this.#isClosed) this.#writeInTheEnd(() => this.#topic.write([{ row, record }]));
    }
  }

  /** Resolves when all that was settled and put back is durable, or has been given up. */
  async flush(): Promise<void> {
    while (this.#writes.size > 0) await Promise.all(this.#writes);
  }

  /** The lane is over: nothing is written any more but what is on its way. */
  close(): void {
    this.#isClosed = true;
    this.#unwatch();
  }

  #writeInTheEnd(write: () => Promise<void>): void {
    const writing = outsideContext(() => this.#written(write));
    this.#writes.add(writing);
    void writing.then(() => this.#writes.delete(writing));
  }

  /** What cannot be written is said again, until the lane is over: then it comes once more to whoever has it next. */
  async #written(write: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        await write();
        return;
      } catch {
        if (this.#isClosed) return;
      }
      await new Promise<void>(resolve => {
        this.#clock.after(parkedAgainMs, resolve);
      });
      if (this.#isClosed) return;
    }
  }

  #add(row: ParkedRow): void {
    // Brought again after a call that had failed.
    if (this.#rows.has(row.id)) return;
    this.#rows.set(row.id, row);
    const sequence = this.#sequences.get(row.key);
    if (sequence === undefined) this.#sequences.set(row.key, [row]);
    else sequence.push(row);
  }

  #remove(row: ParkedRow): void {
    this.#outRows.delete(row);
    this.#rows.delete(row.id);
    const sequence = this.#sequences.get(row.key);
    const at = sequence?.indexOf(row) ?? -1;
    if (at >= 0) sequence?.splice(at, 1);
    if (sequence?.length === 0) this.#sequences.delete(row.key);
  }
}
