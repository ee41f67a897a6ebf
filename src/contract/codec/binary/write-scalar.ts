import { ScalarType } from "@bufbuild/protobuf";
import type { ByteWriter } from "../../../platform/index.ts";
import { CodecError, describe } from "../codec-error.ts";
import { shortTextMax, varintBytesMax } from "../limits.ts";

/** Writes a value without its tag at a position and returns the position behind it. */
export type WriteScalar = (writer: ByteWriter, position: number, value: unknown) => number;

/** The writer's bytes with room for `count` more behind `position`. */
export function room(writer: ByteWriter, position: number, count: number): Buffer {
  if (position + count > writer.bytes.length) {
    writer.position = position;
    writer.ensure(count);
  }
  return writer.bytes;
}

/** A 32-bit varint where five bytes of room are known to be there. */
export function putVarint32(bytes: Buffer, position: number, value: number): number {
  while (value > 0x7f) {
    bytes[position++] = (value & 0x7f) | 0x80;
    value >>>= 7;
  }
  bytes[position++] = value;
  return position;
}

export function varint32Bytes(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x200000 ? 3 : value < 0x10000000 ? 4 : 5;
}

/** A 64-bit varint of two halves where ten bytes of room are known to be there. */
export function putVarint64(bytes: Buffer, position: number, low: number, high: number): number {
  while (high !== 0 || low >>> 0 > 0x7f) {
    bytes[position++] = (low & 0x7f) | 0x80;
    low = ((low >>> 7) | (high << 25)) >>> 0;
    high >>>= 7;
  }
  bytes[position++] = low;
  return position;
}

const scratch = new DataView(new ArrayBuffer(8));

/**
 * Puts the length in front of `start + 1 … position`, where one byte was left for it. Bodies of 128 bytes and more move
 * back to make place for a longer length.
 */
export function closeLength(writer: ByteWriter, start: number, position: number): number {
  const length = position - start - 1;
  if (length < 0x80) {
    writer.bytes[start] = length;
    return position;
  }
  const extra = varint32Bytes(length) - 1;
  const bytes = room(writer, position, extra);
  bytes.copyWithin(start + 1 + extra, start + 1, position);
  putVarint32(bytes, start, length);
  return position + extra;
}

function integerOf(value: unknown, min: number, max: number, rule: string): number {
  const number = typeof value === "string" ? Number(value) : value;
  if (typeof number !== "number") {
    throw new CodecError(`${rule}.type`, `expected an ${rule}, got ${describe(value)}`);
  }
  if (!Number.isInteger(number) || number > max || number < min) {
    throw new CodecError(`${rule}.range`, `expected an ${rule}, got ${describe(value)}`);
  }
  return number;
}

const int32 = (value: unknown): number => integerOf(value, -0x80000000, 0x7fffffff, "int32");
const uint32 = (value: unknown): number => integerOf(value, 0, 0xffffffff, "uint32");

/** Sets the scratch halves to a 64-bit integer after checking its range. */
function loadLong(value: unknown, isSigned: boolean): void {
  const rule = isSigned ? "int64" : "uint64";
  let long: bigint;
  if (typeof value === "bigint") {
    long = value;
  } else {
    try {
      long = BigInt(value as string | number | bigint | boolean);
    } catch (cause) {
      throw new CodecError(`${rule}.type`, `expected an ${rule}, got ${describe(value)}`, "", { cause });
    }
  }
  if ((isSigned ? BigInt.asIntN(64, long) : BigInt.asUintN(64, long)) !== long) {
    throw new CodecError(`${rule}.range`, `expected an ${rule}, got ${long}`);
  }
  scratch.setBigInt64(0, long, true);
}

export function writeInt32(writer: ByteWriter, position: number, value: unknown): number {
  const number = int32(value);
  const bytes = room(writer, position, varintBytesMax);
  return number >= 0 ? putVarint32(bytes, position, number) : putVarint64(bytes, position, number, 0xffffffff);
}

function writeUint32(writer: ByteWriter, position: number, value: unknown): number {
  const number = uint32(value);
  return putVarint32(room(writer, position, varintBytesMax), position, number);
}

function writeSint32(writer: ByteWriter, position: number, value: unknown): number {
  const number = int32(value);
  return putVarint32(room(writer, position, varintBytesMax), position, ((number << 1) ^ (number >> 31)) >>> 0);
}

export function writeInt64(writer: ByteWriter, position: number, value: unknown): number {
  loadLong(value, true);
  const bytes = room(writer, position, varintBytesMax);
  return putVarint64(bytes, position, scratch.getUint32(0, true), scratch.getUint32(4, true));
}

function writeUint64(writer: ByteWriter, position: number, value: unknown): number {
  loadLong(value, false);
  const bytes = room(writer, position, varintBytesMax);
  return putVarint64(bytes, position, scratch.getUint32(0, true), scratch.getUint32(4, true));
}

function writeSint64(writer: ByteWriter, position: number, value: unknown): number {
  loadLong(value, true);
  const bytes = room(writer, position, varintBytesMax);
  const low = scratch.getInt32(0, true);
  const high = scratch.getInt32(4, true);
  const sign = high >> 31;
  return putVarint64(bytes, position, ((low << 1) ^ sign) >>> 0, (((high << 1) | (low >>> 31)) ^ sign) >>> 0);
}

function writeFixed64(isSigned: boolean): WriteScalar {
  return (writer, position, value) => {
    loadLong(value, isSigned);
    const bytes = room(writer, position, 8);
    bytes.writeUInt32LE(scratch.getUint32(0, true), position);
    return bytes.writeUInt32LE(scratch.getUint32(4, true), position + 4);
  };
}

function writeFixed32(writer: ByteWriter, position: number, value: unknown): number {
  const number = uint32(value);
  return room(writer, position, 4).writeUInt32LE(number, position);
}

function writeSfixed32(writer: ByteWriter, position: number, value: unknown): number {
  const number = int32(value);
  return room(writer, position, 4).writeInt32LE(number, position);
}

function writeFloat(writer: ByteWriter, position: number, value: unknown): number {
  const number = typeof value === "string" ? Number(value) : value;
  if (typeof number !== "number" || (Number.isNaN(number) && typeof value === "string" && value !== "NaN")) {
    throw new CodecError("float.type", `expected a float, got ${describe(value)}`);
  }
  if (Number.isFinite(number) && !Number.isFinite(Math.fround(number))) {
    throw new CodecError("float.range", `expected a float, got ${number}`);
  }
  return room(writer, position, 4).writeFloatLE(number, position);
}

export function writeDouble(writer: ByteWriter, position: number, value: unknown): number {
  scratch.setFloat64(0, value as number, true);
  const bytes = room(writer, position, 8);
  bytes.writeUInt32LE(scratch.getUint32(0, true), position);
  return bytes.writeUInt32LE(scratch.getUint32(4, true), position + 4);
}

function writeBool(writer: ByteWriter, position: number, value: unknown): number {
  room(writer, position, 1)[position] = value ? 1 : 0;
  return position + 1;
}

/** Text as UTF-8 with its length in front; a lone surrogate becomes U+FFFD, as TextEncoder does it. */
export function writeString(writer: ByteWriter, position: number, value: unknown): number {
  const text = typeof value === "string" ? value : String(value);
  const length = text.length;
  const bytes = room(writer, position, length * 3 + 5);
  if (length <= shortTextMax * 2) {
    let at = position + 1;
    let index = 0;
    for (; index < length; index++) {
      const code = text.charCodeAt(index);
      if (code > 0x7f) break;
      bytes[at++] = code;
    }
    if (index === length) {
      bytes[position] = length;
      return at;
    }
  }
  // The length is nearly always that of pure ASCII; where it takes more bytes than that one's, the text moves.
  const guess = varint32Bytes(length);
  const written = bytes.write(text, position + guess, "utf8");
  const actual = varint32Bytes(written);
  if (actual !== guess) bytes.copyWithin(position + actual, position + guess, position + guess + written);
  return putVarint32(bytes, position, written) + written;
}

export function writeBytes(writer: ByteWriter, position: number, value: unknown): number {
  const source = Array.isArray(value) ? Uint8Array.from(value as number[]) : value;
  if (!(source instanceof Uint8Array)) {
    throw new CodecError("bytes.type", `expected bytes, got ${describe(value)}`);
  }
  const bytes = room(writer, position, source.length + 5);
  const at = putVarint32(bytes, position, source.length);
  bytes.set(source, at);
  return at + source.length;
}

/** The writer of a scalar type. */
export function scalarWriter(type: ScalarType): WriteScalar {
  switch (type) {
    case ScalarType.STRING:
      return writeString;
    case ScalarType.BYTES:
      return writeBytes;
    case ScalarType.BOOL:
      return writeBool;
    case ScalarType.DOUBLE:
      return writeDouble;
    case ScalarType.FLOAT:
      return writeFloat;
    case ScalarType.INT32:
      return writeInt32;
    case ScalarType.UINT32:
      return writeUint32;
    case ScalarType.SINT32:
      return writeSint32;
    case ScalarType.FIXED32:
      return writeFixed32;
    case ScalarType.SFIXED32:
      return writeSfixed32;
    case ScalarType.INT64:
      return writeInt64;
    case ScalarType.UINT64:
      return writeUint64;
    case ScalarType.SINT64:
      return writeSint64;
    case ScalarType.FIXED64:
      return writeFixed64(false);
    case ScalarType.SFIXED64:
      return writeFixed64(true);
  }
}

/** The wire type of a scalar outside packed lists. */
export function wireTypeOf(type: ScalarType): number {
  switch (type) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return 2;
    case ScalarType.DOUBLE:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return 1;
    case ScalarType.FLOAT:
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
      return 5;
    default:
      return 0;
  }
}

/** The bytes of a tag. */
export function tagBytes(number: number, wireType: number): readonly number[] {
  const bytes: number[] = [];
  let tag = ((number << 3) | wireType) >>> 0;
  while (tag > 0x7f) {
    bytes.push((tag & 0x7f) | 0x80);
    tag >>>= 7;
  }
  bytes.push(tag);
  return bytes;
}

/** Writes a tag given as bytes. */
export function writeTag(writer: ByteWriter, position: number, tag: readonly number[]): number {
  const bytes = room(writer, position, tag.length);
  for (let index = 0; index < tag.length; index++) bytes[position++] = tag[index]!; // within its length
  return position;
}
