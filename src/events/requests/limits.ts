/** Limits and defaults of request/reply, each with its unit and reason. */

/** A request without another word waits so long, in milliseconds: the same as a unary call. */
export const requestTimeoutMs = 30_000;
/** The longest, in milliseconds: reply topics of Kafka keep what comes for so long. */
export const requestTimeoutMsMax = 3_600_000;
/** Requests that wait for their replies at once: each holds a timer, a promise and its record. */
export const pendingRequestsMax = 10_000;

/**
 * A reply that cannot be handed over is tried for so long, in milliseconds, and no longer than anybody waits for it: enough
 * for the requester's reconnect, little enough that an address that has gone does not keep handlers' places.
 */
export const replyPatienceMs = 5_000;
/** Pauses between those attempts. */
export const replyAgain = { jitter: "full", baseMs: 50, factor: 2, maxMs: 1_000 } as const;

/** Addresses that are known to be missing; the one that was not written to for longest is forgotten. */
export const missingAddressesMax = 1_000;

/** An address is the name of a queue (AMQP short string) or of a topic, in characters. */
export const replyAddressCharsMax = 255;
/** A correlation id, in characters: AMQP's property is a short string. */
export const correlationIdCharsMax = 255;

/** Of an error's message, in characters. */
export const errorMessageCharsMax = 4_096;
/** Of an error's details together, in bytes as `google.rpc.Status`: with base64 they share a header frame with the rest. */
export const errorDetailsBytesMax = 16_384;
