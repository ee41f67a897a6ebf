/**
 * The contract as the rest of the code sees it: services and methods compiled from protobuf descriptors and their
 * options into plain data, and the codecs in `codec/`. Imports only `errors` and `platform`. Generated messages live in
 * `gen/` (made by `npm run generate`). Start at `method.ts`; `compile.ts` builds it.
 */
export type { Priority } from "../platform/index.ts";
export type { BinaryCodec, JsonCodec, JsonDialect } from "./codec/index.ts";
export { binaryCodec, CodecError, enumSpellings, hasDuplicateMembers, jsonCodec } from "./codec/index.ts";
export { compileService, registryOf } from "./compile.ts";
export { ContractError } from "./contract-error.ts";
export {
  compileEvent,
  type EventContract,
  eventDialect,
  isEvent,
  isEventTypeName,
  isTopicName,
  strictEventJson,
} from "./event.ts";
export {
  type AuthOptions,
  type CallKind,
  type HttpBinding,
  type Idempotency,
  type MessageCodecs,
  type Method,
  type MethodPolicy,
  type RestOptions,
  requestIsStream,
  responseIsStream,
  type Service,
} from "./method.ts";
export { hasRules, type RuleViolation } from "./rules/index.ts";
export { type Validate, validation } from "./validation.ts";
