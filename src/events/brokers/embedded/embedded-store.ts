import { outsideContext, type Platform, type Timer } from "../../../platform/index.ts";
import type { DeadLetter, DeadLetterEdit, DeadLetterStore } from "../../dead-letter.ts";
import type { DeathDetails, DriverContext, GroupStatus, PublishFailure } from "../../driver.ts";
import { BrokerError, PublishError } from "../../errors.ts";
import {
  type Balance,
  editedLetter,
  goneReplies,
  type HeldLane,
  type LaneCommit,
  type LogRecord,
  type LogStore,
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
import { type CodedRecord, encodeBatch } from "./batch-codec.ts";
import { ChangeWatch, type Found } from "./change-watch.ts";
import { brokerError, explain, publishError } from "./failures.ts";
import { batchBytesMax, batchRecordsMax, dueRows, refusalRatio, trimEveryMs, trimPauseMs, trimRows } from "./limits.ts";
import type { LetterDetails, LogReader } from "./log-reader.ts";
import type { EmbeddedUrl } from "./url.ts";
import { WriteQueue } from "./write-queue.ts";
import type { AnswerTo, AppendAnswer, AppendWrite, LogWriter, PartitionBatch, Write } from "./writes.ts";

/** A log in a file: writes go through a queue to one writer, reads are immediate. */
export class EmbeddedStore implements LogStore {
  readonly deadLetters: DeadLetterStore;
  readonly #url: EmbeddedUrl;
  readonly #reader: LogReader;
  readonly #writer: LogWriter;
  readonly #queue: WriteQueue;
  readonly #platform: Platform;
  readonly #context: DriverContext;
  readonly #watchers = new Set<StoreWatcher>();
  readonly #changes: ChangeWatch;
  /** Records without a key go around. */
  #turn = 0;
  /** Appends that wait for their topics to be made, and those behind them. */
  #makingTopics: Promise<unknown> | undefined;
  #trouble: string | undefined;
  #dueTimer: Timer | undefined;
  #dueAtMs = Number.POSITIVE_INFINITY;
  #trimTimer: Timer | undefined;
  #isClosed = false;

  constructor(url: EmbeddedUrl, reader: LogReader, writer: LogWriter, context: DriverContext) {
    this.#url = url;
    this.#reader = reader;
    this.#writer = writer;
    this.#context = context;
    this.#platform = context.platform;
    this.#changes = new ChangeWatch(
      context.platform,
      `${url.file}-wal`,
      () => this.#look(),
      () => this.#queue.isBusy,
    );
    this.#queue = new WriteQueue(writer, context.platform.clock, error => {
      this.#changes.wroteItself();
      this.#trouble = error === undefined ? undefined : explain(url.file, error).message;
    });
    this.deadLetters = {
      list: filter => this.#letters(filter),
      replay: letter => this.#replay(letter),
      discard: letter => this.#discard(letter),
      edit: (letter, change) => this.#edit(letter, change),
    };
    outsideContext(() => {
      this.#armDue();
      this.#armTrim(trimEveryMs);
    });
  }

  append(records: readonly EventRecord[]): Promise<readonly (PublishFailure | undefined)[]> {
    const missing = new Set<string>();
    for (const { topic } of records) if (this.#reader.partitionCount(topic) === 0) missing.add(topic);
    if (missing.size === 0 && this.#makingTopics === undefined) return this.#append(records);
    // Those that come meanwhile stay behind: records of a key keep the order of the calls.
    const appending = Promise.resolve(this.#makingTopics)
      .then(() => this.createTopics([...missing]))
      .then(
        () => ({ answers: this.#append(records) }),
        (error: unknown) => ({ answers: Promise.resolve(records.map(() => failureOf(error))) }),
      )
      .then(started => {
        if (this.#makingTopics === appending) this.#makingTopics = undefined;
        return started;
      });
    this.#makingTopics = appending;
    return appending.then(({ answers }) => answers);
  }

  async createTopics(topics: readonly string[]): Promise<void> {
    const missing = topics.filter(topic => this.#reader.partitionCount(topic) === 0);
    if (missing.length === 0) return;
    if (this.#context.options.createTopics === false) {
      throw new BrokerError(`sqlite: ${this.#url.file} has no topic ${missing.join(", ")}, and createTopics is false`);
    }
    await this.#write({ kind: "topics", topics: missing, partitions: this.#url.partitions });
  }

  async openReplies(topic: string): Promise<void> {
    await this.#write({ kind: "topics", topics: [topic], partitions: 1 });
  }

  async closeReplies(topic: string): Promise<void> {
    await this.#write({ kind: "removeTopic", topic });
  }

  async appendReply(reply: EventRecord): Promise<PublishFailure | undefined> {
    // Asked of the file: another process may have removed it.
    if (this.partitions(reply.topic).length === 0) return goneReplies("sqlite", reply.topic);
    const [failure] = await this.#append([reply]);
    return failure;
  }

  async join({ group, member, topics }: StoreMember, from: "beginning" | "now"): Promise<void> {
    await this.#write({ kind: "join", group, member, topics, from, leaseMs: this.#url.leaseMs });
    this.#regrouped(group);
  }

  async balance({ group, member, topics }: StoreMember, held: readonly HeldLane[], accepts: boolean): Promise<Balance> {
    const plain = held.map(({ topic, partition, epoch }) => ({ topic, partition, epoch }));
    const { leaseMs } = this.#url;
    return this.#write({ kind: "balance", group, member, topics, held: plain, accepts, leaseMs });
  }

  async leave({ group, member }: StoreMember): Promise<void> {
    await this.#write({ kind: "leave", group, member });
    this.#regrouped(group);
  }

  read(request: ReadRequest): ReadAnswer {
    return this.#reading(() => this.#reader.read(request));
  }

  partitions(topic: string): readonly PartitionBounds[] {
    return this.#reading(() => {
      this.#reader.partitionCount(topic);
      return this.#reader.bounds(topic);
    });
  }

  readReturned(request: ReturnedRequest): ReturnedAnswer {
    return this.#reading(() => this.#reader.readReturned(request));
  }

  async commit({ group, member }: StoreMember, commits: readonly LaneCommit[], releases: boolean) {
    const lanes = commits.map(({ lane, epoch, offset, metadata, settledIds, begunIds, waitingIds }) => ({
      topic: lane.topic,
      partition: lane.partition,
      epoch,
      offset,
      metadata,
      settledIds,
      begun: [...begunIds],
      waiting: [...waitingIds].map(
        ([id, { dueMs, history }]) => [id, dueMs, history.attempts, history.firstFailedAtMs ?? null] as const,
      ),
    }));
    const counts = await this.#write({ kind: "commit", group, member, lanes, releases });
    if (releases) this.#regrouped(group);
    return counts;
  }

  async hold(group: string, record: LogRecord, dueMs: number, history: AttemptHistory): Promise<void> {
    const { topic } = record;
    await this.#write({ kind: "hold", group, topic, ...waiting(record, dueMs, history) });
    for (const watcher of this.#watchers) watcher.held(group, topic, record.partition);
  }

  parked(group: string, { topic, partition }: HeldLane): readonly ParkedRow[] {
    return this.#reading(() => this.#reader.parked(group, topic, partition));
  }

  readParked(_group: string, { topic }: HeldLane, ids: readonly number[]): readonly LogRecord[] {
    return this.#reading(() => this.#reader.readParked(topic, ids));
  }

  park({ group, member }: StoreMember, { topic, partition, epoch }: HeldLane, rows: readonly RowToPark[]) {
    const parked = rows.map(({ record, key, position = null, history, dueAtMs }) => ({
      key,
      position,
      ...waiting(record, dueAtMs, history),
    }));
    return this.#write({ kind: "park", group, member, lane: { topic, partition, epoch }, rows: parked });
  }

  async bury(group: string, record: LogRecord, details: DeathDetails): Promise<void> {
    const { reason, exception, attempts, firstFailedAtMs, consumer, contract } = details;
    const { place, topic, partition, offset } = record;
    const kept: LetterDetails = { reason, exception, attempts, firstFailedAtMs, place, consumer, contract };
    await this.#write({
      kind: "bury",
      letterId: this.#context.ids.next(),
      group,
      topic,
      partition,
      offset,
      details: JSON.stringify(kept),
      record: encodeBatch([record]),
    });
  }

  async groups(): Promise<readonly GroupStatus[]> {
    return this.#reading(() => this.#reader.groups(this.#platform.clock.wall()));
  }

  watch(watcher: StoreWatcher): () => void {
    this.#watchers.add(watcher);
    this.#changes.start();
    return () => {
      this.#watchers.delete(watcher);
      if (this.#watchers.size === 0) this.#changes.stop();
    };
  }

  status(): { readonly isReady: boolean; readonly detail: string } {
    return { isReady: this.#trouble === undefined, detail: this.#trouble ?? this.#url.file };
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#changes.stop();
    this.#dueTimer?.cancel();
    this.#trimTimer?.cancel();
    await this.#makingTopics;
    await this.#queue.flush();
    await this.#writer.close();
    this.#reader.close();
  }

  // Appending.

  async #append(records: readonly EventRecord[]): Promise<readonly (PublishFailure | undefined)[]> {
    try {
      const { appended, refused } = await this.#queue.add(this.#appendOf(records));
      if (refused !== undefined) {
        const error = new PublishError(`sqlite: ${this.#url.file}: ${refused}`, true);
        return records.map(() => ({ isRetryable: true, error }));
      }
      this.#appended(appended);
      if (appended.length === 0 || records.some(({ notBeforeMs }) => notBeforeMs !== undefined)) this.#armDue();
      return new Array<undefined>(records.length).fill(undefined);
    } catch (error) {
      const failure = publishError(this.#url.file, error);
      return records.map(() => ({ isRetryable: failure.isRetryable, error: failure }));
    }
  }

  #appendOf(records: readonly EventRecord[]): AppendWrite {
    const nowMs = this.#platform.clock.wall();
    const byPartition = new Map<string, EventRecord[]>();
    const scheduled: (PartitionBatch & { readonly dueMs: number })[] = [];
    for (const record of records) {
      const { topic, key, notBeforeMs } = record;
      const count = this.#reader.partitionCount(topic);
      const partition = key === undefined ? this.#turn++ % count : partitionOf(key, count);
      if (notBeforeMs !== undefined && notBeforeMs > nowMs) {
        scheduled.push({ topic, partition, count: 1, batch: encodeBatch([coded(record)]), dueMs: notBeforeMs });
        continue;
      }
      const name = `${topic}/${partition}`;
      const some = byPartition.get(name);
      if (some === undefined) byPartition.set(name, [record]);
      else some.push(record);
    }
    const batches: PartitionBatch[] = [];
    for (const [name, some] of byPartition) {
      const slash = name.lastIndexOf("/");
      const [topic, partition] = [name.slice(0, slash), Number(name.slice(slash + 1))];
      for (const part of parts(some))
        batches.push({ topic, partition, count: part.length, batch: encodeBatch(part.map(coded)) });
    }
    return { kind: "append", batches, scheduled, logBytesMax: this.#url.retentionBytes * refusalRatio };
  }

  #appended(appended: AppendAnswer["appended"]): void {
    for (const { topic, partition, nextOffset } of appended) {
      if (!this.#reader.heardOf(topic, partition, nextOffset)) continue;
      for (const watcher of this.#watchers) watcher.appended(topic, partition);
    }
  }

  // Looking for what others have done.

  #look(): Found {
    try {
      if (!this.#reader.hasChanged()) return "nothing";
      return this.#tell() ? "news" : "own";
    } catch (error) {
      this.#trouble = explain(this.#url.file, error).message;
      return "nothing";
    }
  }

  /** @returns whether there was anything to tell */
  #tell(): boolean {
    const { appended, regrouped, held } = this.#reader.changes();
    for (const watcher of this.#watchers) {
      for (const { topic, partition } of appended) watcher.appended(topic, partition);
      for (const group of regrouped) watcher.regrouped(group);
      for (const group of held) watcher.held(group, undefined, undefined);
    }
    this.#armDue();
    return appended.length + regrouped.length + held.length > 0;
  }

  #regrouped(group: string): void {
    for (const watcher of this.#watchers) watcher.regrouped(group);
  }

  // What is scheduled, and what is old.

  #armDue(): void {
    if (this.#isClosed) return;
    const dueMs = this.#reader.nextScheduledMs();
    if (dueMs === this.#dueAtMs) return;
    this.#dueTimer?.cancel();
    this.#dueAtMs = dueMs;
    if (dueMs === Number.POSITIVE_INFINITY) return;
    const { clock } = this.#platform;
    this.#dueTimer = outsideContext(() => clock.after(Math.max(dueMs - clock.wall(), 1), () => this.#publishDue()));
  }

  async #publishDue(): Promise<void> {
    this.#dueAtMs = Number.NaN;
    try {
      const { appended } = await this.#queue.add({ kind: "due", rows: dueRows });
      this.#appended(appended);
      this.#armDue();
    } catch {
      if (!this.#isClosed) this.#dueTimer = this.#platform.clock.after(1_000, () => this.#publishDue());
    }
  }

  #armTrim(delayMs: number): void {
    if (this.#isClosed) return;
    const { clock, random } = this.#platform;
    // Not all processes at the same time.
    this.#trimTimer = clock.after(delayMs * (0.75 + random.next() / 2), () => this.#trim());
  }

  async #trim(): Promise<void> {
    const nowMs = this.#platform.clock.wall();
    const olderThanMs = Math.floor(nowMs - this.#url.retentionMs);
    let removed = 0;
    try {
      const bytesMax = this.#url.retentionBytes;
      const trim = { kind: "trim", olderThanMs, bytesMax, groupsSeenSinceMs: olderThanMs, rows: trimRows } as const;
      removed = (await this.#queue.add(trim)).rows;
    } catch {
      // The status says so; it is tried again.
    }
    this.#armTrim(removed === trimRows ? trimPauseMs : trimEveryMs);
  }

  // Dead letters.

  async *#letters(filter: Parameters<DeadLetterStore["list"]>[0]): AsyncGenerator<DeadLetter> {
    yield* this.#reader.letters(filter);
  }

  async #replay(letter: DeadLetter): Promise<void> {
    const { letterId, topic } = letter;
    const { key } = this.#letter(letter);
    const count = this.#reader.partitionCount(topic);
    const partitionOfKey = key === undefined ? undefined : partitionOf(key, count);
    const given = await this.#write({ kind: "replay", letterId, partitionOfKey });
    if (given === undefined) throw this.#noLetter(letter);
    for (const watcher of this.#watchers) watcher.held(given.group, given.topic, given.partition);
  }

  async #discard(letter: DeadLetter): Promise<void> {
    if (!(await this.#write({ kind: "discard", letterId: letter.letterId }))) throw this.#noLetter(letter);
  }

  async #edit(letter: DeadLetter, change: DeadLetterEdit): Promise<DeadLetter> {
    const edited = editedLetter(this.#letter(letter), change);
    const { letterId } = letter;
    if (!(await this.#write({ kind: "edit", letterId, record: encodeBatch([edited]) }))) throw this.#noLetter(letter);
    return edited;
  }

  #letter(letter: DeadLetter): DeadLetter {
    const kept = this.#reading(() => this.#reader.letter(letter.letterId));
    if (kept === undefined) throw this.#noLetter(letter);
    return kept;
  }

  #noLetter({ group, letterId }: DeadLetter): BrokerError {
    return new BrokerError(`sqlite: group ${group} has no dead letter ${letterId} any more`);
  }

  async #write<W extends Write>(write: W): Promise<AnswerTo<W>> {
    try {
      return await this.#queue.add(write);
    } catch (error) {
      throw brokerError(this.#url.file, error);
    }
  }

  #reading<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      this.#trouble = explain(this.#url.file, error).message;
      throw error;
    }
  }
}

/** The columns of a record that waits beside the log. */
function waiting(record: LogRecord, dueMs: number, { attempts, firstFailedAtMs }: AttemptHistory) {
  const { partition, offset, storedAtMs } = record;
  return {
    partition,
    offset,
    storedAtMs: storedAtMs ?? null,
    dueMs,
    attempts,
    firstFailedAtMs: firstFailedAtMs ?? null,
    record: encodeBatch([record]),
  };
}

function coded(record: EventRecord): CodedRecord {
  return { key: record.key, attributes: record, body: record.body };
}

/** Not more in one row than is good to read at once. */
function* parts(records: readonly EventRecord[]): Generator<readonly EventRecord[]> {
  let first = 0;
  let bytes = 0;
  for (let index = 0; index < records.length; index++) {
    const size = (records[index] as EventRecord).body.length;
    if (index > first && (bytes + size > batchBytesMax || index - first >= batchRecordsMax)) {
      yield records.slice(first, index);
      first = index;
      bytes = 0;
    }
    bytes += size;
  }
  yield first === 0 ? records : records.slice(first);
}

function failureOf(error: unknown): PublishFailure {
  return { isRetryable: false, error: error as Error };
}
