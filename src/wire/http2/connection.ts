import {
  type ByteStream,
  type ByteStreamHandler,
  type Clock,
  type Observer,
  outsideContext,
  type Timer,
} from "../../platform/index.ts";
import { type ConnectionInfo, ExchangeError } from "../exchange.ts";
import { calmDown, ErrorCode, errorCodeName, Http2ConnectionError, protocolError } from "./errors.ts";
import type { Http2CallbackFailed, Http2ConnectionClosed, Http2StreamLimited } from "./events.ts";
import { FloodGuard, spendOrEnd } from "./floods.ts";
import { FrameReader, type FrameSink } from "./frame-reader.ts";
import {
  Flag,
  FrameType,
  Setting,
  streamIdMax,
  uint31,
  uint32,
  windowBytesMax,
  writeGoaway,
  writePing,
  writeReset,
  writeSettings,
  writeSettingsAck,
  writeWindowUpdate,
} from "./frames.ts";
import { HeadCollector } from "./head.ts";
import { HeaderBlock } from "./header-block.ts";
import { HpackDecoder, HpackError } from "./hpack/index.ts";
import { completeLimits, type Http2Limits, limitToken } from "./limits.ts";
import { Output } from "./output.ts";
import { ReceiveWindows } from "./receive-windows.ts";
import { Sender } from "./sender.ts";
import type { Http2Stream } from "./stream.ts";
import { Effect, effectCode, nextStreamState, StreamInput, StreamState, streamEffect } from "./stream-state.ts";

/** What a ping of ours was for; its first byte. */
const PingKind = { bandwidth: 1, keepalive: 2, drain: 3 } as const;
const closedIdsKept = 256;
const smallFrameBytes = 256;

export type StreamEnd = "complete" | "resetByUs" | "resetByPeer";

export interface Http2ConnectionOptions {
  readonly stream: ByteStream;
  readonly clock: Clock;
  readonly observer: Observer;
  readonly limits?: Partial<Http2Limits> | undefined;
}

/**
 * What both roles share (RFC 9113): frames in, their effect on streams and windows, settings, pings, the end. The roles
 * decide what a header block means and which streams may be opened.
 */
export abstract class Http2Connection implements ByteStreamHandler, FrameSink {
  readonly info: ConnectionInfo;
  readonly limits: Http2Limits;
  readonly sender: Sender;
  readonly windows: ReceiveWindows;
  readonly streams = new Map<number, Http2Stream>();
  /** Our GOAWAY with an error, or the last one of a shutdown, is out: input means nothing any more. */
  isClosing = false;
  isClosed = false;
  isDraining = false;

  protected readonly stream: ByteStream;
  protected readonly clock: Clock;
  protected readonly observer: Observer;
  protected readonly output: Output;
  protected readonly head = new HeadCollector();
  protected abstract readonly role: "server" | "client";
  protected readonly decoder: HpackDecoder;
  protected isReceiving = false;
  protected lastPeerStreamId = 0;
  protected receivedAt = 0;
  /** Our SETTINGS were acknowledged, so the peer knows its limits. */
  protected settingsAcknowledged = false;
  protected sawSettings = false;

  readonly #reader: FrameReader;
  #floods: FloodGuard | undefined;
  #flushIsScheduled = false;
  #isPaused = false;
  #smallDataBytes = 0;
  /** The last streams that closed: id, negative when we had reset them and the peer may not know yet. */
  readonly #closedIds = new Int32Array(closedIdsKept);
  #closedCount = 0;
  readonly #block: HeaderBlock;
  #stallTimer: Timer | undefined;
  #idleTimer: Timer | undefined;
  #lingerTimer: Timer | undefined;
  #settingsTimer: Timer | undefined;
  #blockedAt = 0;
  #endedWith: Http2ConnectionError | undefined;

  constructor(options: Http2ConnectionOptions) {
    const { stream } = options;
    this.stream = stream;
    this.clock = options.clock;
    this.observer = options.observer;
    this.limits = completeLimits(options.limits);
    this.info = {
      remoteAddress: stream.remoteAddress,
      remotePort: stream.remotePort,
      localPort: stream.localPort,
      tls: stream.tls,
      derived: undefined,
    };
    this.output = new Output(stream);
    this.sender = new Sender(this.output, this.limits.headerTableBytes);
    this.windows = new ReceiveWindows(this.limits);
    this.decoder = new HpackDecoder(this.limits.headerTableBytes);
    this.#reader = new FrameReader(this, this.limits.frameBytesMax);
    this.#block = new HeaderBlock(this.limits, this.clock, () => this.fail(calmDown(limitToken.slowHeaders)));
  }

  get activeExchanges(): number {
    return this.streams.size;
  }

  protected get floods(): FloodGuard {
    this.#floods ??= new FloodGuard(this.limits, this.clock.now());
    return this.#floods;
  }

  // ---- the roles' part -------------------------------------------------------------------------------------------

  /** Bytes before the frames: the server checks the preface. Answers where the frames begin, −1 while bytes are missing. */
  protected abstract readPreface(chunk: Buffer): number;
  /** A complete header block, already decoded into `head`. */
  protected abstract receivedHead(streamId: number, endStream: boolean): void;
  /** A stream left the map. */
  protected abstract streamClosed(stream: Http2Stream): void;
  protected abstract receivedGoaway(lastStreamId: number, code: number, debug: string): void;
  protected abstract peerSettingsChanged(maxConcurrentStreams: number | undefined): void;
  protected abstract reportClosed(error: Error | undefined): void;
  /** May the peer have used this id already? Frames on ids it has not are connection errors. */
  protected abstract isIdle(streamId: number): boolean;
  /** All input of this chunk was handled. */
  protected abstract chunkHandled(): void;

  // ---- input -----------------------------------------------------------------------------------------------------

  data(chunk: Buffer): void {
    if (this.isClosing || this.isClosed) return;
    this.isReceiving = true;
    this.receivedAt = this.clock.now();
    try {
      const position = this.readPreface(chunk);
      if (position >= 0) this.#reader.read(chunk, position);
    } catch (error) {
      this.#inputFailed(error);
    }
    this.isReceiving = false;
    if (this.isClosing) return;
    if (this.sender.hasWaitingData) this.#pump();
    this.chunkHandled();
  }

  #inputFailed(error: unknown): void {
    if (error instanceof Http2ConnectionError) this.fail(error);
    else if (error instanceof HpackError) {
      this.fail(new Http2ConnectionError(ErrorCode.compressionError, error.message));
    } else {
      const event: Http2CallbackFailed = { type: "http2.callback.failed", error };
      this.observer.emit(event);
      this.fail(new Http2ConnectionError(ErrorCode.internalError, "internal error"));
    }
  }

  frame(type: number, flags: number, streamId: number, chunk: Buffer, start: number, end: number): void {
    const block = this.#block;
    if (block.streamId !== 0) {
      if (type !== FrameType.continuation || streamId !== block.streamId) {
        throw protocolError("a header block must be continued before anything else");
      }
      block.append(chunk, start, end);
      if (flags & Flag.endHeaders) {
        const bytes = block.take();
        this.#decodeBlock(streamId, block.endStream, bytes, 0, bytes.length);
      }
      return;
    }
    if (!this.sawSettings && (type !== FrameType.settings || (flags & Flag.ack) !== 0)) {
      throw protocolError("the first frame must be SETTINGS");
    }
    switch (type) {
      case FrameType.data:
        this.#onData(flags, streamId, chunk, start, end);
        return;
      case FrameType.headers:
        this.#onHeaders(flags, streamId, chunk, start, end);
        return;
      case FrameType.windowUpdate:
        this.#onWindowUpdate(streamId, chunk, start, end);
        return;
      case FrameType.rstStream:
        this.#onReset(streamId, chunk, start, end);
        return;
      case FrameType.settings:
        this.#onSettings(flags, streamId, chunk, start, end);
        return;
      case FrameType.ping:
        this.#onPing(flags, streamId, chunk, start, end);
        return;
      case FrameType.goaway:
        if (streamId !== 0) throw protocolError("GOAWAY on a stream");
        if (end - start < 8) throw new Http2ConnectionError(ErrorCode.frameSizeError, "GOAWAY below 8 bytes");
        this.receivedGoaway(
          uint31(chunk, start),
          uint32(chunk, start + 4),
          chunk.toString("latin1", start + 8, Math.min(end, start + 136)),
        );
        return;
      case FrameType.priority:
        this.#onPriority(streamId, chunk, start, end);
        return;
      case FrameType.pushPromise:
        throw protocolError("PUSH_PROMISE where push is disabled");
      case FrameType.continuation:
        throw protocolError("CONTINUATION without HEADERS");
      default:
        // Unknown types are ignored (RFC 9113, section 5.5), but not for ever.
        spendOrEnd(this.floods.priorities, this.receivedAt);
    }
  }

  #onData(flags: number, streamId: number, chunk: Buffer, payloadStart: number, payloadEnd: number): void {
    if (streamId === 0) throw protocolError("DATA without a stream");
    const frameBytes = payloadEnd - payloadStart;
    let start = payloadStart;
    let end = payloadEnd;
    if (flags & Flag.padded) {
      if (frameBytes < 1 || chunk[start]! >= frameBytes) throw protocolError("DATA has more padding than payload");
      end -= chunk[start]!;
      start++;
    }
    const { windows } = this;
    windows.available -= frameBytes;
    if (windows.available < 0) {
      throw new Http2ConnectionError(ErrorCode.flowControlError, "DATA beyond the connection's window");
    }
    windows.estimator.received(frameBytes);
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      this.#payConnection();
      this.#frameOnMissingStream(streamId, StreamInput.receiveData);
      return;
    }
    const effect = streamEffect(stream.state, StreamInput.receiveData);
    if (effect !== Effect.accept) {
      this.#payConnection();
      this.streamError(stream, effectCode(effect), "DATA behind the end");
      return;
    }
    stream.receiveWindow -= frameBytes;
    if (stream.receiveWindow < 0) {
      this.#payConnection();
      this.streamError(stream, ErrorCode.flowControlError, "DATA beyond the stream's window");
      return;
    }
    const bytes = end - start;
    const isLast = (flags & Flag.endStream) !== 0;
    stream.bodyBytes += bytes;
    if (this.#bodyIsWrong(stream, isLast)) {
      this.#payConnection();
      this.streamError(stream, ErrorCode.protocolError, "DATA does not fit content-length, or comes before the head");
      return;
    }
    if (bytes < smallFrameBytes && !isLast) this.#countSmallFrame(bytes);
    stream.unconsumedBytes += bytes;
    windows.unconsumedBytes += bytes;
    if (isLast) stream.state = nextStreamState(stream.state, StreamInput.receiveEnd);
    else if (bytes < frameBytes) this.#owe(stream, frameBytes - bytes);
    this.#payConnection();
    if (bytes > 0) stream.receiver.data(chunk, start, end);
    if (isLast && !this.isClosing) this.#receivedEnd(stream);
  }

  #bodyIsWrong(stream: Http2Stream, isLast: boolean): boolean {
    const expected = stream.bodyBytesExpected;
    if (expected === -1) return false;
    return stream.bodyBytes > expected || (isLast && stream.bodyBytes !== expected);
  }

  #countSmallFrame(bytes: number): void {
    if (bytes === 0) spendOrEnd(this.floods.emptyData, this.receivedAt);
    this.#smallDataBytes += smallFrameBytes - bytes;
    if (this.#smallDataBytes > this.limits.smallDataBytesMax) throw calmDown(limitToken.smallData);
  }

  /** END_STREAM of the peer was accepted and its last bytes delivered. */
  #receivedEnd(stream: Http2Stream): void {
    // Closed meanwhile (a reset, or our own end came first): the map knows.
    const isNowClosed = stream.state === StreamState.closed;
    if (isNowClosed && !this.streams.has(stream.id)) return;
    if (isNowClosed) this.closeStream(stream, "complete");
    stream.ended(undefined);
  }

  #onHeaders(flags: number, streamId: number, chunk: Buffer, payloadStart: number, payloadEnd: number): void {
    if (streamId === 0) throw protocolError("HEADERS without a stream");
    let start = payloadStart;
    let end = payloadEnd;
    if (flags & Flag.padded) {
      if (end === start) throw new Http2ConnectionError(ErrorCode.frameSizeError, "HEADERS without its padding length");
      end -= chunk[start]!;
      start++;
    }
    let dependsOnItself = false;
    if (flags & Flag.priority) {
      if (end - start < 5) throw protocolError("HEADERS is too short for its flags");
      dependsOnItself = uint31(chunk, start) === streamId;
      start += 5;
    }
    if (end < start) throw protocolError("HEADERS has more padding than payload");
    if (dependsOnItself) throw protocolError("a stream depends on itself");
    if (flags & Flag.endHeaders) {
      this.#decodeBlock(streamId, (flags & Flag.endStream) !== 0, chunk, start, end);
      return;
    }
    this.#block.begin(streamId, (flags & Flag.endStream) !== 0, chunk, start, end);
  }

  #decodeBlock(streamId: number, endStream: boolean, block: Buffer, start: number, end: number): void {
    const { head, decoder, limits } = this;
    head.begin();
    decoder.decode(block, start, end, head, limits.headerListBytesMax);
    if (decoder.listBytes > limits.headerListBytesMax * limits.headerListExcess) throw calmDown(limitToken.headerList);
    this.receivedHead(streamId, endStream);
  }

  /** A frame on a stream that is not in the map: never used, or over. */
  #frameOnMissingStream(streamId: number, input: number): void {
    if (this.isIdle(streamId)) throw protocolError("frame on a stream that was never opened");
    const effect = streamEffect(StreamState.closed, input);
    if (effect === Effect.ignore || this.wasResetByUs(streamId)) {
      if (input !== StreamInput.receiveData) this.#countWindowUpdate();
      return;
    }
    spendOrEnd(this.floods.provokedResets, this.receivedAt);
    this.writeResetFrame(streamId, effectCode(effect));
  }

  /** HEADERS on a stream that the peer may not open. */
  protected refuseHead(streamId: number): void {
    throw protocolError(`HEADERS on stream ${streamId}, which was never opened`);
  }

  /** We reset the stream lately, so the peer may still send on it in good faith. */
  protected wasResetByUs(streamId: number): boolean {
    return this.#closedIds.includes(-streamId);
  }

  protected noteResetByUs(streamId: number): void {
    this.#closedIds[this.#closedCount++ & (closedIdsKept - 1)] = -streamId;
  }

  protected wasClosedLately(streamId: number): boolean {
    return this.#closedIds.includes(streamId);
  }

  #onWindowUpdate(streamId: number, chunk: Buffer, start: number, end: number): void {
    if (end - start !== 4) throw new Http2ConnectionError(ErrorCode.frameSizeError, "WINDOW_UPDATE is not 4 bytes");
    const increment = uint31(chunk, start);
    if (streamId === 0) {
      if (increment === 0) throw protocolError("WINDOW_UPDATE by 0");
      this.sender.window += increment;
      if (this.sender.window > windowBytesMax) {
        throw new Http2ConnectionError(ErrorCode.flowControlError, "the connection's window is above 2^31-1");
      }
      this.#countWindowUpdate();
      return;
    }
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      this.#frameOnMissingStream(streamId, StreamInput.receiveWindowUpdate);
      return;
    }
    if (increment === 0) {
      this.streamError(stream, ErrorCode.protocolError, "WINDOW_UPDATE by 0");
      return;
    }
    stream.sendWindow += increment;
    if (stream.sendWindow > windowBytesMax) {
      this.streamError(stream, ErrorCode.flowControlError, "the stream's window is above 2^31-1");
      return;
    }
    this.#countWindowUpdate();
    this.sender.wake(stream);
  }

  #countWindowUpdate(): void {
    this.#creditSentData();
    spendOrEnd(this.floods.windowUpdates, this.receivedAt);
  }

  /** DATA that we sent is what window updates and bandwidth pings answer to. */
  #creditSentData(): void {
    const { sender } = this;
    if (sender.dataFrames === 0) return;
    this.floods.windowUpdates.giveBack(sender.dataFrames * 2);
    this.floods.pings.giveBack(sender.dataFrames);
    sender.dataFrames = 0;
  }

  #onReset(streamId: number, chunk: Buffer, start: number, end: number): void {
    if (streamId === 0) throw protocolError("RST_STREAM without a stream");
    if (end - start !== 4) throw new Http2ConnectionError(ErrorCode.frameSizeError, "RST_STREAM is not 4 bytes");
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      this.#frameOnMissingStream(streamId, StreamInput.receiveReset);
      return;
    }
    const code = uint32(chunk, start);
    const budget = this.floods.resets;
    stream.state = nextStreamState(stream.state, StreamInput.receiveReset);
    this.closeStream(stream, "resetByPeer");
    stream.abort(
      new ExchangeError("reset", `the peer reset the stream with ${errorCodeName(code)}`, {
        http2Code: code,
        unprocessed: code === ErrorCode.refusedStream,
      }),
    );
    if (this.role === "server") spendOrEnd(budget, this.receivedAt);
  }

  #onSettings(flags: number, streamId: number, chunk: Buffer, start: number, end: number): void {
    if (streamId !== 0) throw protocolError("SETTINGS on a stream");
    if (flags & Flag.ack) {
      if (end !== start)
        throw new Http2ConnectionError(ErrorCode.frameSizeError, "SETTINGS acknowledgement with payload");
      this.settingsAcknowledged = true;
      this.#settingsTimer?.cancel();
      this.#settingsTimer = undefined;
      return;
    }
    if ((end - start) % 6 !== 0) throw new Http2ConnectionError(ErrorCode.frameSizeError, "SETTINGS is not 6n bytes");
    if (this.sawSettings) spendOrEnd(this.floods.settings, this.receivedAt);
    this.sawSettings = true;
    let maxConcurrentStreams: number | undefined;
    for (let at = start; at < end; at += 6) {
      const value = uint32(chunk, at + 2);
      switch ((chunk[at]! << 8) | chunk[at + 1]!) {
        case Setting.headerTableSize:
          this.sender.encoder.allowTableBytes(value);
          break;
        case Setting.enablePush:
          if (value > 1 || (value === 1 && this.role === "client"))
            throw protocolError("ENABLE_PUSH has a wrong value");
          break;
        case Setting.maxConcurrentStreams:
          maxConcurrentStreams = value;
          break;
        case Setting.initialWindowSize:
          this.#changeInitialWindow(value);
          break;
        case Setting.maxFrameSize:
          if (value < 16_384 || value > 16_777_215) throw protocolError("MAX_FRAME_SIZE is out of range");
          // Frames stay small enough for the round robin, whatever the peer would take.
          this.sender.frameBytesMax = Math.min(value, 16_384);
          break;
      }
    }
    this.countControlFrame();
    writeSettingsAck(this.output.writer);
    this.peerSettingsChanged(maxConcurrentStreams);
  }

  #changeInitialWindow(value: number): void {
    if (value > windowBytesMax) {
      throw new Http2ConnectionError(ErrorCode.flowControlError, "INITIAL_WINDOW_SIZE is above 2^31-1");
    }
    const difference = value - this.sender.initialStreamWindow;
    this.sender.initialStreamWindow = value;
    if (difference === 0) return;
    for (const stream of this.streams.values()) {
      stream.sendWindow += difference;
      if (stream.sendWindow > windowBytesMax) {
        throw new Http2ConnectionError(ErrorCode.flowControlError, "a stream's window is above 2^31-1");
      }
      this.sender.wake(stream);
    }
  }

  #onPing(flags: number, streamId: number, chunk: Buffer, start: number, end: number): void {
    if (streamId !== 0) throw protocolError("PING on a stream");
    if (end - start !== 8) throw new Http2ConnectionError(ErrorCode.frameSizeError, "PING is not 8 bytes");
    if (flags & Flag.ack) {
      this.#pingAnswered(chunk[start]!);
      return;
    }
    this.#creditSentData();
    spendOrEnd(this.floods.pings, this.receivedAt);
    this.countControlFrame();
    writePing(this.output.writer, true, chunk, start);
  }

  #pingAnswered(kind: number): void {
    if (kind === PingKind.bandwidth) {
      const estimate = this.windows.estimator.end();
      if (estimate > 0) this.#growWindows(estimate);
    } else if (kind === PingKind.drain) this.drainAcknowledged();
  }

  /** The answer to the first phase of a shutdown has come. */
  protected drainAcknowledged(): void {}

  #growWindows(estimateBytes: number): void {
    const growth = this.windows.grow(estimateBytes);
    if (growth > 0) {
      writeSettings(this.output.writer, [[Setting.initialWindowSize, this.windows.streamBytes]]);
      for (const stream of this.streams.values()) stream.receiveWindow += growth;
    }
    this.#payConnection();
  }

  protected sendPing(kind: keyof typeof PingKind): void {
    writePing(this.output.writer, false, Uint8Array.of(PingKind[kind], 0, 0, 0, 0, 0, 0, 0), 0);
  }

  #onPriority(streamId: number, chunk: Buffer, start: number, end: number): void {
    if (streamId === 0) throw protocolError("PRIORITY without a stream");
    spendOrEnd(this.floods.priorities, this.receivedAt);
    if (end - start !== 5) {
      this.#refuseFrame(streamId, ErrorCode.frameSizeError, "PRIORITY is not 5 bytes");
    } else if (uint31(chunk, start) === streamId) {
      this.#refuseFrame(streamId, ErrorCode.protocolError, "a stream depends on itself");
    }
  }

  #refuseFrame(streamId: number, code: number, what: string): void {
    const stream = this.streams.get(streamId);
    if (stream !== undefined) this.streamError(stream, code, what);
    else if (this.isIdle(streamId)) throw new Http2ConnectionError(code, what);
    else {
      spendOrEnd(this.floods.provokedResets, this.receivedAt);
      this.writeResetFrame(streamId, code);
    }
  }

  // ---- windows ---------------------------------------------------------------------------------------------------

  #payConnection(): void {
    const { windows } = this;
    const increment = windows.increment();
    if (increment === 0) return;
    writeWindowUpdate(this.output.writer, 0, increment);
    const { estimator } = windows;
    // Half a window has come: reason enough to measure. Small traffic is never measured, and never pings.
    if (!estimator.isSampling && !estimator.isAtMaximum) {
      estimator.begin(increment);
      this.sendPing("bandwidth");
    }
    if (!this.isReceiving) this.scheduleFlush();
  }

  /** The application has dealt with `bytes` of the stream's input. */
  consumed(stream: Http2Stream, bytes: number): void {
    const paid = Math.min(bytes, stream.unconsumedBytes);
    if (paid <= 0) return;
    stream.unconsumedBytes -= paid;
    this.windows.unconsumedBytes -= paid;
    if (this.#smallDataBytes > 0) this.#smallDataBytes = Math.max(0, this.#smallDataBytes - paid - smallFrameBytes);
    if (stream.state === StreamState.open || stream.state === StreamState.halfClosedLocal) this.#owe(stream, paid);
    this.#payConnection();
  }

  /** Announces window of a stream once half of it is owed. */
  #owe(stream: Http2Stream, bytes: number): void {
    stream.owedBytes += bytes;
    if (stream.owedBytes * 2 < this.windows.streamBytes) return;
    stream.receiveWindow += stream.owedBytes;
    writeWindowUpdate(this.output.writer, stream.id, stream.owedBytes);
    stream.owedBytes = 0;
    if (!this.isReceiving) this.scheduleFlush();
  }

  // ---- streams ---------------------------------------------------------------------------------------------------

  /** Our END_STREAM is out. */
  localEnded(stream: Http2Stream): void {
    if (stream.state === StreamState.closed) this.closeStream(stream, "complete");
  }

  /** Takes a stream out of the books. What it still owed the connection's window is paid. */
  closeStream(stream: Http2Stream, how: StreamEnd): void {
    if (!this.streams.delete(stream.id)) return;
    this.#closedIds[this.#closedCount++ & (closedIdsKept - 1)] = how === "resetByUs" ? -stream.id : stream.id;
    // Honest work refills the budget for resets.
    if (how === "complete" && this.#floods !== undefined) this.#floods.resets.giveBack(1);
    stream.queuedBytes = 0;
    stream.queue = undefined;
    stream.endWaits = false;
    stream.trailersWaiting = undefined;
    if (stream.unconsumedBytes > 0 && how !== "complete") this.#forgive(stream);
    this.streamClosed(stream);
    if (this.streams.size === 0) this.#becameIdle();
  }

  #forgive(stream: Http2Stream): void {
    this.windows.unconsumedBytes -= stream.unconsumedBytes;
    stream.unconsumedBytes = 0;
    this.#payConnection();
  }

  /** Ends a stream with RST_STREAM by the application's wish. */
  resetStream(stream: Http2Stream, code: number): void {
    if (stream.state === StreamState.closed) return;
    stream.state = nextStreamState(stream.state, StreamInput.sendReset);
    if (!this.isClosing) this.writeResetFrame(stream.id, code);
    this.closeStream(stream, "resetByUs");
    this.outputGathered();
  }

  /** The peer broke a rule on this stream only. */
  protected streamError(stream: Http2Stream, code: number, what: string): void {
    if (this.role === "server") spendOrEnd(this.floods.provokedResets, this.receivedAt);
    stream.state = StreamState.closed;
    this.writeResetFrame(stream.id, code);
    this.closeStream(stream, "resetByUs");
    stream.abort(
      new ExchangeError("protocol", `the peer broke HTTP/2 on stream ${stream.id}: ${what}`, { http2Code: code }),
    );
  }

  protected writeResetFrame(streamId: number, code: number): void {
    this.countControlFrame();
    writeReset(this.output.writer, streamId, code);
  }

  /** Answers to the peer's frames pile up behind a blocked socket: stop listening to it. */
  protected countControlFrame(): void {
    if (!this.output.isBlocked) return;
    if (++this.output.controlFrames >= this.limits.controlFramesMax) this.#pauseInput();
  }

  #pauseInput(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.stream.pause();
  }

  // ---- output ----------------------------------------------------------------------------------------------------

  /** Something was written outside of input handling: it leaves at the end of the turn at the latest. */
  outputGathered(): void {
    if (!this.isReceiving && !this.#flushIsScheduled && this.output.gatheredBytes > 0) this.scheduleFlush();
  }

  protected scheduleFlush(): void {
    if (this.#flushIsScheduled || this.isClosed) return;
    this.#flushIsScheduled = true;
    this.clock.endOfTurn(this.#flushAtEndOfTurn);
  }

  readonly #flushAtEndOfTurn = (): void => {
    this.#flushIsScheduled = false;
    this.flush();
  };

  flush(): void {
    if (this.isClosed) return;
    this.willWrite();
    if (this.sender.hasWaitingData) this.#pump();
    this.output.flush();
    if (this.output.isBlocked) this.#blocked();
  }

  /** Everything gathered is about to be handed to the socket. */
  protected willWrite(): void {}

  #pump(): void {
    this.willWrite();
    try {
      this.sender.pump();
    } catch (error) {
      this.#inputFailed(error);
    }
  }

  #blocked(): void {
    if (this.#blockedAt === 0) this.#blockedAt = this.clock.now();
    if (this.output.waitingBytes > this.limits.outputBytesMax) this.#pauseInput();
    this.#armStallTimer();
  }

  drained(): void {
    this.output.isBlocked = false;
    this.output.controlFrames = 0;
    this.#blockedAt = 0;
    this.flush();
    if (this.#isPaused && this.output.waitingBytes <= this.limits.outputBytesMax && !this.output.isBlocked) {
      this.#isPaused = false;
      this.stream.resume();
    }
  }

  /** A stream's data waits, for a window or the socket. */
  dataWaits(stream: Http2Stream): void {
    if (stream.movedAt === 0) stream.movedAt = this.clock.now();
    if (stream.queuedBytes > this.limits.streamBufferHighBytes) stream.wasFull = true;
    this.#armStallTimer();
    if (!this.isReceiving) this.scheduleFlush();
  }

  #armStallTimer(): void {
    if (this.#stallTimer !== undefined || this.isClosed) return;
    const delayMs = Math.min(this.limits.writeStallMs, this.limits.windowStallMs) / 2;
    outsideContext(() => {
      this.#stallTimer = this.clock.after(delayMs, () => {
        this.#stallTimer = undefined;
        this.#checkStalls();
      });
    });
  }

  #checkStalls(): void {
    if (this.isClosing || this.isClosed) return;
    const now = this.clock.now();
    if (this.output.isBlocked && now - this.#blockedAt >= this.limits.writeStallMs) {
      this.fail(calmDown(limitToken.writeStalled));
      this.stream.destroy();
      return;
    }
    let waits = this.output.isBlocked;
    for (const stream of this.streams.values()) {
      if (stream.queuedBytes === 0) continue;
      waits = true;
      if (stream.movedAt === 0) stream.movedAt = now;
      // A blocked socket is its own reason, with its own limit.
      if (this.output.isBlocked || now - stream.movedAt < this.limits.windowStallMs) continue;
      const event: Http2StreamLimited = {
        type: "http2.stream.limited",
        token: limitToken.windowStalled,
        streamId: stream.id,
      };
      this.observer.emit(event);
      stream.state = StreamState.closed;
      this.writeResetFrame(stream.id, ErrorCode.enhanceYourCalm);
      this.closeStream(stream, "resetByUs");
      stream.abort(new ExchangeError("timeout", `the peer opened no window for ${this.limits.windowStallMs} ms`));
    }
    this.flush();
    if (waits) this.#armStallTimer();
  }

  #becameIdle(): void {
    if (this.isDraining) {
      this.drainFinished();
      return;
    }
    this.output.shrink();
    this.armIdleTimer();
  }

  /** One timer for the connection's life, which looks when it fires how long it has really been quiet. */
  protected armIdleTimer(): void {
    if (this.#idleTimer !== undefined || this.isClosing) return;
    this.#armIdle(this.limits.idleMs);
  }

  #armIdle(delayMs: number): void {
    outsideContext(() => {
      this.#idleTimer = this.clock.after(delayMs, () => {
        this.#idleTimer = undefined;
        if (this.isClosing || this.isClosed || this.streams.size > 0) return;
        const quietMs = this.clock.now() - this.receivedAt;
        if (quietMs >= this.limits.idleMs) this.fail(new Http2ConnectionError(ErrorCode.noError, limitToken.idle));
        else this.#armIdle(this.limits.idleMs - quietMs);
      });
    });
  }

  // ---- the end ---------------------------------------------------------------------------------------------------

  /** The last stream of a draining connection is over. */
  protected drainFinished(): void {
    this.fail(new Http2ConnectionError(ErrorCode.noError, ""));
  }

  /** Ends the connection with GOAWAY; streams that are still open are aborted. */
  fail(error: Http2ConnectionError): void {
    if (this.isClosing || this.isClosed) return;
    this.isClosing = true;
    this.#endedWith = error;
    this.willWrite();
    writeGoaway(this.output.writer, this.lastPeerStreamId, error.code, error.token);
    this.output.flush();
    this.stream.end();
    if (this.#isPaused) this.stream.resume();
    this.#cancelTimers();
    this.#linger(Number.POSITIVE_INFINITY);
    this.abortStreams(abortReason(error), error.message, error.code);
  }

  /** Waits for the peer to close, as long as it still takes what was written. */
  #linger(waitingBytesBefore: number): void {
    this.#lingerTimer = this.clock.after(this.limits.lingerMs, () => {
      const waitingBytes = this.stream.bufferedBytes;
      if (waitingBytes > 0 && waitingBytes < waitingBytesBefore) this.#linger(waitingBytes);
      else this.stream.destroy();
    });
  }

  protected abortStreams(
    reason: "connection" | "draining" | "limit" | "protocol" | "timeout",
    message: string,
    code?: number,
    cause?: Error,
  ): void {
    const streams = [...this.streams.values()];
    for (const stream of streams) {
      stream.state = StreamState.closed;
      this.streams.delete(stream.id);
    }
    for (const stream of streams) {
      this.streamClosed(stream);
      const unprocessed = this.isUnprocessed(stream.id);
      try {
        stream.abort(new ExchangeError(reason, message, { unprocessed, http2Code: code, cause }));
      } catch (error) {
        const event: Http2CallbackFailed = { type: "http2.callback.failed", error };
        this.observer.emit(event);
      }
    }
  }

  /** The peer certainly has not acted on this stream when the connection ends now. */
  protected isUnprocessed(_streamId: number): boolean {
    return false;
  }

  ended(): void {
    if (this.isClosing || this.isClosed) return;
    this.abortStreams("connection", "the peer closed the connection");
    this.fail(new Http2ConnectionError(ErrorCode.noError, ""));
  }

  closed(error?: Error): void {
    if (this.isClosed) return;
    const wasClosing = this.isClosing;
    this.isClosing = true;
    this.isClosed = true;
    this.#cancelTimers();
    this.#lingerTimer?.cancel();
    this.abortStreams("connection", "the connection was lost", undefined, error);
    const ended = this.#endedWith;
    const isFailure = ended !== undefined && ended.token !== "" && ended.token !== limitToken.idle;
    const reported = isFailure ? ended : wasClosing ? undefined : error;
    const event: Http2ConnectionClosed = {
      type: "http2.connection.closed",
      role: this.role,
      remoteAddress: this.info.remoteAddress,
      code: ended?.code ?? ErrorCode.noError,
      token: ended?.token ?? "",
      error: reported,
    };
    this.observer.emit(event);
    this.reportClosed(reported);
  }

  destroy(error?: Error): void {
    if (this.isClosed) return;
    this.isClosing = true;
    this.abortStreams("connection", error?.message ?? "the connection was destroyed", undefined, error);
    this.stream.destroy(error);
  }

  #cancelTimers(): void {
    this.#block.stop();
    this.#stallTimer?.cancel();
    this.#idleTimer?.cancel();
    this.#settingsTimer?.cancel();
    this.cancelRoleTimers();
  }

  protected abstract cancelRoleTimers(): void;

  protected writeFinalGoaway(lastStreamId: number): void {
    writeGoaway(this.output.writer, lastStreamId, ErrorCode.noError, "");
  }

  protected writeFirstGoaway(): void {
    writeGoaway(this.output.writer, streamIdMax, ErrorCode.noError, "");
  }

  protected writeFirstSettings(settings: (readonly [id: number, value: number])[]): void {
    const { limits, windows } = this;
    settings.push([Setting.maxHeaderListSize, limits.headerListBytesMax]);
    if (limits.headerTableBytes !== 4096) settings.push([Setting.headerTableSize, limits.headerTableBytes]);
    if (limits.windowBytes !== 65_535) settings.push([Setting.initialWindowSize, limits.windowBytes]);
    if (limits.frameBytesMax !== 16_384) settings.push([Setting.maxFrameSize, limits.frameBytesMax]);
    writeSettings(this.output.writer, settings);
    this.#settingsTimer = this.clock.after(limits.settingsAckMs, () =>
      this.fail(new Http2ConnectionError(ErrorCode.settingsTimeout, limitToken.settingsTimeout)),
    );
    const increment = windows.connectionBytes - windows.available;
    if (increment > 0) {
      writeWindowUpdate(this.output.writer, 0, increment);
      windows.available += increment;
    }
  }
}

function abortReason(error: Http2ConnectionError): "draining" | "limit" | "protocol" | "timeout" {
  if (error.token === limitToken.keepalive || error.code === ErrorCode.settingsTimeout) return "timeout";
  if (error.code === ErrorCode.noError) return "draining";
  return error.code === ErrorCode.enhanceYourCalm ? "limit" : "protocol";
}
