import type { Clock } from "../../platform/index.ts";
import type { Entry, LaneState } from "./entry.ts";
import { sliceEvery, sliceMs } from "./limits.ts";
import type { ParkedLoad } from "./parked-load.ts";

/**
 * Which entry is next: those of one key one after the other, different keys beside each other, never more at once than
 * there are places. Keys that are ready stand in one line, so that a key with a thousand entries waits behind one with a
 * single one after each of its own.
 *
 * An entry is a head, first of its key, or waits behind one. A head waits for a place (`ready`), has one (`running`), or
 * has given it back but keeps its key (`held`). Entries without a key are heads of nothing.
 *
 * Every operation takes constant time but `drop`, which looks at what there is.
 */
export class KeyScheduler {
  readonly #clock: Clock;
  readonly #places: number;
  readonly #start: (entry: Entry) => void;
  /** The last lane of each name: one that comes back finds the handlers of the one before. */
  readonly #lanes = new Map<string, LaneState>();
  #firstReady: Entry | undefined;
  #lastReady: Entry | undefined;
  readonly #held = new Set<Entry>();
  #running = 0;
  readonly #load: ParkedLoad;
  #parkedKeys = 0;
  #isStopped = false;
  #isDispatching = false;
  #hasYielded = false;
  readonly #goOn = () => {
    this.#hasYielded = false;
    this.dispatch();
  };

  /**
   * @param load where held entries and those behind them are counted
   * @param start runs an entry; it calls `done`, `hold` or `detach` for it, at once or later, exactly once
   */
  constructor(clock: Clock, places: number, load: ParkedLoad, start: (entry: Entry) => void) {
    this.#clock = clock;
    this.#places = places;
    this.#load = load;
    this.#start = start;
  }

  get running(): number {
    return this.#running;
  }

  /** Keys with a held entry from a lane. */
  get parkedKeys(): number {
    return this.#parkedKeys;
  }

  /** Those that have waited longest come first. May be taken meanwhile. */
  held(): Iterable<Entry> {
    return this.#held;
  }

  /** A lane has come. It shares its heads with the one of the same name that went before, while that still has handlers. */
  open(lane: LaneState): void {
    const { name } = lane.lane;
    lane.heads = this.#lanes.get(name)?.heads ?? lane.heads;
    this.#lanes.set(name, lane);
  }

  /** Puts an entry in its line. Nothing starts before `dispatch`. */
  add(entry: Entry): void {
    const { key } = entry;
    if (key === undefined) {
      this.#ready(entry);
      return;
    }
    const { heads } = entry.lane;
    const head = heads.get(key);
    if (head === undefined) {
      heads.set(key, entry);
      this.#ready(entry);
      return;
    }
    head.last.follower = entry;
    head.last = entry;
    head.behind++;
    head.bytesBehind += entry.bytes;
    if (head.state === "held") this.#load.add(head.lane, 1, entry.bytes);
  }

  /** Starts what can start. */
  dispatch(): void {
    // Handlers that end at once must not nest: the loop that is running takes the next one.
    if (this.#isDispatching || this.#hasYielded) return;
    this.#isDispatching = true;
    try {
      let started = 0;
      let sliceEndMs = 0;
      while (this.#running < this.#places && this.#firstReady !== undefined && !this.#isStopped) {
        if (++started % sliceEvery === 0) {
          const nowMs = this.#clock.now();
          if (sliceEndMs === 0) sliceEndMs = nowMs + sliceMs;
          else if (nowMs >= sliceEndMs) {
            this.#hasYielded = true;
            this.#clock.endOfTurn(this.#goOn);
            return;
          }
        }
        const entry = this.#firstReady;
        this.#firstReady = entry.nextReady;
        entry.nextReady = undefined;
        if (this.#firstReady === undefined) this.#lastReady = undefined;
        const { lane } = entry;
        if (lane.blockers > 0 && !entry.isBlocking) {
          lane.stalled.push(entry);
          continue;
        }
        entry.state = "running";
        this.#running++;
        lane.running++;
        this.#start(entry);
      }
    } finally {
      this.#isDispatching = false;
    }
  }

  /** A running entry is done with: its place and its key are free. */
  done(entry: Entry): void {
    this.#leavePlace(entry, "over");
    this.#unblock(entry);
    this.#advance(entry);
  }

  /** A running entry gives back its place and keeps its key. `isBlocking`: and the whole lane. */
  hold(entry: Entry, isBlocking: boolean): void {
    this.#leavePlace(entry, "held");
    this.#retain(entry);
    if (isBlocking && !entry.isBlocking) {
      entry.isBlocking = true;
      entry.lane.blockers++;
    }
  }

  /** A running entry gives back its place and its key; it is held all the same. */
  detach(entry: Entry): void {
    this.#leavePlace(entry, "held");
    this.#unblock(entry);
    this.#advance(entry);
    entry.key = undefined;
    this.#retain(entry);
  }

  /** A held entry is ready again. */
  unhold(entry: Entry): void {
    this.#unpark(entry);
    this.#ready(entry);
  }

  /**
   * Takes out a held entry and those behind it, which are all of its lane: a line that is held has nothing of a lane before.
   * @returns them in their order
   */
  take(head: Entry): Entry[] {
    this.#unpark(head);
    this.#unblock(head);
    const taken: Entry[] = [];
    for (let entry: Entry | undefined = head; entry !== undefined; ) {
      const next: Entry | undefined = entry.follower;
      alone(entry);
      entry.state = "over";
      taken.push(entry);
      entry = next;
    }
    const { key, lane } = head;
    if (key !== undefined) {
      lane.heads.delete(key);
      this.#forget(lane);
    }
    return taken;
  }

  /** Nothing starts any more. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Takes out the entries of a lane that do not run; those of a key follow each other in their order. */
  drop(lane: LaneState): Entry[] {
    const out: Entry[] = [];
    const { heads } = lane;
    for (const [key, head] of heads) this.#thin(heads, key, head, lane, out);
    for (const entry of this.#held) {
      if (entry.lane !== lane) continue;
      this.#unpark(entry);
      out.push(entry);
    }
    for (const entry of lane.stalled) if (entry.key === undefined) out.push(entry);
    lane.stalled = [];
    let ready = this.#firstReady;
    this.#firstReady = undefined;
    this.#lastReady = undefined;
    while (ready !== undefined) {
      const next: Entry | undefined = ready.nextReady;
      ready.nextReady = undefined;
      if (ready.lane !== lane) this.#ready(ready);
      else if (ready.key === undefined) out.push(ready);
      ready = next;
    }
    for (const entry of out) {
      entry.state = "over";
      this.#unblock(entry);
    }
    this.#forget(lane);
    return out;
  }

  /** Takes the entries of a lane out of the line of one key; a head stays while it runs. */
  #thin(heads: Map<string, Entry>, key: string, head: Entry, lane: LaneState, out: Entry[]): void {
    if (head.lane !== lane && head.behind === 0) return;
    if (head.state === "held") this.#unpark(head);
    const wasHeld = head.state === "held";
    const kept: Entry[] = [];
    for (let entry: Entry | undefined = head; entry !== undefined; ) {
      const next: Entry | undefined = entry.follower;
      alone(entry);
      (entry.lane !== lane || entry.state === "running" ? kept : out).push(entry);
      entry = next;
    }
    const first = kept[0];
    if (first === undefined) {
      heads.delete(key);
      return;
    }
    for (const [index, entry] of kept.entries()) entry.follower = kept[index + 1];
    first.last = kept.at(-1) as Entry;
    first.behind = kept.length - 1;
    first.bytesBehind = kept.reduce((sum, { bytes }) => sum + bytes, -first.bytes);
    heads.set(key, first);
    if (first !== head) this.#ready(first);
    else if (wasHeld) this.#retain(first);
  }

  /** The key is free for the next. */
  #advance(entry: Entry): void {
    const { key, follower, lane } = entry;
    if (key === undefined) return;
    const { heads } = lane;
    if (follower === undefined) {
      heads.delete(key);
      if (lane.phase !== "open") this.#forget(lane);
      return;
    }
    follower.last = entry.last;
    follower.behind = entry.behind - 1;
    follower.bytesBehind = entry.bytesBehind - follower.bytes;
    follower.parkedSinceMs = entry.parkedSinceMs;
    alone(entry);
    heads.set(key, follower);
    this.#ready(follower);
  }

  #ready(entry: Entry): void {
    entry.state = "ready";
    if (this.#lastReady === undefined) this.#firstReady = entry;
    else this.#lastReady.nextReady = entry;
    this.#lastReady = entry;
  }

  #leavePlace(entry: Entry, state: "over" | "held"): void {
    if (entry.state !== "running") throw new Error(`an entry that is ${entry.state} left its place`);
    entry.state = state;
    this.#running--;
    entry.lane.running--;
  }

  #retain(entry: Entry): void {
    this.#held.add(entry);
    if (entry.key !== undefined && entry.parkedKey === undefined) this.#parkedKeys++;
    this.#load.add(entry.lane, 1 + entry.behind, entry.bytes + entry.bytesBehind);
  }

  #unpark(entry: Entry): void {
    this.#held.delete(entry);
    if (entry.key !== undefined && entry.parkedKey === undefined) this.#parkedKeys--;
    this.#load.add(entry.lane, -1 - entry.behind, -entry.bytes - entry.bytesBehind);
  }

  /** The lane that an entry blocked goes on, unless another blocks it too. */
  #unblock(entry: Entry): void {
    if (!entry.isBlocking) return;
    entry.isBlocking = false;
    const { lane } = entry;
    if (--lane.blockers > 0) return;
    const { stalled } = lane;
    lane.stalled = [];
    for (const one of stalled) this.#ready(one);
  }

  /** A lane that has gone leaves nothing behind once its last handler has ended. */
  #forget(lane: LaneState): void {
    const { name } = lane.lane;
    if (lane.phase !== "open" && lane.heads.size === 0 && this.#lanes.get(name) === lane) this.#lanes.delete(name);
  }
}

/** In no line any more. */
function alone(entry: Entry): void {
  entry.follower = undefined;
  entry.last = entry;
  entry.behind = 0;
  entry.bytesBehind = 0;
}
