import type { ByteWriter } from "../../platform/index.ts";

/** Frame types (RFC 9113, section 6; PRIORITY_UPDATE: RFC 9218). */
export const FrameType = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
  priorityUpdate: 16,
} as const;

export const Flag = { endStream: 0x1, ack: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const;

export const Setting = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
} as const;

export const frameHeaderBytes = 9;
export const streamIdMax = 0x7fffffff;
export const windowBytesMax = 0x7fffffff;

/** What a client sends first (RFC 9113, section 3.4). */
export const clientPreface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/** Writes a frame header at `at`; the payload stands or will stand behind it. */
export function putFrameHeader(
  bytes: Uint8Array,
  at: number,
  length: number,
  type: number,
  flags: number,
  streamId: number,
): void {
  bytes[at] = length >>> 16;
  bytes[at + 1] = length >>> 8;
  bytes[at + 2] = length;
  bytes[at + 3] = type;
  bytes[at + 4] = flags;
  putUint32(bytes, at + 5, streamId);
}

export function putUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

export function uint32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

/** 31 bits, the reserved one dropped. */
export function uint31(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! & 0x7f) << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}

function header(writer: ByteWriter, length: number, type: number, flags: number, streamId: number): void {
  writer.ensure(frameHeaderBytes + length);
  putFrameHeader(writer.bytes, writer.position, length, type, flags, streamId);
  writer.position += frameHeaderBytes;
}

export function writeSettings(writer: ByteWriter, settings: readonly (readonly [id: number, value: number])[]): void {
  header(writer, settings.length * 6, FrameType.settings, 0, 0);
  for (const [id, value] of settings) {
    writer.bytes[writer.position] = id >>> 8;
    writer.bytes[writer.position + 1] = id;
    putUint32(writer.bytes, writer.position + 2, value);
    writer.position += 6;
  }
}

export function writeSettingsAck(writer: ByteWriter): void {
  header(writer, 0, FrameType.settings, Flag.ack, 0);
}

/** @param opaque 8 bytes from `offset` on */
export function writePing(writer: ByteWriter, isAck: boolean, opaque: Uint8Array, offset: number): void {
  header(writer, 8, FrameType.ping, isAck ? Flag.ack : 0, 0);
  for (let i = 0; i < 8; i++) writer.bytes[writer.position + i] = opaque[offset + i]!;
  writer.position += 8;
}

export function writeReset(writer: ByteWriter, streamId: number, code: number): void {
  header(writer, 4, FrameType.rstStream, 0, streamId);
  putUint32(writer.bytes, writer.position, code);
  writer.position += 4;
}

export function writeWindowUpdate(writer: ByteWriter, streamId: number, increment: number): void {
  header(writer, 4, FrameType.windowUpdate, 0, streamId);
  putUint32(writer.bytes, writer.position, increment);
  writer.position += 4;
}

export function writeGoaway(writer: ByteWriter, lastStreamId: number, code: number, debug: string): void {
  header(writer, 8 + debug.length, FrameType.goaway, 0, 0);
  putUint32(writer.bytes, writer.position, lastStreamId);
  putUint32(writer.bytes, writer.position + 4, code);
  writer.bytes.write(debug, writer.position + 8, "latin1");
  writer.position += 8 + debug.length;
}

/**
 * Turns the block that stands behind a reserved header at `start` into a HEADERS frame, and into CONTINUATION frames
 * where it is longer than `frameBytesMax`.
 */
export function closeHeaderBlock(
  writer: ByteWriter,
  start: number,
  streamId: number,
  endStream: boolean,
  frameBytesMax: number,
): void {
  const flags = endStream ? Flag.endStream : 0;
  const length = writer.position - start - frameHeaderBytes;
  if (length <= frameBytesMax) {
    putFrameHeader(writer.bytes, start, length, FrameType.headers, flags | Flag.endHeaders, streamId);
    return;
  }
  const extraFrames = Math.ceil(length / frameBytesMax) - 1;
  writer.ensure(extraFrames * frameHeaderBytes);
  const { bytes } = writer;
  // From the last piece to the first, because each moves further to the right than the one before it.
  for (let frame = extraFrames; frame > 0; frame--) {
    const from = start + frameHeaderBytes + frame * frameBytesMax;
    const to = from + frame * frameHeaderBytes;
    const pieceBytes = Math.min(frameBytesMax, length - frame * frameBytesMax);
    bytes.copyWithin(to, from, from + pieceBytes);
    const isLast = frame === extraFrames;
    const at = to - frameHeaderBytes;
    putFrameHeader(bytes, at, pieceBytes, FrameType.continuation, isLast ? Flag.endHeaders : 0, streamId);
  }
  putFrameHeader(bytes, start, frameBytesMax, FrameType.headers, flags, streamId);
  writer.position += extraFrames * frameHeaderBytes;
}
