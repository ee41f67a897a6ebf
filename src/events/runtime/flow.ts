import { type Clock, outsideContext, type Platform } from "../../platform/index.ts";
import type { SubscriptionStats } from "../broker.ts";
import type { StoredRecord } from "../record.ts";
import type { Entry, LaneState } from "./entry.ts";
import type { EntryBatch } from "./entry-batch.ts";
import { Gathering } from "./gathering.ts";
import type { Handling } from "./handling.ts";
import { Intake } from "./intake.ts";
import type { Journal } from "./journal.ts";
import { KeyScheduler } from "./key-scheduler.ts";
import { parkedMsMax, recalledShare } from "./limits.ts";
import type { ParkedKey } from "./parked-key.ts";
import { ParkedLoad } from "./parked-load.ts";
import { Parking, type ParkingHost } from "./parking.ts";
import type { ConsumerPlan } from "./plan.ts";

export interface FlowHost {
  /** An entry has its turn; it ends with `leave`, `hold`, `park` or `putBack`, exactly once. */
  start(entry: Entry): void;
  /** Whether a handler may get an entry of a batch now; otherwise it has its turn alone. */
  isFit(entry: Entry): boolean;
  /** A batch has its turn; it ends with `leaveBatch`. */
  startBatch(batch: EntryBatch): void;
  /** A record comes back; `undefined`: it is not handled here. */
  receive(lane: LaneState, record: StoredRecord, parkedKey: ParkedKey): Entry | undefined;
}

/**
 * What becomes of an entry when its batch has ended, unless it is settled: another turn alone, back to the broker, or
 * nothing, because somebody else has its lane.
 */
export type Fate = "again" | "released" | "forgotten";

/**
 * The entries that a consumer has in its hands, from their arrival until they leave: which of them have their turn
 * (`key-scheduler.ts`), how much of them there may be (`intake.ts`), which of them wait at the broker instead (`parking.ts`),
 * and when nothing runs any more.
 */
export class Flow implements ParkingHost {
  readonly #clock: Clock;
  readonly #journal: Journal;
  readonly #host: FlowHost;
  readonly #isUnordered: boolean;
  readonly #isBlocking: boolean;
  readonly #scheduler: KeyScheduler;
  readonly #intake: Intake;
  readonly #load = new ParkedLoad();
  readonly #parking: Parking;
  /** Of batch handlers. */
  readonly #gatherings = new Map<Handling, Gathering>();
  #isOpen = false;
  #isStopped = false;
  #idle: (() => void) | undefined;

  constructor(plan: ConsumerPlan, platform: Pick<Platform, "clock" | "random">, journal: Journal, host: FlowHost) {
    const { clock } = platform;
    this.#clock = clock;
    this.#journal = journal;
    this.#host = host;
    this.#isUnordered = plan.onFailure === "unordered";
    this.#isBlocking = plan.onFailure === "block";
    this.#scheduler = new KeyScheduler(clock, plan.concurrency, this.#load, entry => host.start(entry), {
      isFit: entry => host.isFit(entry),
      start: batch => host.startBatch(batch),
    });
    this.#intake = new Intake(plan.limits, this.#load);
    const { recordsMax, bytesMax } = plan.limits;
    const outMax = Math.max(1, Math.floor(recordsMax * recalledShare));
    this.#parking = new Parking(platform, this.#load, { outMax, outBytesMax: bytesMax * recalledShare }, this);
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  counts(): Pick<SubscriptionStats, "running" | "waiting" | "parkedKeys" | "parkedEvents" | "parkedAtBroker"> {
    const { running } = this.#scheduler;
    const parkedAtBroker = this.#parking.atBroker - this.#parking.out;
    return {
      running,
      waiting: this.#intake.records - running,
      parkedKeys: this.#scheduler.parkedKeys + this.#parking.keys,
      parkedEvents: this.#load.records + parkedAtBroker,
      parkedAtBroker,
    };
  }

  /** From now on entries have their turn; those that came before have waited. */
  open(): void {
    this.#isOpen = true;
    this.#parking.attach();
    this.#scheduler.dispatch();
  }

  // ── entries come ─────────────────────────────────────────────────────────────────────────────────────────────────

  openLane(lane: LaneState): void {
    this.#scheduler.open(lane);
    this.#parking.opened(lane);
    this.#intake.open(lane);
  }

  /** Nothing starts before `arrived`. */
  add(entry: Entry): void {
    if (this.#parking.knows(entry)) {
      entry.source.settle(entry.record);
      return;
    }
    this.#intake.add(entry.lane, entry.bytes);
    if (!this.#parking.takes(entry)) this.#line(entry);
  }

  /** Puts an entry into its line. */
  #line(entry: Entry): void {
    const { handling } = entry;
    if (handling?.batch !== undefined && mayBeGathered(entry)) entry.gathering = this.#gatheringOf(handling);
    this.#scheduler.add(entry);
  }

  /** All entries of a hand-over have been added. */
  arrived(): void {
    this.#regulate();
    this.#dispatch();
  }

  #gatheringOf(handling: Handling): Gathering | undefined {
    let gathering = this.#gatherings.get(handling);
    if (gathering === undefined && handling.batch !== undefined) {
      const line = {
        push: (batch: EntryBatch) => this.#scheduler.push(batch),
        goOn: () => this.#dispatch(),
      };
      gathering = new Gathering(handling.batch.limits, this.#clock, line);
      this.#gatherings.set(handling, gathering);
    }
    return gathering;
  }

  #regulate(): void {
    this.#intake.regulate();
    if (!this.#intake.isParkingFull || this.#isUnordered || this.#isBlocking) return;
    // The oldest first, until the others take no more than half of the share.
    for (const head of this.#scheduler.held()) {
      if (this.#intake.hasRelief(this.#parking.moving, this.#parking.movingBytes)) break;
      if (this.#parking.canMove(head)) this.#moveHeld(head);
    }
    this.#intake.regulate();
  }

  #moveHeld(head: Entry): void {
    const leftMs = Math.max(head.heldUntilMs - this.#clock.now(), 0);
    head.timer?.cancel();
    head.timer = undefined;
    this.#parking.move(this.#scheduler.take(head), this.#clock.wall() + leftMs);
  }

  // ── what becomes of one that has its turn ────────────────────────────────────────────────────────────────────────

  /** It is done with. Settled, unless it is left to whoever has its lane next. */
  leave(entry: Entry, isSettled: boolean): void {
    const { lane } = entry;
    if (isSettled && lane.phase !== "gone") settle(entry);
    this.#scheduler.done(entry);
    this.#leaves(entry, isSettled);
    this.#placeIsFree(lane);
  }

  /** A batch has had its turn. Entries without another fate are settled. */
  leaveBatch(batch: EntryBatch, fates: ReadonlyMap<Entry, Fate>): void {
    const { entries } = batch;
    for (const entry of entries) if (!fates.has(entry)) entry.source.settle(entry.record);
    this.#scheduler.end(batch, entry => fates.get(entry) === "again", this.#isBlocking);
    const lanes = new Set<LaneState>();
    for (const entry of entries) {
      lanes.add(entry.lane);
      const fate = fates.get(entry);
      if (fate === "again") continue;
      this.#leaves(entry, fate === undefined);
      if (fate === "released" && entry.parkedKey === undefined) entry.lane.lane.release(entry.record);
    }
    for (const lane of lanes) if (lane.running === 0) lane.idle?.();
    this.#goOn();
  }

  /** It is in memory no more. */
  #leaves({ lane, bytes, parkedKey }: Entry, isSettled: boolean): void {
    this.#intake.remove(lane, bytes);
    if (parkedKey === undefined) return;
    if (isSettled) this.#parking.done(parkedKey, bytes);
    else this.#parking.forgotten(parkedKey, bytes);
  }

  /** Its next attempt comes after a delay; what waits behind it meanwhile is what the plan says. */
  park(entry: Entry, delayMs: number): void {
    if (this.#isUnordered) this.#scheduler.detach(entry);
    else this.#scheduler.hold(entry, this.#isBlocking);
    this.#resumeAfter(entry, delayMs);
  }

  /** Its next turn comes after a delay, and its key waits for it in any case. */
  hold(entry: Entry, delayMs: number): void {
    this.#scheduler.hold(entry, this.#isBlocking);
    this.#resumeAfter(entry, delayMs);
  }

  /** One that came back from the broker waits there again, and what came back of its key with it. */
  putBack(entry: Entry, delayMs: number): void {
    this.#scheduler.hold(entry, false);
    this.#parking.putBack(this.#scheduler.take(entry), this.#clock.wall() + delayMs);
    this.#placeIsFree(entry.lane);
  }

  #resumeAfter(entry: Entry, delayMs: number): void {
    const nowMs = this.#clock.now();
    entry.heldUntilMs = nowMs + delayMs;
    entry.parkedSinceMs ??= nowMs;
    this.#wait(entry, delayMs, this.#isUnordered || this.#isBlocking ? undefined : entry.parkedSinceMs + parkedMsMax);
    this.#regulate();
    this.#placeIsFree(entry.lane);
  }

  /** @param untilMs then it has waited here long enough, and goes to the broker where it can */
  #wait(entry: Entry, delayMs: number, untilMs: number | undefined): void {
    const leftMs = untilMs === undefined ? delayMs : Math.max(untilMs - this.#clock.now(), 0);
    const isOld = leftMs < delayMs;
    const over = () => {
      entry.timer = undefined;
      if (!isOld) this.#scheduler.unhold(entry);
      else if (this.#parking.canMove(entry)) this.#moveHeld(entry);
      else this.#wait(entry, delayMs - leftMs, undefined);
      this.arrived();
    };
    // Keeps the process: on a broker in memory nothing else does, and nobody but this process can repeat it.
    entry.timer = outsideContext(() => this.#clock.after(isOld ? leftMs : delayMs, over, true));
  }

  // ── entries go to the broker and come back ───────────────────────────────────────────────────────────────────────

  parked(entry: Entry): void {
    const { lane } = entry;
    if (lane.phase !== "gone") lane.lane.settle(entry.record);
    this.#intake.remove(lane, entry.bytes);
  }

  forgot(entry: Entry): void {
    const { lane } = entry;
    this.#intake.remove(lane, entry.bytes);
    if (this.#isStopped && lane.phase === "open") lane.lane.release(entry.record);
  }

  wentBack({ lane, bytes }: Entry): void {
    this.#intake.remove(lane, bytes);
  }

  recalled(key: ParkedKey, records: readonly StoredRecord[]): void {
    const { state } = key;
    for (const record of records) {
      const entry = this.#host.receive(state, record, key);
      if (entry === undefined) {
        state.parkedLane?.place.settle(record);
        this.#parking.done(key, record.body.length);
      } else {
        this.#intake.add(state, entry.bytes);
        this.#line(entry);
      }
    }
    this.arrived();
  }

  moved(lane: LaneState, events: number, keys: number): void {
    if (events > 0) this.#journal.parked(lane.lane.name, events, keys);
    this.arrived();
    this.#placeIsFree(lane);
  }

  failed(lane: LaneState, what: "park" | "recall", failures: number, error: unknown): void {
    this.#journal.parkingFailed(lane.lane.name, what, failures, error);
  }

  // ── entries go without having had their turn ─────────────────────────────────────────────────────────────────────

  /** Forgets what of a lane has not begun: somebody else has it then. */
  forget(lane: LaneState): void {
    this.#drop(lane);
    this.#parking.closed(lane);
    this.arrived();
  }

  /** The lane has gone, and what it had with it. */
  closeLane(lane: LaneState): void {
    this.#intake.forget(lane);
    this.forget(lane);
  }

  /** Gives back what has not begun; nothing begins any more. What runs goes on. */
  stop(lanes: Iterable<LaneState>): void {
    this.#isStopped = true;
    this.#scheduler.stop();
    this.#parking.stop();
    for (const lane of lanes) {
      for (const entry of this.#drop(lane)) {
        if (lane.phase === "open" && entry.parkedKey === undefined) lane.lane.release(entry.record);
      }
      this.#parking.closed(lane);
    }
  }

  #drop(lane: LaneState): readonly Entry[] {
    const dropped = this.#scheduler.drop(lane);
    for (const entry of dropped) {
      entry.timer?.cancel();
      entry.timer = undefined;
      this.#leaves(entry, false);
    }
    return dropped;
  }

  // ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Resolves when nothing runs any more, or `budgetMs` have passed: says which. */
  idle(budgetMs: number): Promise<boolean> {
    if (this.#isIdle) return Promise.resolve(true);
    return new Promise(resolve => {
      const timer = outsideContext(() => this.#clock.after(budgetMs, () => resolve(false), true));
      this.#idle = () => {
        timer.cancel();
        resolve(true);
      };
    });
  }

  /** Resolves when nothing of a lane runs any more, or `budgetMs` have passed. */
  async laneIdle(lane: LaneState, budgetMs: number): Promise<void> {
    if (lane.running === 0) return;
    await new Promise<void>(resolve => {
      const timer = outsideContext(() => this.#clock.after(budgetMs, resolve));
      lane.idle = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  #placeIsFree(lane: LaneState): void {
    if (lane.running === 0) lane.idle?.();
    this.#goOn();
  }

  #goOn(): void {
    this.#dispatch();
    if (this.#idle !== undefined && this.#isIdle) this.#idle();
  }

  get #isIdle(): boolean {
    return this.#scheduler.running === 0 && this.#parking.writes === 0;
  }

  #dispatch(): void {
    if (this.#isOpen) this.#scheduler.dispatch();
  }
}

/** Of a transactional subscription: with what its handler has published. */
function settle({ lane: { lane }, source, record, outputs }: Entry): void {
  if (outputs === undefined || lane.settleWith === undefined) source.settle(record);
  else lane.settleWith(record, outputs.close());
}

/**
 * One that has been tried before goes alone, so that nobody else pays for what it does to its process; so does one that
 * somebody waits for, since it has a deadline of its own.
 */
function mayBeGathered({ attempts, step, record }: Entry): boolean {
  return attempts === 0 && step.kind === "handle" && record.attributes.replyTo === undefined;
}
