/**
 * Header compression (RFC 7541). Imports only `wire/exchange.ts` and the byte writer. Start at `decoder.ts`; what a field
 * means to HTTP/2 is found out there once per table entry (`field-kind.ts`).
 */
export { type FieldSink, HpackDecoder, HpackError } from "./decoder.ts";
export { HpackEncoder } from "./encoder.ts";
export { FieldKind } from "./field-kind.ts";
