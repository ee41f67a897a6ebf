import type { Clock } from "../../platform/index.ts";
import type { Lane, ParkingPlace, RecordSink } from "../driver.ts";
import { BrokerError } from "../errors.ts";
import type { AttemptHistory } from "../record.ts";
import { CrashAccount } from "./crash-account.ts";
import { Isolation } from "./isolation.ts";
import { encodeLaneMetadata } from "./lane-metadata.ts";
import { laneReserveMax, laneReserveMin, laneWindowRecordsMax, releasedAgainMs } from "./limits.ts";
import { type LogRecord, noHistory } from "./log-record.ts";
import { Watermark } from "./watermark.ts";

export interface LogLaneOptions {
  readonly topic: string;
  readonly partition: number;
  /** Number of the assignment: another one each time that the lane changes hands. */
  readonly epoch: number;
  /** What the group has committed; the next record's offset where it has committed nothing. */
  readonly committed: { readonly offset: number; readonly metadata: string | undefined };
  readonly clock: Clock;
  readonly sink: RecordSink;
  readonly host: LaneHost;
  /** Records that are delivered beyond the oldest unsettled one, at most. @default 65,536 */
  readonly windowRecordsMax?: number | undefined;
  /** What the lanes of a member should share. @default one of its own */
  readonly isolation?: Isolation | undefined;
  /** Whether records can outlive the process, so that crashes must be counted. @default true */
  readonly tracksCrashes?: boolean | undefined;
}

/** The driver, seen by its lanes. May be called at any time, also from within calls of the driver. */
export interface LaneHost {
  /** There is something to commit, for the first time since `takeCommit`. */
  changed(lane: LogLane): void;
  /** Somebody waits for a commit: `takeCommit` as soon as it can be. Implies `changed`. */
  commitSoon(lane: LogLane): void;
  /** The lane has room for records again. */
  wants(lane: LogLane): void;
}

/** A parked record that was tried and waits for another attempt. */
export interface ParkedAgain {
  readonly dueMs: number;
  readonly history: AttemptHistory;
}

/** A state of a lane that is to be made durable, if the lane has still the same epoch then. */
export interface LaneCommit {
  readonly lane: LogLane;
  readonly epoch: number;
  readonly offset: number;
  readonly metadata: string;
  /** Returned records that are settled. */
  readonly settledIds: readonly number[];
  /** Attempts of returned records that are about to begin, by their number. */
  readonly begunIds: ReadonlyMap<number, number>;
  /** Parked records that wait on. They take effect after `begunIds`, and `settledIds` after both. */
  readonly waitingIds: ReadonlyMap<number, ParkedAgain>;
  /** Handlers may begin below this offset when the commit is durable. */
  readonly through: number;
}

/**
 * A partition while it is assigned. It lives for one assignment: when the partition comes back to the same member, it comes
 * as another lane, and whatever still settles records of this one does so in vain.
 *
 * The driver reads from `position` on as long as `room` says, hands records to `deliver`, and makes durable what
 * `takeCommit` gives it. Before any record is delivered, a commit must say that somebody is at work
 * (`lane-metadata.ts`); each commit reserves the offsets that may begin before the next.
 */
export class LogLane implements Lane {
  readonly name: string;
  readonly isOrdered = true;
  readonly topic: string;
  readonly partition: number;
  readonly epoch: number;
  readonly #clock: Clock;
  readonly #sink: RecordSink;
  readonly #host: LaneHost;
  readonly #windowRecordsMax: number;
  readonly #tracksCrashes: boolean;
  readonly #watermark: Watermark;
  readonly #crashes: CrashAccount;
  #state: "open" | "draining" | "closed" = "open";
  #isPaused = false;

  /** Offsets below may be delivered. */
  #reservedThrough: number;
  #deliveredSinceCommit = 0;
  #committedOffset: number;
  #isDirty: boolean;
  #inFlight: LaneCommit | undefined;

  #released: LogRecord[] = [];
  #returnedInWork = new Set<number>();
  #settledIds: number[] = [];
  #begunIds = new Map<number, number>();
  #waitingIds = new Map<number, ParkedAgain>();
  #parking: ParkingPlace | undefined;

  constructor(options: LogLaneOptions) {
    const { committed } = options;
    this.topic = options.topic;
    this.partition = options.partition;
    this.name = `${options.topic}/${options.partition}`;
    this.epoch = options.epoch;
    this.#clock = options.clock;
    this.#sink = options.sink;
    this.#host = options.host;
    this.#windowRecordsMax = options.windowRecordsMax ?? laneWindowRecordsMax;
    this.#tracksCrashes = options.tracksCrashes ?? true;
    this.#watermark = new Watermark(committed.offset);
    const isolation = options.isolation ?? new Isolation(options.clock);
    this.#crashes = new CrashAccount(committed.offset, committed.metadata, isolation, () => this.#needCommit());
    this.#committedOffset = committed.offset;
    this.#reservedThrough = this.#tracksCrashes ? committed.offset : Number.POSITIVE_INFINITY;
    this.#isDirty = this.#tracksCrashes;
  }

  get parking(): ParkingPlace | undefined {
    return this.#parking;
  }

  /** Gives it a parking place, before it is opened. */
  usePlace(place: ParkingPlace): void {
    this.#parking = place;
  }

  get isClosed(): boolean {
    return this.#state === "closed";
  }

  /** Offset of the next record to read. */
  get position(): number {
    return this.#watermark.reached;
  }

  /** Records between the oldest unsettled one and the newest that was delivered. */
  get span(): number {
    return this.#watermark.span;
  }

  /** Records that may be delivered now. Those at or beyond `limit` may not. */
  get room(): number {
    if (this.#state !== "open" || this.#isPaused || this.position >= this.#reservedThrough) return 0;
    return Math.max(this.#windowRecordsMax - this.#watermark.span, 0);
  }

  /** Records at or beyond this offset may not be delivered before the next commit. */
  get limit(): number {
    return this.#reservedThrough;
  }

  /** Whether it takes records, now or after the next commit. */
  get isOpen(): boolean {
    return this.#state === "open" && !this.#isPaused;
  }

  /** Whether returned records may be delivered now. */
  get takesReturned(): boolean {
    return this.#state === "open" && !this.#isPaused;
  }

  /** Returned records that were delivered and are not yet settled, or not durably so. */
  get returnedInWork(): ReadonlySet<number> {
    return this.#returnedInWork;
  }

  /**
   * Hands records to the runtime, in the order of their offsets.
   * @param nextOffset of the record that will follow them at the earliest, when it is known @default one beyond the last
   */
  deliver(records: readonly LogRecord[], nextOffset?: number): void {
    if (this.#state !== "open") return;
    const hasSuspects = this.#crashes.concerns(this.position);
    for (let index = 0; index < records.length; index++) {
      const record = records[index] as LogRecord;
      record.ticket = this.#watermark.deliver(record.offset);
      record.lane = this;
      if (hasSuspects) record.history = this.#historyOf(record);
    }
    if (nextOffset !== undefined) this.#watermark.reach(nextOffset);
    this.#deliveredSinceCommit += records.length;
    if (records.length > 0) {
      if (this.#watermark.reached + laneReserveMin / 2 > this.#reservedThrough) this.#needCommit();
      this.#sink.records(this, records);
    }
  }

  /** Nothing below `offset` is there: the log was cut. */
  skipTo(offset: number): void {
    this.#watermark.reach(offset);
    if (this.#watermark.reached >= this.#reservedThrough) this.#needCommit();
  }

  /** Hands records to the runtime that wait beside the log for another attempt (`returnedId`). */
  deliverReturned(records: readonly LogRecord[]): void {
    if (this.#state !== "open" || records.length === 0) return;
    for (const record of records) {
      record.lane = this;
      record.ticket = 0;
      this.#returnedInWork.add(record.returnedId as number);
    }
    this.#sink.records(this, records);
  }

  /** Parked records are in work. */
  adopt(records: readonly LogRecord[]): void {
    for (const record of records) {
      record.lane = this;
      record.ticket = 0;
      this.#returnedInWork.add(record.returnedId as number);
    }
  }

  /** A parked record waits on: with another time and history, or as it was. */
  putBack(record: LogRecord, dueMs?: number, history?: AttemptHistory): void {
    if (!this.#isMine(record) || record.ticket < 0) return;
    const id = record.returnedId as number;
    record.ticket = -1;
    this.#returnedInWork.delete(id);
    if (dueMs === undefined || history === undefined) return;
    this.#begunIds.delete(id);
    this.#waitingIds.set(id, { dueMs, history });
    this.#changed();
  }

  /** A parked record that nobody has to handle. */
  dropParked(id: number): void {
    this.#settledIds.push(id);
    this.#isDirty = true;
  }

  settle(record: LogRecord): void {
    if (!this.#isMine(record)) return;
    if (record.returnedId !== undefined) {
      if (record.ticket < 0) return;
      record.ticket = -1;
      this.#settledIds.push(record.returnedId);
      this.#changed();
      return;
    }
    this.#crashes.settled(record);
    const hadRoom = this.#watermark.span < this.#windowRecordsMax;
    if (!this.#watermark.settle(record.ticket)) return;
    this.#changed();
    if (!hadRoom && this.room > 0) this.#host.wants(this);
  }

  release(record: LogRecord): void {
    if (!this.#isMine(record) || this.#state !== "open") return;
    if (record.returnedId === undefined) this.#crashes.gaveWay(record);
    this.#released.push(record);
    if (this.#released.length === 1) this.#clock.after(releasedAgainMs, () => this.#deliverAgain());
  }

  begin(record: LogRecord, attempts: number): Promise<void> | undefined {
    if (!this.#tracksCrashes || !this.#isMine(record)) return undefined;
    if (record.returnedId !== undefined) {
      // One that comes back has failed before: its attempts are counted each time, in its own row.
      this.#begunIds.set(record.returnedId, attempts + 1);
      this.#waitingIds.delete(record.returnedId);
      return this.#crashes.afterCommit();
    }
    return this.#crashes.begin(record, attempts);
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    if (this.#state !== "open") return;
    // Not before this call has returned.
    if (this.#released.length > 0) this.#clock.after(0, () => this.#deliverAgain());
    this.#host.wants(this);
  }

  /**
   * What has changed since the last commit, or `undefined`. One commit is under way at a time: `committed` or
   * `commitFailed` must follow before the next.
   */
  takeCommit(): LaneCommit | undefined {
    if (this.#state === "closed" || this.#inFlight !== undefined || !this.#isDirty) return undefined;
    return this.#take(false);
  }

  /** The commit is durable. */
  committed(commit: LaneCommit): void {
    if (this.#inFlight !== commit) return;
    this.#inFlight = undefined;
    for (const id of commit.settledIds) this.#returnedInWork.delete(id);
    if (this.#state === "closed") return;
    this.#committedOffset = commit.offset;
    const hadRoom = this.room > 0;
    if (this.#tracksCrashes) this.#reservedThrough = commit.through;
    this.#crashes.committed();
    if (this.#crashes.isWaiting) this.#host.commitSoon(this);
    if (!hadRoom && this.room > 0) this.#host.wants(this);
  }

  /** The commit is not durable; its content becomes part of the next. */
  commitFailed(commit: LaneCommit): void {
    if (this.#inFlight !== commit) return;
    this.#inFlight = undefined;
    this.#isDirty = true;
    this.#sayAgain(commit);
    this.#crashes.commitFailed();
  }

  /** No further records; what was delivered can still be settled. */
  drain(): void {
    if (this.#state === "open") this.#state = "draining";
    this.#released = [];
  }

  /**
   * The lane is given away, after `drain` and the end of its handlers. Nothing counts from now on.
   * @returns the last commit, which says that the lane was left cleanly
   */
  close(): LaneCommit | undefined {
    if (this.#state === "closed") return undefined;
    const previous = this.#inFlight;
    this.#inFlight = undefined;
    if (previous !== undefined) {
      // Its outcome is open: the last one says it all again.
      this.#sayAgain(previous);
    }
    const last = this.#take(true);
    this.#end();
    return last;
  }

  /** The lane has gone to somebody else already: nothing is committed. */
  lose(): void {
    if (this.#state === "closed") return;
    this.#end();
    this.#sink.lost(this);
  }

  #take(isClean: boolean): LaneCommit {
    const offset = this.#watermark.position;
    const flow = Math.min(Math.max(this.#deliveredSinceCommit * 2, laneReserveMin), laneReserveMax);
    const through = Math.max(this.#watermark.reached + flow, this.#finite(this.#reservedThrough));
    const attempts = this.#crashes.take(offset);
    const commit: LaneCommit = {
      lane: this,
      epoch: this.epoch,
      offset,
      metadata: this.#tracksCrashes ? encodeLaneMetadata(offset, { isClean, window: through - offset, attempts }) : "",
      settledIds: this.#settledIds,
      begunIds: this.#begunIds,
      waitingIds: this.#waitingIds,
      through,
    };
    this.#settledIds = [];
    this.#begunIds = new Map();
    this.#waitingIds = new Map();
    this.#deliveredSinceCommit = 0;
    this.#isDirty = false;
    this.#inFlight = commit;
    return commit;
  }

  /** What a commit said that may not be durable, unless it has changed since. */
  #sayAgain({ settledIds, begunIds, waitingIds }: LaneCommit): void {
    this.#settledIds.unshift(...settledIds);
    const isNew = (id: number) => !this.#begunIds.has(id) && !this.#waitingIds.has(id);
    const begun = [...begunIds].filter(([id]) => isNew(id));
    const waiting = [...waitingIds].filter(([id]) => isNew(id));
    for (const [id, attempts] of begun) this.#begunIds.set(id, attempts);
    for (const [id, again] of waiting) this.#waitingIds.set(id, again);
  }

  /** Where the last durable commit stands. */
  get committedOffset(): number {
    return this.#committedOffset;
  }

  #end(): void {
    this.#state = "closed";
    this.#released = [];
    this.#crashes.close(this, new BrokerError(`${this.name} has gone to another member of the group`));
  }

  #changed(): void {
    if (this.#isDirty) return;
    this.#isDirty = true;
    this.#host.changed(this);
  }

  #needCommit(): void {
    if (!this.#tracksCrashes || this.#state === "closed") return;
    this.#isDirty = true;
    this.#host.commitSoon(this);
  }

  #deliverAgain(): void {
    if (this.#state !== "open" || this.#isPaused || this.#released.length === 0) return;
    const records = this.#released.sort((one, other) => one.offset - other.offset);
    this.#released = [];
    for (const record of records) {
      if (record.returnedId === undefined) record.history = this.#historyOf(record);
    }
    this.#sink.records(this, records);
  }

  #historyOf(record: LogRecord): AttemptHistory {
    const crashes = this.#crashes.attemptsOf(record.offset);
    const { carried } = record;
    if (crashes === 0) return carried;
    if (carried === noHistory) return { attempts: crashes, firstFailedAtMs: undefined };
    return { attempts: carried.attempts + crashes, firstFailedAtMs: carried.firstFailedAtMs };
  }

  #isMine(record: LogRecord): boolean {
    if (record.lane !== this) throw new TypeError(`${record.place} did not come from this lane, ${this.name}`);
    return this.#state !== "closed";
  }

  #finite(through: number): number {
    return Number.isFinite(through) ? through : 0;
  }
}
