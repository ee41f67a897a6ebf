import { ScalarType } from "@bufbuild/protobuf";
import { CodecError } from "../codec-error.ts";
import { shortTextMax } from "../limits.ts";

/**
 * Where a decoder is. A reader gets a position and leaves the next one in `pos`. Reading a little past `limit` yields
 * values that nobody sees: whoever loops over fields compares `pos` with `limit` and refuses the message. Before memory
 * is set aside, lengths are compared with `limit`.
 */
export class Cursor {
  pos = 0;
  /** The end of the outermost message. */
  limit = 0;
  /** Messages that enclose this position. */
  depth = 0;
  /** Nobody writes to the bytes again, so that large fields may be views on them. */
  isShared = false;
  /** Halves of the last 64-bit varint. */
  low = 0;
  high = 0;
}

/** Reads a value behind its tag. */
export type ReadScalar = (bytes: Uint8Array, pos: number, cursor: Cursor) => unknown;

export function truncated(): CodecError {
  return new CodecError("binary.truncated", "the message ends in the middle of a field");
}

function overlong(): CodecError {
  return new CodecError("binary.varint", "a varint has more than 10 bytes");
}

/** An unsigned 32-bit varint; higher bits of longer ones are dropped. */
export function readVarint32(bytes: Uint8Array, pos: number, cursor: Cursor): number {
  // A read behind the end of the array gives undefined, which counts as 0 and ends the varint: `limit` tells.
  let byte = bytes[pos++]!;
  let value = byte & 0x7f;
  if (byte > 0x7f) {
    byte = bytes[pos++]!;
    value |= (byte & 0x7f) << 7;
    if (byte > 0x7f) {
      byte = bytes[pos++]!;
      value |= (byte & 0x7f) << 14;
      if (byte > 0x7f) {
        byte = bytes[pos++]!;
        value |= (byte & 0x7f) << 21;
        if (byte > 0x7f) {
          byte = bytes[pos++]!;
          value |= (byte & 0x0f) << 28;
          for (let count = 5; byte > 0x7f; count++) {
            if (count === 10) throw overlong();
            byte = bytes[pos++]!;
          }
        }
      }
    }
  }
  cursor.pos = pos;
  return value >>> 0;
}

/** A 64-bit varint into `low` and `high`. */
function loadVarint64(bytes: Uint8Array, pos: number, cursor: Cursor): void {
  let low = 0;
  let high = 0;
  for (let shift = 0; shift < 28; shift += 7) {
    const byte = bytes[pos++]!;
    low |= (byte & 0x7f) << shift;
    if (!(byte > 0x7f)) {
      cursor.low = low;
      cursor.high = 0;
      cursor.pos = pos;
      return;
    }
  }
  let byte = bytes[pos++]!;
  low |= (byte & 0x0f) << 28;
  high = (byte & 0x70) >> 4;
  for (let shift = 3; byte > 0x7f; shift += 7) {
    if (shift > 31) throw overlong();
    byte = bytes[pos++]!;
    high |= (byte & 0x7f) << shift;
  }
  cursor.low = low;
  cursor.high = high;
  cursor.pos = pos;
}

/** A tag; its number is at least 1 and its wire type at most 5. */
export function readTag(bytes: Uint8Array, pos: number, cursor: Cursor): number {
  const tag = readVarint32(bytes, pos, cursor);
  const count = cursor.pos - pos;
  if (count > 5 || (count === 5 && bytes[pos + 4]! > 0x0f) || tag < 8 || (tag & 7) > 5) throw illegalTag();
  return tag;
}

export function illegalTag(): CodecError {
  return new CodecError("binary.tag", "a tag has no field number or an unknown wire type");
}

const scratch = new DataView(new ArrayBuffer(8));

function loadFixed32(bytes: Uint8Array, pos: number): number {
  return bytes[pos]! | (bytes[pos + 1]! << 8) | (bytes[pos + 2]! << 16) | (bytes[pos + 3]! << 24);
}

export function readInt32(bytes: Uint8Array, pos: number, cursor: Cursor): number {
  return readVarint32(bytes, pos, cursor) | 0;
}

function readSint32(bytes: Uint8Array, pos: number, cursor: Cursor): number {
  const value = readVarint32(bytes, pos, cursor);
  return (value >>> 1) ^ -(value & 1);
}

export function readBool(bytes: Uint8Array, pos: number, cursor: Cursor): boolean {
  loadVarint64(bytes, pos, cursor);
  return cursor.low !== 0 || cursor.high !== 0;
}

export function readInt64(bytes: Uint8Array, pos: number, cursor: Cursor): bigint {
  loadVarint64(bytes, pos, cursor);
  scratch.setInt32(0, cursor.low, true);
  scratch.setInt32(4, cursor.high, true);
  return scratch.getBigInt64(0, true);
}

export function readUint64(bytes: Uint8Array, pos: number, cursor: Cursor): bigint {
  loadVarint64(bytes, pos, cursor);
  scratch.setInt32(0, cursor.low, true);
  scratch.setInt32(4, cursor.high, true);
  return scratch.getBigUint64(0, true);
}

function readSint64(bytes: Uint8Array, pos: number, cursor: Cursor): bigint {
  loadVarint64(bytes, pos, cursor);
  const { low, high } = cursor;
  const sign = -(low & 1);
  scratch.setInt32(0, ((low >>> 1) | ((high & 1) << 31)) ^ sign, true);
  scratch.setInt32(4, (high >>> 1) ^ sign, true);
  return scratch.getBigInt64(0, true);
}

function readFixed32(bytes: Uint8Array, pos: number, cursor: Cursor): number {
  cursor.pos = pos + 4;
  return loadFixed32(bytes, pos) >>> 0;
}

function readSfixed32(bytes: Uint8Array, pos: number, cursor: Cursor): number {
  cursor.pos = pos + 4;
  return loadFixed32(bytes, pos);
}

function loadFixed64(bytes: Uint8Array, pos: number, cursor: Cursor): void {
  scratch.setInt32(0, loadFixed32(bytes, pos), true);
  scratch.setInt32(4, loadFixed32(bytes, pos + 4), true);
  cursor.pos = pos + 8;
}

function readFixed64(bytes: Uint8Array, pos: number, cursor: Cursor): bigint {
  loadFixed64(bytes, pos, cursor);
  return scratch.getBigUint64(0, true);
}

function readSfixed64(bytes: Uint8Array, pos: number, cursor: Cursor): bigint {
  loadFixed64(bytes, pos, cursor);
  return scratch.getBigInt64(0, true);
}

function readFloat(bytes: Uint8Array, pos: number, cursor: Cursor): number {
  scratch.setInt32(0, loadFixed32(bytes, pos), true);
  cursor.pos = pos + 4;
  return scratch.getFloat32(0, true);
}

export function readDouble(bytes: Uint8Array, pos: number, cursor: Cursor): number {
  loadFixed64(bytes, pos, cursor);
  return scratch.getFloat64(0, true);
}

/** Reads a length, compares it with what is left, and leaves the end of what it measures in `pos`. */
export function readLength(bytes: Uint8Array, pos: number, cursor: Cursor): number {
  const length = readVarint32(bytes, pos, cursor);
  if (length > cursor.limit - cursor.pos) throw truncated();
  return length;
}

/** Below this, a field is copied rather than made to keep the memory of its whole message. */
const viewBytesMin = 16_384;

export function readBytes(bytes: Uint8Array, pos: number, cursor: Cursor): Uint8Array {
  const length = readLength(bytes, pos, cursor);
  const start = cursor.pos;
  cursor.pos = start + length;
  if (cursor.isShared && length >= viewBytesMin) return new Uint8Array(bytes.buffer, bytes.byteOffset + start, length);
  return copyBytes(bytes, start, start + length);
}

/** A plain copy: the chunk that a message came in is used again. */
export function copyBytes(bytes: Uint8Array, start: number, end: number): Uint8Array {
  const copy = new Uint8Array(end - start);
  copy.set(bytes.subarray(start, end));
  return copy;
}

// U+FEFF at the start is text, not a mark of byte order.
const lenient = new TextDecoder("utf-8", { ignoreBOM: true });
const strict = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });
const latin1Slice = Buffer.prototype.latin1Slice as (this: Uint8Array, start: number, end: number) => string;
const utf8Slice = Buffer.prototype.utf8Slice as typeof latin1Slice;
const fromCodes = String.fromCharCode;

/** Text of bytes that are known to lie within the message. */
export function textOf(bytes: Uint8Array, start: number, end: number, isStrict: boolean): string {
  const length = end - start;
  if (length > 256) return anyText(bytes, start, end, isStrict);
  let all = 0;
  for (let index = start; index < end; index++) all |= bytes[index]!;
  if (all > 0x7f) return anyText(bytes, start, end, isStrict);
  if (length > shortTextMax) return latin1Slice.call(bytes, start, end);
  let text = "";
  let at = start;
  // The call with eight arguments is compiled to stores; with a spread or in a loop of single ones it is not.
  for (; end - at >= 8; at += 8) {
    text += fromCodes(
      bytes[at]!,
      bytes[at + 1]!,
      bytes[at + 2]!,
      bytes[at + 3]!,
      bytes[at + 4]!,
      bytes[at + 5]!,
      bytes[at + 6]!,
      bytes[at + 7]!,
    );
  }
  if (end - at >= 4) {
    text += fromCodes(bytes[at]!, bytes[at + 1]!, bytes[at + 2]!, bytes[at + 3]!);
    at += 4;
  }
  switch (end - at) {
    case 1:
      return text + fromCodes(bytes[at]!);
    case 2:
      return text + fromCodes(bytes[at]!, bytes[at + 1]!);
    case 3:
      return text + fromCodes(bytes[at]!, bytes[at + 1]!, bytes[at + 2]!);
    default:
      return text;
  }
}

function anyText(bytes: Uint8Array, start: number, end: number, isStrict: boolean): string {
  // The native function replaces what is invalid: text without a replacement was valid, and costs less than a decoder.
  const text = utf8Slice.call(bytes, start, end);
  if (!text.includes("\ufffd")) return text;
  const part = bytes.subarray(start, end);
  if (!isStrict) return lenient.decode(part);
  try {
    return strict.decode(part);
  } catch (cause) {
    throw new CodecError("string.utf8", "a string is not valid UTF-8", "", { cause });
  }
}

export function readString(bytes: Uint8Array, pos: number, cursor: Cursor): string {
  const length = readLength(bytes, pos, cursor);
  const start = cursor.pos;
  cursor.pos = start + length;
  return textOf(bytes, start, start + length, true);
}

function readStringLenient(bytes: Uint8Array, pos: number, cursor: Cursor): string {
  const length = readLength(bytes, pos, cursor);
  const start = cursor.pos;
  cursor.pos = start + length;
  return textOf(bytes, start, start + length, false);
}

/** The reader of a scalar type. */
export function scalarReader(type: ScalarType, isStrict: boolean, longAsString: boolean): ReadScalar {
  const read = plainReader(type, isStrict);
  return longAsString ? (bytes, pos, cursor) => String(read(bytes, pos, cursor)) : read;
}

function plainReader(type: ScalarType, isStrict: boolean): ReadScalar {
  switch (type) {
    case ScalarType.STRING:
      return isStrict ? readString : readStringLenient;
    case ScalarType.BYTES:
      return readBytes;
    case ScalarType.BOOL:
      return readBool;
    case ScalarType.DOUBLE:
      return readDouble;
    case ScalarType.FLOAT:
      return readFloat;
    case ScalarType.INT32:
      return readInt32;
    case ScalarType.UINT32:
      return readVarint32;
    case ScalarType.SINT32:
      return readSint32;
    case ScalarType.FIXED32:
      return readFixed32;
    case ScalarType.SFIXED32:
      return readSfixed32;
    case ScalarType.INT64:
      return readInt64;
    case ScalarType.UINT64:
      return readUint64;
    case ScalarType.SINT64:
      return readSint64;
    case ScalarType.FIXED64:
      return readFixed64;
    case ScalarType.SFIXED64:
      return readSfixed64;
  }
}
