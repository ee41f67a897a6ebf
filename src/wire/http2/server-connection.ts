import type { ByteStream, ByteStreamHandler, Clock, Observer, Timer } from "../../platform/index.ts";
import {
  constantField,
  ExchangeError,
  type HeaderField,
  type ServerConnection,
  type ServerConnectionHandler,
} from "../exchange.ts";
import { Http2Connection } from "./connection.ts";
import { calmDown, ErrorCode, Http2ConnectionError, protocolError } from "./errors.ts";
import { spendOrEnd } from "./floods.ts";
import { clientPreface, Setting } from "./frames.ts";
import { BlockKind } from "./head.ts";
import { type Http2Limits, limitToken } from "./limits.ts";
import { Http2ServerStream } from "./server-stream.ts";
import type { Http2Stream } from "./stream.ts";
import { nextStreamState, StreamInput, StreamState } from "./stream-state.ts";

export interface Http2ServerConnectionOptions {
  readonly stream: ByteStream;
  readonly clock: Clock;
  readonly observer: Observer;
  readonly handler: ServerConnectionHandler;
  readonly limits?: Partial<Http2Limits> | undefined;
  /** For requests whose `:scheme` is neither: the connection's own. */
  readonly scheme: "http" | "https";
}

const status431 = [constantField(":status", "431")];
const status501 = [constantField(":status", "501")];

/**
 * A server's connection. The owner sets `stream.handler` to it and calls `start`.
 *
 * A request holds one of `limits.concurrentStreams` slots until its handler has ended: sent the end, or called `reset`,
 * also when the exchange was aborted before. Requests that find no slot are refused as unprocessed.
 */
export class Http2ServerConnection extends Http2Connection implements ServerConnection, ByteStreamHandler {
  protected override readonly role = "server";
  readonly #handler: ServerConnectionHandler;
  #prefaceBytes = 0;
  #prefaceTimer: Timer | undefined;
  #drainTimer: Timer | undefined;
  /** The second GOAWAY is out: streams above its id are not ours any more. */
  #lastAcceptedId = Number.MAX_SAFE_INTEGER;
  #running = 0;
  #chunkNumber = 0;
  /** Requests that the present chunk opened and that are not answered yet. */
  #unanswered = 0;

  constructor(options: Http2ServerConnectionOptions) {
    super(options);
    this.#handler = options.handler;
  }

  /** Handlers at work, also for streams that the peer has reset. */
  get runningHandlers(): number {
    return this.#running;
  }

  /** @param firstBytes already read, from the beginning of the connection on */
  start(firstBytes?: Buffer): void {
    this.receivedAt = this.clock.now();
    this.#prefaceTimer = this.clock.after(this.limits.prefaceMs, () => this.fail(calmDown(limitToken.slowPreface)));
    this.writeFirstSettings([[Setting.maxConcurrentStreams, this.limits.concurrentStreams]]);
    if (firstBytes !== undefined && firstBytes.length > 0) this.data(firstBytes);
    else this.scheduleFlush();
  }

  protected override readPreface(chunk: Buffer): number {
    this.#chunkNumber++;
    this.#unanswered = 0;
    if (this.#prefaceBytes === clientPreface.length) return 0;
    let at = 0;
    while (this.#prefaceBytes < clientPreface.length && at < chunk.length) {
      if (chunk[at++] !== clientPreface[this.#prefaceBytes++]) throw protocolError("this is not the preface of HTTP/2");
    }
    return this.#prefaceBytes === clientPreface.length ? at : -1;
  }

  protected override chunkHandled(): void {
    // Answers that are ready leave now; those of handlers that wait bring the rest with them, or the end of the turn does.
    if (this.#unanswered === 0) this.flush();
    else this.scheduleFlush();
  }

  protected override isIdle(streamId: number): boolean {
    return streamId % 2 === 0 || streamId > this.lastPeerStreamId;
  }

  protected override receivedHead(streamId: number, endStream: boolean): void {
    const stream = this.streams.get(streamId);
    if (stream !== undefined) this.#receivedTrailers(stream as Http2ServerStream, endStream);
    else this.#receivedRequest(streamId, endStream);
  }

  #receivedTrailers(stream: Http2ServerStream, endStream: boolean): void {
    if (stream.state === StreamState.halfClosedRemote) {
      this.streamError(stream, ErrorCode.streamClosed, "HEADERS behind the end");
      return;
    }
    const defect = endStream ? this.head.judge(BlockKind.trailers) : "trailers must end the stream";
    const bodyIsShort = stream.bodyBytesExpected >= 0 && stream.bodyBytes !== stream.bodyBytesExpected;
    if (defect !== undefined || bodyIsShort || this.decoder.isTooLarge) {
      this.streamError(stream, ErrorCode.protocolError, defect ?? "the body is shorter than content-length");
      return;
    }
    stream.state = nextStreamState(stream.state, StreamInput.receiveEnd);
    if (stream.state === StreamState.closed) this.closeStream(stream, "complete");
    stream.ended(this.head.fields);
  }

  #receivedRequest(streamId: number, endStream: boolean): void {
    if (streamId % 2 === 0) throw protocolError("a client's stream has an even id");
    if (streamId <= this.lastPeerStreamId) {
      if (this.wasResetByUs(streamId)) return;
      if (this.wasClosedLately(streamId))
        throw new Http2ConnectionError(ErrorCode.streamClosed, "HEADERS on a closed stream");
      throw protocolError("stream ids must grow");
    }
    if (streamId > this.#lastAcceptedId) {
      this.writeResetFrame(streamId, ErrorCode.refusedStream);
      return;
    }
    this.lastPeerStreamId = streamId;
    const { head, limits } = this;
    if (this.streams.size >= limits.concurrentStreams || this.#running >= limits.concurrentStreams) {
      spendOrEnd(this.floods.refused, this.receivedAt);
      this.#dismiss(streamId, ErrorCode.refusedStream);
      return;
    }
    if (this.decoder.isTooLarge) {
      spendOrEnd(this.floods.provokedResets, this.receivedAt);
      this.#answerAndDismiss(streamId, status431);
      return;
    }
    const defect = head.judge(BlockKind.request);
    const length = head.contentLength;
    if (defect !== undefined || (endStream && length > 0)) {
      spendOrEnd(this.floods.provokedResets, this.receivedAt);
      this.#dismiss(streamId, ErrorCode.protocolError);
      return;
    }
    const method = head.method!.value;
    if (head.path === undefined) {
      // CONNECT: there is no tunnel here.
      spendOrEnd(this.floods.provokedResets, this.receivedAt);
      this.#answerAndDismiss(streamId, status501);
      return;
    }
    const stream = new Http2ServerStream(
      this,
      streamId,
      method,
      head.scheme!.value,
      (head.authority ?? head.host)?.value ?? "",
      head.path,
      head.fields,
      endStream,
      this.#chunkNumber,
    );
    stream.bodyBytesExpected = length;
    this.streams.set(streamId, stream);
    this.#running++;
    this.#unanswered++;
    this.#handler.request(stream);
    if (endStream) stream.ended(undefined);
  }

  /** Ends a request that never became an exchange. */
  #dismiss(streamId: number, code: number): void {
    this.writeResetFrame(streamId, code);
    this.noteResetByUs(streamId);
  }

  #answerAndDismiss(streamId: number, head: readonly HeaderField[]): void {
    this.sender.beginHeaders();
    this.sender.fields(head);
    this.sender.endHeaders(streamId, true);
    this.#dismiss(streamId, ErrorCode.noError);
  }

  override localEnded(stream: Http2Stream): void {
    if (stream.state === StreamState.halfClosedLocal) {
      // Answered before the request was complete: the rest is not wanted (RFC 9113, section 8.1).
      const error = new ExchangeError("limit", "the rest of the body was not read: the answer is complete");
      this.clock.endOfTurn(() => stream.abort(error));
      this.resetStream(stream, ErrorCode.noError);
      return;
    }
    super.localEnded(stream);
  }

  /** A handler's work is over; its slot is free. */
  handlerEnded(stream: Http2ServerStream): void {
    this.#running--;
    if (stream.chunkNumber !== this.#chunkNumber) return;
    this.#unanswered--;
    if (this.#unanswered === 0 && !this.isReceiving) this.flush();
  }

  protected override streamClosed(): void {}

  protected override receivedGoaway(): void {
    // The client opens no more streams; those that run may finish.
    if (!this.isDraining) {
      this.isDraining = true;
      if (this.streams.size === 0) this.drainFinished();
    }
  }

  protected override peerSettingsChanged(): void {
    this.#prefaceTimer?.cancel();
    this.#prefaceTimer = undefined;
    this.armIdleTimer();
  }

  /** Two phases (RFC 9113, section 6.8): the highest id and a ping; once that is answered, the last id that is served. */
  drain(): void {
    if (this.isDraining || this.isClosing) return;
    this.isDraining = true;
    this.writeFirstGoaway();
    this.sendPing("drain");
    this.#drainTimer = this.clock.after(this.limits.drainPhaseMs, () => this.drainAcknowledged());
    this.flush();
  }

  protected override drainAcknowledged(): void {
    if (this.#lastAcceptedId !== Number.MAX_SAFE_INTEGER || this.isClosing) return;
    this.#drainTimer?.cancel();
    this.#lastAcceptedId = this.lastPeerStreamId;
    if (this.streams.size === 0) {
      super.drainFinished();
      return;
    }
    this.writeFinalGoaway(this.#lastAcceptedId);
    if (!this.isReceiving) this.flush();
  }

  protected override drainFinished(): void {
    // Between the phases requests may still be on their way: only the second one may close.
    if (this.#lastAcceptedId !== Number.MAX_SAFE_INTEGER || this.#drainTimer === undefined) super.drainFinished();
  }

  protected override cancelRoleTimers(): void {
    this.#prefaceTimer?.cancel();
    this.#drainTimer?.cancel();
  }

  protected override reportClosed(error: Error | undefined): void {
    this.#handler.closed(error);
  }
}
