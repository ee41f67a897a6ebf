import { type Clock, outsideContext, type Timer } from "../../../platform/index.ts";
import type { Lane, RecordSink } from "../../driver.ts";
import { DueQueue, type LogLane, type LogRecord } from "../../log/index.ts";
import type { StoredRecord } from "../../record.ts";
import { waitingBytesMax, waitingRecordsMax } from "./limits.ts";
import type { FetchTarget } from "./partition-reader.ts";
import { RetriedRecord } from "./records.ts";

interface Waiting {
  readonly id: number;
  readonly dueMs: number;
  readonly record: LogRecord;
}

interface Held {
  readonly queue: DueQueue<Waiting>;
  bytes: number;
}

/**
 * Stands between the lanes of the retry topic and the runtime: what is not due yet waits here, so that a record with a long
 * delay does not hold back one with a short delay behind it. Bounded: a full lane is read no further. What waits is not
 * settled, so that a crash loses nothing.
 */
export class DueGate implements RecordSink {
  readonly #sink: RecordSink;
  readonly #clock: Clock;
  readonly #lanes = new Map<LogLane, Held>();
  #timer: Timer | undefined;
  #timerMs = Number.POSITIVE_INFINITY;

  constructor(sink: RecordSink, clock: Clock) {
    this.#sink = sink;
    this.#clock = clock;
  }

  /** The lane as a reader may fill it. */
  target(lane: LogLane): FetchTarget {
    return new GatedLane(lane, this);
  }

  isFull(lane: LogLane): boolean {
    const held = this.#lanes.get(lane);
    return held !== undefined && (held.queue.size >= waitingRecordsMax || held.bytes >= waitingBytesMax);
  }

  opened(lane: Lane): void {
    this.#sink.opened(lane);
  }

  records(lane: Lane, records: readonly StoredRecord[]): void {
    const nowMs = this.#clock.wall();
    const due: StoredRecord[] = [];
    for (const record of records) {
      if (record instanceof RetriedRecord && record.dueMs > nowMs) this.#hold(lane as LogLane, record);
      else due.push(record);
    }
    if (due.length > 0) this.#sink.records(lane, due);
    this.#arm();
  }

  revoke(lane: Lane, budgetMs: number): Promise<void> {
    this.#lanes.delete(lane as LogLane);
    return this.#sink.revoke(lane, budgetMs);
  }

  lost(lane: Lane): void {
    this.#lanes.delete(lane as LogLane);
    this.#sink.lost(lane);
  }

  failed(error: Error): void {
    this.#sink.failed(error);
  }

  /** A lane flows again, or time has passed. @returns lanes that have room again */
  release(): readonly LogLane[] {
    const nowMs = this.#clock.wall();
    const freed: LogLane[] = [];
    for (const [lane, held] of this.#lanes) {
      if (!lane.takesReturned || held.queue.nextDueMs > nowMs) continue;
      const wasFull = this.isFull(lane);
      const due = held.queue.take(nowMs).map(({ record }) => record);
      for (const { body } of due) held.bytes -= body.length;
      if (wasFull && !this.isFull(lane)) freed.push(lane);
      this.#sink.records(lane, due);
    }
    this.#arm();
    return freed;
  }

  /** Called when lanes have room again. */
  onFreed: () => void = () => {};

  close(): void {
    this.#timer?.cancel();
    this.#lanes.clear();
  }

  #hold(lane: LogLane, record: RetriedRecord): void {
    let held = this.#lanes.get(lane);
    if (held === undefined) {
      held = { queue: new DueQueue(), bytes: 0 };
      this.#lanes.set(lane, held);
    }
    held.queue.add({ id: record.offset, dueMs: record.dueMs, record });
    held.bytes += record.body.length;
  }

  /** One timer for the earliest. */
  #arm(): void {
    let dueMs = Number.POSITIVE_INFINITY;
    for (const [lane, { queue }] of this.#lanes) if (lane.takesReturned) dueMs = Math.min(dueMs, queue.nextDueMs);
    if (this.#timer !== undefined && dueMs === this.#timerMs) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#timerMs = dueMs;
    if (dueMs === Number.POSITIVE_INFINITY) return;
    this.#timer = outsideContext(() =>
      this.#clock.after(Math.max(dueMs - this.#clock.wall(), 1), () => {
        this.#timer = undefined;
        if (this.release().length > 0) this.onFreed();
      }),
    );
  }
}

class GatedLane implements FetchTarget {
  readonly topic: string;
  readonly partition: number;
  readonly #lane: LogLane;
  readonly #gate: DueGate;

  constructor(lane: LogLane, gate: DueGate) {
    this.topic = lane.topic;
    this.partition = lane.partition;
    this.#lane = lane;
    this.#gate = gate;
  }

  get position(): number {
    return this.#lane.position;
  }

  get isOpen(): boolean {
    return this.#lane.isOpen && !this.#gate.isFull(this.#lane);
  }

  get room(): number {
    return this.#gate.isFull(this.#lane) ? 0 : this.#lane.room;
  }

  get limit(): number {
    return this.#lane.limit;
  }

  deliver(records: readonly LogRecord[], nextOffset?: number): void {
    this.#lane.deliver(records, nextOffset);
  }

  skipTo(offset: number): void {
    this.#lane.skipTo(offset);
  }
}
