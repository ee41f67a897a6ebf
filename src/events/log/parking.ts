import type { FoundSequence, ParkingPlace, Recalled, RecordToPark } from "../driver.ts";
import { BrokerError } from "../errors.ts";
import type { AttemptHistory } from "../record.ts";
import type { LogLane } from "./lane.ts";
import { parkedRecordsMax } from "./limits.ts";
import type { LogRecord } from "./log-record.ts";

/** A record on its way to a parking place. */
export interface RowToPark extends Omit<RecordToPark, "record"> {
  readonly record: LogRecord;
  /** Its offset; `undefined` where it did not come from the log. */
  readonly position: number | undefined;
}

/** What is known of a parked record that is not read. */
export interface ParkedRow {
  /** Ascending in the order in which they were parked. */
  readonly id: number;
  readonly key: string;
  readonly position: number | undefined;
  readonly dueMs: number;
}

/** Where the parked records of a lane lie. */
export interface ParkedStore {
  /** What is there, in the order in which it was parked. */
  rows(): readonly ParkedRow[];
  /** @returns their numbers; `undefined` when the lane has another epoch by now. @throws when it is not known what became of them */
  park(rows: readonly RowToPark[]): Promise<readonly number[] | undefined>;
  /** Those that are there, in the order of `ids`. They carry their id as `returnedId`. */
  read(ids: readonly number[]): readonly LogRecord[];
}

/** The numbers of a key's records, from `first` on. */
interface Sequence {
  ids: number[];
  first: number;
}

/**
 * The parking place of a log lane: what lies in the store is indexed here by key, a number for each record. What is settled or
 * changed goes with the lane's commits, so that it counts only for whoever has the lane.
 */
export class LogParking implements ParkingPlace {
  readonly found: readonly FoundSequence[];
  readonly #lane: LogLane;
  readonly #store: ParkedStore;
  readonly #recordsMax: number;
  readonly #sequences = new Map<string, Sequence>();
  /** Positions of the newest that were found, by key. */
  readonly #through = new Map<string, number>();
  /** Records that are in work, by their number. */
  readonly #out = new Map<number, string>();
  #records = 0;
  #lastId = 0;
  /** The last call has failed, and nobody knows what became of it. */
  #isUncertain = false;

  constructor(lane: LogLane, store: ParkedStore, recordsMax = parkedRecordsMax) {
    this.#lane = lane;
    this.#store = store;
    this.#recordsMax = recordsMax;
    const rows = store.rows();
    const found = new Map<string, { readonly key: string; records: number; readonly dueAtMs: number }>();
    for (const { id, key, position, dueMs } of rows) {
      if (position !== undefined && position <= (this.#through.get(key) ?? -1)) {
        // It was brought twice, by an owner that never heard of the first time.
        lane.dropParked(id);
        this.#lastId = id;
        continue;
      }
      if (position !== undefined) this.#through.set(key, position);
      const known = found.get(key);
      if (known === undefined) found.set(key, { key, records: 1, dueAtMs: dueMs });
      else known.records++;
      this.#add(key, id);
    }
    this.found = [...found.values()];
  }

  get room(): number {
    return Math.max(this.#recordsMax - this.#records, 0);
  }

  knows(key: string, { returnedId, offset }: LogRecord): boolean {
    return returnedId === undefined && offset <= (this.#through.get(key) ?? -1);
  }

  async park(records: readonly RecordToPark[]): Promise<void> {
    const rows = records.map(one => {
      const record = one.record as LogRecord;
      return { ...one, record, position: record.returnedId === undefined ? record.offset : undefined };
    });
    const done = this.#isUncertain ? this.#parkedBefore(rows) : [];
    this.#isUncertain = true;
    const ids = done.length === rows.length ? [] : await this.#store.park(rows.slice(done.length));
    if (ids === undefined) throw new BrokerError(`${this.#lane.name} has gone to another member of the group`);
    this.#isUncertain = false;
    for (const [index, id] of [...done, ...ids].entries()) this.#add((rows[index] as RowToPark).key, id);
  }

  /** What a call that failed has parked all the same: the first of what is brought again. Nobody else parks here. */
  #parkedBefore(rows: readonly RowToPark[]): readonly number[] {
    const unknown = this.#store.rows().filter(({ id }) => id > this.#lastId);
    return unknown.every(({ key }, index) => key === rows[index]?.key) ? unknown.map(({ id }) => id) : [];
  }

  async recall(key: string, recordsMax: number): Promise<Recalled> {
    const sequence = this.#sequences.get(key);
    const ids: number[] = [];
    for (let at = sequence?.first ?? 0; at < (sequence?.ids.length ?? 0) && ids.length < recordsMax; at++) {
      const id = sequence?.ids[at] as number;
      if (!this.#out.has(id)) ids.push(id);
    }
    const records = this.#store.read(ids);
    for (const { returnedId } of records) this.#out.set(returnedId as number, key);
    this.#lane.adopt(records);
    const gone = ids.filter(id => !this.#out.has(id));
    for (const id of gone) this.#remove(key, id);
    return { records, missing: gone.length };
  }

  settle(record: LogRecord): void {
    this.#lane.settle(record);
    const id = record.returnedId as number;
    const key = this.#out.get(id);
    if (key === undefined) return;
    this.#out.delete(id);
    this.#remove(key, id);
  }

  begin(record: LogRecord, attempts: number): Promise<void> | undefined {
    return this.#lane.begin(record, attempts);
  }

  putBack(records: readonly LogRecord[], dueAtMs: number, history: AttemptHistory): void {
    for (const [index, record] of records.entries()) {
      this.#out.delete(record.returnedId as number);
      if (index === 0) this.#lane.putBack(record, dueAtMs, history);
      else this.#lane.putBack(record);
    }
  }

  #add(key: string, id: number): void {
    this.#records++;
    this.#lastId = Math.max(this.#lastId, id);
    const sequence = this.#sequences.get(key);
    if (sequence === undefined) this.#sequences.set(key, { ids: [id], first: 0 });
    else sequence.ids.push(id);
  }

  #remove(key: string, id: number): void {
    const sequence = this.#sequences.get(key);
    if (sequence === undefined) return;
    const at = sequence.ids.indexOf(id, sequence.first);
    if (at < 0) return;
    this.#records--;
    if (at === sequence.first) sequence.first++;
    else sequence.ids.splice(at, 1);
    if (sequence.first === sequence.ids.length) this.#sequences.delete(key);
    else if (sequence.first > 1_024 && sequence.first * 2 > sequence.ids.length) {
      sequence.ids = sequence.ids.slice(sequence.first);
      sequence.first = 0;
    }
  }
}
