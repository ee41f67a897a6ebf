/** Limits and defaults of publishing, each with its unit and reason. Those of consumers are in `runtime/limits.ts`. */

/** When gathered publishes leave. 2 ms are little beside a broker's answer, and enough for thousands of records. */
export const gatherDefaults = {
  maxAgeMs: 2,
  recordsMax: 500,
  bytesMax: 512 * 1_024,
  pendingBytesMax: 64 * 1_048_576,
} as const;

/** Hand-overs of a record that the broker refuses for the moment. Drivers wait for connections themselves before they say
 * so; with the pauses below this is about a quarter of a minute more. */
export const publishAttemptsMax = 8;
/** Pauses between them, in milliseconds. */
export const publishAgain = { jitter: "full", baseMs: 100, factor: 2, maxMs: 5_000 } as const;

/** A key is a CloudEvents subject, which brokers carry in a header and Kafka as bytes. */
export const keyCharsMax = 1_024;
/** The publisher's own headers together, names and values in characters: AMQP has to fit all in one frame of 128 KiB. */
export const headerCharsMax = 32_768;
/** Records of `publishAll` that are on the way at once. */
export const publishAllWindow = 10_000;
/** `publishAll` lets the event loop have its turn after so many events, or so many milliseconds: a broker in the process
 * answers at once, and nothing would ever be waited for. About what its consumers take in a turn. */
export const publishAllTurnRecords = 500;
export const publishAllTurnMs = 5;
/** Errors that a failed `publishAll` lists; it counts all. */
export const publishAllErrorsMax = 100;
