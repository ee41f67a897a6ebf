/** Limits and defaults of the RabbitMQ driver, each with its unit and reason. */

/** For TCP, TLS and AMQP handshakes together: a broker under load needs some seconds for a login. */
export const connectTimeoutMs = 10_000;

/** RabbitMQ suggests 5 to 20 s: shorter ones fall to garbage collection, longer ones leave half-open connections unnoticed. */
export const heartbeatSeconds = 10;

/** Orderly ends of channels and connections take longer only when nobody answers. */
export const closeTimeoutMs = 3_000;

/** Between rounds through all hosts, growing by 2, with half of it random. */
export const reconnectMs = { initial: 250, max: 15_000 } as const;

/** An operation (subscribe, list, declare) waits so long for a connection that is being made again. */
export const connectionWaitMs = 15_000;

/**
 * A record that is not confirmed so long after `publish` has failed, retryably: longer than a broker's restart, shorter than
 * anybody waits for an answer.
 */
export const publishTimeoutMs = 30_000;

/** Messages that were sent and not confirmed; more than that adds latency and no throughput. */
export const unconfirmedMax = 2_048;

/** Bytes that were sent and not confirmed: what may have to be sent again after a reconnect. */
export const unconfirmedBytesMax = 16 * 1_048_576;

/** Bodies that wait or are unconfirmed, unless `gather.pendingBytesMax` says otherwise; one more is refused, retryably. */
export const pendingBytesMax = 64 * 1_048_576;

/** Without another word in the subscription; prefetch is twice of it. */
export const prefetchPerHandler = 2;

/** The wire has 16 bits for it. */
export const prefetchMax = 65_535;

/** A routing key, a queue's and an exchange's name (AMQP short string). */
export const shortStringBytesMax = 255;

/** `max_message_size` of RabbitMQ before and since 4.0; whether a broker has another shows when it refuses. */
export const bodyBytesMax = { before4: 134_217_728, since4: 16_777_216 } as const;

/** The ladder's steps: a quarter and a half of a second, and powers of two up to 2^22 s, where one day is below 2^17 s. */
export const ladderUnitMs = 250;
export const ladderLevels = 25;

/** Levels that are made in advance, up to 256 s: retries with default back-off need no others. */
export const ladderLevelsInAdvance = 11;

/** Dead letters that are looked through in one go; they are unacknowledged meanwhile. */
export const heldLettersMax = 10_000;
export const heldBytesMax = 64 * 1_048_576;

/** They go back so long after the last operation: the next one of a loop comes sooner, and others see them again soon. */
export const holdIdleMs = 250;

/** And after so long at the latest: a broker ends channels that acknowledge nothing for half an hour. */
export const holdMsMax = 30_000;

/** Name, message and stack of an exception among the headers of a dead letter; amqplib has 64 KiB for all headers. */
export const exceptionBytesMax = 8_192;

/** Messages that a tail has received and nobody has read yet. */
export const tailPrefetch = 256;

/** In a tail's queue at the broker; older ones are dropped, so that a slow reader costs a broker no memory. */
export const tailQueueMax = 100_000;

/** In a queue of replies; older ones are dropped, when a process is too busy to read what it has asked for. */
export const replyQueueMax = 100_000;

/** An ordered lane hands a released record over again so much later. */
export const releasedAgainMs = 5;

/** Partitions of one subscription: each is a quorum queue with a retry queue of its own. */
export const partitionsMax = 64;
