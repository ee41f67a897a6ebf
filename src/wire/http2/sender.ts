import type { HeaderField } from "../exchange.ts";
import { closeHeaderBlock, Flag, FrameType, frameHeaderBytes, putFrameHeader } from "./frames.ts";
import { HpackEncoder } from "./hpack/index.ts";
import type { Output } from "./output.ts";
import type { Http2Stream } from "./stream.ts";

/** Pieces below this are copied beside their frame header; larger ones go by reference. */
export const referenceBytesMin = 16_384;
/** Gathered bytes after which data waits in its stream's queue, so that back-pressure is seen within a turn. */
const gatherBytesMax = 262_144;

/**
 * Everything that leaves as HEADERS and DATA: the connection's send window, the streams whose data waits (in a ring, one
 * frame each per round), and header compression. A stream that lacks window of its own is not in the ring; one that lacks
 * the connection's stays at its place.
 */
export class Sender {
  readonly output: Output;
  readonly encoder: HpackEncoder;
  /** What the peer lets the connection send. */
  window = 65_535;
  /** What the peer lets a new stream send. */
  initialStreamWindow = 65_535;
  frameBytesMax = 16_384;
  /** DATA frames since the connection asked last; honest work that refills budgets. */
  dataFrames = 0;
  #first: Http2Stream | undefined;
  #last: Http2Stream | undefined;
  #frameStart = 0;

  constructor(output: Output, headerTableBytes: number) {
    this.output = output;
    this.encoder = new HpackEncoder(headerTableBytes);
  }

  get hasWaitingData(): boolean {
    return this.#first !== undefined;
  }

  /** Reserves a frame header; fields are encoded behind it. */
  beginHeaders(): void {
    const { writer } = this.output;
    writer.ensure(frameHeaderBytes);
    this.#frameStart = writer.position;
    writer.position += frameHeaderBytes;
    this.encoder.beginBlock(writer);
  }

  field(field: HeaderField): void {
    this.encoder.encode(this.output.writer, field);
  }

  fields(fields: readonly HeaderField[]): void {
    const { encoder } = this;
    const { writer } = this.output;
    for (let i = 0; i < fields.length; i++) encoder.encode(writer, fields[i]!);
  }

  endHeaders(streamId: number, endStream: boolean): void {
    closeHeaderBlock(this.output.writer, this.#frameStart, streamId, endStream, this.frameBytesMax);
  }

  /** Reserves a frame header; the caller writes the payload behind it. */
  beginData(): void {
    const { writer } = this.output;
    writer.ensure(frameHeaderBytes);
    this.#frameStart = writer.position;
    writer.position += frameHeaderBytes;
  }

  abandonData(): void {
    this.output.writer.position = this.#frameStart;
  }

  /** Makes the payload written since `beginData` a frame, or moves it to the stream's queue when it may not leave yet. */
  commitData(stream: Http2Stream, end: boolean): void {
    const { writer } = this.output;
    const start = this.#frameStart;
    const length = writer.position - start - frameHeaderBytes;
    if (this.#mayPass(stream, length)) {
      if (length === 0 && !end) {
        writer.position = start;
        return;
      }
      this.#spend(stream, length);
      putFrameHeader(writer.bytes, start, length, FrameType.data, end ? Flag.endStream : 0, stream.id);
      if (end) stream.endSent();
      return;
    }
    const payload =
      length < referenceBytesMin
        ? writer.copyFrom(start + frameHeaderBytes)
        : this.output.handOver(start, frameHeaderBytes);
    writer.position = start;
    this.enqueue(stream, payload, end);
  }

  sendData(stream: Http2Stream, bytes: Uint8Array, end: boolean): void {
    if (bytes.length < referenceBytesMin && this.#mayPass(stream, bytes.length)) {
      this.beginData();
      this.output.writer.append(bytes);
      this.commitData(stream, end);
    } else this.enqueue(stream, bytes, end);
  }

  #mayPass(stream: Http2Stream, length: number): boolean {
    return (
      stream.queuedBytes === 0 &&
      length <= stream.sendWindow &&
      length <= this.window &&
      length <= this.frameBytesMax &&
      !this.output.isBlocked &&
      this.output.gatheredBytes < gatherBytesMax
    );
  }

  #spend(stream: Http2Stream, length: number): void {
    stream.sendWindow -= length;
    this.window -= length;
    this.dataFrames++;
  }

  enqueue(stream: Http2Stream, bytes: Uint8Array, end: boolean): void {
    if (bytes.length > 0) {
      stream.queue ??= [];
      stream.queue.push(bytes);
      stream.queuedBytes += bytes.length;
    }
    if (end) stream.endWaits = true;
    this.wake(stream);
    stream.connectionState.dataWaits(stream);
  }

  /** Puts a stream with waiting data and window at the end of the ring. */
  wake(stream: Http2Stream): void {
    if (stream.isInRing || (stream.queuedBytes === 0 && !stream.endWaits)) return;
    if (stream.queuedBytes > 0 && stream.sendWindow <= 0) return;
    stream.isInRing = true;
    stream.nextInRing = undefined;
    if (this.#last === undefined) this.#first = stream;
    else this.#last.nextInRing = stream;
    this.#last = stream;
  }

  /** Sends what the windows and the socket allow, one frame per stream and round. */
  pump(): void {
    const { output } = this;
    while (this.#first !== undefined && !output.isBlocked) {
      if (output.gatheredBytes >= gatherBytesMax) {
        output.flush();
        continue;
      }
      const stream = this.#first;
      if (stream.queuedBytes > 0 && this.window <= 0 && !stream.isOver) return;
      this.#first = stream.nextInRing;
      if (this.#first === undefined) this.#last = undefined;
      stream.nextInRing = undefined;
      stream.isInRing = false;
      if (stream.isOver) continue;
      this.#sendFrame(stream);
      this.wake(stream);
      stream.afterSending();
    }
  }

  #sendFrame(stream: Http2Stream): void {
    const length = Math.min(stream.queuedBytes, stream.sendWindow, this.window, this.frameBytesMax);
    if (stream.queuedBytes > 0 && length <= 0) return;
    const isLast = stream.endWaits && length === stream.queuedBytes;
    const endsHere = isLast && stream.trailersWaiting === undefined;
    if (length > 0 || endsHere) {
      const { writer } = this.output;
      writer.ensure(frameHeaderBytes);
      putFrameHeader(writer.bytes, writer.position, length, FrameType.data, endsHere ? Flag.endStream : 0, stream.id);
      writer.position += frameHeaderBytes;
      // An end alone has no queue.
      if (length > 0) this.#movePayload(stream, length);
      this.#spend(stream, length);
    }
    if (!isLast) return;
    stream.endWaits = false;
    const trailers = stream.trailersWaiting;
    if (trailers !== undefined) {
      stream.trailersWaiting = undefined;
      this.beginHeaders();
      this.fields(trailers);
      this.endHeaders(stream.id, true);
    }
    stream.endSent();
  }

  #movePayload(stream: Http2Stream, length: number): void {
    const { output } = this;
    stream.queuedBytes -= length;
    let wanted = length;
    while (wanted > 0) {
      const chunk = stream.queue![stream.queueIndex]!;
      const from = stream.queueOffset;
      const count = Math.min(chunk.length - from, wanted);
      const piece = count === chunk.length ? chunk : chunk.subarray(from, from + count);
      if (count >= 4096) output.reference(piece);
      else output.writer.append(piece);
      wanted -= count;
      if (from + count < chunk.length) stream.queueOffset = from + count;
      else {
        stream.queueOffset = 0;
        stream.queueIndex++;
        if (chunk.length >= referenceBytesMin) output.finished(chunk);
      }
    }
    if (stream.queueIndex === stream.queue!.length) {
      stream.queue = undefined;
      stream.queueIndex = 0;
    } else if (stream.queueIndex >= 64) {
      stream.queue!.splice(0, stream.queueIndex);
      stream.queueIndex = 0;
    }
  }
}
