/** How long an answer is kept, as most public APIs with this header do. */
export const ttlMsDefault = 24 * 60 * 60 * 1000;

/**
 * How long a key stays taken after its holder was last heard of: what a crash costs the caller in waiting. Longer than any
 * pause of a healthy process, because a holder that only slept runs on beside the one that took its place.
 */
export const leaseMsDefault = 60_000;

/** A lease is renewed this many times before it would end. */
export const renewalsPerLease = 3;

/** What a caller is told to wait where the first call with its key still runs, or the store does not answer. */
export const retryAfterMs = 1_000;

/** Keys that the memory store holds at a time: about 5 MB without the answers. */
export const memoryEntriesMax = 10_000;
/** Answers that the memory store holds at a time. */
export const memoryBytesMax = 64 * 1024 * 1024;
/** The memory store looks for what has expired at most this often, because it looks at every entry. */
export const memorySweepMs = 1_000;

/**
 * Expired rows that each new key removes from a database. More than one, so that it always keeps up; few, so that none
 * waits for the removal of many.
 */
export const sqliteSweepRows = 16;
/** How long the SQLite store tries again while another connection writes. */
export const sqliteBusyMs = 2_000;
