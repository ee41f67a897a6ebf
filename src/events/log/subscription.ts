import { type Clock, outsideContext, type Platform, type Timer } from "../../platform/index.ts";
import type { DeathDetails, DriverSubscription, RecordSink } from "../driver.ts";
import { BrokerError } from "../errors.ts";
import type { AttemptHistory } from "../record.ts";
import { Isolation } from "./isolation.ts";
import { type LaneCommit, type LaneHost, LogLane } from "./lane.ts";
import {
  recordsPerReadMax,
  recordsPerTurnMax,
  returnedAgainMs,
  returnedInWorkMax,
  revokeBudgetMs,
  storeRetryMsMax,
  storeRetryMsMin,
} from "./limits.ts";
import type { LogRecord } from "./log-record.ts";
import { LogParking, type RowToPark } from "./parking.ts";
import type { GrantedLane, HeldLane, LogStore, LogStorePace, StoreMember, StoreWatcher } from "./store.ts";

/** A lane and what the member knows of it. */
interface Held {
  readonly lane: LogLane;
  /** There may be records that were not read. */
  isBehind: boolean;
  isRevoking: boolean;
  /** When records that came back are due; Infinity for none. */
  returnedDueMs: number;
}

/**
 * A member of a group at a log store: takes the lanes that are its share, reads them as long as the runtime takes records,
 * commits what is settled, and gives lanes away when their handlers have ended.
 */
export class LogSubscription implements DriverSubscription, LaneHost, StoreWatcher {
  readonly #store: LogStore;
  readonly #pace: LogStorePace;
  readonly #clock: Clock;
  readonly #member: StoreMember;
  readonly #sink: RecordSink;
  readonly #unwatch: () => void;
  readonly #whenOver: () => void;
  readonly #isolation: Isolation;
  readonly #held = new Map<string, Held>();
  #isStopped = false;
  #isClosed = false;

  #isPumping = false;
  /** Lanes are read in turn, beginning with another one each time. */
  #turn = 0;
  #returnedTimer: Timer | undefined;
  #returnedTimerMs = Number.POSITIVE_INFINITY;

  #commitTimer: Timer | undefined;
  #commitRunning: Promise<void> | undefined;
  #commitIsWanted = false;

  #balanceTimer: Timer | undefined;
  #balanceRunning: Promise<void> | undefined;
  #balanceIsWanted = false;
  /** Last commits of lanes that are being given away. */
  readonly #releasing = new Set<Promise<void>>();
  #failures = 0;

  constructor(
    store: LogStore,
    pace: LogStorePace,
    { clock }: Platform,
    member: StoreMember,
    sink: RecordSink,
    whenOver: () => void,
  ) {
    this.#store = store;
    this.#pace = pace;
    this.#clock = clock;
    this.#isolation = new Isolation(clock);
    this.#member = member;
    this.#sink = sink;
    this.#whenOver = whenOver;
    this.#unwatch = store.watch(this);
  }

  /** The first look at which lanes are to be had. */
  start(): Promise<void> {
    const first = this.#balance();
    this.#balanceRunning = first.then(
      () => {},
      () => {},
    );
    this.#balanceRunning.then(() => this.#balanced());
    return first;
  }

  retryLater(record: LogRecord, delayMs: number, history: AttemptHistory): Promise<void> {
    return this.#store.hold(this.#member.group, record, this.#clock.wall() + delayMs, history);
  }

  deadLetter(record: LogRecord, details: DeathDetails): Promise<void> {
    return this.#store.bury(this.#member.group, record, details);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const { lane } of this.#held.values()) lane.drain();
    this.#returnedTimer?.cancel();
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    await this.stop();
    this.#isClosed = true;
    this.#unwatch();
    this.#balanceTimer?.cancel();
    this.#commitTimer?.cancel();
    await this.#commitRunning;
    await this.#balanceRunning;
    await Promise.all(this.#releasing);
    const last: LaneCommit[] = [];
    for (const { lane } of this.#held.values()) {
      const commit = lane.close();
      if (commit !== undefined) last.push(commit);
    }
    this.#held.clear();
    try {
      if (last.length > 0) await this.#store.commit(this.#member, last, true);
      await this.#store.leave(this.#member);
    } finally {
      this.#whenOver();
    }
  }

  // Of the store.

  appended(topic: string, partition: number): void {
    const held = this.#held.get(`${topic}/${partition}`);
    if (held === undefined) return;
    held.isBehind = true;
    this.#pumpSoon();
  }

  held(group: string, topic: string | undefined, partition: number | undefined): void {
    if (group !== this.#member.group) return;
    for (const one of this.#held.values()) {
      const { lane } = one;
      if (topic === undefined || (lane.topic === topic && lane.partition === partition)) one.returnedDueMs = 0;
    }
    this.#pumpSoon();
  }

  regrouped(group: string): void {
    if (group === this.#member.group && !this.#isClosed) this.#balanceSoon(0);
  }

  // Of lanes.

  changed(): void {
    if (this.#isClosed || this.#commitTimer !== undefined) return;
    this.#commitTimer = outsideContext(() => this.#clock.after(this.#pace.commitEveryMs, () => this.#commit()));
  }

  commitSoon(): void {
    if (this.#commitIsWanted || this.#isClosed) return;
    this.#commitIsWanted = true;
    this.#clock.endOfTurn(() => {
      if (this.#commitRunning === undefined) this.#commit();
    });
  }

  wants(): void {
    this.#pumpSoon();
  }

  // Reading.

  #pumpSoon(): void {
    if (this.#isPumping || this.#isStopped) return;
    this.#isPumping = true;
    this.#clock.endOfTurn(() => {
      this.#isPumping = false;
      if (!this.#isStopped) this.#pump();
    });
  }

  /**
   * One turn's worth of records; another turn follows while there are more. A few of a lane at a time, one lane after the
   * other, so that one that is far behind takes no more than the runtime wants of it, and leaves the others their part.
   */
  #pump(): void {
    const all = [...this.#held.values()];
    for (const held of all) this.#pumpReturned(held);
    const wants = ({ isBehind, lane }: Held) => isBehind && lane.room > 0;
    let left = recordsPerTurnMax;
    let lanes = all.filter(wants);
    const first = this.#turn++;
    while (left > 0 && lanes.length > 0) {
      for (let index = 0; index < lanes.length && left > 0; index++) {
        const held = lanes[(first + index) % lanes.length] as Held;
        if (wants(held)) left -= Math.max(this.#read(held, Math.min(left, recordsPerReadMax)), 1);
      }
      lanes = lanes.filter(wants);
    }
    if (lanes.length > 0) this.#pumpSoon();
    this.#armReturned();
  }

  #read(held: Held, recordsMax: number): number {
    const { lane } = held;
    const { topic, partition, position, limit, room } = lane;
    try {
      const answer = this.#store.read({
        topic,
        partition,
        offset: position,
        limit,
        recordsMax: Math.min(recordsMax, room),
      });
      held.isBehind = !answer.isEnd;
      lane.deliver(answer.records, answer.nextOffset);
      return answer.records.length;
    } catch (error) {
      if (error instanceof BrokerError) {
        void this.stop();
        this.#sink.failed(error);
        return recordsPerTurnMax;
      }
      // The store says in its status what is wrong; the records are still there.
      this.#clock.after(storeRetryMsMin, () => this.#pumpSoon());
      held.isBehind = true;
      return recordsPerTurnMax;
    }
  }

  #pumpReturned(held: Held): void {
    const { lane } = held;
    const nowMs = this.#clock.wall();
    if (held.returnedDueMs > nowMs || !lane.takesReturned) return;
    const recordsMax = returnedInWorkMax - lane.returnedInWork.size;
    if (recordsMax <= 0) {
      held.returnedDueMs = nowMs + returnedAgainMs;
      return;
    }
    try {
      const { records, nextDueMs } = this.#store.readReturned({
        group: this.#member.group,
        topic: lane.topic,
        partition: lane.partition,
        nowMs,
        recordsMax: Math.min(recordsMax, recordsPerTurnMax),
        except: lane.returnedInWork,
      });
      held.returnedDueMs = nextDueMs;
      lane.deliverReturned(records);
    } catch {
      held.returnedDueMs = nowMs + returnedAgainMs;
    }
  }

  /** One timer for the earliest of the records that come back. */
  #armReturned(): void {
    let dueMs = Number.POSITIVE_INFINITY;
    for (const { lane, returnedDueMs } of this.#held.values()) {
      if (lane.takesReturned && returnedDueMs < dueMs) dueMs = returnedDueMs;
    }
    if (dueMs === this.#returnedTimerMs && this.#returnedTimer !== undefined) return;
    this.#returnedTimer?.cancel();
    this.#returnedTimer = undefined;
    this.#returnedTimerMs = dueMs;
    if (dueMs === Number.POSITIVE_INFINITY || this.#isStopped) return;
    this.#returnedTimer = outsideContext(() =>
      this.#clock.after(
        Math.max(dueMs - this.#clock.wall(), 1),
        () => {
          this.#returnedTimer = undefined;
          this.#pumpSoon();
        },
        true,
      ),
    );
  }

  // Committing.

  #commit(): void {
    this.#commitTimer?.cancel();
    this.#commitTimer = undefined;
    if (this.#commitRunning !== undefined) return;
    this.#commitIsWanted = false;
    const commits: LaneCommit[] = [];
    for (const { lane } of this.#held.values()) {
      const commit = lane.takeCommit();
      if (commit !== undefined) commits.push(commit);
    }
    if (commits.length === 0) return;
    this.#commitRunning = this.#write(commits).finally(() => {
      this.#commitRunning = undefined;
      if (this.#commitIsWanted) this.#commit();
    });
  }

  async #write(commits: readonly LaneCommit[]): Promise<void> {
    let counts: readonly boolean[];
    try {
      counts = await this.#store.commit(this.#member, commits, false);
      this.#failures = 0;
    } catch {
      for (const commit of commits) commit.lane.commitFailed(commit);
      this.#commitTimer ??= this.#clock.after(this.#retryMs(), () => this.#commit());
      return;
    }
    for (let index = 0; index < commits.length; index++) {
      const commit = commits[index] as LaneCommit;
      if (counts[index] === true) commit.lane.committed(commit);
      else this.#lose(commit.lane);
    }
  }

  // Sharing lanes out.

  #balanceSoon(delayMs: number): void {
    this.#balanceTimer?.cancel();
    if (delayMs === Number.POSITIVE_INFINITY) return;
    this.#balanceTimer = outsideContext(() => this.#clock.after(delayMs, () => this.#rebalance()));
  }

  #rebalance(): void {
    if (this.#isClosed) return;
    this.#balanceIsWanted = this.#balanceRunning !== undefined;
    if (this.#balanceIsWanted) return;
    this.#balanceRunning = this.#balance()
      .then(
        () => {
          this.#failures = 0;
          this.#balanceSoon(this.#pace.heartbeatMs);
        },
        () => this.#balanceSoon(this.#retryMs()),
      )
      .finally(() => this.#balanced());
  }

  #balanced(): void {
    this.#balanceRunning = undefined;
    if (this.#balanceIsWanted) this.#rebalance();
  }

  async #balance(): Promise<void> {
    const held: HeldLane[] = [...this.#held.values()].map(({ lane }) => lane);
    const { granted, surplus, lost } = await this.#store.balance(this.#member, held, !this.#isStopped);
    for (const one of lost) this.#lose(this.#laneOf(one));
    if (this.#isStopped) {
      // Granted while it stopped: given back, unused, when it closes.
      for (const one of granted) this.#hold(this.#laneFor(one)).drain();
      return;
    }
    for (const one of granted) this.#open(one);
    for (const one of surplus) this.#revoke(one);
    this.#balanceSoon(this.#pace.heartbeatMs);
  }

  #laneOf({ topic, partition, epoch }: HeldLane): LogLane | undefined {
    const lane = this.#held.get(`${topic}/${partition}`)?.lane;
    return lane?.epoch === epoch ? lane : undefined;
  }

  #laneFor({ topic, partition, epoch, offset, metadata }: GrantedLane): LogLane {
    const lane = new LogLane({
      topic,
      partition,
      epoch,
      committed: { offset, metadata },
      clock: this.#clock,
      sink: this.#sink,
      host: this,
      isolation: this.#isolation,
      tracksCrashes: this.#pace.tracksCrashes,
    });
    return lane;
  }

  #hold(lane: LogLane): LogLane {
    this.#held.set(lane.name, { lane, isBehind: true, isRevoking: false, returnedDueMs: 0 });
    return lane;
  }

  #open(granted: GrantedLane): void {
    const lane = this.#laneFor(granted);
    const { group } = this.#member;
    // Where that cannot be read, the lane is granted once more.
    const store = {
      rows: () => this.#store.parked(group, lane),
      park: (rows: readonly RowToPark[]) => this.#store.park(this.#member, lane, rows),
      read: (ids: readonly number[]) => this.#store.readParked(group, lane, ids),
    };
    lane.usePlace(new LogParking(lane, store));
    this.#hold(lane);
    this.#sink.opened(lane);
    // Makes durable that somebody is at work, before anything begins.
    this.commitSoon();
    this.#pumpSoon();
  }

  #revoke(one: HeldLane): void {
    const held = this.#held.get(`${one.topic}/${one.partition}`);
    if (held === undefined || held.lane.epoch !== one.epoch || held.isRevoking) return;
    held.isRevoking = true;
    void this.#giveAway(held.lane);
  }

  /** Revoke, wait, commit: whoever comes next finds all that was settled. */
  async #giveAway(lane: LogLane): Promise<void> {
    lane.drain();
    await this.#sink.revoke(lane, revokeBudgetMs);
    await this.#commitRunning;
    const last = lane.close();
    if (last === undefined) return;
    const releasing = this.#release(last);
    this.#releasing.add(releasing);
    await releasing;
    this.#releasing.delete(releasing);
    // Until now it counts as held: its row still says so.
    if (this.#held.get(lane.name)?.lane === lane) this.#held.delete(lane.name);
  }

  async #release(last: LaneCommit): Promise<void> {
    for (;;) {
      try {
        await this.#store.commit(this.#member, [last], true);
        return;
      } catch {
        if (this.#isClosed) return;
        await new Promise<void>(resolve => {
          this.#clock.after(this.#retryMs(), resolve);
        });
      }
    }
  }

  #lose(lane: LogLane | undefined): void {
    if (lane === undefined) return;
    if (this.#held.get(lane.name)?.lane === lane) this.#held.delete(lane.name);
    lane.lose();
    this.#balanceSoon(0);
  }

  #retryMs(): number {
    return Math.min(storeRetryMsMin * 2 ** this.#failures++, storeRetryMsMax);
  }
}
