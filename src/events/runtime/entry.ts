import type { Timer } from "../../platform/index.ts";
import type { Timed } from "../../resilience/index.ts";
import type { DeadLetterReason } from "../dead-letter.ts";
import type { Lane, ParkingPlace } from "../driver.ts";
import type { StoredRecord } from "../record.ts";
import type { HandlerDelivery } from "./delivery.ts";
import type { EntryBatch } from "./entry-batch.ts";
import type { Gathering } from "./gathering.ts";
import type { Handling } from "./handling.ts";
import type { HandlerOutputs } from "./outputs.ts";
import type { ParkedKey, ParkedLane } from "./parked-key.ts";

/**
 * A lane while the consumer has it. Entries know theirs, so that what ends late is held against the assignment that it
 * began in, never against the next one of the same partition.
 */
export class LaneState {
  readonly lane: Lane;
  /** `revoking`: what runs may still be settled. `gone`: nothing may. */
  phase: "open" | "revoking" | "gone" = "open";
  /** What the consumer has of it, in records and in bytes of their bodies. */
  records = 0;
  bytes = 0;
  /** Of those, records that are held, wait behind one that is, or are on their way to the broker's parking place. */
  parked = 0;
  /** What waits in its parking place; `undefined` where it has none. */
  parkedLane: ParkedLane | undefined;
  /** Handlers and moves that are under way. */
  running = 0;
  isPaused = false;
  /** First entries by key. */
  heads = new Map<string, Entry>();
  /** `onFailure: "block"`: nothing else of the lane begins before these entries are done with. */
  blockers = 0;
  /** Entries whose turn came while the lane was blocked. */
  stalled: Entry[] = [];
  /** Called when nothing runs any more. */
  idle: (() => void) | undefined;

  constructor(lane: Lane) {
    this.lane = lane;
  }
}

/** What is done with an entry at its turn. */
export type Step =
  | { readonly kind: "handle" }
  /** An attempt of it has failed within a batch that has not. */
  | { readonly kind: "failed"; readonly error: unknown }
  | Move;

/** What the broker does with an entry that is not handled here. */
export type Move =
  | { readonly kind: "retry-later"; readonly delayMs: number }
  /** A request that nobody waits for any more. */
  | { readonly kind: "drop" }
  | {
      readonly kind: "dead-letter";
      readonly reason: DeadLetterReason;
      readonly exception: string;
    };

export const handleStep: Step = { kind: "handle" };
export const dropStep: Move = { kind: "drop" };

export function deadLetter(reason: DeadLetterReason, exception: string): Move {
  return { kind: "dead-letter", reason, exception };
}

/**
 * A record in the consumer's hands, from its arrival until it is settled, given back or forgotten.
 *
 * Hot path: one object for each record, with the links of all lists that it can stand in, so that queueing allocates
 * nothing (`npm run bench -- events`).
 */
export class Entry implements Timed {
  // Links of the queue of deadlines.
  next: Timed = this;
  previous: Timed = this;
  dueMs = 0;

  readonly owner: EntryOwner;
  readonly lane: LaneState;
  readonly record: StoredRecord;
  /** What it is ordered by; `undefined`: nothing. Loses it when it is taken out of its order. */
  key: string | undefined;
  readonly bytes: number;

  /** The next of the same key. */
  follower: Entry | undefined;
  /** Of a head: the last of its key, and how many come after the head. */
  last: Entry = this;
  behind = 0;
  /** Their bodies. */
  bytesBehind = 0;
  /** The next in line for a free place. */
  nextReady: Entry | EntryBatch | undefined;
  state: "waiting" | "gathered" | "ready" | "running" | "held" | "over" = "waiting";
  /** Where it may join a batch; `undefined` for one that is handled alone. */
  gathering: Gathering | undefined;
  /** The batch that it has joined, until that has ended. */
  batch: EntryBatch | undefined;

  /** Nothing else of its lane begins. */
  isBlocking = false;

  step: Step = handleStep;
  /** Who handles it; `undefined` where nobody can. */
  handling: Handling | undefined;
  /** Read at arrival where the order depends on the body, otherwise at its turn. */
  event: object | undefined;
  /** Attempts that have begun, of earlier members too. */
  attempts: number;
  firstFailedAtMs: number | undefined;
  /** Immediate attempts that have been made. */
  immediate = 0;
  /** Failed calls of the broker since the last that succeeded. */
  moveFailures = 0;
  /** While a handler runs. */
  delivery: HandlerDelivery | undefined;
  startedMs = 0;
  /** In a transactional subscription: what the attempt that runs, or has succeeded, publishes. */
  outputs: HandlerOutputs | undefined;
  /** Of a request that has less time than other handlings; those share a queue. */
  deadline: Timer | undefined;
  isLate = false;
  /** While it is held. */
  timer: Timer | undefined;
  heldUntilMs = 0;
  /** When it was held first, or the one before it in its line was; `undefined`: none of them. */
  parkedSinceMs: number | undefined;
  /** Of an entry that came back from the broker's parking place. */
  parkedKey: ParkedKey | undefined;

  constructor(owner: EntryOwner, lane: LaneState, record: StoredRecord, key: string | undefined) {
    this.owner = owner;
    this.lane = lane;
    this.record = record;
    this.key = key;
    this.bytes = record.body.length;
    this.attempts = record.history.attempts;
    this.firstFailedAtMs = record.history.firstFailedAtMs;
  }

  /** Where it came from, and is settled. */
  get source(): Lane | ParkingPlace {
    return this.parkedKey === undefined ? this.lane.lane : (this.lane.parkedLane as ParkedLane).place;
  }

  expire(nowMs: number): void {
    this.owner.late(this, nowMs);
  }
}

export interface EntryOwner {
  /** The time of its handler is over, or of what it was granted after that. */
  late(entry: Entry, nowMs: number): void;
}
