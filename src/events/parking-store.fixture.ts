import type { VirtualPlatform } from "../platform/virtual/index.ts";
import type { MemoryLog } from "./brokers/memory/memory-log.ts";
import type { DeadLetterStore } from "./dead-letter.ts";
import type { DeathDetails, GroupStatus } from "./driver.ts";
import type {
  Balance,
  HeldLane,
  LaneCommit,
  LogRecord,
  LogStore,
  ReadRequest,
  ReturnedRequest,
  RowToPark,
  StoreMember,
  StoreWatcher,
} from "./log/index.ts";
import type { AttemptHistory, EventRecord } from "./record.ts";

/**
 * A process's connection to a store, with the troubles of a process: its calls take their time, it dies before or after one of
 * them, it stands still while others take over, and calls fail, with or without having taken effect.
 */
export class FaultyStore implements LogStore {
  readonly #store: LogStore;
  readonly #log: MemoryLog;
  readonly #platform: VirtualPlatform;
  readonly #recordsPerRead: number;
  readonly #members = new Map<string, StoreMember>();
  onBury: (record: LogRecord) => void = () => {};
  isDead = false;
  /** It has stood still, or calls have failed. */
  hadTrouble = false;
  #callsLeft = Number.POSITIVE_INFINITY;
  #diesAfter = false;
  #frozenUntilMs = 0;
  #brokenUntilMs = 0;
  #answersAreLost = false;

  constructor(store: LogStore, log: MemoryLog, platform: VirtualPlatform, recordsPerRead: number) {
    this.#store = store;
    this.#log = log;
    this.#platform = platform;
    this.#recordsPerRead = recordsPerRead;
  }

  /** @param isAfter the last call takes effect, and nobody hears of it */
  dieIn(calls: number, isAfter: boolean): void {
    this.#callsLeft = calls;
    this.#diesAfter = isAfter;
  }

  /** Its calls take so long from now on, and the others take it for dead. */
  freeze(ms: number): void {
    this.hadTrouble = true;
    this.#frozenUntilMs = this.#platform.clock.now() + ms;
    for (const member of this.#members.values()) void this.#store.leave(member);
  }

  breakFor(ms: number, answersAreLost: boolean): void {
    this.hadTrouble = true;
    this.#brokenUntilMs = this.#platform.clock.now() + ms;
    this.#answersAreLost = answersAreLost;
  }

  heal(): void {
    this.#callsLeft = Number.POSITIVE_INFINITY;
    this.#brokenUntilMs = 0;
  }

  async #call<T>(run: () => Promise<T>): Promise<T> {
    await this.#pause();
    const { clock } = this.#platform;
    const isBroken = clock.now() < this.#brokenUntilMs;
    if (isBroken && !this.#answersAreLost) throw new Error("no connection");
    const isLast = --this.#callsLeft === 0;
    if (isLast && !this.#diesAfter) return this.#die();
    const answer = await run();
    if (isLast) return this.#die();
    await this.#pause();
    if (isBroken) throw new Error("the connection broke");
    return answer;
  }

  async #pause(): Promise<void> {
    const { clock, random } = this.#platform;
    const ms = Math.max(this.#frozenUntilMs - clock.now(), 0) + Math.floor(random.next() * 8);
    await new Promise<void>(resolve => void clock.after(ms, resolve));
    if (this.isDead) await new Promise(() => {});
  }

  /** The process is gone, and the others know. */
  kill(): void {
    if (this.isDead) return;
    this.isDead = true;
    for (const member of this.#members.values()) void this.#store.leave(member);
  }

  #die(): Promise<never> {
    this.kill();
    return new Promise(() => {});
  }

  append(records: readonly EventRecord[]) {
    return this.#store.append(records);
  }

  createTopics(topics: readonly string[]): Promise<void> {
    return this.#store.createTopics(topics);
  }

  join(member: StoreMember, from: "beginning" | "now"): Promise<void> {
    this.#members.set(member.member, member);
    return this.#store.join(member, from);
  }

  balance(member: StoreMember, held: readonly HeldLane[], accepts: boolean): Promise<Balance> {
    return this.#call(async () => {
      const { group, member: name } = member;
      const known = this.#log.groups.get(group);
      // The memory broker's members live as long as their process: one that was taken for dead comes anew.
      if (known?.members.has(name) === false) await this.#store.join(member, "beginning");
      const lost = held.filter(({ topic, partition, epoch }) => {
        const lane = known?.lanes.get(`${topic}/${partition}`);
        return lane?.owner !== name || lane.epoch !== epoch;
      });
      // Granted in an answer that was lost: granted again, as the embedded broker does it.
      for (const lane of known?.lanes.values() ?? []) {
        const isHeld = held.some(one => one.topic === lane.topic && one.partition === lane.partition);
        if (lane.owner === name && !isHeld) lane.owner = undefined;
      }
      return { ...(await this.#store.balance(member, held, accepts)), lost };
    });
  }

  leave(member: StoreMember): Promise<void> {
    return this.#call(() => this.#store.leave(member));
  }

  read(request: ReadRequest) {
    return this.#store.read({ ...request, recordsMax: Math.min(request.recordsMax, this.#recordsPerRead) });
  }

  partitions(topic: string) {
    return this.#store.partitions(topic);
  }

  readReturned(request: ReturnedRequest) {
    return this.#store.readReturned(request);
  }

  commit(member: StoreMember, commits: readonly LaneCommit[], releases: boolean) {
    return this.#call(() => this.#store.commit(member, commits, releases));
  }

  hold(group: string, record: LogRecord, dueMs: number, history: AttemptHistory): Promise<void> {
    return this.#call(() => this.#store.hold(group, record, dueMs, history));
  }

  parked(group: string, lane: HeldLane) {
    return this.#store.parked(group, lane);
  }

  readParked(group: string, lane: HeldLane, ids: readonly number[]) {
    return this.#store.readParked(group, lane, ids);
  }

  park(member: StoreMember, lane: HeldLane, rows: readonly RowToPark[]) {
    return this.#call(() => this.#store.park(member, lane, rows));
  }

  bury(group: string, record: LogRecord, details: DeathDetails): Promise<void> {
    return this.#call(async () => {
      await this.#store.bury(group, record, details);
      this.onBury(record);
    });
  }

  get deadLetters(): DeadLetterStore {
    return this.#store.deadLetters;
  }

  groups(): Promise<readonly GroupStatus[]> {
    return this.#store.groups();
  }

  watch(watcher: StoreWatcher): () => void {
    return this.#store.watch({
      appended: (topic, partition) => this.isDead || watcher.appended(topic, partition),
      regrouped: group => this.isDead || watcher.regrouped(group),
      held: (group, topic, partition) => this.isDead || watcher.held(group, topic, partition),
    });
  }

  status() {
    return this.#store.status();
  }

  openReplies(...args: Parameters<LogStore["openReplies"]>): ReturnType<LogStore["openReplies"]> {
    return this.#store.openReplies(...args);
  }

  closeReplies(...args: Parameters<LogStore["closeReplies"]>): ReturnType<LogStore["closeReplies"]> {
    return this.#store.closeReplies(...args);
  }

  appendReply(...args: Parameters<LogStore["appendReply"]>): ReturnType<LogStore["appendReply"]> {
    return this.#store.appendReply(...args);
  }

  close(): Promise<void> {
    return this.#store.close();
  }
}
