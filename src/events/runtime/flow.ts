import { type Clock, outsideContext } from "../../platform/index.ts";
import type { SubscriptionStats } from "../broker.ts";
import type { Entry, LaneState } from "./entry.ts";
import type { EntryBatch } from "./entry-batch.ts";
import { Gathering } from "./gathering.ts";
import type { Handling } from "./handling.ts";
import { Intake } from "./intake.ts";
import { type BatchTurns, KeyScheduler } from "./key-scheduler.ts";
import type { ConsumerPlan } from "./plan.ts";

/**
 * What becomes of an entry when its batch has ended, unless it is settled: another turn alone, back to the broker, or
 * nothing, because somebody else has its lane.
 */
export type Fate = "again" | "released" | "forgotten";

/**
 * The entries that a consumer has in its hands, from their arrival until they leave: which of them have their turn
 * (`key-scheduler.ts`), how much of them there may be (`intake.ts`), and when nothing runs any more.
 */
export class Flow {
  readonly #clock: Clock;
  readonly #isUnordered: boolean;
  readonly #isBlocking: boolean;
  readonly #scheduler: KeyScheduler;
  readonly #intake: Intake;
  /** Of batch handlers. */
  readonly #gatherings = new Map<Handling, Gathering>();
  #isOpen = false;
  #isStopped = false;
  #idle: (() => void) | undefined;

  /**
   * @param start an entry has its turn; it ends with `leave`, `hold` or `park`, exactly once
   * @param batchTurns a batch has its turn; it ends with `leaveBatch`
   */
  constructor(plan: ConsumerPlan, clock: Clock, start: (entry: Entry) => void, batchTurns: BatchTurns) {
    this.#clock = clock;
    this.#isUnordered = plan.onFailure === "unordered";
    this.#isBlocking = plan.onFailure === "block";
    this.#scheduler = new KeyScheduler(clock, plan.concurrency, start, batchTurns);
    this.#intake = new Intake(plan.limits);
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  counts(): Pick<SubscriptionStats, "running" | "waiting" | "parkedKeys" | "parkedEvents"> {
    const { running, parked, parkedKeys } = this.#scheduler;
    return { running, waiting: this.#intake.records - running, parkedKeys, parkedEvents: parked };
  }

  /** From now on entries have their turn; those that came before have waited. */
  open(): void {
    this.#isOpen = true;
    this.#scheduler.dispatch();
  }

  // ── entries come ─────────────────────────────────────────────────────────────────────────────────────────────────

  openLane(lane: LaneState): void {
    this.#scheduler.open(lane);
    this.#intake.open(lane);
  }

  /** Nothing starts before `arrived`. */
  add(entry: Entry): void {
    const { handling } = entry;
    if (handling?.batch !== undefined && mayBeGathered(entry)) entry.gathering = this.#gatheringOf(handling);
    this.#intake.add(entry.lane, entry.bytes);
    this.#scheduler.add(entry);
  }

  /** All entries of a hand-over have been added. */
  arrived(): void {
    this.#intake.regulate(this.#scheduler.parked);
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

  // ── what becomes of one that has its turn ────────────────────────────────────────────────────────────────────────

  /** It is done with. Settled, unless it is left to whoever has its lane next. */
  leave(entry: Entry, isSettled: boolean): void {
    const { lane } = entry;
    if (isSettled && lane.phase !== "gone") settle(entry);
    this.#scheduler.done(entry);
    this.#intake.remove(lane, entry.bytes, this.#scheduler.parked);
    this.#placeIsFree(lane);
  }

  /** A batch has had its turn. Entries without another fate are settled. */
  leaveBatch(batch: EntryBatch, fates: ReadonlyMap<Entry, Fate>): void {
    const { entries } = batch;
    for (const { lane, record } of entries.filter(entry => !fates.has(entry))) lane.lane.settle(record);
    this.#scheduler.end(batch, entry => fates.get(entry) === "again");
    const lanes = new Set<LaneState>();
    for (const entry of entries) {
      lanes.add(entry.lane);
      const fate = fates.get(entry);
      if (fate === "again") continue;
      this.#intake.remove(entry.lane, entry.bytes, this.#scheduler.parked);
      if (fate === "released") entry.lane.lane.release(entry.record);
    }
    for (const lane of lanes) if (lane.running === 0) lane.idle?.();
    this.#goOn();
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

  #resumeAfter(entry: Entry, delayMs: number): void {
    entry.timer = outsideContext(() =>
      this.#clock.after(delayMs, () => {
        entry.timer = undefined;
        this.#scheduler.unhold(entry);
        this.arrived();
      }),
    );
    this.#intake.regulate(this.#scheduler.parked);
    this.#placeIsFree(entry.lane);
  }

  // ── entries go without having had their turn ─────────────────────────────────────────────────────────────────────

  /** Forgets what of a lane has not begun: somebody else has it then. */
  forget(lane: LaneState): void {
    this.#drop(lane);
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
    for (const lane of lanes) {
      for (const entry of this.#drop(lane)) if (lane.phase === "open") lane.lane.release(entry.record);
    }
  }

  #drop(lane: LaneState): readonly Entry[] {
    const dropped = this.#scheduler.drop(lane);
    for (const entry of dropped) {
      entry.timer?.cancel();
      entry.timer = undefined;
      this.#intake.remove(lane, entry.bytes, this.#scheduler.parked);
    }
    return dropped;
  }

  // ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Resolves when nothing runs any more, or `budgetMs` have passed: says which. */
  idle(budgetMs: number): Promise<boolean> {
    if (this.#scheduler.running === 0) return Promise.resolve(true);
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
    if (this.#idle !== undefined && this.#scheduler.running === 0) this.#idle();
  }

  #dispatch(): void {
    if (this.#isOpen) this.#scheduler.dispatch();
  }
}

/** Of a transactional subscription: with what its handler has published. */
function settle({ lane: { lane }, record, outputs }: Entry): void {
  if (outputs === undefined || lane.settleWith === undefined) lane.settle(record);
  else lane.settleWith(record, outputs.close());
}

/**
 * One that has been tried before goes alone, so that nobody else pays for what it does to its process; so does one that
 * somebody waits for, since it has a deadline of its own.
 */
function mayBeGathered({ attempts, step, record }: Entry): boolean {
  return attempts === 0 && step.kind === "handle" && record.attributes.replyTo === undefined;
}
