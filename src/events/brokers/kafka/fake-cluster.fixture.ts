import { crc32 } from "node:zlib";
import type { VirtualClock } from "../../../platform/virtual/index.ts";
import { type BatchHeader, readBatchHeader } from "./batch-reader.ts";
import { code } from "./error-codes.ts";
import { FakeGroup } from "./fake-group.fixture.ts";
import { endMarker, FakeTransactions } from "./fake-transactions.fixture.ts";
import { pause } from "./pause.ts";
import {
  type AbortedTransaction,
  type Address,
  CallError,
  type Channel,
  type FetchAnswer,
  type FetchRequest,
  type KafkaClient,
  type MemberIdentity,
  type OffsetQuestion,
  type OffsetToCommit,
  type OpenTransaction,
  type Place,
  type ProduceBatch,
  type TransactionSettings,
} from "./wire.ts";

interface StoredBatch {
  readonly first: number;
  readonly next: number;
  readonly bytes: Buffer;
}

/** A partition as a broker keeps it, with what it remembers of producers (KIP-98). */
export class FakePartition {
  leader = 1;
  first = 0;
  readonly batches: StoredBatch[] = [];
  readonly producers = new Map<bigint, { next: number; sequence: number; count: number }>();
  readonly watchers = new Set<() => void>();
  /** First offsets of open transactions, by producer. */
  readonly #open = new Map<bigint, number>();
  readonly #aborted: { readonly producerId: bigint; readonly firstOffset: number; readonly lastOffset: number }[] = [];

  get next(): number {
    return this.batches.at(-1)?.next ?? this.first;
  }

  /** Up to here everything is decided: what readers of committed records see. */
  get lastStable(): number {
    return Math.min(this.next, ...this.#open.values());
  }

  /** Aborted transactions that reach beyond an offset. */
  abortedFrom(offset: number): readonly AbortedTransaction[] {
    return this.#aborted.filter(({ lastOffset }) => lastOffset >= offset);
  }

  appendInTransaction(bytes: Buffer): number {
    const { producerId } = readBatchHeader(bytes, 0, crc32) as BatchHeader;
    const epoch = bytes.readInt16BE(51);
    const known = this.#epochs.get(producerId) ?? -1;
    if (epoch < known) return code.invalidProducerEpoch;
    if (epoch > known) this.producers.delete(producerId);
    this.#epochs.set(producerId, epoch);
    const first = this.next;
    const error = this.append(bytes);
    if (error === code.none && this.next > first && !this.#open.has(producerId)) this.#open.set(producerId, first);
    return error;
  }

  endTransaction(producerId: bigint, producerEpoch: number, commits: boolean): void {
    this.#epochs.set(producerId, producerEpoch);
    const firstOffset = this.#open.get(producerId);
    this.#open.delete(producerId);
    const first = this.next;
    if (firstOffset !== undefined && !commits) this.#aborted.push({ producerId, firstOffset, lastOffset: first });
    const marker = endMarker(producerId, producerEpoch);
    marker.writeBigInt64BE(BigInt(first), 0);
    this.batches.push({ first, next: first + 1, bytes: marker });
    for (const wake of [...this.watchers]) wake();
  }

  readonly #epochs = new Map<bigint, number>();

  append(bytes: Buffer): number {
    const header = readBatchHeader(bytes, 0, crc32);
    if (header === undefined) return code.corruptMessage;
    const sequence = bytes.readInt32BE(53);
    const known = this.producers.get(header.producerId);
    if (known?.sequence === sequence && known.count === header.count) return code.none;
    if (sequence !== (known?.next ?? 0)) return code.outOfOrderSequenceNumber;
    this.producers.set(header.producerId, { next: sequence + header.count, sequence, count: header.count });
    const stored = Buffer.from(bytes);
    const first = this.next;
    stored.writeBigInt64BE(BigInt(first), 0);
    this.batches.push({ first, next: first + header.count, bytes: stored });
    for (const wake of [...this.watchers]) wake();
    return code.none;
  }

  /** From the batch that has the offset on; the first one is given whole (KIP-74). */
  from(offset: number, bytesMax: number): Buffer | undefined {
    const parts: Buffer[] = [];
    let size = 0;
    for (const { first, next, bytes } of this.batches) {
      if (next <= offset) continue;
      if (first >= this.lastStable) break;
      if (size > 0 && size + bytes.length > bytesMax) break;
      parts.push(bytes);
      size += bytes.length;
    }
    return parts.length === 0 ? undefined : Buffer.concat(parts);
  }
}

interface FakeTopic {
  topicId: string;
  readonly partitions: FakePartition[];
}

/** What becomes of a call: it is carried out, or lost on the way there or back, or refused with a code by all partitions. */
export type Fate = "done" | "request-lost" | "answer-lost" | number;

/** A cluster in memory, on a virtual clock, whose calls meet the fates that a test gives them. */
export class FakeCluster implements KafkaClient {
  readonly crc32c = (bytes: Uint8Array): number => crc32(bytes);
  readonly decompress = (): Buffer => {
    throw new Error("compressed");
  };
  readonly topics = new Map<string, FakeTopic>();
  readonly groups = new Map<string, FakeGroup>();
  readonly clock: VirtualClock;
  readonly brokers = new Map<number, Address>([
    [1, { host: "b1", port: 9_092 }],
    [2, { host: "b2", port: 9_092 }],
  ]);
  fate: (call: string, at: Address) => Fate = () => "done";
  /** What a leader says to a batch instead of taking it. */
  refuses: (batch: ProduceBatch) => number = () => code.none;
  latencyMs = 1;
  /** Calls by name. */
  readonly calls = new Map<string, number>();
  #ids = 0;
  readonly transactions: FakeTransactions;

  constructor(clock: VirtualClock) {
    this.clock = clock;
    this.transactions = new FakeTransactions(clock, () => this.nextProducerId());
  }

  topic(name: string, partitions = 1): readonly FakePartition[] {
    const made = {
      topicId: `id-${++this.#ids}`,
      partitions: Array.from({ length: partitions }, () => new FakePartition()),
    };
    this.topics.set(name, made);
    return made.partitions;
  }

  grow(name: string, partitions: number): void {
    const topic = this.topics.get(name);
    while (topic !== undefined && topic.partitions.length < partitions) topic.partitions.push(new FakePartition());
  }

  group(name: string): FakeGroup {
    let group = this.groups.get(name);
    if (group === undefined) {
      group = new FakeGroup(this.clock);
      this.groups.set(name, group);
    }
    return group;
  }

  partition({ topic, partition }: { readonly topic: string; readonly partition: number }): FakePartition | undefined {
    return this.topics.get(topic)?.partitions[partition];
  }

  nextProducerId(): bigint {
    return BigInt(++this.#ids);
  }

  channel(): Channel {
    return new FakeChannel(this);
  }

  leads(at: Address, partition: FakePartition): boolean {
    return this.brokers.get(partition.leader)?.host === at.host;
  }
}

class FakeChannel implements Channel {
  readonly #cluster: FakeCluster;
  readonly #closed = new AbortController();

  constructor(cluster: FakeCluster) {
    this.#cluster = cluster;
  }

  /** @param refused what the answer is for a code instead of being carried out */
  async #call<T>(name: string, at: Address, run: () => T | Promise<T>, refused?: (error: number) => T): Promise<T> {
    const { calls, latencyMs, clock } = this.#cluster;
    calls.set(name, (calls.get(name) ?? 0) + 1);
    const fate = this.#cluster.fate(name, at);
    await pause(clock, latencyMs, this.#closed.signal);
    const broken = () => new CallError(`${at.host}: the connection broke`, true, false);
    if (this.#closed.signal.aborted || fate === "request-lost") throw broken();
    if (typeof fate === "number") {
      if (refused === undefined) throw broken();
      return refused(fate);
    }
    const answer = await Promise.race([
      run(),
      new Promise<undefined>(resolve => this.#closed.signal.addEventListener("abort", () => resolve(undefined))),
    ]);
    if (fate === "answer-lost" || this.#closed.signal.aborted || answer === undefined) throw broken();
    return answer;
  }

  metadata(at: Address, topics: readonly string[] | undefined) {
    return this.#call("metadata", at, () => ({
      brokers: new Map(this.#cluster.brokers),
      topics: (topics ?? [...this.#cluster.topics.keys()]).map(topic => {
        const found = this.#cluster.topics.get(topic);
        return {
          topic,
          topicId: found?.topicId ?? "",
          error: found === undefined ? code.unknownTopicOrPartition : code.none,
          isInternal: false,
          partitions: (found?.partitions ?? []).map(({ leader }, partition) => ({ partition, error: 0, leader })),
        };
      }),
    }));
  }

  findCoordinator(at: Address) {
    const address = this.#cluster.brokers.get(1) as Address;
    return this.#call(
      "findCoordinator",
      at,
      () => ({ error: 0, address }),
      error => ({ error, address }),
    );
  }

  createTopics(at: Address, topics: Parameters<Channel["createTopics"]>[1]) {
    return this.#call("createTopics", at, () =>
      topics.map(({ topic, partitions }) => {
        if (!this.#cluster.topics.has(topic)) this.#cluster.topic(topic, Math.max(partitions, 1));
        return { topic, error: 0, message: undefined };
      }),
    );
  }

  deleteTopics(at: Address, topics: readonly string[]) {
    return this.#call("deleteTopics", at, () =>
      topics.map(topic => {
        this.#cluster.topics.delete(topic);
        return { topic, error: 0, message: undefined };
      }),
    );
  }

  initProducerId(at: Address, transaction?: TransactionSettings) {
    if (transaction !== undefined) {
      return this.#call(
        "initProducerId",
        at,
        () => this.#cluster.transactions.init(transaction),
        error => ({ error, producerId: -1n, producerEpoch: -1 }),
      );
    }
    const producerId = this.#cluster.nextProducerId();
    return this.#call("initProducerId", at, () => ({ error: 0, producerId, producerEpoch: 0 }));
  }

  addPartitionsToTransaction(at: Address, transaction: OpenTransaction, places: readonly Place[]) {
    const answers = (errorOf: (place: Place) => number) =>
      places.map(place => ({ topic: place.topic, partition: place.partition, error: errorOf(place) }));
    return this.#call(
      "addPartitionsToTransaction",
      at,
      () =>
        answers(place => {
          const found = this.#cluster.partition(place);
          if (found === undefined) return code.unknownTopicOrPartition;
          return this.#cluster.transactions.add(transaction, `${place.topic}/${place.partition}`, found);
        }),
      error => answers(() => error),
    );
  }

  addOffsetsToTransaction(at: Address, transaction: OpenTransaction, group: string) {
    return this.#call(
      "addOffsetsToTransaction",
      at,
      () => this.#cluster.transactions.add(transaction, `group ${group}`, this.#cluster.group(group)),
      error => error,
    );
  }

  commitInTransaction(
    at: Address,
    transaction: OpenTransaction,
    member: MemberIdentity,
    offsets: readonly OffsetToCommit[],
  ) {
    return this.#call(
      "commitInTransaction",
      at,
      () => this.#cluster.group(member.group).commitInTransaction(transaction, member, offsets),
      error => offsets.map(({ topic, partition }) => ({ topic, partition, error })),
    );
  }

  endTransaction(at: Address, transaction: OpenTransaction, commits: boolean) {
    return this.#call(
      "endTransaction",
      at,
      () => this.#cluster.transactions.end(transaction, commits),
      error => error,
    );
  }

  produce(at: Address, batches: readonly ProduceBatch[], _timeoutMs: number, transactionalId?: string) {
    const answer = (one: ProduceBatch, error: number) => ({ ...one, error, message: undefined });
    return this.#call(
      "produce",
      at,
      () =>
        batches.map(one => {
          const partition = this.#cluster.partition(one);
          if (partition === undefined) return answer(one, code.unknownTopicOrPartition);
          if (!this.#cluster.leads(at, partition)) return answer(one, code.notLeaderOrFollower);
          const refusal = this.#cluster.refuses(one);
          if (refusal !== code.none) return answer(one, refusal);
          if (transactionalId === undefined) return answer(one, partition.append(one.bytes));
          if (!this.#cluster.transactions.has({ transactionalId }, one))
            return answer(one, code.invalidTransactionState);
          return answer(one, partition.appendInTransaction(one.bytes));
        }),
      error => batches.map(one => answer(one, error)),
    );
  }

  fetch(at: Address, { partitions, maxWaitMs, bytesMax }: FetchRequest) {
    const read = (): readonly FetchAnswer[] =>
      partitions.map(({ topic, topicId, partition, offset, bytesMax: most }) => {
        const found = this.#cluster.partition({ topic, partition });
        const answer = {
          topic,
          partition,
          highWatermark: found?.next ?? -1,
          abortedTransactions: found?.abortedFrom(offset) ?? [],
          records: undefined,
        };
        if (found === undefined || this.#cluster.topics.get(topic)?.topicId !== topicId)
          return { ...answer, error: code.unknownTopicId };
        if (!this.#cluster.leads(at, found)) return { ...answer, error: code.notLeaderOrFollower };
        if (offset < found.first || offset > found.next) return { ...answer, error: code.offsetOutOfRange };
        return { ...answer, error: code.none, records: found.from(offset, Math.min(most, bytesMax)) };
      });
    return this.#call("fetch", at, async () => {
      const now = read();
      if (now.some(({ error, records }) => error !== code.none || records !== undefined)) return now;
      const changed = new AbortController();
      const wake = () => changed.abort();
      const watched = partitions.map(place => this.#cluster.partition(place));
      for (const one of watched) one?.watchers.add(wake);
      this.#closed.signal.addEventListener("abort", wake);
      await pause(this.#cluster.clock, maxWaitMs, changed.signal);
      this.#closed.signal.removeEventListener("abort", wake);
      for (const one of watched) one?.watchers.delete(wake);
      return read();
    });
  }

  listOffsets(at: Address, places: readonly OffsetQuestion[]) {
    return this.#call("listOffsets", at, () =>
      places.map(({ topic, partition, which }) => {
        const found = this.#cluster.partition({ topic, partition });
        const error =
          found === undefined
            ? code.unknownTopicOrPartition
            : this.#cluster.leads(at, found)
              ? 0
              : code.notLeaderOrFollower;
        return { topic, partition, error, offset: (which === "earliest" ? found?.first : found?.lastStable) ?? -1 };
      }),
    );
  }

  joinGroup(at: Address, request: Parameters<Channel["joinGroup"]>[1]) {
    return this.#call("joinGroup", at, () => this.#cluster.group(request.group).join(request));
  }

  syncGroup(at: Address, request: Parameters<Channel["syncGroup"]>[1]) {
    return this.#call("syncGroup", at, () => this.#cluster.group(request.group).sync(request));
  }

  heartbeat(at: Address, member: Parameters<Channel["heartbeat"]>[1]) {
    return this.#call(
      "heartbeat",
      at,
      () => this.#cluster.group(member.group).heartbeat(member),
      error => error,
    );
  }

  leaveGroup(at: Address, member: Parameters<Channel["leaveGroup"]>[1]) {
    return this.#call("leaveGroup", at, () => this.#cluster.group(member.group).leave(member.memberId));
  }

  commit(at: Address, member: Parameters<Channel["commit"]>[1], offsets: Parameters<Channel["commit"]>[2]) {
    return this.#call("commit", at, () => this.#cluster.group(member.group).commit(member, offsets));
  }

  committed(at: Address, group: string, places: Parameters<Channel["committed"]>[2]) {
    return this.#call("committed", at, () => this.#cluster.group(group).fetch(places));
  }

  consumerHeartbeat(): Promise<never> {
    throw new Error("the fake cluster knows only the classic protocol");
  }

  listGroups(at: Address) {
    return this.#call("listGroups", at, () => ({ error: 0, groups: [...this.#cluster.groups.keys()] }));
  }

  describeGroups(at: Address) {
    return this.#call("describeGroups", at, () => new Map<string, number>());
  }

  async close(): Promise<void> {
    this.#closed.abort();
  }
}
