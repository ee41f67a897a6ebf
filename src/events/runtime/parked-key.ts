import type { Timer } from "../../platform/index.ts";
import type { ParkingPlace } from "../driver.ts";
import type { Entry, LaneState } from "./entry.ts";

/** A key of which records wait at the broker, or are on their way there. */
export class ParkedKey {
  readonly name: string;
  readonly state: LaneState;
  /** Records at the broker that are not settled; those that are out again are among them. */
  atBroker = 0;
  /** Records on their way there. */
  moving = 0;
  /** Of those at the broker, records that are in memory again, or about to be. */
  out = 0;
  /** Wall clock: the first is not tried before. */
  dueAtMs = 0;
  /** Records that come back together; grows while they succeed. */
  chunk = 1;
  /** Of a body, as far as is known from those that came back last. */
  recordBytes = 1;
  /** `waiting` for its time, `ready` for room in memory, `out` there; `over`: nothing is left of it. */
  phase: "waiting" | "ready" | "out" | "over" = "waiting";
  timer: Timer | undefined;
  /** Reads that failed since the last that did not. */
  failures = 0;

  constructor(name: string, state: LaneState) {
    this.name = name;
    this.state = state;
  }

  /** What its records are ordered by; `undefined`: they say it themselves. */
  get orderKey(): string | undefined {
    return this.name.startsWith(keyless) ? undefined : this.name;
  }
}

/** What a key is called in the parking place. One that is ordered by nothing has a name of its own, which is the same when it comes again. */
export function nameOf({ key, record }: Entry): string {
  return key ?? `${keyless}${record.place}`;
}

const keyless = "\0";

/** An entry that is to be brought to the broker. */
export interface Moving {
  readonly entry: Entry;
  readonly key: ParkedKey;
  readonly dueAtMs: number;
}

/** What waits in the parking place of a lane. */
export class ParkedLane {
  readonly place: ParkingPlace;
  readonly keys = new Map<string, ParkedKey>();
  /** To be brought there, in this order. */
  queue: Moving[] = [];
  isWriting = false;
  failures = 0;
  /** Until it is tried again. */
  timer: Timer | undefined;
  /** The lane has gone, or the subscription drains. */
  isOver = false;

  constructor(place: ParkingPlace) {
    this.place = place;
  }
}
