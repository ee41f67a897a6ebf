import type { FoundSequence, ParkingPlace, Recalled, RecordToPark } from "../driver.ts";
import type { AttemptHistory, StoredRecord } from "../record.ts";

interface Row {
  readonly key: string;
  readonly record: StoredRecord;
  readonly dueAtMs: number;
}

/** A parking place that remembers what it is told, and whose promises the test can hold back or let fail. */
export class FakePlace implements ParkingPlace {
  readonly found: readonly FoundSequence[];
  room = Number.POSITIVE_INFINITY;
  readonly rows: Row[] = [];
  readonly settled: StoredRecord[] = [];
  readonly #out = new Set<StoredRecord>();
  readonly #through: number;
  readonly #positions = new Map<StoredRecord, number>();
  failure: Error | undefined;
  /** Writes wait for it. */
  until: Promise<void> = Promise.resolve();

  /** @param through position up to which it knows the records of keys that were found */
  constructor(found: readonly FoundSequence[] = [], through = -1) {
    this.found = found;
    this.#through = through;
  }

  /** Gives a record a position in the lane. */
  at(record: StoredRecord, position: number): StoredRecord {
    this.#positions.set(record, position);
    return record;
  }

  knows(_key: string, record: StoredRecord): boolean {
    return (this.#positions.get(record) ?? Number.POSITIVE_INFINITY) <= this.#through;
  }

  async park(records: readonly RecordToPark[]): Promise<void> {
    await this.until;
    if (this.failure !== undefined) throw this.failure;
    for (const { key, record, history, dueAtMs } of records) {
      this.rows.push({ key, record: { ...record, history }, dueAtMs });
      this.room--;
    }
  }

  async recall(key: string, recordsMax: number): Promise<Recalled> {
    if (this.failure !== undefined) throw this.failure;
    const there = this.rows.filter(row => row.key === key && !this.#out.has(row.record)).slice(0, recordsMax);
    for (const { record } of there) this.#out.add(record);
    return { records: there.map(({ record }) => record), missing: 0 };
  }

  settle(record: StoredRecord): void {
    this.settled.push(record);
    this.rows.splice(
      this.rows.findIndex(row => row.record === record),
      1,
    );
    this.#out.delete(record);
    this.room++;
  }

  begin(): undefined {
    return undefined;
  }

  putBack(records: readonly StoredRecord[], dueAtMs: number, history: AttemptHistory): void {
    for (const [index, record] of records.entries()) {
      this.#out.delete(record);
      const at = this.rows.findIndex(row => row.record === record);
      const row = this.rows[at] as Row;
      if (index === 0) this.rows[at] = { ...row, record: { ...record, history }, dueAtMs };
    }
  }
}
