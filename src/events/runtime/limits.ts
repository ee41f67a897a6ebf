/** Limits and defaults of consumers, each with its unit and reason. */

/** Handlers of a subscription that run at once, unless its options say otherwise. */
export const concurrencyDefault = 16;

/** Of a handler, in milliseconds: settled for calls too, which inherit what is left of it. */
export const handlerTimeoutMs = 30_000;
/** A handler that goes on for so long after its signal was aborted is reported, in milliseconds. It keeps its place. */
export const abandonedHandlerMs = 30_000;

/** Records that a subscription has in memory before its lanes are paused: a few hand-overs of a driver. */
export const bufferedRecordsMax = 2_048;
/** Their bodies in bytes. With the overshoot of what is on its way this bounds the memory of a member. */
export const bufferedBytesMax = 16 * 1_048_576;
/** Lanes flow again below this share of either, so that they are not switched for every record. */
export const resumeShare = 0.5;
/** All shares of lanes together: less than there may be, so that lanes whose share is full never stop the others. */
export const laneShare = 0.75;
/** Records that a lane may have in any case, however many lanes there are: fewer at a time are slow to read. */
export const laneRecordsMin = 32;
/** What parked records may hold of the buffer; the rest stays for keys that flow. */
export const parkedShare = 0.5;

/** A record is parked in memory for so long, in milliseconds; then it moves to the broker. */
export const parkedMsMax = 600_000;
/** Records of one write to the broker's parking place, and their bodies in bytes: about what a broker likes to get at once. */
export const parkBatchRecordsMax = 256;
export const parkBatchBytesMax = 1_048_576;
/** Records of a key that come back from there together, once some have succeeded. */
export const recallChunkMax = 64;
/** And their bodies, in bytes, as far as those that came before tell. */
export const recallBytesMax = 1_048_576;
/** Reads of the place at once. */
export const recallReadsMax = 4;
/** What came back may hold so much beside the buffer, as a share of it. */
export const recalledShare = 0.125;
/** Events of a batch, unless its options say otherwise, and at most: of the latter two fit into what a member buffers. */
export const batchEventsDefault = 100;
export const batchEventsMax = 10_000;
/** How long the first event of a batch waits for others, in milliseconds: little beside a broker's own delays under load. */
export const batchWaitMs = 50;
/** Longer than a minute nobody should keep an event that could be handled. */
export const batchWaitMsMax = 60_000;
/** Bodies of a batch, in bytes; at most what lets one batch fill while another is handled. */
export const batchBytesDefault = 1_048_576;
export const batchBytesMax = bufferedBytesMax * resumeShare;
/** Events that handlers have at once: `concurrency` batches, or fewer where they are large, since all of them are in memory
 * twice, in handlers and in the making. Two of the largest batches fit in any case. */
export const batchedEventsAtOnceMax = 4_096;

/** Attempts in all. */
export const maxAttempts = 8;
/** Attempts right after the first. */
export const immediateAttempts = 2;
/** Longest pause before the first of those, in milliseconds; doubles. Any part of it, by chance. */
export const immediateDelayMs = 25;
/** Before the first delayed attempt, in milliseconds, and what the delay grows by: with 8 attempts in all 3, 12, 48, 192
 * and 300 seconds, a little more than nine minutes together. */
export const initialDelayMs = 3_000;
export const delayFactor = 4;
export const maxDelayMs = 300_000;
/** A delay is that much shorter or longer by chance, so that what failed together does not come back together. */
export const delaySpread = 0.1;

/** Pauses between repeated calls of a broker that does not take a dead letter or a retry, in milliseconds. */
export const moveAgain = { jitter: "full", baseMs: 500, factor: 2, maxMs: 30_000 } as const;

/** A drain lets handlers go on for so long, in milliseconds: less than the 30 s that Kubernetes gives a pod. */
export const drainTimeoutMs = 25_000;
/** Then their signals are aborted, and they have so many milliseconds to notice. */
export const afterAbortMs = 2_000;

/** How long a dispatch may go on before the event loop has its turn, in milliseconds: a tenth of what overload control of
 * servers calls late. */
export const sliceMs = 10;
/** The clock is looked at after so many handlers of a slice. */
export const sliceEvery = 32;

/** Of an exception that goes with a dead letter, in characters: enough for a stack, little enough for a header. */
export const exceptionCharsMax = 4_096;

/** What the handler of one event may publish in a transaction: it waits in memory until it is committed. */
export const outputRecordsMax = 10_000;
export const outputBytesMax = 8 * 1_048_576;
