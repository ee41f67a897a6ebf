/** Limits of the schema registry's client, each with its unit and reason. */

/** The whole answer to one request. */
export const answerTimeoutMs = 10_000;
/** Schemas are texts of people; a megabyte is more than any. */
export const answerBytesMax = 1_048_576;
/** Schemas by id that are remembered; each a small tree of names. */
export const schemasMax = 1_000;
/** An id or a schema that the registry does not know is asked for again after so long. */
export const unknownForMs = 30_000;
/** Pauses before a registry that does not answer is asked again. */
export const askAgain = { jitter: "full", baseMs: 200, factor: 2, maxMs: 10_000 } as const;
/** Messages within messages, and so the length of a message's index. */
export const nestingMax = 32;
