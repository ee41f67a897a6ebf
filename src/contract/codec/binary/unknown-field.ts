import type { ByteWriter } from "../../../platform/index.ts";
import { CodecError } from "../codec-error.ts";
import { messageDepthMax } from "../limits.ts";
import { type Cursor, copyBytes, readTag, readVarint32, truncated } from "./read-scalar.ts";
import { room, tagBytes, writeTag } from "./write-scalar.ts";

/** A field that the schema does not know, as protobuf-es keeps it in `$unknown`. */
export interface UnknownField {
  readonly no: number;
  readonly wireType: number;
  readonly data: Uint8Array;
}

/** Moves `cursor.pos` behind a field's value. */
export function skipField(bytes: Uint8Array, pos: number, tag: number, cursor: Cursor, depth = cursor.depth): void {
  switch (tag & 7) {
    case 0:
      while (pos < cursor.limit && bytes[pos]! > 0x7f) pos++; // within the limit
      cursor.pos = pos + 1;
      break;
    case 1:
      cursor.pos = pos + 8;
      break;
    case 2: {
      const length = readVarint32(bytes, pos, cursor);
      if (length > cursor.limit - cursor.pos) throw truncated();
      cursor.pos += length;
      break;
    }
    case 3:
      skipGroup(bytes, pos, tag >>> 3, cursor, depth);
      break;
    case 5:
      cursor.pos = pos + 4;
      break;
    default:
      throw new CodecError("binary.group", "a group ends that has not begun");
  }
  if (cursor.pos > cursor.limit) throw truncated();
}

function skipGroup(bytes: Uint8Array, pos: number, number: number, cursor: Cursor, depth: number): void {
  if (depth >= messageDepthMax) throw tooDeep();
  cursor.pos = pos;
  for (;;) {
    const tag = readTag(bytes, cursor.pos, cursor);
    if (cursor.pos > cursor.limit) throw truncated();
    if ((tag & 7) === 4) {
      if (tag >>> 3 !== number) throw new CodecError("binary.group", "a group ends with another field's number");
      return;
    }
    skipField(bytes, cursor.pos, tag, cursor, depth + 1);
  }
}

export function tooDeep(): CodecError {
  return new CodecError("binary.depth", "messages are nested deeper than 100");
}

/** Reads the value behind an unknown field's tag, copied. */
export function readUnknown(bytes: Uint8Array, pos: number, tag: number, cursor: Cursor): UnknownField {
  skipField(bytes, pos, tag, cursor);
  return { no: tag >>> 3, wireType: tag & 7, data: copyBytes(bytes, pos, cursor.pos) };
}

/** What is kept when a closed enum (proto2) does not have the number that came. */
export function unknownEnum(number: number, wireType: number, value: number): UnknownField {
  const data: number[] = [];
  let low = value;
  if (value >= 0) {
    while (low > 0x7f) {
      data.push((low & 0x7f) | 0x80);
      low >>>= 7;
    }
    data.push(low);
  } else {
    for (let index = 0; index < 9; index++) {
      data.push((low & 0x7f) | 0x80);
      low >>= 7;
    }
    data.push(1);
  }
  return { no: number, wireType, data: Uint8Array.from(data) };
}

/** Writes unknown fields as they came. */
export function writeUnknown(writer: ByteWriter, position: number, fields: readonly UnknownField[]): number {
  for (const { no, wireType, data } of fields) {
    position = writeTag(writer, position, tagBytes(no, wireType));
    room(writer, position, data.length).set(data, position);
    position += data.length;
  }
  return position;
}
