import type { Platform } from "../../../platform/index.ts";
import type { DeadLetter, DeadLetterEdit, DeadLetterFilter, DeadLetterStore } from "../../dead-letter.ts";
import type { DeathDetails, DriverContext, GroupStatus, PublishFailure } from "../../driver.ts";
import { BrokerError } from "../../errors.ts";
import {
  assignLanes,
  type Balance,
  DueQueue,
  editedLetter,
  goneReplies,
  type HeldLane,
  type LaneCommit,
  LogRecord,
  type LogStore,
  letterMatches,
  letterOf,
  noHistory,
  type ParkedRow,
  type PartitionBounds,
  partitionOf,
  type ReadAnswer,
  type ReadRequest,
  type ReturnedAnswer,
  type ReturnedRequest,
  type RowToPark,
  type StoreMember,
  type StoreWatcher,
} from "../../log/index.ts";
import type { AttemptHistory, EventRecord } from "../../record.ts";
import {
  type GroupLane,
  type MemoryGroup,
  type MemoryLog,
  type Parked,
  type Returned,
  recordAt,
} from "./memory-log.ts";

/** A connection to a memory broker. */
export class MemoryStore implements LogStore {
  readonly deadLetters: DeadLetterStore;
  readonly #log: MemoryLog;
  readonly #platform: Platform;
  readonly #context: DriverContext;
  readonly #whenClosed: () => void;

  constructor(log: MemoryLog, context: DriverContext, whenClosed: () => void) {
    this.#log = log;
    this.#platform = context.platform;
    this.#context = context;
    this.#whenClosed = whenClosed;
    this.deadLetters = {
      list: filter => this.#list(filter),
      replay: letter => this.#replay(letter),
      discard: async letter => void this.#remove(letter),
      edit: (letter, change) => this.#edit(letter, change),
    };
  }

  async append(records: readonly EventRecord[]): Promise<readonly (PublishFailure | undefined)[]> {
    const nowMs = this.#platform.clock.wall();
    const answers = new Array<PublishFailure | undefined>(records.length);
    for (let index = 0; index < records.length; index++) {
      const record = records[index] as EventRecord;
      const { topic } = record;
      answers[index] =
        this.#log.topics.has(topic) || this.#mayCreate ? this.#log.append(record, nowMs) : noTopic(topic);
    }
    this.#log.tell();
    return answers;
  }

  async createTopics(topics: readonly string[]): Promise<void> {
    for (const topic of topics) {
      if (!this.#log.topics.has(topic) && !this.#mayCreate) throw noTopic(topic).error;
      this.#log.topic(topic);
    }
  }

  async openReplies(topic: string): Promise<void> {
    this.#log.topic(topic, 1);
  }

  async closeReplies(topic: string): Promise<void> {
    this.#log.removeTopic(topic);
  }

  async appendReply(reply: EventRecord): Promise<PublishFailure | undefined> {
    if (!this.#log.topics.has(reply.topic)) return goneReplies("memory", reply.topic);
    const failure = this.#log.append(reply, this.#platform.clock.wall());
    this.#log.tell();
    return failure;
  }

  async join({ group: name, member, topics }: StoreMember, from: "beginning" | "now"): Promise<void> {
    const group = this.#group(name);
    group.members.set(member, new Set(topics));
    for (const topic of topics) {
      for (const [partition, log] of this.#log.topic(topic).partitions.entries()) {
        const lane = `${topic}/${partition}`;
        if (group.lanes.has(lane)) continue;
        const offset = from === "now" ? log.nextOffset : log.firstOffset;
        const [returned, returnedById] = [new DueQueue<Returned>(), new Map<number, Returned>()];
        const [owner, parked] = [undefined, new Map<number, Parked>()];
        group.lanes.set(lane, { topic, partition, offset, epoch: 0, owner, returned, returnedById, parked });
      }
    }
    this.#regrouped(name);
  }

  async balance({ group: name, member }: StoreMember, held: readonly HeldLane[], accepts: boolean): Promise<Balance> {
    const group = this.#group(name);
    const members = [...group.members].map(([id, topics]) => ({ member: id, topics }));
    const lanes = [...group.lanes].map(([lane, { topic, owner }]) => ({ lane, topic, owner }));
    const target = assignLanes(lanes, members);
    const granted: (HeldLane & { offset: number; metadata: string })[] = [];
    const surplus: HeldLane[] = [];
    for (const [key, lane] of group.lanes) {
      const isMine = target.get(key) === member;
      if (lane.owner === member && !isMine) surplus.push(lane);
      if (lane.owner !== undefined || !isMine || !accepts) continue;
      lane.owner = member;
      lane.epoch++;
      granted.push({ ...lane, metadata: "" });
    }
    // Nobody takes a lane from a member that lives, and here members live as long as the process.
    return {
      granted,
      surplus: surplus.filter(one => held.some(other => other.epoch === one.epoch && isSame(one, other))),
      lost: [],
    };
  }

  async leave({ group: name, member }: StoreMember): Promise<void> {
    const group = this.#group(name);
    group.members.delete(member);
    for (const lane of group.lanes.values()) if (lane.owner === member) lane.owner = undefined;
    this.#regrouped(name);
  }

  read({ topic, partition, offset, limit, recordsMax }: ReadRequest): ReadAnswer {
    const log = this.#log.topic(topic).partitions[partition];
    if (log === undefined) return { records: [], nextOffset: offset, isEnd: true };
    const first = Math.max(offset, log.firstOffset);
    const end = Math.min(log.nextOffset, limit, first + recordsMax);
    const records: LogRecord[] = [];
    for (let at = first; at < end; at++) {
      const entry = log.get(at);
      if (entry !== undefined) records.push(recordAt(topic, partition, at, entry));
    }
    const nextOffset = Math.max(end, first);
    return { records, nextOffset, isEnd: nextOffset >= log.nextOffset };
  }

  partitions(topic: string): readonly PartitionBounds[] {
    const found = this.#log.topics.get(topic)?.partitions ?? [];
    return found.map(({ firstOffset, nextOffset }, partition) => ({ partition, firstOffset, nextOffset }));
  }

  readReturned({ group, topic, partition, nowMs, recordsMax, except }: ReturnedRequest): ReturnedAnswer {
    const lane = this.#lane(group, topic, partition);
    const records: LogRecord[] = [];
    let nextDueMs = Number.POSITIVE_INFINITY;
    for (const { id, dueMs, record, offset, history } of lane.returned) {
      if (except.has(id)) continue;
      if (dueMs > nowMs || records.length >= recordsMax) {
        nextDueMs = dueMs;
        break;
      }
      const { key, attributes, body, storedAtMs } = record;
      records.push(new LogRecord(topic, partition, offset, key, attributes, body, storedAtMs, history, id));
    }
    return { records, nextDueMs };
  }

  async commit({ group, member }: StoreMember, commits: readonly LaneCommit[], releases: boolean): Promise<boolean[]> {
    const counts = commits.map(commit => {
      const lane = this.#lane(group, commit.lane.topic, commit.lane.partition);
      if (lane.epoch !== commit.epoch || lane.owner !== member) return false;
      lane.offset = commit.offset;
      for (const [id, again] of commit.waitingIds) Object.assign(lane.parked.get(id) ?? {}, again);
      for (const id of commit.settledIds) this.#log.settleReturned(lane, id);
      if (releases) lane.owner = undefined;
      return true;
    });
    if (releases) this.#regrouped(group);
    return counts;
  }

  async hold(group: string, record: LogRecord, dueMs: number, history: AttemptHistory): Promise<void> {
    this.#hold(group, record, record.partition, record.offset, dueMs, history);
  }

  parked(group: string, { topic, partition }: HeldLane): readonly ParkedRow[] {
    const rows: ParkedRow[] = [];
    for (const [id, { key, position, dueMs }] of this.#lane(group, topic, partition).parked) {
      rows.push({ id, key, position, dueMs });
    }
    return rows;
  }

  readParked(group: string, { topic, partition }: HeldLane, ids: readonly number[]): readonly LogRecord[] {
    const { parked } = this.#lane(group, topic, partition);
    const records: LogRecord[] = [];
    for (const id of ids) {
      const found = parked.get(id);
      if (found === undefined) continue;
      const { record, offset, history } = found;
      const { key, attributes, body, storedAtMs } = record;
      records.push(new LogRecord(topic, partition, offset, key, attributes, body, storedAtMs, history, id));
    }
    return records;
  }

  async park({ group, member }: StoreMember, { topic, partition, epoch }: HeldLane, rows: readonly RowToPark[]) {
    const lane = this.#lane(group, topic, partition);
    if (lane.epoch !== epoch || lane.owner !== member) return undefined;
    return rows.map(row => this.#log.park(lane, row));
  }

  async bury(group: string, record: LogRecord, details: DeathDetails): Promise<void> {
    const letter = letterOf(this.#context.ids.next(), group, record, details, this.#platform.clock.wall());
    const { partition, offset } = record;
    this.#group(group).letters.set(letter.letterId, { letter, partition, offset });
    this.#log.count(letter, 1);
  }

  async groups(): Promise<readonly GroupStatus[]> {
    const nowMs = this.#platform.clock.wall();
    const all: GroupStatus[] = [];
    for (const [group, { lanes, members }] of this.#log.groups) {
      for (const [lane, { topic, partition, offset, returned, parked }] of lanes) {
        const log = this.#log.topic(topic).partitions[partition];
        const oldest = log?.get(Math.max(offset, log.firstOffset));
        all.push({
          group,
          topic,
          lane,
          lag: (log?.nextOffset ?? offset) - offset + returned.size + parked.size,
          oldestAgeMs: oldest === undefined ? undefined : nowMs - oldest.storedAtMs,
          consumers: [...members.values()].filter(topics => topics.has(topic)).length,
        });
      }
    }
    return all;
  }

  watch(watcher: StoreWatcher): () => void {
    this.#log.watchers.add(watcher);
    return () => this.#log.watchers.delete(watcher);
  }

  status(): { readonly isReady: boolean; readonly detail: string } {
    return { isReady: true, detail: "in memory" };
  }

  async close(): Promise<void> {
    this.#whenClosed();
  }

  async *#list(filter: DeadLetterFilter): AsyncGenerator<DeadLetter> {
    let left = filter.limit ?? Number.POSITIVE_INFINITY;
    for (const { letters } of this.#log.groups.values()) {
      for (const { letter } of letters.values()) {
        if (left <= 0) return;
        if (!letterMatches(letter, filter)) continue;
        left--;
        yield letter;
      }
    }
  }

  async #replay(letter: DeadLetter): Promise<void> {
    const { partition, offset, letter: kept } = this.#held(letter);
    const { topic, key, attributes, body } = kept;
    const count = this.#log.topic(topic).partitions.length;
    const to = key === undefined ? partition : partitionOf(key, count);
    const record = new LogRecord(topic, partition, offset, key, attributes, body, undefined);
    this.#hold(letter.group, record, to, offset, 0, noHistory);
    this.#remove(letter);
  }

  async #edit(letter: DeadLetter, change: DeadLetterEdit): Promise<DeadLetter> {
    const held = this.#held(letter);
    held.letter = editedLetter(held.letter, change);
    return held.letter;
  }

  #remove(letter: DeadLetter): void {
    const held = this.#held(letter);
    this.#group(letter.group).letters.delete(letter.letterId);
    this.#log.count(held.letter, -1);
  }

  #held({ group, letterId }: DeadLetter) {
    const held = this.#log.groups.get(group)?.letters.get(letterId);
    if (held === undefined) throw new BrokerError(`memory: group ${group} has no dead letter ${letterId} any more`);
    return held;
  }

  #hold(group: string, record: LogRecord, partition: number, offset: number, dueMs: number, history: AttemptHistory) {
    this.#log.hold(this.#lane(group, record.topic, partition), record, offset, dueMs, history);
    for (const watcher of this.#log.watchers) watcher.held(group, record.topic, partition);
  }

  get #mayCreate(): boolean {
    return this.#context.options.createTopics ?? true;
  }

  #group(name: string): MemoryGroup {
    let group = this.#log.groups.get(name);
    if (group === undefined) {
      group = { lanes: new Map(), members: new Map(), letters: new Map() };
      this.#log.groups.set(name, group);
    }
    return group;
  }

  #lane(group: string, topic: string, partition: number): GroupLane {
    const lane = this.#group(group).lanes.get(`${topic}/${partition}`);
    if (lane === undefined) throw new BrokerError(`memory: group ${group} does not consume ${topic}/${partition}`);
    return lane;
  }

  #regrouped(group: string): void {
    for (const watcher of this.#log.watchers) watcher.regrouped(group);
  }
}

function isSame(one: HeldLane, other: HeldLane): boolean {
  return one.topic === other.topic && one.partition === other.partition;
}

function noTopic(topic: string): PublishFailure {
  const error = new BrokerError(`memory: there is no topic ${JSON.stringify(topic)}, and createTopics is false`);
  return { isRetryable: false, error };
}
