/**
 * JSON Schema of the contract's messages, with their `buf.validate` rules and examples: what documents of services show.
 * `contract/index.ts` does not pass it on, because `rules.ts` loads the descriptors of `buf.validate`, which takes a while:
 * import it where a document is made. Imports `codec/`. Start at `schemas.ts`.
 */
export { exampleOf } from "./example.ts";
export { constraintsOf } from "./rules.ts";
export type { Schema } from "./schema.ts";
export { type Direction, Schemas } from "./schemas.ts";
