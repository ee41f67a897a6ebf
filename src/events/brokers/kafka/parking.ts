import { type Clock, outsideContext } from "../../../platform/index.ts";
import type { FoundSequence, ParkingPlace, Recalled, RecordToPark } from "../../driver.ts";
import type { LogLane, LogRecord } from "../../log/index.ts";
import type { AttemptHistory } from "../../record.ts";
import type { Framing } from "./framing.ts";
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
  readonly #framing: Pick<Framing, "unframe"> | undefined;
  readonly #rows = new Map<string, ParkedRow>();
  readonly #sequences = new Map<string, ParkedRow[]>();
  /** Of this topic, what was found by key: its first position, and all of them. */
  readonly #known = new Map<string, { readonly first: number; readonly positions: ReadonlySet<number> }>();
  /** On their way there. */
  readonly #coming = new Map<string, ParkedRow>();
  /** Records that are in work. */
  readonly #out = new Map<LogRecord, Out>();
  readonly #outRows = new Set<ParkedRow>();
  /** Writes that nobody waits for but the end. */
  readonly #writes = new Set<Promise<void>>();
  readonly #unwatch: () => void;
  #isClosed = false;

  /**
   * @param rows what an earlier owner has left
   * @param framing where bodies are in frames of a schema registry
   */
  constructor(
    lane: LogLane,
    topicId: string,
    topic: ParkedTopic,
    rows: Iterable<ParkedRow>,
    clock: Clock,
    framing?: Pick<Framing, "unframe">,
  ) {
    this.#framing = framing;
    this.#lane = lane;
    this.#topicId = topicId;
    this.#topic = topic;
    this.#clock = clock;
    this.#unwatch = topic.watch(lane.name, (id, offset) => {
      const row = this.#rows.get(id) ?? this.#coming.get(id);
      if (row !== undefined) row.offset = offset;
    });
    for (const row of rows) this.#add(row);
    this.found = [...this.#sequences].map(([key, sequence]) => {
      const current = sequence.filter(row => row.topicId === topicId).map(({ position }) => position);
      if (current[0] !== undefined) this.#known.set(key, { first: current[0], positions: new Set(current) });
      return { key, records: sequence.length, dueAtMs: (sequence[0] as ParkedRow).dueAtMs };
    });
  }

  get room(): number {
    return this.#isClosed ? 0 : Math.max(parkedRecordsMax - this.#rows.size, 0);
  }

  /** Not only up to the newest: where the topic refused one between others it comes again, and takes its place. */
  knows(key: string, { offset }: LogRecord): boolean {
    const known = this.#known.get(key);
    return known !== undefined && (offset < known.first || known.positions.has(offset));
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
    const [first, others] = firstOfKeys(rows);
    for (const { row } of rows) this.#coming.set(row.id, row);
    try {
      // What comes before the first one of a key that is there was done with: it has to be there before others are.
      await this.#topic.write(first);
      if (others.length > 0) await this.#topic.write(others);
    } finally {
      for (const { row } of rows) this.#coming.delete(row.id);
    }
    for (const { row } of rows) this.#add(row);
  }

  async recall(key: string, recordsMax: number): Promise<Recalled> {
    const rows: ParkedRow[] = [];
    for (const row of this.#sequences.get(key) ?? []) {
      if (rows.length >= recordsMax) break;
      if (!this.#outRows.has(row)) rows.push(row);
    }
    let stored = await this.#topic.read(rows);
    // Written since the last look, or written anew and compacted.
    if (stored.size < rows.length) {
      await this.#topic.look();
      stored = await this.#topic.read(rows);
    }
    if (stored.size < rows.length) {
      // Nothing is given up before all has been looked through.
      const all = (await this.#topic.load(new Set([this.#lane.name]))).get(this.#lane.name);
      for (const row of rows) row.offset = all?.get(row.id)?.offset;
      stored = await this.#topic.read(rows);
    }
    const there = rows.flatMap(row => {
      const one = stored.get(row.id);
      return one === undefined ? [] : { row, record: parkedRecord(one, row) };
    });
    for (const { record } of there) {
      // Asked again after a pause, as with a broker that does not answer.
      if (this.#framing?.unframe(record) === false) throw new Error(`${record.place}: its schema is not there yet`);
    }
    // An attempt counts before its handler runs; for all of them with one write, as suspects of a crash.
    await this.#topic.write(there.map(({ row, record }) => ({ row: begun(row, row.history.attempts), record })));
    for (const { row, record } of there) {
      this.#out.set(record, { row, counted: row.history.attempts + 1, hasBegun: false });
      this.#outRows.add(row);
    }
    const missing = rows.filter(({ id }) => !stored.has(id));
    for (const row of missing) this.#remove(row);
    return { records: there.map(({ record }) => record), missing: missing.length };
  }

  settle(record: LogRecord): void {
    const row = this.#leave(record);
    if (row === undefined || this.#isClosed) return;
    this.#remove(row);
    this.#writeInTheEnd(() => this.#topic.end(row));
  }

  begin(record: LogRecord, attempts: number): Promise<void> | undefined {
    const out = this.#out.get(record);
    if (out === undefined) return undefined;
    out.hasBegun = true;
    if (attempts < out.counted) return undefined;
    out.counted = attempts + 1;
    return this.#topic.write([{ row: begun(out.row, attempts), record }]);
  }

  putBack(records: readonly LogRecord[], dueAtMs: number, history: AttemptHistory): void {
    const writes: Write[] = [];
    for (const [index, record] of records.entries()) {
      const out = this.#out.get(record);
      const row = this.#leave(record);
      if (out === undefined || row === undefined) continue;
      if (index === 0) {
        row.dueAtMs = dueAtMs;
        row.history = history;
      }
      // An attempt that was counted and did not begin is none.
      if (index === 0 || !out.hasBegun) writes.push({ row, record });
    }
    if (!this.#isClosed && writes.length > 0) this.#writeInTheEnd(() => this.#topic.write(writes));
  }

  /** The handlers have ended: what was out and has not begun waits as before. */
  giveBack(): void {
    const writes: Write[] = [];
    for (const [record, { row, hasBegun }] of this.#out) if (!hasBegun) writes.push({ row, record });
    this.#out.clear();
    if (!this.#isClosed && writes.length > 0) this.#writeInTheEnd(() => this.#topic.write(writes));
  }

  /** It is in work no more. */
  #leave(record: LogRecord): ParkedRow | undefined {
    const row = this.#out.get(record)?.row;
    this.#out.delete(record);
    if (row !== undefined) this.#outRows.delete(row);
    return row;
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
    if (sequence === undefined) {
      this.#sequences.set(row.key, [row]);
      return;
    }
    // Nearly always at the end.
    let at = sequence.length;
    while (at > 0 && this.#comesBefore(row, sequence[at - 1] as ParkedRow)) at--;
    sequence.splice(at, 0, row);
  }

  /** Of a topic that was made anew, what had been in the one before comes first. */
  #comesBefore(one: ParkedRow, other: ParkedRow): boolean {
    if (one.topicId !== other.topicId) return other.topicId === this.#topicId;
    return one.position < other.position;
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

interface Out {
  readonly row: ParkedRow;
  /** Attempts that are durable. */
  counted: number;
  hasBegun: boolean;
}

interface Write {
  readonly row: ParkedRow;
  readonly record: LogRecord;
}

/** As it is when another attempt has begun. */
function begun(row: ParkedRow, attempts: number): ParkedRow {
  return { ...row, history: { ...row.history, attempts: attempts + 1 } };
}

function firstOfKeys(writes: readonly Write[]): readonly [readonly Write[], readonly Write[]] {
  const seen = new Set<string>();
  const [first, others]: [Write[], Write[]] = [[], []];
  for (const write of writes) {
    (seen.has(write.row.key) ? others : first).push(write);
    seen.add(write.row.key);
  }
  return [first, others];
}
