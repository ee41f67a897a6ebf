import type { LaneState } from "./entry.ts";

/** What parked records take of a consumer's memory: those that are held, those behind them, and those on their way to the broker. */
export class ParkedLoad {
  records = 0;
  bytes = 0;

  /** @param records negative: they are parked no more */
  add(lane: LaneState, records: number, bytes: number): void {
    this.records += records;
    this.bytes += bytes;
    lane.parked += records;
  }
}
