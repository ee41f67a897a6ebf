/**
 * How long an id is remembered: longer than any redelivery can take, which is the longest retry and then the time that dead
 * letters are kept before somebody replays them.
 */
export const keepMsDefault = 14 * 24 * 3_600_000;

/** Rows older than that are removed this often, so many at a time: no transaction is long. */
export const cleanUpMs = 60_000;
export const cleanUpRowsMax = 2_000;

/** Handlers whose work goes into one transaction on SQLite: each waits for at most so many others. */
export const groupMax = 100;

/** How long a transaction on SQLite tries again while another connection writes. */
export const busyMs = 5_000;
