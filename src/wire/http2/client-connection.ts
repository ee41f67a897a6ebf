import type { ByteStream, ByteStreamHandler, Clock, Observer, Random } from "../../platform/index.ts";
import {
  type ClientConnection,
  type ClientConnectionHandler,
  ExchangeError,
  type HeaderField,
  type RequestHead,
  type ResponseReceiver,
} from "../exchange.ts";
import { Http2ClientStream } from "./client-stream.ts";
import { Http2Connection } from "./connection.ts";
import { ErrorCode, errorCodeName } from "./errors.ts";
import { clientPreface, Setting, streamIdMax } from "./frames.ts";
import { BlockKind } from "./head.ts";
import { Keepalive, type KeepaliveOptions } from "./keepalive.ts";
import type { Http2Limits } from "./limits.ts";
import type { Http2Stream } from "./stream.ts";
import { nextStreamState, StreamInput, StreamState } from "./stream-state.ts";

export interface Http2ClientConnectionOptions {
  readonly stream: ByteStream;
  readonly clock: Clock;
  readonly observer: Observer;
  readonly random?: Random | undefined;
  readonly handler: ClientConnectionHandler;
  readonly limits?: Partial<Http2Limits> | undefined;
  /** @default 10 s of silence with calls pending, 5 s to answer */
  readonly keepalive?: KeepaliveOptions | undefined;
}

/** Streams that may be opened before the peer has said its limit (the value RFC 9113 recommends as a minimum). */
const assumedConcurrentStreams = 100;

/** A client's connection. The owner sets `stream.handler` to it and calls `start`. */
export class Http2ClientConnection extends Http2Connection implements ClientConnection, ByteStreamHandler {
  readonly httpVersion = 2;
  protected override readonly role = "client";
  readonly #handler: ClientConnectionHandler;
  readonly #keepalive: Keepalive;
  #nextStreamId = 1;
  /** Requests above this id have not left this process. */
  #lastWrittenId = 0;
  #maxConcurrentStreams = assumedConcurrentStreams;
  #lastProcessedId = streamIdMax;

  constructor(options: Http2ClientConnectionOptions) {
    super(options);
    this.#handler = options.handler;
    this.#keepalive = new Keepalive(options.clock, options.keepalive, {
      receivedAt: () => this.receivedAt,
      isNeeded: () => this.streams.size > 0 && !this.isClosing,
      ping: () => {
        this.sendPing("keepalive");
        this.flush();
      },
      fail: error => this.fail(error),
    });
  }

  start(): void {
    this.receivedAt = this.clock.now();
    this.output.writer.append(clientPreface);
    this.writeFirstSettings([[Setting.enablePush, 0]]);
    this.scheduleFlush();
  }

  get capacity(): number {
    if (this.isDraining || this.isClosing || this.#nextStreamId > streamIdMax) return 0;
    return Math.max(0, this.#maxConcurrentStreams - this.streams.size);
  }

  request(
    head: RequestHead,
    fields: readonly HeaderField[],
    receiver: ResponseReceiver,
    end: boolean,
  ): Http2ClientStream {
    const id = this.#nextStreamId;
    const stream = new Http2ClientStream(this, id, receiver, head.method.value === "HEAD", end);
    if (this.isClosing || this.isDraining || id > streamIdMax) {
      stream.state = StreamState.closed;
      const error = new ExchangeError("draining", "the connection takes no more requests", { unprocessed: true });
      this.clock.endOfTurn(() => stream.abort(error));
      return stream;
    }
    this.#nextStreamId += 2;
    this.streams.set(id, stream);
    if (this.streams.size === 1) this.stream.holdProcess(true);
    const { sender } = this;
    sender.beginHeaders();
    sender.field(head.method);
    sender.field(head.scheme);
    sender.field(head.authority);
    sender.field(head.path);
    sender.fields(fields);
    sender.endHeaders(id, end);
    this.#keepalive.watch();
    this.outputGathered();
    return stream;
  }

  protected override willWrite(): void {
    this.#lastWrittenId = this.#nextStreamId - 2;
  }

  protected override readPreface(): number {
    return 0;
  }

  protected override chunkHandled(): void {
    // Requests that this chunk's answers lead to come in microtasks; they leave with the window updates, in one write.
    if (this.output.gatheredBytes > 0) this.scheduleFlush();
  }

  protected override isIdle(streamId: number): boolean {
    return streamId % 2 === 0 || streamId >= this.#nextStreamId;
  }

  protected override wasResetByUs(streamId: number): boolean {
    // Answers to cancelled calls arrive long after; a client loses nothing by ignoring frames on streams that are over.
    return !this.isIdle(streamId);
  }

  protected override receivedHead(streamId: number, endStream: boolean): void {
    const stream = this.streams.get(streamId) as Http2ClientStream | undefined;
    if (stream === undefined) {
      if (this.isIdle(streamId)) this.refuseHead(streamId);
      return;
    }
    if (stream.state === StreamState.halfClosedRemote) {
      this.streamError(stream, ErrorCode.streamClosed, "HEADERS behind the end");
      return;
    }
    if (this.decoder.isTooLarge) {
      this.#headTooLarge(stream);
      return;
    }
    const { head } = this;
    const defect = head.judge(stream.headReceived ? BlockKind.trailers : BlockKind.response);
    if (defect !== undefined) {
      this.streamError(stream, ErrorCode.protocolError, defect);
      return;
    }
    if (stream.headReceived) this.#receivedTrailers(stream, endStream);
    else this.#receivedResponse(stream, endStream);
  }

  #receivedResponse(stream: Http2ClientStream, endStream: boolean): void {
    const { head } = this;
    const status = Number(head.status!.value);
    if (status < 200) {
      if (endStream || status === 101)
        this.streamError(stream, ErrorCode.protocolError, `status ${status} ends nothing`);
      return;
    }
    stream.headReceived = true;
    const hasNoBody = stream.isHeadRequest || status === 204 || status === 304;
    stream.bodyBytesExpected = hasNoBody ? 0 : head.contentLength;
    if (endStream && !hasNoBody && head.contentLength > 0) {
      this.streamError(stream, ErrorCode.protocolError, "the body is shorter than content-length");
      return;
    }
    if (endStream) this.#remoteEnded(stream);
    stream.receiver.head(status, head.fields);
    if (endStream) stream.ended(undefined);
  }

  #receivedTrailers(stream: Http2ClientStream, endStream: boolean): void {
    if (!endStream) {
      this.streamError(stream, ErrorCode.protocolError, "trailers must end the stream");
      return;
    }
    if (stream.bodyBytesExpected >= 0 && stream.bodyBytes !== stream.bodyBytesExpected) {
      this.streamError(stream, ErrorCode.protocolError, "the body is shorter than content-length");
      return;
    }
    this.#remoteEnded(stream);
    stream.ended(this.head.fields);
  }

  #remoteEnded(stream: Http2ClientStream): void {
    stream.state = nextStreamState(stream.state, StreamInput.receiveEnd);
    if (stream.state === StreamState.closed) this.closeStream(stream, "complete");
  }

  #headTooLarge(stream: Http2ClientStream): void {
    stream.state = StreamState.closed;
    this.writeResetFrame(stream.id, ErrorCode.cancel);
    this.closeStream(stream, "resetByUs");
    stream.abort(
      new ExchangeError("limit", `the header list is larger than ${this.limits.headerListBytesMax} bytes`, {
        http2Code: ErrorCode.cancel,
      }),
    );
  }

  protected override streamClosed(_stream: Http2Stream): void {
    // Nobody waits for anything here: a program that has done its work may end.
    if (this.streams.size === 0 && !this.isDraining) this.stream.holdProcess(false);
    if (!this.isClosing && !this.isDraining) this.#handler.capacityChanged();
  }

  protected override receivedGoaway(lastStreamId: number, code: number, debug: string): void {
    const wasDraining = this.isDraining;
    this.isDraining = true;
    this.#lastProcessedId = Math.min(this.#lastProcessedId, lastStreamId);
    const why = `the peer is going away (${errorCodeName(code)}${debug === "" ? "" : `: ${debug}`})`;
    for (const stream of [...this.streams.values()]) {
      if (stream.id <= lastStreamId) continue;
      stream.state = StreamState.closed;
      this.closeStream(stream, "resetByPeer");
      const reason = code === ErrorCode.noError ? "draining" : "connection";
      stream.abort(new ExchangeError(reason, why, { unprocessed: true, http2Code: code }));
    }
    if (!wasDraining) this.#handler.draining();
    if (this.streams.size === 0 && !this.isClosing) this.drainFinished();
  }

  protected override peerSettingsChanged(maxConcurrentStreams: number | undefined): void {
    if (maxConcurrentStreams !== undefined) this.#maxConcurrentStreams = maxConcurrentStreams;
    this.#handler.capacityChanged();
  }

  protected override isUnprocessed(streamId: number): boolean {
    return streamId > this.#lastWrittenId || streamId > this.#lastProcessedId;
  }

  drain(): void {
    if (this.isDraining || this.isClosing) return;
    this.isDraining = true;
    // Whoever drains waits for the end.
    this.stream.holdProcess(true);
    if (this.streams.size === 0) this.drainFinished();
  }

  protected override cancelRoleTimers(): void {
    this.#keepalive.stop();
  }

  protected override reportClosed(error: Error | undefined): void {
    this.#handler.closed(error);
  }
}
