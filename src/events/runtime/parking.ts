import { outsideContext, type Platform } from "../../platform/index.ts";
import { backoffDelayMs } from "../../resilience/index.ts";
import type { ParkingPlace } from "../driver.ts";
import type { StoredRecord } from "../record.ts";
import type { Entry, LaneState } from "./entry.ts";
import {
  moveAgain,
  parkBatchBytesMax,
  parkBatchRecordsMax,
  recallBytesMax,
  recallChunkMax,
  recallReadsMax,
} from "./limits.ts";
import { type Moving, nameOf, ParkedKey, ParkedLane } from "./parked-key.ts";
import type { ParkedLoad } from "./parked-load.ts";

/** The consumer, seen by its parking. */
export interface ParkingHost {
  /** The broker has it: the original is settled, unless its lane has gone, and leaves memory. */
  parked(entry: Entry): void;
  /** The entry leaves memory as it is; somebody else gets it from the lane. */
  forgot(entry: Entry): void;
  /** The entry leaves memory and waits at the broker again. */
  wentBack(entry: Entry): void;
  /** Records are in memory again. Each ends by `done` or `forgotten`, or goes back. */
  recalled(key: ParkedKey, records: readonly StoredRecord[]): void;
  /** So many of a lane have moved. */
  moved(state: LaneState, records: number, keys: number): void;
  /** The broker did not take or give them; it is asked again. */
  failed(state: LaneState, what: "park" | "recall", failures: number, error: unknown): void;
}

export interface ParkingLimits {
  /** Records that are out at once. */
  readonly outMax: number;
  /** And their bodies, in bytes. */
  readonly outBytesMax: number;
}

/**
 * Sequences that are too much for memory: a held entry and those behind it go to the parking place of their lane, in their
 * order, and their originals are settled. From then on everything that the lane delivers of the key goes there, until the last
 * one is done with. When its time has come, the first of a key comes back; when it succeeds the next ones follow, more at a
 * time; when it fails again it waits at the broker, not here.
 *
 * What keeps the order: a key is either in lines of the scheduler or here, never in both but for records that are out, which
 * are the oldest; appending to a place is one call at a time, in the order of arrival; and what a lane delivers again after a
 * crash is recognised (`ParkingPlace.knows`).
 */
export class Parking {
  readonly #platform: Pick<Platform, "clock" | "random">;
  readonly #load: ParkedLoad;
  readonly #limits: ParkingLimits;
  readonly #host: ParkingHost;
  /** Keys whose time has come, in the order in which it came. */
  #ready: ParkedKey[] = [];
  #isAttached = false;
  #isStopped = false;
  #out = 0;
  #outBytes = 0;
  #reads = 0;
  #writes = 0;
  #keys = 0;
  #atBroker = 0;
  #moving = 0;
  #movingBytes = 0;

  constructor(
    platform: Pick<Platform, "clock" | "random">,
    load: ParkedLoad,
    limits: ParkingLimits,
    host: ParkingHost,
  ) {
    this.#platform = platform;
    this.#load = load;
    this.#limits = limits;
    this.#host = host;
  }

  /** Keys that have records at the broker or on their way there. */
  get keys(): number {
    return this.#keys;
  }

  /** Records there. */
  get atBroker(): number {
    return this.#atBroker;
  }

  /** Of those, records that are in memory again. */
  get out(): number {
    return this.#out;
  }

  /** Records on their way there, which count as parked. */
  get moving(): number {
    return this.#moving;
  }

  get movingBytes(): number {
    return this.#movingBytes;
  }

  /** Calls of the broker that somebody has to wait for before the end. */
  get writes(): number {
    return this.#writes;
  }

  /** Records may come back from now on. */
  attach(): void {
    this.#isAttached = true;
    this.#recall();
  }

  opened(state: LaneState): void {
    const place = state.lane.parking;
    if (place === undefined) return;
    const lane = new ParkedLane(place);
    state.parkedLane = lane;
    for (const { key: name, records, dueAtMs } of place.found) {
      const key = this.#keyOf(state, lane, name);
      key.atBroker = records;
      this.#atBroker += records;
      key.dueAtMs = dueAtMs;
      this.#next(key);
    }
  }

  /** Whether the lane has delivered a record again that is at the broker already, or was done with before those that are. */
  knows(entry: Entry): boolean {
    const lane = entry.lane.parkedLane;
    if (lane === undefined || lane.keys.size === 0) return false;
    const name = nameOf(entry);
    return lane.keys.has(name) && lane.place.knows(name, entry.record);
  }

  /** Takes an entry whose key waits at the broker. @returns whether it does */
  takes(entry: Entry): boolean {
    const lane = entry.lane.parkedLane;
    if (lane === undefined || lane.keys.size === 0) return false;
    const key = lane.keys.get(nameOf(entry));
    if (key === undefined) return false;
    this.#push(lane, key, entry, 0);
    this.#write(entry.lane, lane);
    return true;
  }

  /** Whether a held sequence could go to the broker. */
  canMove(head: Entry): boolean {
    const { lane, step, parkedKey } = head;
    if (this.#isStopped || lane.phase !== "open" || step.kind !== "handle" || lane.parkedLane === undefined)
      return false;
    return parkedKey !== undefined || lane.parkedLane.place.room > lane.parkedLane.queue.length;
  }

  /** Takes a sequence, which is in no line any more. @param dueAtMs for the first, wall clock */
  move(sequence: readonly Entry[], dueAtMs: number): void {
    const head = sequence[0] as Entry;
    if (head.parkedKey !== undefined) {
      this.putBack(sequence, dueAtMs);
      return;
    }
    const state = head.lane;
    const lane = state.parkedLane as ParkedLane;
    const key = this.#keyOf(state, lane, nameOf(head));
    key.dueAtMs = dueAtMs;
    for (const entry of sequence) this.#push(lane, key, entry, entry === head ? dueAtMs : 0);
    this.#write(state, lane);
  }

  /** A sequence that is out waits at the broker again, in no line any more. */
  putBack(sequence: readonly Entry[], dueAtMs: number): void {
    const head = sequence[0] as Entry;
    const key = head.parkedKey as ParkedKey;
    const { attempts, firstFailedAtMs } = head;
    const records = sequence.map(({ record }) => record);
    if (key.state.phase !== "gone") this.#placeOf(key).putBack(records, dueAtMs, { attempts, firstFailedAtMs });
    key.dueAtMs = dueAtMs;
    key.chunk = 1;
    for (const entry of sequence) {
      this.#left(key, entry.bytes);
      this.#host.wentBack(entry);
    }
    this.#next(key);
    this.#recall();
  }

  /** A record that was out is settled. */
  done(key: ParkedKey, bytes: number): void {
    this.#left(key, bytes);
    if (key.phase !== "over") {
      key.atBroker--;
      this.#atBroker--;
      key.dueAtMs = 0;
      if (key.out === 0) {
        key.chunk = Math.max(Math.min(key.chunk * 4, recallChunkMax, Math.floor(recallBytesMax / key.recordBytes)), 1);
        this.#next(key);
      }
      const lane = key.state.parkedLane as ParkedLane;
      // There may be room for more.
      if (lane.queue.length > 0) this.#write(key.state, lane);
    }
    this.#recall();
  }

  /** A record that was out leaves memory because its lane goes or the subscription drains. */
  forgotten(key: ParkedKey, bytes: number): void {
    this.#left(key, bytes);
    this.#recall();
  }

  /** The lane goes: what is not on its way yet is forgotten, what is counts as running. */
  closed(state: LaneState): void {
    const lane = state.parkedLane;
    if (lane === undefined || lane.isOver) return;
    lane.isOver = true;
    lane.timer?.cancel();
    for (const key of lane.keys.values()) {
      key.timer?.cancel();
      key.phase = "over";
      this.#atBroker -= key.atBroker;
      this.#keys--;
    }
    const { queue } = lane;
    lane.queue = [];
    for (const moving of queue) {
      this.#leaves(moving);
      this.#host.forgot(moving.entry);
    }
  }

  /** Nothing begins any more. */
  stop(): void {
    this.#isStopped = true;
    this.#ready = [];
  }

  // To the broker.

  #push(lane: ParkedLane, key: ParkedKey, entry: Entry, dueAtMs: number): void {
    key.moving++;
    this.#moving++;
    this.#movingBytes += entry.bytes;
    this.#load.add(entry.lane, 1, entry.bytes);
    lane.queue.push({ entry, key, dueAtMs });
  }

  #write(state: LaneState, lane: ParkedLane): void {
    if (lane.isWriting || lane.isOver || lane.timer !== undefined || lane.queue.length === 0) return;
    const batch = nextBatch(lane);
    if (batch.length === 0) return;
    lane.isWriting = true;
    this.#writes++;
    state.running++;
    const records = batch.map(({ entry, key, dueAtMs }) => {
      const { record, attempts, firstFailedAtMs } = entry;
      return { record, key: key.name, history: { attempts, firstFailedAtMs }, dueAtMs };
    });
    lane.place.park(records).then(
      () => this.#written(state, lane, batch),
      error => this.#notWritten(state, lane, batch, error),
    );
  }

  #written(state: LaneState, lane: ParkedLane, batch: readonly Moving[]): void {
    this.#writeEnded(state, lane);
    lane.failures = 0;
    const keys = new Set<ParkedKey>();
    for (const moving of batch) {
      const { key } = moving;
      this.#leaves(moving);
      if (key.phase !== "over") {
        key.atBroker++;
        this.#atBroker++;
        keys.add(key);
      }
      this.#host.parked(moving.entry);
    }
    for (const key of keys) this.#next(key);
    this.#write(state, lane);
    this.#host.moved(state, batch.length, keys.size);
  }

  #notWritten(state: LaneState, lane: ParkedLane, batch: readonly Moving[], error: unknown): void {
    this.#writeEnded(state, lane);
    this.#host.failed(state, "park", ++lane.failures, error);
    if (lane.isOver) {
      for (const moving of batch) {
        this.#leaves(moving);
        this.#host.forgot(moving.entry);
      }
    } else {
      lane.queue = [...batch, ...lane.queue];
      const { clock, random } = this.#platform;
      const again = () => {
        lane.timer = undefined;
        this.#write(state, lane);
      };
      lane.timer = outsideContext(() => clock.after(backoffDelayMs(moveAgain, lane.failures, 0, random), again));
    }
    this.#host.moved(state, 0, 0);
  }

  #writeEnded(state: LaneState, lane: ParkedLane): void {
    lane.isWriting = false;
    this.#writes--;
    state.running--;
  }

  #leaves({ entry, key }: Moving): void {
    key.moving--;
    this.#moving--;
    this.#movingBytes -= entry.bytes;
    this.#load.add(entry.lane, -1, -entry.bytes);
  }

  // And back.

  /** What follows for a key of which nothing is out. */
  #next(key: ParkedKey): void {
    if (key.phase === "over" || key.phase === "ready" || key.out > 0) return;
    key.timer?.cancel();
    key.timer = undefined;
    key.phase = "waiting";
    if (key.atBroker === 0) {
      // What is on its way there says when it has come.
      if (key.moving === 0) this.#forget(key);
      return;
    }
    const { clock } = this.#platform;
    const leftMs = key.dueAtMs - clock.wall();
    if (leftMs <= 0) {
      key.phase = "ready";
      this.#ready.push(key);
      this.#recall();
      return;
    }
    key.timer = outsideContext(() => clock.after(leftMs, () => this.#next(key), true));
  }

  /** It flows from the lane again. */
  #forget(key: ParkedKey): void {
    key.phase = "over";
    this.#keys--;
    key.state.parkedLane?.keys.delete(key.name);
  }

  #recall(): void {
    if (!this.#isAttached || this.#isStopped) return;
    while (this.#ready.length > 0 && this.#reads < recallReadsMax) {
      const left = this.#limits.outMax - this.#out;
      if (left <= 0 || this.#outBytes >= this.#limits.outBytesMax) return;
      const key = this.#ready.shift() as ParkedKey;
      if (key.phase === "ready") this.#read(key, Math.min(key.chunk, key.atBroker, left));
    }
  }

  #read(key: ParkedKey, count: number): void {
    key.phase = "out";
    key.out = count;
    this.#out += count;
    this.#reads++;
    this.#placeOf(key)
      .recall(key.name, count)
      .then(
        ({ records, missing }) => {
          this.#reads--;
          this.#out -= count - records.length;
          key.out = records.length;
          if (key.phase === "over" || this.#isStopped) {
            this.#out -= records.length;
            this.#recall();
            return;
          }
          key.failures = 0;
          key.atBroker -= missing;
          this.#atBroker -= missing;
          let bytes = 0;
          for (const { body } of records) bytes += body.length;
          this.#outBytes += bytes;
          key.recordBytes = Math.max(bytes / records.length, 1) || 1;
          this.#host.recalled(key, records);
          this.#next(key);
          this.#recall();
        },
        error => this.#notRead(key, count, error),
      );
  }

  #notRead(key: ParkedKey, count: number, error: unknown): void {
    this.#reads--;
    this.#out -= count;
    key.out = 0;
    if (key.phase === "over" || this.#isStopped) {
      this.#recall();
      return;
    }
    const { clock, random } = this.#platform;
    this.#host.failed(key.state, "recall", ++key.failures, error);
    key.dueAtMs = clock.wall() + backoffDelayMs(moveAgain, key.failures, 0, random);
    this.#next(key);
    this.#recall();
  }

  #left(key: ParkedKey, bytes: number): void {
    key.out--;
    this.#out--;
    this.#outBytes -= bytes;
  }

  #keyOf(state: LaneState, lane: ParkedLane, name: string): ParkedKey {
    let key = lane.keys.get(name);
    if (key === undefined) {
      key = new ParkedKey(name, state);
      lane.keys.set(name, key);
      this.#keys++;
    }
    return key;
  }

  #placeOf(key: ParkedKey): ParkingPlace {
    return (key.state.parkedLane as ParkedLane).place;
  }
}

function nextBatch(lane: ParkedLane): readonly Moving[] {
  const most = Math.min(lane.queue.length, parkBatchRecordsMax, lane.place.room);
  let count = 0;
  let bytes = 0;
  while (count < most) {
    bytes += (lane.queue[count] as Moving).entry.bytes;
    if (count > 0 && bytes > parkBatchBytesMax) break;
    count++;
  }
  return lane.queue.splice(0, Math.max(count, 0));
}
