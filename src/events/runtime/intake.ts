import type { LaneState } from "./entry.ts";
import { laneRecordsMin, laneShare, resumeShare } from "./limits.ts";
import type { ParkedLoad } from "./parked-load.ts";

/** What a consumer may have in memory. */
export interface IntakeLimits {
  readonly recordsMax: number;
  readonly bytesMax: number;
  /** Of the records, those that are parked. */
  readonly parkedMax: number;
  /** And their bodies. */
  readonly parkedBytesMax: number;
}

/**
 * Back-pressure: lanes are paused when the consumer has enough in memory and flow again when half of it is done, so that
 * memory is the same however much waits at the broker. A lane that has its share of what there may be, or whose parked
 * records fill theirs, is paused alone; the others flow on: otherwise the lanes that are read first would have all of it,
 * and the keys of the others none of the handlers. Pausing is all that happens: no lane is given up for it.
 */
export class Intake {
  readonly #limits: IntakeLimits;
  readonly #load: ParkedLoad;
  readonly #lanes = new Set<LaneState>();
  #records = 0;
  #bytes = 0;
  #isFull = false;
  #isParkingFull = false;

  constructor(limits: IntakeLimits, load: ParkedLoad) {
    this.#limits = limits;
    this.#load = load;
  }

  get records(): number {
    return this.#records;
  }

  get bytes(): number {
    return this.#bytes;
  }

  open(lane: LaneState): void {
    this.#lanes.add(lane);
    this.#regulateLane(lane);
  }

  /** The lane has gone; what it had has been removed or is about to be. */
  forget(lane: LaneState): void {
    this.#lanes.delete(lane);
  }

  /** A record has come. Follow a hand-over by `regulate`. */
  add(lane: LaneState, bytes: number): void {
    lane.records++;
    lane.bytes += bytes;
    this.#records++;
    this.#bytes += bytes;
    if (!lane.isPaused && this.#hasItsShare(lane, 1)) this.#regulateLane(lane);
  }

  /** A record is done with. */
  remove(lane: LaneState, bytes: number): void {
    lane.records--;
    lane.bytes -= bytes;
    this.#records--;
    this.#bytes -= bytes;
    if (this.#isFull || this.#isParkingFull) this.regulate();
    else if (lane.isPaused && !this.#hasItsShare(lane, resumeShare)) this.#regulateLane(lane);
  }

  /** Whether parked records take their share, and some of them must leave. */
  get isParkingFull(): boolean {
    return this.#isParkingFull;
  }

  /** Whether parked records would take half of their share at most if there were so many of them less. */
  hasRelief(records: number, bytes: number): boolean {
    const { parkedMax, parkedBytesMax } = this.#limits;
    return (
      this.#load.records - records <= parkedMax * resumeShare &&
      this.#load.bytes - bytes <= parkedBytesMax * resumeShare
    );
  }

  /** Pauses and resumes as it is now. */
  regulate(): void {
    const { recordsMax, bytesMax, parkedMax, parkedBytesMax } = this.#limits;
    const load = this.#load;
    const wasFull = this.#isFull;
    const couldNotPark = this.#isParkingFull;
    if (this.#records >= recordsMax || this.#bytes >= bytesMax) this.#isFull = true;
    else if (this.#records <= recordsMax * resumeShare && this.#bytes <= bytesMax * resumeShare) this.#isFull = false;
    if (load.records >= parkedMax || load.bytes >= parkedBytesMax) this.#isParkingFull = true;
    else if (this.hasRelief(0, 0)) this.#isParkingFull = false;
    if (wasFull === this.#isFull && couldNotPark === this.#isParkingFull && !this.#isParkingFull) return;
    for (const lane of this.#lanes) this.#regulateLane(lane);
  }

  /** Whether a lane has that part of its share, while all lanes together have so much that shares count. */
  #hasItsShare(lane: LaneState, part: number): boolean {
    const { recordsMax, bytesMax } = this.#limits;
    if (this.#records <= recordsMax * resumeShare && this.#bytes <= bytesMax * resumeShare) return false;
    const share = part * (this.#lanes.size > 1 ? laneShare / this.#lanes.size : 1);
    return lane.records > Math.max(recordsMax * share, laneRecordsMin) || lane.bytes > bytesMax * share;
  }

  #regulateLane(lane: LaneState): void {
    if (lane.phase !== "open") return;
    const shouldPause =
      this.#isFull ||
      (this.#isParkingFull && lane.parked > 0) ||
      this.#hasItsShare(lane, lane.isPaused ? resumeShare : 1);
    if (shouldPause === lane.isPaused) return;
    lane.isPaused = shouldPause;
    if (shouldPause) lane.lane.pause();
    else lane.lane.resume();
  }
}
