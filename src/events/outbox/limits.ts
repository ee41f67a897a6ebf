/** How long buckets stay with a relay that is not heard of any more: what a crash delays events by. */
export const leaseMsDefault = 10_000;

/** A lease is renewed this many times before it would end. */
export const renewalsPerLease = 3;

/** A look at the table without a signal, with jitter: for rows of other processes, and of transactions that nobody told of. */
export const pollMsDefault = 250;

/** Rows of one pass: enough to fill the pipeline of any broker, few enough that a crash repeats little. */
export const passRowsMax = 2_000;
/** Bodies of one pass. */
export const passBytesMax = 8 * 1024 * 1024;

/** After a pass in which the broker took nothing; doubles up to the other. */
export const retryMsMin = 100;
export const retryMsMax = 5_000;

/** How long rows are kept after they were sent: long enough to look into what happened. */
export const keepSentMsDefault = 3_600_000;
/** Sent rows are removed this often, so many at a time: no transaction is long. */
export const cleanUpMs = 10_000;
export const cleanUpRowsMax = 5_000;

/** Text of a broker's refusal that is kept with its row. */
export const reasonCharsMax = 2_000;

/** How long closing waits for a pass that is under way. */
export const closeMsDefault = 10_000;
