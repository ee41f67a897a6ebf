/** Limits and defaults of the Kafka driver, each with its unit and reason. */

/** Of a TCP connection with TLS and SASL. */
export const connectTimeoutMs = 5_000;
/** After so long beyond it, we end it ourselves. */
export const connectGraceMs = 1_000;
/** An answer that takes longer is given up, and its connection with it. */
export const requestTimeoutMs = 10_000;
/** First contact: so long is a cluster looked for before `connect` gives up. */
export const firstContactMs = 10_000;

/** So long may a function take to make a token. */
export const tokenTimeoutMs = 10_000;
/** After one that made none, it is called again at the earliest. */
export const tokenAgainMs = 1_000;
/** Part of a token's time after which another one is asked for: as connections renew their sessions. */
export const tokenShare = 0.8;
/** But a short-lived one serves so long at least. */
export const tokenLeastMs = 1_000;
/** Brokers take SASL messages up to 512 KiB (`sasl.server.max.receive.size`); headers of proxies no more than this. */
export const tokenCharsMax = 65_536;

/** Pauses before a failed request is repeated. */
export const callAgain = { jitter: "none", baseMs: 50, factor: 2, maxMs: 2_000 } as const;
/** Metadata of a topic that is missing or has no leader is asked for at most so often. */
export const metadataAgainMs = 100;
/** Of a topic; Kafka itself becomes slow long before. */
export const partitionsMax = 1_000_000;
/** New partitions are noticed after so long. */
export const metadataAgeMsMax = 30_000;

/** A record batch; Kafka's `max.message.bytes` is 1 MiB by default, and half of it keeps answers short. */
export const batchBytesMax = 512 * 1_024;
/** A body: what fits a batch of 1 MiB by itself, with key and headers. */
export const bodyBytesMax = 1_000_000;
/** Records of a batch. */
export const batchRecordsMax = 10_000;
/** Of a produce request to one broker: several batches. */
export const produceBytesMax = 4 * 1_048_576;
/** A record that could not be made durable for so long fails, retryable. */
export const deliveryTimeoutMs = 30_000;
/** The broker itself waits so long for its replicas. */
export const produceTimeoutMs = 8_000;

/** A long poll; below the time-out of requests. */
export const fetchWaitMs = 500;
/** Of an answer to a fetch, of each broker. Its first batch is given whole, whatever its size (KIP-74). */
export const fetchBytesMax = 4 * 1_048_576;
export const fetchPartitionBytesMax = 1_048_576;
/** Fetched and not yet delivered, for all partitions of a member; beyond it nothing is fetched. */
export const fetchedBytesMax = 16 * 1_048_576;
/** A partition is fetched again while less than so much of it waits. */
export const fetchAheadBytes = 512 * 1_024;
/** Partitions of one request. */
export const fetchPartitionsMax = 2_000;
/** A batch after decompression: a small one can claim to be huge. */
export const decompressedBytesMax = 64 * 1_048_576;
/** Bodies up to this size are copied out of the answer, so that a parked record does not keep a megabyte alive. */
export const copiedBodyBytesMax = 65_536;

/** Settlements wait so long for others before they are committed. */
export const commitEveryMs = 200;
/** `session.timeout.ms` of Kafka's own clients. */
export const sessionTimeoutMs = 45_000;
/** Heartbeats for each session time-out; Kafka recommends three, at most 3 s apart. */
export const heartbeatsPerSession = 10;
export const heartbeatMsMax = 3_000;
/** Handlers may go on for so long when partitions are wanted elsewhere. */
export const revokeBudgetMs = 30_000;
/** What a member announces: its drain, then commits and the answer itself. */
export const rebalanceTimeoutMs = revokeBudgetMs + 15_000;
/** A group that cannot be joined for so long is an error of the subscription: two rebalances of its slowest member. */
export const startTimeoutMs = 2 * rebalanceTimeoutMs;
/** A closing member tries for so long to commit and to leave. */
export const leaveTimeoutMs = 10_000;
/** Records that wait in memory until they are due, for each partition of the retry topic. */
export const waitingRecordsMax = 1_000;
export const waitingBytesMax = 8 * 1_048_576;

/** Dead letters that a listing can hold in its index; 100 bytes each. */
export const lettersMax = 1_000_000;
/**
 * A topic of replies: its records are of no use once nobody can wait for them any more (requests wait an hour at most), and a
 * segment that is written to is never removed. As Kafka's settings, in milliseconds.
 */
export const replyTopicTimes = {
  "cleanup.policy": "delete",
  "retention.ms": "3600000",
  "segment.ms": "600000",
} as const;
/** Topics of replies that a producer keeps track of; each is a requester that lives, or lived not long ago. */
export const replyTopicsMax = 1_000;
/** Times that a topic of replies is looked for before its requester counts as gone. */
export const replyTopicLooks = 4;
/** Whether a topic of replies is still there is looked at so often while a reply is not taken, in milliseconds. */
export const replyTopicLookMs = 250;
/** A closing connection tries for so long to remove its topic, in milliseconds. */
export const deleteTopicMs = 3_000;

/** Records that a tail holds ahead of its reader, for each partition. */
export const tailRecordsMax = 1_000;

/** Parked records of a lane: their index takes 500 bytes for each. */
export const parkedRecordsMax = 20_000;
/** A tombstone or a new version of a parked record that could not be written is written again after so long. */
export const parkedAgainMs = 1_000;
/** The parking topic is compacted in pieces of this age or size, because a lane that comes reads all of it. */
export const parkedSegmentMs = 3_600_000;
export const parkedSegmentBytes = 64 * 1_048_576;

/** The coordinator aborts a transaction that takes longer: a member that crashes in one holds others up for so long. */
export const transactionTimeoutMs = 15_000;
/** We give it up before. */
export const transactionBudgetMs = 10_000;
/** Ending what was given up may take so long; after that the coordinator does it by itself. */
export const abortBudgetMs = 3_000;
/** The former transaction of a producer is being completed: Kafka's own client waits as long before it asks again. */
export const concurrentTransactionMs = 20;
/** Events of a partition between the oldest unsettled one and the newest, whose outputs wait for it. */
export const transactionalWindowMax = 4_096;
/** Outputs of a partition that wait. */
export const laneOutputBytesMax = 16 * 1_048_576;
