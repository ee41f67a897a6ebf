import type { Clock } from "../../platform/index.ts";
import type { Entry, LaneState } from "./entry.ts";
import { EntryBatch } from "./entry-batch.ts";
import type { Gathering } from "./gathering.ts";
import { append, behead, prepend } from "./key-line.ts";
import { sliceEvery, sliceMs } from "./limits.ts";
import type { ParkedLoad } from "./parked-load.ts";
import { ReadyLine } from "./ready-line.ts";

/** What is done at the turn of a batch. */
export interface BatchTurns {
  /** Whether a handler may get an entry now; one that it may not is taken out of its batch and has its turn alone. */
  isFit(entry: Entry): boolean;
  /** Runs a batch of two entries or more; calls `end` for it, at once or later, exactly once. */
  start(batch: EntryBatch): void;
}

/**
 * Which entry is next: those of one key one after the other, different keys beside each other, never more at once than
 * there are places. Keys that are ready stand in one line, so that a key with a thousand entries waits behind one with a
 * single one after each of its own.
 *
 * An entry is a head, first of its key, or waits behind one. A head waits for a place (`ready`), has one (`running`), or
 * has given it back but keeps its key (`held`). Entries without a key are heads of nothing. A head for a batch handler
 * joins a batch (`gathered`), and those right behind it join the same; the batch takes one place for all of them.
 *
 * Every operation takes constant time for each entry that it moves, but `drop`, which looks at what there is.
 */
export class KeyScheduler {
  readonly #clock: Clock;
  readonly #places: number;
  readonly #start: (entry: Entry) => void;
  readonly #batchTurns: BatchTurns | undefined;
  /** The last lane of each name: one that comes back finds the handlers of the one before. */
  readonly #lanes = new Map<string, LaneState>();
  readonly #line = new ReadyLine();
  readonly #held = new Set<Entry>();
  /** Those that have not had their turn. */
  readonly #batches = new Set<EntryBatch>();
  #taken = 0;
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
   * @param batchTurns where entries may have a `gathering`
   */
  constructor(clock: Clock, places: number, load: ParkedLoad, start: (entry: Entry) => void, batchTurns?: BatchTurns) {
    this.#clock = clock;
    this.#places = places;
    this.#load = load;
    this.#start = start;
    this.#batchTurns = batchTurns;
  }

  /** Entries that have their turn; those of a batch all count. */
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
    const { batch } = head.last;
    append(head, entry);
    if (head.state === "held") this.#load.add(head.lane, 1, entry.bytes);
    else if (batch !== undefined && batch.gathering === entry.gathering) batch.gathering.follow(batch, entry);
  }

  /** A batch is due: it waits for a place with the others. */
  push(batch: EntryBatch): void {
    this.#line.push(batch);
  }

  /** Starts what can start. */
  dispatch(): void {
    // Handlers that end at once must not nest: the loop that is running takes the next one.
    if (this.#isDispatching || this.#hasYielded) return;
    this.#isDispatching = true;
    try {
      let started = 0;
      let sliceEndMs = 0;
      while (this.#taken < this.#places && !this.#line.isEmpty && !this.#isStopped) {
        if (++started >= sliceEvery) {
          started = 0;
          const nowMs = this.#clock.now();
          if (sliceEndMs === 0) sliceEndMs = nowMs + sliceMs;
          else if (nowMs >= sliceEndMs) {
            this.#hasYielded = true;
            this.#clock.endOfTurn(this.#goOn);
            return;
          }
        }
        const turn = this.#line.shift() as Entry | EntryBatch;
        if (turn instanceof EntryBatch) {
          started += turn.entries.length;
          this.#beginBatch(turn);
        } else if (turn.lane.blockers > 0 && !turn.isBlocking) turn.lane.stalled.push(turn);
        else this.#begin(turn);
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
    if (isBlocking) this.#block(entry);
  }

  /** A running entry gives back its place and its key; it is held all the same. */
  detach(entry: Entry): void {
    this.#leavePlace(entry, "held");
    this.#unblock(entry);
    this.#advance(entry);
    entry.key = undefined;
    this.#retain(entry);
  }

  /**
   * A batch that has run is done with. Entries that do not go again are too; the others have further turns alone, in their
   * order and before what waits behind them. `isBlocking`: and before anything else of the lane, as far as one has failed.
   */
  end(batch: EntryBatch, goesAgain: (entry: Entry) => boolean, isBlocking: boolean): void {
    this.#taken--;
    this.#running -= batch.entries.length;
    for (const entry of batch.entries) entry.lane.running--;
    const heads: Entry[] = [];
    for (const entry of batch.entries) {
      // The first of a key is its head; the others leave with it.
      if (entry.batch !== batch) continue;
      const again: Entry[] = [];
      let head: Entry | undefined = entry;
      while (head !== undefined && head.batch === batch) {
        const next = behead(head);
        head.batch = undefined;
        head.gathering = undefined;
        head.state = "over";
        if (goesAgain(head)) again.push(head);
        head = next;
      }
      // Those before a failed one too: it cannot be done with before they are.
      const failed = isBlocking ? again.findLastIndex(({ step }) => step.kind === "failed") : -1;
      for (const one of again.slice(0, failed + 1)) this.#block(one);
      for (const one of again.toReversed()) {
        one.state = "waiting";
        head = prepend(one, head);
      }
      this.#follow(entry, head);
      if (head !== undefined) heads.push(head);
    }
    for (const head of heads) if (head.step.kind !== "failed") this.#ready(head);
    for (const head of heads.toReversed()) if (head.step.kind === "failed") this.#ready(head);
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
      const next = behead(entry);
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
    for (const entry of this.#line.drop(lane)) if (entry.key === undefined) out.push(entry);
    for (const batch of this.#batches) {
      for (const entry of batch.entries) if (entry.lane === lane && entry.key === undefined) out.push(entry);
      batch.drop(lane);
      if (batch.entries.length > 0) continue;
      this.#batches.delete(batch);
      batch.gathering.forget(batch);
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
      const next = behead(entry);
      (entry.lane !== lane || entry.state === "running" ? kept : out).push(entry);
      entry = next;
    }
    const first = kept.reduceRight<Entry | undefined>((line, entry) => prepend(entry, line), undefined);
    if (first === undefined) {
      heads.delete(key);
      return;
    }
    heads.set(key, first);
    if (first !== head) this.#ready(first);
    else if (wasHeld) this.#retain(first);
  }

  /** The key is free for the next. */
  #advance(entry: Entry): void {
    if (entry.key === undefined) return;
    const head = behead(entry);
    this.#follow(entry, head);
    if (head !== undefined) this.#ready(head);
  }

  /** The line of an entry's key goes on with another head, or ends. */
  #follow({ key, lane }: Entry, head: Entry | undefined): void {
    if (key === undefined) return;
    if (head !== undefined) lane.heads.set(key, head);
    else {
      lane.heads.delete(key);
      if (lane.phase !== "open") this.#forget(lane);
    }
  }

  #ready(entry: Entry): void {
    if (entry.gathering !== undefined) {
      this.#gather(entry, entry.gathering);
      return;
    }
    entry.state = "ready";
    // One that has failed in a batch may have its lane to block: nothing else comes before that.
    if (entry.step.kind === "failed") this.#line.unshift(entry);
    else this.#line.push(entry);
  }

  /** A head joins a batch, and so do those right behind it that go to the same handler. */
  #gather(head: Entry, gathering: Gathering): void {
    const batch = gathering.join(head);
    this.#batches.add(batch);
    let next = head.follower;
    while (next !== undefined && next.gathering === gathering && gathering.follow(batch, next)) next = next.follower;
  }

  #begin(entry: Entry): void {
    entry.state = "running";
    this.#taken++;
    this.#running++;
    entry.lane.running++;
    this.#start(entry);
  }

  #beginBatch(batch: EntryBatch): void {
    batch.gathering.close(batch);
    this.#batches.delete(batch);
    for (const head of batch.part(entry => this.#batchTurns?.isFit(entry) !== false)) {
      if (head.lane.blockers > 0) head.lane.stalled.push(head);
      else this.#ready(head);
    }
    const { entries } = batch;
    const [first] = entries;
    if (first === undefined) return;
    if (entries.length === 1) {
      first.batch = undefined;
      first.gathering = undefined;
      this.#begin(first);
      return;
    }
    this.#taken++;
    this.#running += entries.length;
    for (const entry of entries) {
      entry.state = "running";
      entry.lane.running++;
    }
    this.#batchTurns?.start(batch);
  }

  #leavePlace(entry: Entry, state: "over" | "held"): void {
    if (entry.state !== "running") throw new Error(`an entry that is ${entry.state} left its place`);
    entry.state = state;
    this.#taken--;
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

  /** Nothing else of the lane begins before the entry is done with. */
  #block(entry: Entry): void {
    if (entry.isBlocking) return;
    entry.isBlocking = true;
    entry.lane.blockers++;
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
