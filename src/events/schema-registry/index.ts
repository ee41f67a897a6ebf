/**
 * Confluent's wire format and the registry of schemas behind it: the id of a schema before each body, schemas that are
 * registered or looked up before the first publish, and looked up by id for what is read. Knows HTTP from `wire`, and no
 * broker; Kafka's uses it. Start at `frame.ts`, then `registry.ts`, `frame-writer.ts` and `frame-reader.ts`.
 */
export { FrameReader } from "./frame-reader.ts";
export { FrameWriter } from "./frame-writer.ts";
export { openRegistry, type Registry } from "./registry.ts";
