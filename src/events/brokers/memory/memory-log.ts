import { outsideContext, type Platform, type Timer } from "../../../platform/index.ts";
import type { DeadLetter } from "../../dead-letter.ts";
import type { PublishFailure } from "../../driver.ts";
import { PublishError } from "../../errors.ts";
import { type Due, DueQueue, LogRecord, partitionOf, type RowToPark, type StoreWatcher } from "../../log/index.ts";
import type { AttemptHistory, EventRecord, StoredRecord } from "../../record.ts";
import { memoryRoomRatio, recordOverheadBytes } from "./limits.ts";

interface Entry {
  readonly event: EventRecord;
  readonly storedAtMs: number;
  readonly bytes: number;
}

/** The records of a partition: those from `firstOffset` on. */
export class MemoryPartition {
  readonly topic: string;
  readonly number: number;
  /** Watchers have to be told of new records. */
  isFresh = false;
  #entries: (Entry | undefined)[] = [];
  /** Entries before it have been dropped. */
  #head = 0;
  #firstOffset = 0;

  constructor(topic: string, number: number) {
    this.topic = topic;
    this.number = number;
  }

  get firstOffset(): number {
    return this.#firstOffset;
  }

  get nextOffset(): number {
    return this.#firstOffset + this.#entries.length - this.#head;
  }

  get(offset: number): Entry | undefined {
    return this.#entries[offset - this.#firstOffset + this.#head];
  }

  append(entry: Entry): void {
    this.#entries.push(entry);
  }

  /** @returns the bytes of the oldest record, which is gone */
  drop(): number {
    const entry = this.#entries[this.#head] as Entry;
    this.#entries[this.#head++] = undefined;
    this.#firstOffset++;
    if (this.#head > 1_024 && this.#head * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head);
      this.#head = 0;
    }
    return entry.bytes;
  }
}

export interface MemoryTopic {
  readonly partitions: readonly MemoryPartition[];
  /** Records without a key go around. */
  turn: number;
}

/** What a group has of a partition. */
export interface GroupLane {
  readonly topic: string;
  readonly partition: number;
  offset: number;
  epoch: number;
  owner: string | undefined;
  /** Records that wait for another attempt. */
  readonly returned: DueQueue<Returned>;
  readonly returnedById: Map<number, Returned>;
  /** Records whose keys wait for another attempt, by their number, in the order in which they were parked. */
  readonly parked: Map<number, Parked>;
}

/** A record in a group's parking place. */
export interface Parked {
  readonly key: string;
  readonly position: number | undefined;
  readonly record: StoredRecord;
  readonly offset: number;
  dueMs: number;
  history: AttemptHistory;
}

/** A record that waits beside the log. */
export interface Returned extends Due {
  readonly record: StoredRecord;
  readonly offset: number;
  readonly history: AttemptHistory;
}

export interface MemoryGroup {
  readonly lanes: Map<string, GroupLane>;
  readonly members: Map<string, ReadonlySet<string>>;
  /** By their id, in the order in which they died. */
  readonly letters: Map<string, { letter: DeadLetter; readonly partition: number; readonly offset: number }>;
}

export interface MemoryLogOptions {
  readonly partitions: number;
  readonly bytesMax: number;
}

/**
 * What the connections to one memory broker share. All of it is bounded by bytes: when they are used up, the oldest records
 * go that every group has settled; when there are none, publishes are refused, with a word on who is behind. What a group
 * still has to do is never dropped.
 */
export class MemoryLog {
  readonly topics = new Map<string, MemoryTopic>();
  readonly groups = new Map<string, MemoryGroup>();
  readonly watchers = new Set<StoreWatcher>();
  readonly options: MemoryLogOptions;
  readonly #platform: Platform;
  /** Not due yet, by the time that they are; armed for the earliest. */
  readonly #scheduled = new DueQueue<Due & { readonly event: EventRecord }>();
  #timer: Timer | undefined;
  #bytes = 0;
  #lastId = 0;
  /** Partitions with records that watchers were not told of. */
  #fresh: MemoryPartition[] = [];

  constructor(options: MemoryLogOptions, platform: Platform) {
    this.options = options;
    this.#platform = platform;
  }

  /** Of all records, those that wait for another attempt, and dead letters. */
  get bytes(): number {
    return this.#bytes;
  }

  topic(name: string, partitions = this.options.partitions): MemoryTopic {
    let topic = this.topics.get(name);
    if (topic === undefined) {
      topic = {
        partitions: Array.from({ length: partitions }, (_, number) => new MemoryPartition(name, number)),
        turn: 0,
      };
      this.topics.set(name, topic);
    }
    return topic;
  }

  /** Nobody reads it any more. */
  removeTopic(name: string): void {
    for (const partition of this.topics.get(name)?.partitions ?? []) {
      while (partition.firstOffset < partition.nextOffset) this.#bytes -= partition.drop();
    }
    this.topics.delete(name);
  }

  /** Follow the last of several by `tell`. */
  append(event: EventRecord, nowMs: number): PublishFailure | undefined {
    const bytes = bytesOf(event);
    if (this.#bytes + bytes > this.options.bytesMax && !this.#makeRoom(bytes)) return this.#full();
    this.#bytes += bytes;
    if (event.notBeforeMs !== undefined && event.notBeforeMs > nowMs) this.#schedule(event);
    else this.#store(event, bytes, nowMs);
    return undefined;
  }

  /** Keeps a record of a group until it is due. */
  hold(lane: GroupLane, record: StoredRecord, offset: number, dueMs: number, history: AttemptHistory): void {
    const returned = { id: ++this.#lastId, dueMs, record, offset, history };
    lane.returned.add(returned);
    lane.returnedById.set(returned.id, returned);
    this.#bytes += bytesOf(record);
  }

  park(lane: GroupLane, { record, key, position, dueAtMs: dueMs, history }: RowToPark): number {
    const id = ++this.#lastId;
    lane.parked.set(id, { key, position, record, offset: record.offset, dueMs, history });
    this.#bytes += bytesOf(record);
    return id;
  }

  settleReturned(lane: GroupLane, id: number): void {
    const parked = lane.parked.get(id);
    if (parked !== undefined) {
      lane.parked.delete(id);
      this.#bytes -= bytesOf(parked.record);
      return;
    }
    const returned = lane.returnedById.get(id);
    if (returned === undefined) return;
    lane.returned.remove(returned);
    lane.returnedById.delete(id);
    this.#bytes -= bytesOf(returned.record);
  }

  /** A dead letter comes or goes. */
  count(letter: DeadLetter, sign: 1 | -1): void {
    this.#bytes += sign * bytesOf(letter);
  }

  /** The last connection is gone, and all that was here with it. */
  end(): void {
    this.#timer?.cancel();
  }

  #store(event: EventRecord, bytes: number, nowMs: number): void {
    const topic = this.topic(event.topic);
    const count = topic.partitions.length;
    const number = event.key === undefined ? topic.turn++ % count : partitionOf(event.key, count);
    const partition = topic.partitions[number] as MemoryPartition;
    partition.append({ event, storedAtMs: nowMs, bytes });
    if (partition.isFresh) return;
    partition.isFresh = true;
    this.#fresh.push(partition);
  }

  /** Tells watchers of all that was appended: once for each partition, not for each record. */
  tell(): void {
    const fresh = this.#fresh;
    if (fresh.length === 0) return;
    this.#fresh = [];
    for (const partition of fresh) {
      partition.isFresh = false;
      for (const watcher of this.watchers) watcher.appended(partition.topic, partition.number);
    }
  }

  #schedule(event: EventRecord): void {
    const dueMs = event.notBeforeMs as number;
    const isFirst = dueMs < this.#scheduled.nextDueMs;
    this.#scheduled.add({ id: ++this.#lastId, dueMs, event });
    if (isFirst) outsideContext(() => this.#arm());
  }

  #arm(): void {
    this.#timer?.cancel();
    const { clock } = this.#platform;
    const delayMs = Math.max(this.#scheduled.nextDueMs - clock.wall(), 1);
    this.#timer = clock.after(delayMs, () => {
      const nowMs = clock.wall();
      for (const { event } of this.#scheduled.take(nowMs)) this.#store(event, bytesOf(event), nowMs);
      this.tell();
      this.#arm();
    });
  }

  /** Drops the oldest records that nobody waits for. @returns whether there is room for `bytes` now */
  #makeRoom(bytes: number): boolean {
    const target = Math.min(this.options.bytesMax * memoryRoomRatio, this.options.bytesMax - bytes);
    const settled: { readonly partition: MemoryPartition; readonly end: number }[] = [];
    for (const [name, { partitions }] of this.topics) {
      for (const [index, partition] of partitions.entries()) {
        let end = partition.nextOffset;
        for (const group of this.groups.values())
          end = Math.min(end, group.lanes.get(`${name}/${index}`)?.offset ?? end);
        settled.push({ partition, end });
      }
    }
    while (this.#bytes > target) {
      let oldest: MemoryPartition | undefined;
      let oldestMs = Number.POSITIVE_INFINITY;
      for (const { partition, end } of settled) {
        if (partition.firstOffset >= end) continue;
        const { storedAtMs } = partition.get(partition.firstOffset) as Entry;
        if (storedAtMs >= oldestMs) continue;
        oldestMs = storedAtMs;
        oldest = partition;
      }
      const end = settled.find(({ partition }) => partition === oldest)?.end;
      if (oldest === undefined || end === undefined) break;
      // Some at a time: those of one partition that are next to each other are about as old.
      for (let count = 0; count < 256 && oldest.firstOffset < end && this.#bytes > target; count++) {
        this.#bytes -= oldest.drop();
      }
    }
    return this.#bytes + bytes <= this.options.bytesMax;
  }

  #full(): PublishFailure {
    let worst = "dead letters and scheduled events take it";
    let most = 0;
    for (const [name, group] of this.groups) {
      let lag = 0;
      for (const { topic, partition, offset } of group.lanes.values()) {
        lag += (this.topics.get(topic)?.partitions[partition]?.nextOffset ?? offset) - offset;
      }
      if (lag <= most) continue;
      most = lag;
      worst = `group ${name} is ${lag} behind`;
    }
    const message = `memory: all ${this.options.bytesMax} bytes are in use (bytesMax) and ${worst}; publish slower, or let it catch up`;
    return { isRetryable: true, error: new PublishError(message, true) };
  }
}

/** A record of the log, as a group sees it: each has its own, the content is shared. */
export function recordAt(topic: string, partition: number, offset: number, entry: Entry): LogRecord {
  const { event } = entry;
  return new LogRecord(topic, partition, offset, event.key, event, event.body, entry.storedAtMs);
}

function bytesOf({ body }: { readonly body: Uint8Array }): number {
  return body.length + recordOverheadBytes;
}
