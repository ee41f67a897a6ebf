/** Limits and defaults of log lanes, each with its unit and reason. */

/**
 * Records of a lane between its watermark and the newest one that was delivered. One that is not settled holds back the
 * commit but not the flow, until this many have come behind it; the bookkeeping for so many takes 600 KB.
 */
export const laneWindowRecordsMax = 65_536;

/** Slots of a watermark to begin with; doubles when it must. */
export const watermarkSlots = 64;

/** The longest metadata of a commit: Kafka's `offset.metadata.max.bytes` is 4096 by default. */
export const laneMetadataBytesMax = 4_000;

/**
 * Offsets beyond the newest delivered one that a commit reserves, at least: handlers may begin for these before the next
 * commit. It follows the flow between two commits, so that a commit is never waited for.
 */
export const laneReserveMin = 256;
export const laneReserveMax = laneWindowRecordsMax;

/** A record that has survived two crashes has the lane for itself for so long: most of those that kill, kill at once. */
export const suspectAloneMs = 5_000;

/** A record that was given back comes again after so long, so that giving back cannot become a busy loop. */
export const releasedAgainMs = 5;

/** Records that are handed over before the event loop has a turn. */
export const recordsPerTurnMax = 512;
/** And of one lane before the next one: what a lane may have beyond its share. */
export const recordsPerReadMax = 64;

/** How long handlers may go on when their lane is wanted elsewhere: Kafka gives a rebalance five minutes, which is too long to wait for. */
export const revokeBudgetMs = 30_000;

/** Records of a lane that came back and are in work. */
export const returnedInWorkMax = 1_000;
/** Room for more of them is looked for so often. */
export const returnedAgainMs = 100;

/** Pauses before a failed commit or heartbeat is tried again; the first, doubling up to the longest. */
export const storeRetryMsMin = 50;
export const storeRetryMsMax = 5_000;

/** Records of a lane in its parking place: their index takes 16 bytes for each, and reading it when a lane comes 100 ms. */
export const parkedRecordsMax = 100_000;
