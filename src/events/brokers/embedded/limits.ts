/** Limits and defaults of the embedded broker, each with its unit and reason. */

/** Partitions of a new topic; a topic keeps the number that it was made with. */
export const embeddedPartitions = 8;
export const embeddedPartitionsMax = 1_024;

/** Bodies: far below SQLite's 1 GB for a row, and what the other brokers take, too. */
export const embeddedBodyBytesMax = 16 * 1_048_576;

/** Records of one publish and partition are one row up to this size: rows are cheap to write then and small to read. */
export const batchBytesMax = 256 * 1_024;
export const batchRecordsMax = 1_024;

/** Batches that were decoded and not read to their end, or are read by several groups. */
export const decodedBatchesMax = 64;

/** How long a write tries again while another process has the file. */
export const busyMs = 5_000;

/** Changes by other processes are looked for so often while there are some; the pause doubles when there are none. */
export const pollMsMin = 2;
export const pollMsMax = 100;
/** And so often while the file system would tell of them: it might not, on a disk of somebody else's. */
export const pollMsWatched = 1_000;
/** What the file system tells so long after a write of our own counts as that write. */
export const ownWriteMs = 25;

/** A member that has not been heard of for so long is gone, and others take its lanes. */
export const leaseMsDefault = 10_000;
/** A member shows itself this many times within its lease. */
export const heartbeatsPerLease = 3;

/** Settlements wait so long for others: each commit waits for the disk. */
export const embeddedCommitEveryMs = 100;

/** Records are kept for a week at most, as in Kafka. */
export const retentionMsDefault = 7 * 86_400_000;
export const retentionBytesDefault = 1_073_741_824;
/** Publishes are refused when what groups have not settled takes so many times the retention's bytes. */
export const refusalRatio = 4;
/** Old records are looked for so often; and removed so many rows at a time, with a pause for other writers. */
export const trimEveryMs = 30_000;
export const trimRows = 64;
export const trimPauseMs = 20;

/** Scheduled records that come due are appended so many at a time. */
export const dueRows = 500;

/** A thread that writes has so long to open the file. */
export const threadStartMs = 10_000;
