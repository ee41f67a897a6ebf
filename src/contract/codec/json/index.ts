/**
 * ProtoJSON and its dialects: text is built directly, input is parsed by the engine and then mapped. Imports the codec
 * folder's plan and `binary` (for the content of Any). Start at `json-node.ts`; well-known types are in `well-known.ts`.
 */
export { enumSpellings, type JsonDialect } from "./dialect.ts";
export { hasDuplicateMembers } from "./duplicate-keys.ts";
export { type JsonCodec, type JsonCodecOptions, JsonCodecs, jsonCodec } from "./json-codec.ts";
