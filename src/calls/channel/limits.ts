/** Limits and defaults of channels and of plain HTTP calls, each with its unit and reason. */

/** From the call to the last byte of its answer, as for calls of a contract. */
export const fetchTimeoutMs = 30_000;

/** Body of an answer: what messages of a contract may have. */
export const responseBytesMax = 4 * 1_048_576;

/** How often a request that certainly was not acted upon is sent again without asking anybody (gRPC A6). */
export const transparentRetries = 3;

/** Calls of a channel that wait for the first resolution; one more fails at once. As many as may wait for a connection. */
export const unresolvedCallsMax = 1_024;

/**
 * Calls in a row that no endpoint of a target answered, after which its breaker opens. Four times what ejects one endpoint,
 * so that endpoints are left out first; calls that were lost together with one connection count as one.
 */
export const targetFailuresMax = 20;

/** How long it stays open before one call is let through, in milliseconds: short at most, since it costs every caller. */
export const targetOpenMs = { initialMs: 1_000, maxMs: 30_000 } as const;
