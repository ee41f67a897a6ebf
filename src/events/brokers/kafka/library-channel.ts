import type { Clock } from "../../../platform/index.ts";
import type { Connection, ConnectionPool, Library, Versions } from "./client.ts";
import { explain } from "./explain.ts";
import { type Api, byTopic, fetchApi, produceApi } from "./library-codecs.ts";
import { connectGraceMs, connectTimeoutMs, fetchPartitionsMax } from "./limits.ts";
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
  type CoordinatorOf,
  type FetchAnswer,
  type FetchRequest,
  type JoinAnswer,
  type JoinRequest,
  type MemberIdentity,
  type NewTopic,
  type OffsetAnswer,
  type OffsetQuestion,
  type OffsetToCommit,
  type OpenTransaction,
  type Place,
  type ProduceAnswer,
  type ProduceBatch,
  type ProducerIdAnswer,
  type SyncAnswer,
  type SyncRequest,
  type TopicAnswer,
  type TransactionSettings,
} from "./wire.ts";

/** What the channels of a client share. */
export interface Shared {
  readonly clock: Clock;
  readonly uses: { readonly tls: boolean; readonly sasl: boolean };
  /** What must be there before a connection is opened; what it resolves with is its own. */
  readonly beforeConnect: (() => Promise<unknown>) | undefined;
  readonly versionsOf: (key: string, ask: () => Promise<Versions>) => Promise<Versions>;
  readonly forget: (key: string) => void;
}

/**
 * The requests of the protocol over connections of the library, each in one version that every broker since Kafka 3.1 speaks:
 * a closed set, because argument lists differ between versions.
 */
export class LibraryChannel implements Channel {
  readonly #library: Library;
  readonly #makePool: (host: string) => ConnectionPool;
  /** One for each broker. */
  readonly #pools = new Map<string, ConnectionPool>();
  #isClosed = false;
  readonly #shared: Shared;
  readonly #produce: Api<[readonly ProduceBatch[], number, string | undefined], readonly ProduceAnswer[]>;
  readonly #fetches: ReadonlyMap<number, Api<[FetchRequest], readonly FetchAnswer[]>>;

  constructor(library: Library, makePool: (host: string) => ConnectionPool, shared: Shared) {
    this.#library = library;
    this.#makePool = makePool;
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

  async findCoordinator(at: Address, of: CoordinatorOf, name: string): Promise<CoordinatorAnswer> {
    const kind = of === "group" ? 0 : 1;
    const answer = await this.#call(at, "FindCoordinator", this.#library.findCoordinatorV4.api, kind, [name]);
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

  async deleteTopics(at: Address, topics: readonly string[]): Promise<readonly TopicAnswer[]> {
    const wanted = topics.map(name => ({ name, topicId: null }));
    const answer = await this.#call(at, "DeleteTopics", this.#library.deleteTopicsV6.api, wanted, 10_000);
    return answer.responses.map(({ name, errorCode, errorMessage }) => ({
      topic: name ?? "",
      error: errorCode,
      message: errorMessage ?? undefined,
    }));
  }

  async initProducerId(at: Address, transaction?: TransactionSettings): Promise<ProducerIdAnswer> {
    const { api } = this.#library.initProducerIdV4;
    const { transactionalId, timeoutMs } = transaction ?? { transactionalId: null, timeoutMs: 60_000 };
    const answer = await this.#call(at, "InitProducerId", api, transactionalId, timeoutMs, -1n, -1);
    return { error: answer.errorCode, producerId: answer.producerId, producerEpoch: answer.producerEpoch };
  }

  produce(
    at: Address,
    batches: readonly ProduceBatch[],
    timeoutMs: number,
    transactionalId?: string,
  ): Promise<readonly ProduceAnswer[]> {
    return this.#call(at, "Produce", this.#produce, batches, timeoutMs, transactionalId);
  }

  async addPartitionsToTransaction(
    at: Address,
    transaction: OpenTransaction,
    places: readonly Place[],
  ): Promise<readonly CommitAnswer[]> {
    const topics = byTopic(places, ({ partition }) => partition);
    const { api } = this.#library.addPartitionsToTxnV3;
    const answer = await this.#call(at, "AddPartitionsToTxn", api, [{ ...transaction, verifyOnly: false, topics }]);
    return answer.resultsByTransaction.flatMap(({ topicResults }) =>
      topicResults.flatMap(({ name, resultsByPartition }) =>
        resultsByPartition.map(({ partitionIndex, partitionErrorCode }) => ({
          topic: name,
          partition: partitionIndex,
          error: partitionErrorCode,
        })),
      ),
    );
  }

  async addOffsetsToTransaction(at: Address, transaction: OpenTransaction, group: string): Promise<number> {
    const { transactionalId, producerId, producerEpoch } = transaction;
    const { api } = this.#library.addOffsetsToTxnV3;
    return (await this.#call(at, "AddOffsetsToTxn", api, transactionalId, producerId, producerEpoch, group)).errorCode;
  }

  async commitInTransaction(
    at: Address,
    { transactionalId, producerId, producerEpoch }: OpenTransaction,
    { group, generation, memberId, instanceId }: MemberIdentity,
    offsets: readonly OffsetToCommit[],
  ): Promise<readonly CommitAnswer[]> {
    const { api } = this.#library.txnOffsetCommitV3;
    const producer = [producerId, producerEpoch] as const;
    const member = [generation, memberId, instanceId ?? null] as const;
    const topics = offsetTopics(offsets);
    const answer = await this.#call(at, "TxnOffsetCommit", api, transactionalId, group, ...producer, ...member, topics);
    return committedPlaces(answer.topics);
  }

  async endTransaction(at: Address, transaction: OpenTransaction, commits: boolean): Promise<number> {
    const { transactionalId, producerId, producerEpoch } = transaction;
    const { api } = this.#library.endTxnV3;
    return (await this.#call(at, "EndTxn", api, transactionalId, producerId, producerEpoch, commits)).errorCode;
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
    const topics = offsetTopics(offsets);
    const supported = await this.#versions(at, await this.#connection(at));
    // Version 9 knows member epochs (KIP-848); it is the same otherwise.
    const isNew = (supported.get("OffsetCommit")?.maxVersion ?? 0) >= 9;
    const { api } = isNew ? this.#library.offsetCommitV9 : this.#library.offsetCommitV8;
    const answer = await this.#call(at, "OffsetCommit", api, group, generation, memberId, instanceId ?? null, topics);
    return committedPlaces(answer.topics);
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

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#pools.values()].map(pool => pool.close()));
  }

  /** A pool in which a connection hangs is thrown away as a whole. */
  #poolOf(at: Address): ConnectionPool {
    if (this.#isClosed) throw new CallError(`${keyOf(at)}: the connection is closed`, false, true);
    const key = keyOf(at);
    let pool = this.#pools.get(key);
    if (pool === undefined) {
      pool = this.#makePool(at.host);
      this.#pools.set(key, pool);
    }
    return pool;
  }

  /** One request, one answer; an answer that says no is an answer. */
  async #call<A extends readonly unknown[], R>(at: Address, name: string, api: Api<A, R>, ...args: A): Promise<R> {
    let connection = await this.#connection(at);
    const range = (await this.#versions(at, connection)).get(name);
    // While it authenticates anew (KIP-368) the broker takes nothing else on it, and ends the connection if something comes.
    while (connection.status === "reauthenticating") connection = await this.#connection(at);
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

  async #connection(at: Address): Promise<Connection> {
    const pool = this.#poolOf(at);
    const established = pool.getEstablishedConnection(at);
    if (established?.status === "connected") return established;
    if (established === undefined && this.#shared.beforeConnect !== undefined) {
      try {
        await this.#shared.beforeConnect();
      } catch (error) {
        throw this.#failure(at, error, false);
      }
      // Others may have come by meanwhile, or have thrown the pool away.
      return this.#established(at, this.#poolOf(at));
    }
    return this.#established(at, pool);
  }

  async #established(at: Address, pool: ConnectionPool): Promise<Connection> {
    const { promise: tooLate, reject } = Promise.withResolvers<never>();
    // The library's own time-out does not reach whoever waits when a TLS handshake is not answered.
    const timer = this.#shared.clock.after(connectTimeoutMs + connectGraceMs, () => {
      if (this.#pools.get(keyOf(at)) === pool) this.#pools.delete(keyOf(at));
      pool.close().catch(() => {});
      const isTls = this.#shared.uses.tls ? "; if it does not speak TLS there, remove tls=true from the URL" : "";
      reject(new CallError(`${keyOf(at)}: no connection within ${connectTimeoutMs / 1_000} s${isTls}`, false, false));
    });
    try {
      return await Promise.race([pool.get({ host: at.host, port: at.port }), tooLate]);
    } catch (error) {
      throw error instanceof CallError ? error : this.#failure(at, error, false);
    } finally {
      timer.cancel();
      tooLate.catch(() => {});
    }
  }

  #versions(at: Address, connection: Connection): Promise<Versions> {
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

function offsetTopics(offsets: readonly OffsetToCommit[]) {
  return byTopic(offsets, ({ partition, offset, metadata }) => ({
    partitionIndex: partition,
    committedOffset: BigInt(offset),
    committedLeaderEpoch: -1,
    committedMetadata: metadata,
  }));
}

interface CommittedTopic {
  readonly name: string;
  readonly partitions: readonly { readonly partitionIndex: number; readonly errorCode: number }[];
}

function committedPlaces(topics: readonly CommittedTopic[]): readonly CommitAnswer[] {
  return topics.flatMap(({ name, partitions }) =>
    partitions.map(({ partitionIndex, errorCode }) => ({ topic: name, partition: partitionIndex, error: errorCode })),
  );
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
