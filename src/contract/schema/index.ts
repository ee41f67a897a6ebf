/**
 * JSON Schema of the contract's messages, with their `buf.validate` rules and examples: what documents of services show.
 * `contract/index.ts` does not pass it on, because `rules.ts` loads the descriptors of `buf.validate`, which takes a while:
 * import it where a document is made. Imports `codec/` and `rules/`. Start at `schemas.ts` for what calls take and answer, at
 * `event-schemas.ts` for what events are written as.
 */
export { EventSchemas } from "./event-schemas.ts";
export { exampleOf } from "./example.ts";
export { constraintsOf } from "./rules.ts";
export type { Schema } from "./schema.ts";
export { type Direction, Schemas } from "./schemas.ts";
