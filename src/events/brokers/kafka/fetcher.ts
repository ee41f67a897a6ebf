import { type Clock, outsideContext, type Platform, type Timer } from "../../../platform/index.ts";
import { BrokerError } from "../../errors.ts";
import { CorruptBatch } from "./batch-reader.ts";
import type { Cluster } from "./cluster.ts";
import { code, codeText, isNotAuthorized, isStaleLeader, isTransient } from "./error-codes.ts";
import {
  fetchAheadBytes,
  fetchBytesMax,
  fetchedBytesMax,
  fetchPartitionBytesMax,
  fetchPartitionsMax,
  fetchWaitMs,
  requestTimeoutMs,
} from "./limits.ts";
import { type FetchTarget, type FrameGate, type MakeRecord, PartitionReader } from "./partition-reader.ts";
import type { Address, Channel, FetchAnswer, KafkaClient, OffsetAnswer } from "./wire.ts";

/** While partitions wait for room, others are asked for only so long: they must not keep the connection. */
const shortWaitMs = 10;
/** Records that are handed over before the event loop has a turn. */
const recordsPerTurnMax = 512;
/** An answer that cannot be read is asked for again so often. */
const damagedMax = 3;
/** As often as an error code that should not come. */
const refusedMax = 10;

export interface FetcherHost {
  /** The log ends below where the target stands: it was cut, or the topic was made anew. Reading can go on at `offset`. */
  truncated(target: FetchTarget, offset: number): void;
  /** It cannot go on. */
  failed(error: Error): void;
}

/**
 * Reads partitions from their leaders: one long poll at a time for each broker, in which those partitions are left out that
 * have enough waiting or no room. What waits is bounded in bytes, whatever is behind.
 */
export class Fetcher {
  readonly #client: KafkaClient;
  readonly #cluster: Cluster;
  readonly #clock: Clock;
  readonly #host: FetcherHost;
  readonly #readers = new Map<string, PartitionReader>();
  #channel: Channel;
  /** Brokers with a request under way. */
  readonly #polling = new Set<string>();
  /** Number of the channel: answers of one before count for nothing. */
  #round = 0;
  #turn = 0;
  #isPumping = false;
  #isClosed = false;
  #wakeTimer: Timer | undefined;
  #wakeAtMs = Number.POSITIVE_INFINITY;

  constructor(client: KafkaClient, cluster: Cluster, { clock }: Platform, host: FetcherHost) {
    this.#client = client;
    this.#cluster = cluster;
    this.#clock = clock;
    this.#host = host;
    this.#channel = client.channel(requestTimeoutMs);
  }

  /** Fetched and not yet delivered. */
  get bytes(): number {
    let bytes = 0;
    for (const reader of this.#readers.values()) bytes += reader.bytes;
    return bytes;
  }

  add(target: FetchTarget, make: MakeRecord, frames?: FrameGate): void {
    const reader = new PartitionReader(target, this.#client, make, frames);
    reader.topicId = this.#cluster.topic(target.topic)?.topicId;
    this.#readers.set(keyOf(target), reader);
    this.wake();
  }

  remove(target: FetchTarget): void {
    const key = keyOf(target);
    if (this.#readers.get(key)?.target === target) this.#readers.delete(key);
  }

  /** Long polls for what was assigned before would keep new partitions waiting: they get another connection. */
  renew(): void {
    if (this.#polling.size === 0 || this.#isClosed) return;
    this.#round++;
    this.#polling.clear();
    void this.#channel.close();
    this.#channel = this.#client.channel(requestTimeoutMs);
  }

  /** There is room again, or something to fetch. */
  wake(): void {
    if (this.#isPumping || this.#isClosed) return;
    this.#isPumping = true;
    outsideContext(() =>
      this.#clock.endOfTurn(() => {
        this.#isPumping = false;
        if (!this.#isClosed) this.#pump();
      }),
    );
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#wakeTimer?.cancel();
    this.#readers.clear();
    await this.#channel.close();
  }

  /** One turn's worth of records; another turn follows while there are more. */
  #pump(): void {
    const readers = [...this.#readers.values()];
    const first = this.#turn++;
    let left = recordsPerTurnMax;
    let hasMore = false;
    for (let index = 0; index < readers.length && !this.#isClosed; index++) {
      const reader = readers[(first + index) % readers.length] as PartitionReader;
      if (this.#readers.get(keyOf(reader.target)) !== reader) continue;
      if (left > 0) left -= this.#deliver(reader, left);
      if (reader.hasRecords && reader.target.room > 0 && !reader.waitsForSchema) hasMore = true;
    }
    if (hasMore) this.wake();
    this.#fetch();
  }

  #deliver(reader: PartitionReader, recordsMax: number): number {
    try {
      return reader.deliver(recordsMax);
    } catch (error) {
      this.#damaged(reader, error);
      return recordsMax;
    }
  }

  #damaged(reader: PartitionReader, error: unknown): void {
    if (!(error instanceof CorruptBatch)) throw error;
    const { topic, partition } = reader.target;
    reader.damages++;
    reader.restart();
    // Longer than after a connection that broke: what is wrong on the way may need a moment to pass.
    reader.failures = reader.damages + 2;
    this.#pause(reader);
    if (reader.damages <= damagedMax) return;
    const place = `${topic}/${partition}@${reader.fetchOffset}`;
    this.#host.failed(new BrokerError(`kafka: ${place} cannot be read: ${error.message}`, { cause: error }));
  }

  #fetch(): void {
    const nowMs = this.#clock.now();
    const byLeader = new Map<Address, PartitionReader[]>();
    const leaderless = new Set<string>();
    const hasWaiting = new Set<Address>();
    const isFull = this.bytes >= fetchedBytesMax;
    for (const reader of this.#readers.values()) {
      const { target } = reader;
      if (!target.isOpen) continue;
      const leader = this.#cluster.leaderOf(target.topic, target.partition);
      if (leader === undefined) {
        if (reader.notBeforeMs <= nowMs) this.#pause(reader);
        leaderless.add(target.topic);
        continue;
      }
      if (reader.notBeforeMs > nowMs) {
        this.#wakeAt(reader.notBeforeMs);
        continue;
      }
      const topicId = this.#cluster.topic(target.topic)?.topicId;
      if (reader.topicId !== topicId && reader.topicId !== undefined) {
        this.#readers.delete(keyOf(target));
        void this.#startAnew(target, leader);
        continue;
      }
      reader.topicId = topicId;
      // Those that have nothing at all are read although the others have filled the room.
      if (reader.bytes >= fetchAheadBytes || (isFull && reader.bytes > 0)) {
        hasWaiting.add(leader);
        continue;
      }
      const wanted = byLeader.get(leader);
      if (wanted === undefined) byLeader.set(leader, [reader]);
      else wanted.push(reader);
    }
    if (leaderless.size > 0) this.#refresh([...leaderless]);
    for (const [leader, readers] of byLeader) {
      const key = `${leader.host}:${leader.port}`;
      if (this.#polling.has(key)) continue;
      this.#polling.add(key);
      void this.#poll(leader, key, readers, hasWaiting.has(leader) ? shortWaitMs : fetchWaitMs);
    }
  }

  async #poll(leader: Address, key: string, readers: readonly PartitionReader[], maxWaitMs: number): Promise<void> {
    const round = this.#round;
    // The first one is answered even if its batch is too large for the rest, so that each has its turn.
    const first = this.#turn % readers.length;
    const turned = [...readers.slice(first), ...readers.slice(0, first)].slice(0, fetchPartitionsMax);
    const asked = new Map<string, number>();
    const partitions = turned.map(({ target: { topic, partition }, fetchOffset: offset }) => {
      asked.set(`${topic}/${partition}`, offset);
      const topicId = this.#cluster.topic(topic)?.topicId ?? "";
      return { topic, topicId, partition, offset, bytesMax: fetchPartitionBytesMax };
    });
    let answers: readonly FetchAnswer[] = [];
    let failure: unknown;
    try {
      answers = await this.#channel.fetch(leader, { maxWaitMs, bytesMax: fetchBytesMax, partitions });
    } catch (error) {
      failure = error;
    }
    if (round !== this.#round || this.#isClosed) return;
    this.#polling.delete(key);
    if (failure !== undefined) {
      for (const reader of readers) this.#pause(reader);
      this.#refresh([...new Set(readers.map(({ target }) => target.topic))]);
    }
    const byPlace = new Map(readers.map(reader => [keyOf(reader.target), reader]));
    for (const answer of answers) {
      const place = keyOf(answer);
      const reader = byPlace.get(place);
      if (reader === undefined || this.#readers.get(place) !== reader) continue;
      if (asked.get(place) === reader.fetchOffset) this.#take(reader, answer, leader);
    }
    this.#pump();
  }

  #take(reader: PartitionReader, answer: FetchAnswer, leader: Address): void {
    const { error, topic } = answer;
    if (error === code.none) {
      try {
        reader.add(answer);
      } catch (damage) {
        this.#damaged(reader, damage);
      }
      return;
    }
    this.#pause(reader);
    if (error === code.offsetOutOfRange) void this.#findStart(reader, leader);
    else if (isStaleLeader(error)) this.#refresh([topic]);
    else if (isNotAuthorized(error)) {
      const text = `kafka: the user of the URL may not read ${topic}; allow READ on that topic (kafka-acls --add --allow-principal … --operation Read --topic ${topic})`;
      this.#host.failed(new BrokerError(text));
    } else if (!isTransient(error) && reader.failures > refusedMax) {
      this.#host.failed(new BrokerError(`kafka: ${topic}/${answer.partition} cannot be read: ${codeText(error)}`));
    }
  }

  async #bound({ topic, partition }: FetchTarget, leader: Address, which: "earliest" | "latest"): Promise<number> {
    const answers: readonly OffsetAnswer[] = await this.#channel.listOffsets(leader, [{ topic, partition, which }]);
    const answer = answers[0];
    if (answer === undefined || answer.error !== code.none) throw new Error("no offset");
    return answer.offset;
  }

  /** The topic was deleted and made again: its offsets have nothing to do with those before. */
  async #startAnew(target: FetchTarget, leader: Address): Promise<void> {
    let offset = 0;
    try {
      offset = await this.#bound(target, leader, "earliest");
    } catch {
      // If it has been cut since, that comes out with the first fetch.
    }
    if (!this.#isClosed) this.#host.truncated(target, offset);
  }

  /** The offset is not in the log: it was deleted by retention, or the end of the log was lost. */
  async #findStart(reader: PartitionReader, leader: Address): Promise<void> {
    const { target } = reader;
    const { topic } = target;
    try {
      const first = await this.#bound(target, leader, "earliest");
      const last = await this.#bound(target, leader, "latest");
      if (this.#readers.get(keyOf(target)) !== reader) return;
      if (target.position < first) {
        target.skipTo(first);
        reader.restart();
      } else if (target.position > last) {
        this.remove(target);
        this.#host.truncated(target, last);
      } else reader.restart();
      this.wake();
    } catch {
      // The next fetch finds out the same again.
      this.#refresh([topic]);
    }
  }

  #pause(reader: PartitionReader): void {
    reader.failures++;
    reader.notBeforeMs = this.#clock.now() + this.#cluster.pauseMs(reader.failures);
    this.#wakeAt(reader.notBeforeMs);
  }

  #refresh(topics: readonly string[]): void {
    this.#cluster.refresh(topics).then(
      () => this.wake(),
      () => this.#wakeAt(this.#clock.now() + this.#cluster.pauseMs(3)),
    );
  }

  #wakeAt(atMs: number): void {
    if (this.#wakeTimer !== undefined && this.#wakeAtMs <= atMs) return;
    this.#wakeTimer?.cancel();
    this.#wakeAtMs = atMs;
    this.#wakeTimer = outsideContext(() =>
      this.#clock.after(Math.max(atMs - this.#clock.now(), 1), () => {
        this.#wakeTimer = undefined;
        this.wake();
      }),
    );
  }
}

function keyOf({ topic, partition }: { readonly topic: string; readonly partition: number }): string {
  return `${topic}/${partition}`;
}
