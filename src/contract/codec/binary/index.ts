/**
 * The binary format: readers and writers of scalars, and for each message type an encoder and a decoder, generated as
 * source text or, where that is forbidden, put together from closures. Imports the codec folder's plan and `platform`.
 * Start at `message-node.ts`; `*-closures.ts` is the plain form of what `*-generated.ts` writes as text.
 */
export { type BinaryCodec, BinaryCodecs, binaryCodec } from "./binary-codec.ts";
export type { UnknownField } from "./unknown-field.ts";
