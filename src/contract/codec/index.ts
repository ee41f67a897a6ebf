/**
 * Binary and ProtoJSON codecs, compiled from protobuf-es descriptors: one function per message type and direction.
 * Messages, accepted input and output are those of protobuf-es, which is the referee in tests.
 * Imports `platform` (ByteWriter) only. Start at `plan.ts`, then `binary/message-node.ts` and `json/json-codec.ts`.
 */
export { type BinaryCodec, binaryCodec } from "./binary/index.ts";
export { CodecError } from "./codec-error.ts";
export {
  enumSpellings,
  hasDuplicateMembers,
  type JsonCodec,
  type JsonCodecOptions,
  type JsonDialect,
  jsonCodec,
} from "./json/index.ts";
