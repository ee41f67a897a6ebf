import { nestingMax } from "./limits.ts";

/**
 * Confluent's wire format: a zero, the id of the schema as 32 bits, and for Protobuf the place of the message in its file:
 * the number of indexes and each of them as zigzag varints, where a single 0 stands for the first message. Neither JSON nor a
 * Protobuf message can begin with a zero, so that a frame is never mistaken for a bare body, or the other way round.
 */
const magic = 0;
const headBytes = 5;

/** The id of a body's schema; `undefined` where the body is no frame. */
export function schemaIdOf(bytes: Buffer, start: number, end: number): number | undefined {
  return end - start >= headBytes && bytes[start] === magic ? bytes.readUInt32BE(start + 1) : undefined;
}

/** What stands before a Protobuf message. */
export function framePrefix(schemaId: number, indexes: readonly number[]): Buffer {
  const bytes = [magic, (schemaId >>> 24) & 0xff, (schemaId >>> 16) & 0xff, (schemaId >>> 8) & 0xff, schemaId & 0xff];
  const isFirst = indexes.length === 1 && indexes[0] === 0;
  for (const number of isFirst ? [0] : [indexes.length, ...indexes]) {
    let rest = number * 2;
    for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest & 0x7f) | 0x80);
    bytes.push(rest);
  }
  return Buffer.from(bytes);
}

export interface ProtobufFrame {
  readonly indexes: readonly number[];
  readonly payload: Uint8Array;
}

/** Takes a frame apart whose schema is a Protobuf file. @returns `undefined` for indexes that cannot be */
export function readProtobufFrame(body: Uint8Array): ProtobufFrame | undefined {
  let at = headBytes;
  /** Zigzag; what is negative, or longer than five bytes, is no index. */
  const next = (): number | undefined => {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = body[at++];
      if (byte === undefined) return undefined;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value % 2 === 0 ? value / 2 : undefined;
    }
    return undefined;
  };
  const count = next();
  if (count === undefined || count > nestingMax) return undefined;
  const indexes: number[] = [];
  for (let left = count; left > 0; left--) {
    const index = next();
    if (index === undefined) return undefined;
    indexes.push(index);
  }
  return { indexes: count === 0 ? [0] : indexes, payload: body.subarray(at) };
}

/** The rest of a frame whose schema has no message indexes. */
export function plainPayload(body: Uint8Array): Uint8Array {
  return body.subarray(headBytes);
}
