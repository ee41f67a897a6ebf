import type { Clock, Timer } from "../../platform/index.ts";
import { suspectAloneMs } from "./limits.ts";
import type { LogRecord } from "./log-record.ts";

interface Queued {
  readonly record: LogRecord;
  readonly begin: () => void;
  readonly giveUp: () => void;
}

/**
 * Lets the worst suspects of a process run one after the other. Which of several records killed the process nobody can tell
 * when they all ran; when they run alone, only the one that kills collects attempts. Share one among all lanes of a member:
 * they share the process, too.
 */
export class Isolation {
  readonly #clock: Clock;
  #alone: LogRecord | undefined;
  #timer: Timer | undefined;
  #queue: Queued[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  isAlone(record: LogRecord): boolean {
    return this.#alone === record;
  }

  /** Calls `begin` when it is the record's turn, perhaps at once; `giveUp` when it leaves before. */
  enter(record: LogRecord, begin: () => void, giveUp: () => void): void {
    if (this.#alone !== undefined) {
      this.#queue.push({ record, begin, giveUp });
      return;
    }
    this.#alone = record;
    // One that takes its time does not kill at once, as most do; the others have waited long enough.
    this.#timer = this.#clock.after(suspectAloneMs, () => this.#next());
    begin();
  }

  /** The record does not run any more. */
  leave(record: LogRecord): void {
    if (this.#alone === record) this.#next();
    else if (this.#queue.length > 0) this.#drop(queued => queued.record === record);
  }

  /** No record of the lane runs any more. */
  leaveAll(lane: object): void {
    this.#drop(({ record }) => record.lane === lane);
    if (this.#alone?.lane === lane) this.#next();
  }

  #drop(isGone: (queued: Queued) => boolean): void {
    const gone = this.#queue.filter(isGone);
    if (gone.length === 0) return;
    this.#queue = this.#queue.filter(queued => !isGone(queued));
    for (const { giveUp } of gone) giveUp();
  }

  #next(): void {
    this.#timer?.cancel();
    this.#alone = undefined;
    const next = this.#queue.shift();
    if (next !== undefined) this.enter(next.record, next.begin, next.giveUp);
  }
}
