import { readFileSync } from "node:fs";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import type * as Kafka from "@platformatic/kafka";
import type { Clock } from "../../../platform/index.ts";
import { BrokerError } from "../../errors.ts";
import { explain } from "./explain.ts";
import { connectGraceMs, connectTimeoutMs, fetchPartitionsMax } from "./limits.ts";
import type { KafkaUrl } from "./url.ts";
import {
  type Address,
  type Assignment,
  CallError,
  type Channel,
  type ClusterAnswer,
  type CommitAnswer,
  type CommittedAnswer,
  type ConsumerHeartbeat,
  type ConsumerHeartbeatAnswer,
  type CoordinatorAnswer,
  type FetchAnswer,
  type FetchRequest,
  type JoinAnswer,
  type JoinRequest,
  type KafkaClient,
  type MemberIdentity,
  type NewTopic,
  type OffsetAnswer,
  type OffsetQuestion,
  type OffsetToCommit,
  type Place,
  type ProduceAnswer,
  type ProduceBatch,
  type ProducerIdAnswer,
  type SyncAnswer,
  type SyncRequest,
  type TopicAnswer,
} from "./wire.ts";

/**
 * The only file that knows the client library. From it come connections (TCP, TLS, SASL), the codecs of requests and
 * answers, CRC-32C and decompression; everything that has a state is ours. Its producer and consumers are not used: they
 * reorder when connections break, and cannot wait for handlers before a rebalance.
 */
const packageName = "@platformatic/kafka";

type Library = typeof Kafka;
type Versions = ReadonlyMap<string, { readonly minVersion: number; readonly maxVersion: number }>;

/** @throws BrokerError when the package is not installed */
export async function loadClient(url: KafkaUrl, clientId: string, clock: Clock): Promise<KafkaClient> {
  let library: Library;
  try {
    library = await import("@platformatic/kafka");
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === "ERR_MODULE_NOT_FOUND" && message.includes(packageName)) {
      throw new BrokerError(`kafka: the package ${packageName} is not installed; run: npm install ${packageName}`, {
        cause,
      });
    }
    throw cause;
  }
  return new LibraryClient(library, url, clientId, clock);
}

class LibraryClient implements KafkaClient {
  readonly crc32c: (bytes: Uint8Array) => number;
  readonly #library: Library;
  readonly #url: KafkaUrl;
  readonly #clientId: string;
  readonly #clock: Clock;
  readonly #tls: { readonly ca?: Buffer } | undefined;
  /** What each broker speaks, by `host:port`. */
  readonly #versions = new Map<string, Promise<Versions>>();

  constructor(library: Library, url: KafkaUrl, clientId: string, clock: Clock) {
    this.#library = library;
    this.#clock = clock;
    this.#url = url;
    this.#clientId = clientId;
    this.#tls = url.tls === undefined ? undefined : { ...(url.tls.ca === undefined ? {} : { ca: caFrom(url.tls.ca) }) };
    this.crc32c = bytes => library.crc32c(bytes as Buffer) >>> 0;
  }

  decompress = (codec: number, bytes: Buffer, bytesMax: number): Buffer => {
    // These two can be told when to stop; the library's cannot.
    if (codec === 1) return gunzipSync(bytes, { maxOutputLength: bytesMax });
    if (codec === 4 && zstdDecompressSync !== undefined)
      return zstdDecompressSync(bytes, { maxOutputLength: bytesMax });
    const algorithm = this.#library.compressionsAlgorithmsByBitmask[codec];
    if (algorithm === undefined) throw new Error(`compression ${codec} is unknown`);
    const plain = algorithm.decompressSync(bytes);
    if (plain.length > bytesMax) throw new Error(`a record batch has more than ${bytesMax} bytes when decompressed`);
    return plain;
  };

  channel(requestTimeoutMs: number): Channel {
    const { sasl } = this.#url;
    const pool = new this.#library.ConnectionPool(this.#clientId, {
      connectTimeout: connectTimeoutMs,
      requestTimeout: requestTimeoutMs,
      ...(this.#tls === undefined ? {} : { tls: this.#tls, tlsServerName: true }),
      ...(sasl === undefined ? {} : { sasl: { ...sasl } as NonNullable<Kafka.ConnectionOptions["sasl"]> }),
    });
    return new LibraryChannel(this.#library, pool, {
      clock: this.#clock,
      uses: { tls: this.#tls !== undefined, sasl: sasl !== undefined },
      versionsOf: (key, ask) => this.#versionsOf(key, ask),
      forget: key => this.#versions.delete(key),
    });
  }

  #versionsOf(key: string, ask: () => Promise<Versions>): Promise<Versions> {
    const known = this.#versions.get(key);
    if (known !== undefined) return known;
    const asked = ask();
    this.#versions.set(key, asked);
    asked.catch(() => this.#versions.delete(key));
    return asked;
  }
}

interface Shared {
  readonly clock: Clock;
  readonly uses: { readonly tls: boolean; readonly sasl: boolean };
  readonly versionsOf: (key: string, ask: () => Promise<Versions>) => Promise<Versions>;
  readonly forget: (key: string) => void;
}

/** A request of the library at one version. */
interface Api<A extends readonly unknown[], R> {
  readonly async: (connection: Kafka.Connection, ...args: A) => Promise<R>;
  readonly version: number;
}

class LibraryChannel implements Channel {
  readonly #library: Library;
  readonly #pool: Kafka.ConnectionPool;
  readonly #shared: Shared;
  readonly #produce: Api<[readonly ProduceBatch[], number], readonly ProduceAnswer[]>;
  readonly #fetches: ReadonlyMap<number, Api<[FetchRequest], readonly FetchAnswer[]>>;

  constructor(library: Library, pool: Kafka.ConnectionPool, shared: Shared) {
    this.#library = library;
    this.#pool = pool;
    this.#shared = shared;
    this.#produce = produceApi(library);
    this.#fetches = new Map([13, 17].map(version => [version, fetchApi(library, version)]));
  }

  async metadata(at: Address, topics: readonly string[] | undefined): Promise<ClusterAnswer> {
    const { metadataV12 } = this.#library;
    const answer = await this.#call(
      at,
      "Metadata",
      metadataV12.api,
      topics === undefined ? null : [...topics],
      false,
      false,
    );
    return {
      brokers: new Map(answer.brokers.map(({ nodeId, host, port }) => [nodeId, { host, port }])),
      topics: answer.topics.map(({ name, topicId, errorCode, isInternal, partitions }) => ({
        topic: name ?? "",
        topicId,
        error: errorCode,
        isInternal,
        partitions: partitions.map(({ partitionIndex, errorCode: error, leaderId }) => ({
          partition: partitionIndex,
          error,
          leader: leaderId,
        })),
      })),
    };
  }

  async findCoordinator(at: Address, group: string): Promise<CoordinatorAnswer> {
    const answer = await this.#call(at, "FindCoordinator", this.#library.findCoordinatorV4.api, 0, [group]);
    const found = answer.coordinators[0];
    if (found === undefined) throw new CallError("FindCoordinator: an empty answer", true, false);
    return { error: found.errorCode, address: { host: found.host, port: found.port } };
  }

  async createTopics(at: Address, topics: readonly NewTopic[]): Promise<readonly TopicAnswer[]> {
    const wanted = topics.map(({ topic, config, partitions }) => ({
      name: topic,
      numPartitions: partitions,
      replicationFactor: -1,
      assignments: [],
      configs: Object.entries(config).map(([name, value]) => ({ name, value })),
    }));
    const answer = await this.#call(at, "CreateTopics", this.#library.createTopicsV7.api, wanted, 10_000, false);
    return answer.topics.map(({ name, errorCode, errorMessage }) => ({
      topic: name,
      error: errorCode,
      message: errorMessage ?? undefined,
    }));
  }

  async initProducerId(at: Address): Promise<ProducerIdAnswer> {
    const answer = await this.#call(at, "InitProducerId", this.#library.initProducerIdV4.api, null, 60_000, -1n, -1);
    return { error: answer.errorCode, producerId: answer.producerId, producerEpoch: answer.producerEpoch };
  }

  produce(at: Address, batches: readonly ProduceBatch[], timeoutMs: number): Promise<readonly ProduceAnswer[]> {
    return this.#call(at, "Produce", this.#produce, batches, timeoutMs);
  }

  async fetch(at: Address, request: FetchRequest): Promise<readonly FetchAnswer[]> {
    if (request.partitions.length > fetchPartitionsMax)
      throw new RangeError(`a fetch of ${request.partitions.length} partitions`);
    const connection = await this.#connection(at);
    const supported = await this.#versions(at, connection);
    const newest = (supported.get("Fetch")?.maxVersion ?? 0) >= 17 ? 17 : 13;
    return this.#call(at, "Fetch", this.#fetches.get(newest) as Api<[FetchRequest], readonly FetchAnswer[]>, request);
  }

  async listOffsets(at: Address, places: readonly OffsetQuestion[]): Promise<readonly OffsetAnswer[]> {
    const topics = byTopic(places, ({ partition, which }) => ({
      partitionIndex: partition,
      currentLeaderEpoch: -1,
      timestamp: which === "earliest" ? -2n : -1n,
    }));
    const answer = await this.#call(at, "ListOffsets", this.#library.listOffsetsV7.api, -1, 1, topics);
    return answer.topics.flatMap(({ name, partitions }) =>
      partitions.map(({ partitionIndex, errorCode, offset }) => ({
        topic: name,
        partition: partitionIndex,
        error: errorCode,
        offset: Number(offset),
      })),
    );
  }

  async joinGroup(at: Address, request: JoinRequest): Promise<JoinAnswer> {
    const { library } = { library: this.#library };
    const metadata = library.encodeConsumerProtocolSubscription({ version: 1, topics: [...request.topics] });
    const answer = await this.#call(
      at,
      "JoinGroup",
      library.joinGroupV7.api,
      request.group,
      request.sessionTimeoutMs,
      request.rebalanceTimeoutMs,
      request.memberId,
      request.instanceId ?? null,
      "consumer",
      request.strategies.map(name => ({ name, metadata })),
    );
    return {
      error: answer.errorCode,
      generation: answer.generationId,
      memberId: answer.memberId,
      strategy: answer.protocolName ?? "",
      isLeader: answer.leader === answer.memberId,
      skipsAssignment: (answer as { skipAssignment?: boolean }).skipAssignment === true,
      members: answer.members.map(({ memberId, groupInstanceId, metadata: foreign }) => ({
        memberId,
        instanceId: groupInstanceId ?? undefined,
        topics: subscribedTopics(library, foreign),
      })),
    };
  }

  async syncGroup(at: Address, request: SyncRequest): Promise<SyncAnswer> {
    const library = this.#library;
    const { group, generation, memberId, instanceId, strategy } = request;
    const assignments = [...request.assignments].map(([member, assignment]) => ({
      memberId: member,
      assignment: library.encodeConsumerProtocolAssignment({
        version: 0,
        assignedPartitions: [...assignment].map(([topic, partitions]) => ({ topic, partitions: [...partitions] })),
      }),
    }));
    const { api } = library.syncGroupV5;
    const args = [group, generation, memberId, instanceId ?? null, "consumer", strategy, assignments] as const;
    const { errorCode, assignment } = await this.#call(at, "SyncGroup", api, ...args);
    return { error: errorCode, assignment: errorCode === 0 ? assignmentFrom(library, assignment) : new Map() };
  }

  async heartbeat(at: Address, { group, generation, memberId, instanceId }: MemberIdentity): Promise<number> {
    const { api } = this.#library.heartbeatV4;
    return (await this.#call(at, "Heartbeat", api, group, generation, memberId, instanceId ?? null)).errorCode;
  }

  async leaveGroup(at: Address, { group, memberId, instanceId }: MemberIdentity): Promise<number> {
    const members = [{ memberId, groupInstanceId: instanceId ?? null }];
    const answer = await this.#call(at, "LeaveGroup", this.#library.leaveGroupV4.api, group, members);
    return answer.errorCode || (answer.members?.[0]?.errorCode ?? 0);
  }

  async commit(
    at: Address,
    { group, generation, memberId, instanceId }: MemberIdentity,
    offsets: readonly OffsetToCommit[],
  ): Promise<readonly CommitAnswer[]> {
    const topics = byTopic(offsets, ({ partition, offset, metadata }) => ({
      partitionIndex: partition,
      committedOffset: BigInt(offset),
      committedLeaderEpoch: -1,
      committedMetadata: metadata,
    }));
    const supported = await this.#versions(at, await this.#connection(at));
    // Version 9 knows member epochs (KIP-848); it is the same otherwise.
    const isNew = (supported.get("OffsetCommit")?.maxVersion ?? 0) >= 9;
    const { api } = isNew ? this.#library.offsetCommitV9 : this.#library.offsetCommitV8;
    const answer = await this.#call(at, "OffsetCommit", api, group, generation, memberId, instanceId ?? null, topics);
    return answer.topics.flatMap(({ name, partitions }) =>
      partitions.map(({ partitionIndex, errorCode }) => ({ topic: name, partition: partitionIndex, error: errorCode })),
    );
  }

  async committed(at: Address, group: string, places: readonly Place[] | undefined): Promise<CommittedAnswer> {
    const topics =
      places === undefined
        ? null
        : byTopic(places, ({ partition }) => partition).map(({ name, partitions }) => ({
            name,
            partitionIndexes: partitions,
          }));
    // A group of all topics is written as null, which the library's types do not know.
    const groups = [{ groupId: group, topics }] as unknown as Parameters<Library["offsetFetchV8"]["createRequest"]>[0];
    const answer = await this.#call(at, "OffsetFetch", this.#library.offsetFetchV8.api, groups, true);
    const found = answer.groups[0];
    if (found === undefined) throw new CallError("OffsetFetch: an empty answer", true, false);
    return {
      error: found.errorCode,
      offsets: found.topics.flatMap(({ name, partitions }) =>
        partitions.map(({ partitionIndex, committedOffset, metadata, errorCode }) => ({
          topic: name,
          partition: partitionIndex,
          error: errorCode,
          offset: Number(committedOffset),
          metadata: metadata ?? undefined,
        })),
      ),
    };
  }

  async consumerHeartbeat(at: Address, request: ConsumerHeartbeat): Promise<ConsumerHeartbeatAnswer> {
    const { group, memberId, generation, instanceId, subscription, owned } = request;
    const answer = await this.#call(
      at,
      "ConsumerGroupHeartbeat",
      this.#library.consumerGroupHeartbeatV0.api,
      group,
      memberId,
      generation,
      instanceId ?? null,
      null,
      subscription?.rebalanceTimeoutMs ?? -1,
      subscription === undefined ? null : [...subscription.topics],
      null,
      null,
      owned === undefined ? null : owned.map(({ topicId, partitions }) => ({ topicId, partitions: [...partitions] })),
    );
    return {
      error: answer.errorCode,
      message: answer.errorMessage ?? undefined,
      memberEpoch: answer.memberEpoch,
      heartbeatMs: answer.heartbeatIntervalMs,
      target: answer.assignment?.topicPartitions,
    };
  }

  async listGroups(at: Address): Promise<{ readonly error: number; readonly groups: readonly string[] }> {
    const answer = await this.#call(at, "ListGroups", this.#library.listGroupsV4.api, [], []);
    const consumers = answer.groups.filter(({ protocolType }) => protocolType === "consumer" || protocolType === "");
    return { error: answer.errorCode, groups: consumers.map(({ groupId }) => groupId) };
  }

  async describeGroups(at: Address, groups: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const answer = await this.#call(at, "DescribeGroups", this.#library.describeGroupsV5.api, [...groups], false);
    const classic = answer.groups.filter(
      ({ errorCode, protocolType }) => errorCode === 0 && protocolType === "consumer",
    );
    return new Map(classic.map(({ groupId, members }) => [groupId, members.length]));
  }

  close(): Promise<void> {
    return this.#pool.close();
  }

  /** One request, one answer; an answer that says no is an answer. */
  async #call<A extends readonly unknown[], R>(at: Address, name: string, api: Api<A, R>, ...args: A): Promise<R> {
    const connection = await this.#connection(at);
    const range = (await this.#versions(at, connection)).get(name);
    if (range === undefined || range.maxVersion < api.version || range.minVersion > api.version) {
      const speaks = range === undefined ? "does not know it" : `speaks ${range.minVersion} to ${range.maxVersion}`;
      throw new CallError(
        `${at.host}:${at.port}: ${name} is needed in version ${api.version}, the broker ${speaks}; Kafka 3.1 or newer is required (4.0 for kafka.protocol "consumer")`,
        false,
        true,
      );
    }
    try {
      return await api.async(connection, ...args);
    } catch (error) {
      const { response } = error as { readonly response?: R };
      if (response !== undefined) return response;
      this.#shared.forget(keyOf(at));
      throw this.#failure(at, error, true);
    }
  }

  async #connection(at: Address): Promise<Kafka.Connection> {
    const established = this.#pool.getEstablishedConnection(at);
    if (established?.status === "connected") return established;
    const { promise: tooLate, reject } = Promise.withResolvers<never>();
    // The library's own time-out does not reach whoever waits when a TLS handshake is not answered.
    const timer = this.#shared.clock.after(connectTimeoutMs + connectGraceMs, () => {
      for (const [key, connection] of this.#pool) if (key === keyOf(at)) connection.socket.destroy();
      const isTls = this.#shared.uses.tls ? "; if it does not speak TLS there, remove tls=true from the URL" : "";
      reject(new CallError(`${keyOf(at)}: no connection within ${connectTimeoutMs / 1_000} s${isTls}`, false, false));
    });
    try {
      return await Promise.race([this.#pool.get({ host: at.host, port: at.port }), tooLate]);
    } catch (error) {
      throw error instanceof CallError ? error : this.#failure(at, error, false);
    } finally {
      timer.cancel();
      tooLate.catch(() => {});
    }
  }

  #versions(at: Address, connection: Kafka.Connection): Promise<Versions> {
    return this.#shared.versionsOf(keyOf(at), async () => {
      try {
        const { apiKeys } = await this.#library.apiVersionsV3.api.async(connection, "trunkline", "1");
        return new Map(apiKeys.map(one => [one.name, one]));
      } catch (error) {
        throw this.#failure(at, error, false);
      }
    });
  }

  #failure(at: Address, error: unknown, wasSent: boolean): CallError {
    const { text, isFinal } = explain(at, error, this.#shared.uses);
    return new CallError(text, wasSent, isFinal, { cause: error });
  }
}

/** Batches that are encoded already: the library's codec would encode records itself, at three times the cost. */
function produceApi(library: Library): Api<[readonly ProduceBatch[], number], readonly ProduceAnswer[]> {
  const create = (batches: readonly ProduceBatch[], timeoutMs: number) =>
    library.Writer.create()
      .appendString(null)
      .appendInt16(-1)
      .appendInt32(timeoutMs)
      .appendArray(
        byTopic(batches, batch => batch),
        (writer, { name, partitions }) => {
          writer.appendString(name).appendArray(partitions, (inner, { partition, bytes }) => {
            inner
              .appendInt32(partition)
              .appendUnsignedVarInt(bytes.length + 1)
              .append(bytes);
          });
        },
      )
      .appendTaggedFields();
  const parse = (
    _correlation: number,
    _key: number,
    _version: number,
    reader: Kafka.Reader,
  ): readonly ProduceAnswer[] =>
    reader
      .readArray(topicReader => {
        const topic = topicReader.readString();
        return topicReader.readArray(one => {
          const partition = one.readInt32();
          const error = one.readInt16();
          // Base offset, time of the append, start of the log.
          one.skip(24);
          one.readArray(record => {
            record.skip(4);
            record.readNullableString();
          });
          return { topic, partition, error, message: one.readNullableString() ?? undefined };
        });
      })
      .flat();
  return library.createAPI(0, 9, create as never, parse as never) as never;
}

/** Records stay bytes: they are read lazily, with checks that the library's reader does not make. */
function fetchApi(library: Library, version: number): Api<[FetchRequest], readonly FetchAnswer[]> {
  // Answers name topics by id. The ids of a request are taken along by the array of its places.
  const names = new Map<string, string>();
  const create = ({ maxWaitMs, bytesMax, partitions }: FetchRequest) => {
    const writer = library.Writer.create();
    if (version < 15) writer.appendInt32(-1);
    for (const { topic, topicId } of partitions) names.set(topicId, topic);
    // Committed transactions only; no session.
    writer.appendInt32(maxWaitMs).appendInt32(1).appendInt32(bytesMax).appendInt8(1).appendInt32(0).appendInt32(-1);
    return writer
      .appendArray(
        byTopic(partitions, place => place),
        (topicWriter, { partitions: places }) => {
          topicWriter.appendUUID((places[0] as (typeof places)[number]).topicId).appendArray(places, (inner, place) => {
            // No leader epoch is asked for, none was fetched; we have no log of our own.
            inner.appendInt32(place.partition).appendInt32(-1).appendInt64(BigInt(place.offset)).appendInt32(-1);
            inner.appendInt64(-1n).appendInt32(place.bytesMax);
          });
        },
      )
      .appendArray([], () => {})
      .appendString("")
      .appendTaggedFields();
  };
  const parse = (
    _correlation: number,
    _key: number,
    _version: number,
    reader: Kafka.Reader,
  ): readonly FetchAnswer[] => {
    reader.skip(4);
    const whole = reader.readInt16();
    reader.skip(4);
    const answers = reader.readArray(topicReader => {
      const topicId = topicReader.readUUID();
      const topic = names.get(topicId) ?? "";
      return topicReader.readArray(one => fetchAnswerFrom(topic, one));
    });
    if (whole !== 0) throw new CallError(`the broker refused a fetch with error code ${whole}`, true, false);
    return answers.flat();
  };
  return library.createAPI(1, version, create as never, parse as never) as never;
}

function fetchAnswerFrom(topic: string, reader: Kafka.Reader): FetchAnswer {
  const partition = reader.readInt32();
  const error = reader.readInt16();
  const highWatermark = Number(reader.readInt64());
  // Last stable offset, start of the log.
  reader.skip(16);
  const aborted = reader.readNullableArray(one => ({
    producerId: one.readInt64(),
    firstOffset: Number(one.readInt64()),
  }));
  // Preferred replica: we read from leaders.
  reader.skip(4);
  const length = reader.readUnsignedVarInt() - 1;
  let records: Buffer | undefined;
  if (length > 0) {
    if (length > reader.remaining) throw new RangeError(`a fetch answer declares ${length} bytes of records`);
    const start = reader.position;
    records = reader.buffer.slice(start, start + length);
    reader.skip(length);
  }
  return { topic, partition, error, highWatermark, abortedTransactions: aborted ?? [], records };
}

function byTopic<T extends Place, R>(
  places: readonly T[],
  map: (place: T) => R,
): { readonly name: string; readonly partitions: R[] }[] {
  const topics = new Map<string, R[]>();
  for (const place of places) {
    const partitions = topics.get(place.topic);
    if (partitions === undefined) topics.set(place.topic, [map(place)]);
    else partitions.push(map(place));
  }
  return [...topics].map(([name, partitions]) => ({ name, partitions }));
}

/** Of another member, written by whatever program it is: what cannot be read subscribes to nothing. */
function subscribedTopics(library: Library, metadata: Buffer): readonly string[] {
  try {
    return library.decodeConsumerProtocolSubscription(metadata).topics;
  } catch {
    return [];
  }
}

function assignmentFrom(library: Library, bytes: Buffer): Assignment {
  if (bytes.length === 0) return new Map();
  const { assignedPartitions } = library.decodeConsumerProtocolAssignment(bytes);
  return new Map(assignedPartitions.map(({ topic, partitions }) => [topic, partitions]));
}

function keyOf({ host, port }: Address): string {
  return `${host}:${port}`;
}

function caFrom(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new BrokerError(`kafka: ca=${path} in the URL cannot be read: ${(cause as Error).message}`, { cause });
  }
}
