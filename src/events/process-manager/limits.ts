/** Limits and defaults of process managers, each with its unit and reason. */

/**
 * How long an instance that is completed is remembered: as long as an inbox remembers ids, so that what comes late is known to
 * be late, and does not begin the process again.
 */
export const keepCompletedMsDefault = 14 * 24 * 3_600_000;

/** Completed instances older than that are removed this often, so many at a time: no transaction is long. */
export const cleanUpMs = 60_000;
export const cleanUpRowsMax = 1_000;

/**
 * Another process has changed the instance meanwhile: it is read again and decided again so many times, before the
 * subscription's own retries follow. Those who collide make progress one after the other, so that few repeats are enough.
 */
export const conflictsMax = 5;

/** A state as JSON, in characters. It is read and written with every event. */
export const stateCharsMax = 1_048_576;

/** Effects of one decision: a process that publishes more at once wants another event, not a longer transaction. */
export const effectsMax = 1_000;

/** The longest time-out: a year. Beyond it a typing error is likelier than a wish. */
export const timeoutMsMax = 366 * 24 * 3_600_000;

/** An instance is named by the key of events, which is a CloudEvents subject. */
export const instanceCharsMax = 1_024;
