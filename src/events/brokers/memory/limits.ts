/** Limits and defaults of the memory broker, each with its unit and reason. */

/** Partitions of a topic: so many handlers of different keys can run in order, shared out over as many members. */
export const memoryPartitions = 8;
export const memoryPartitionsMax = 1_024;

/** Of all records together: enough for a million small events, small enough for a test runner. */
export const memoryBytesMax = 256 * 1_048_576;

/** What a record takes beside its body: measured, with attributes of usual lengths. */
export const recordOverheadBytes = 300;

/** Bodies: what the other brokers take, too. */
export const memoryBodyBytesMax = 16 * 1_048_576;

/** Room is made down to this part of the bound, so that it is not looked for with every record. */
export const memoryRoomRatio = 0.9;

export const memoryCommitEveryMs = 5;
