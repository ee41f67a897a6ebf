/**
 * What the rest of this folder asks of a Kafka cluster, request by request: the seam to the client library, and what tests
 * put a scripted cluster in place of. Answers carry the protocol's error codes; a call rejects only when there is no answer.
 */

export interface Address {
  readonly host: string;
  readonly port: number;
}

/**
 * There is no answer: the broker could not be reached, the connection broke, or the answer took too long. Whether the
 * request was carried out is unknown, unless `wasSent` is false.
 */
export class CallError extends Error {
  override readonly name = "CallError";
  readonly wasSent: boolean;
  /** Trying again changes nothing: a wrong password, TLS where there is none, a broker that is too old. */
  readonly isFinal: boolean;

  constructor(message: string, wasSent: boolean, isFinal: boolean, options?: ErrorOptions) {
    super(message, options);
    this.wasSent = wasSent;
    this.isFinal = isFinal;
  }
}

/** Makes connections; each channel has its own, because a broker answers the requests of a connection one after the other. */
export interface KafkaClient {
  /** @param requestTimeoutMs how long an answer may take; the connection is given up then */
  channel(requestTimeoutMs: number): Channel;
  /** CRC-32C (Castagnoli), as record batches carry it. */
  readonly crc32c: (bytes: Uint8Array) => number;
  /** Undoes the compression of a record batch (1 gzip, 2 snappy, 3 lz4, 4 zstd). @throws Error for what cannot be undone */
  readonly decompress: (codec: number, bytes: Buffer, bytesMax: number) => Buffer;
}

export interface Channel {
  metadata(at: Address, topics: readonly string[] | undefined): Promise<ClusterAnswer>;
  findCoordinator(at: Address, of: CoordinatorOf, name: string): Promise<CoordinatorAnswer>;
  createTopics(at: Address, topics: readonly NewTopic[]): Promise<readonly TopicAnswer[]>;
  deleteTopics(at: Address, topics: readonly string[]): Promise<readonly TopicAnswer[]>;
  /** @param transaction for a transactional producer: ends what was open under its id, and fences whoever had it */
  initProducerId(at: Address, transaction?: TransactionSettings): Promise<ProducerIdAnswer>;
  /** @param transactionalId of the transaction that the batches belong to */
  produce(
    at: Address,
    batches: readonly ProduceBatch[],
    timeoutMs: number,
    transactionalId?: string,
  ): Promise<readonly ProduceAnswer[]>;
  // Transactions (KIP-98, KIP-447); the first, second and last at the coordinator of the transaction, the third at the group's.
  addPartitionsToTransaction(
    at: Address,
    transaction: OpenTransaction,
    places: readonly Place[],
  ): Promise<readonly CommitAnswer[]>;
  addOffsetsToTransaction(at: Address, transaction: OpenTransaction, group: string): Promise<number>;
  commitInTransaction(
    at: Address,
    transaction: OpenTransaction,
    member: MemberIdentity,
    offsets: readonly OffsetToCommit[],
  ): Promise<readonly CommitAnswer[]>;
  endTransaction(at: Address, transaction: OpenTransaction, commits: boolean): Promise<number>;
  fetch(at: Address, request: FetchRequest): Promise<readonly FetchAnswer[]>;
  listOffsets(at: Address, places: readonly OffsetQuestion[]): Promise<readonly OffsetAnswer[]>;
  joinGroup(at: Address, request: JoinRequest): Promise<JoinAnswer>;
  syncGroup(at: Address, request: SyncRequest): Promise<SyncAnswer>;
  heartbeat(at: Address, member: MemberIdentity): Promise<number>;
  leaveGroup(at: Address, member: MemberIdentity): Promise<number>;
  commit(at: Address, member: MemberIdentity, offsets: readonly OffsetToCommit[]): Promise<readonly CommitAnswer[]>;
  /** @param places `undefined`: all that the group has committed */
  committed(at: Address, group: string, places: readonly Place[] | undefined): Promise<CommittedAnswer>;
  /** KIP-848. */
  consumerHeartbeat(at: Address, request: ConsumerHeartbeat): Promise<ConsumerHeartbeatAnswer>;
  listGroups(at: Address): Promise<{ readonly error: number; readonly groups: readonly string[] }>;
  /** Members by group. */
  describeGroups(at: Address, groups: readonly string[]): Promise<ReadonlyMap<string, number>>;
  close(): Promise<void>;
}

export interface Place {
  readonly topic: string;
  readonly partition: number;
}

export interface ClusterAnswer {
  readonly brokers: ReadonlyMap<number, Address>;
  readonly topics: readonly TopicMetadata[];
}

export interface TopicMetadata {
  readonly topic: string;
  readonly topicId: string;
  readonly error: number;
  readonly isInternal: boolean;
  readonly partitions: readonly PartitionMetadata[];
}

export interface PartitionMetadata {
  readonly partition: number;
  readonly error: number;
  /** Node id; -1 for none. */
  readonly leader: number;
}

export interface CoordinatorAnswer {
  readonly error: number;
  readonly address: Address;
}

export type CoordinatorOf = "group" | "transaction";

export interface TransactionSettings {
  readonly transactionalId: string;
  /** The coordinator aborts what takes longer. */
  readonly timeoutMs: number;
}

export interface OpenTransaction {
  readonly transactionalId: string;
  readonly producerId: bigint;
  readonly producerEpoch: number;
}

export interface NewTopic {
  readonly topic: string;
  readonly config: Readonly<Record<string, string>>;
  /** -1: the broker's default. */
  readonly partitions: number;
}

export interface TopicAnswer {
  readonly topic: string;
  readonly error: number;
  readonly message: string | undefined;
}

export interface ProducerIdAnswer {
  readonly error: number;
  readonly producerId: bigint;
  readonly producerEpoch: number;
}

export interface ProduceBatch extends Place {
  readonly bytes: Buffer;
}

export interface ProduceAnswer extends Place {
  readonly error: number;
  readonly message: string | undefined;
}

export interface FetchRequest {
  readonly maxWaitMs: number;
  readonly bytesMax: number;
  readonly partitions: readonly FetchPlace[];
}

export interface FetchPlace extends Place {
  readonly topicId: string;
  readonly offset: number;
  readonly bytesMax: number;
}

export interface FetchAnswer extends Place {
  readonly error: number;
  readonly highWatermark: number;
  readonly abortedTransactions: readonly AbortedTransaction[];
  /** Record batches; the last may be cut off. Memory of its own. */
  readonly records: Buffer | undefined;
}

export interface AbortedTransaction {
  readonly producerId: bigint;
  readonly firstOffset: number;
}

export interface OffsetQuestion extends Place {
  readonly which: "earliest" | "latest";
}

export interface OffsetAnswer extends Place {
  readonly error: number;
  readonly offset: number;
}

export interface MemberIdentity {
  readonly group: string;
  /** Generation of the classic protocol, member epoch of KIP-848. */
  readonly generation: number;
  readonly memberId: string;
  readonly instanceId: string | undefined;
}

export interface JoinRequest {
  readonly group: string;
  readonly memberId: string;
  readonly instanceId: string | undefined;
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  /** In the order of preference. */
  readonly strategies: readonly string[];
  readonly topics: readonly string[];
}

export interface JoinAnswer {
  readonly error: number;
  readonly generation: number;
  readonly memberId: string;
  readonly strategy: string;
  readonly isLeader: boolean;
  /** The leader of a static group that came back: the assignment stays as it is. */
  readonly skipsAssignment: boolean;
  /** Only for the leader. */
  readonly members: readonly JoinedMember[];
}

export interface JoinedMember {
  readonly memberId: string;
  readonly instanceId: string | undefined;
  readonly topics: readonly string[];
}

export type Assignment = ReadonlyMap<string, readonly number[]>;

export interface SyncRequest extends MemberIdentity {
  readonly strategy: string;
  /** Empty unless the member leads. */
  readonly assignments: ReadonlyMap<string, Assignment>;
}

export interface SyncAnswer {
  readonly error: number;
  readonly assignment: Assignment;
}

export interface OffsetToCommit extends Place {
  readonly offset: number;
  readonly metadata: string;
}

export interface CommitAnswer extends Place {
  readonly error: number;
}

export interface CommittedAnswer {
  readonly error: number;
  readonly offsets: readonly CommittedOffset[];
}

export interface CommittedOffset extends Place {
  readonly error: number;
  /** -1: nothing is committed. */
  readonly offset: number;
  readonly metadata: string | undefined;
}

export interface ConsumerHeartbeat extends MemberIdentity {
  /** Sent in full when something has changed, otherwise left out. */
  readonly subscription: { readonly topics: readonly string[]; readonly rebalanceTimeoutMs: number } | undefined;
  readonly owned: readonly TopicIdPartitions[] | undefined;
}

export interface TopicIdPartitions {
  readonly topicId: string;
  readonly partitions: readonly number[];
}

export interface ConsumerHeartbeatAnswer {
  readonly error: number;
  readonly message: string | undefined;
  readonly memberEpoch: number;
  readonly heartbeatMs: number;
  /** `undefined`: unchanged. */
  readonly target: readonly TopicIdPartitions[] | undefined;
}
