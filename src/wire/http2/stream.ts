import type { ByteWriter } from "../../platform/index.ts";
import type {
  BodyReceiver,
  ConnectionInfo,
  Exchange,
  ExchangeError,
  FieldList,
  HeaderField,
  ResetReason,
} from "../exchange.ts";
import type { Http2Connection } from "./connection.ts";
import { ErrorCode } from "./errors.ts";
import { nextStreamState, StreamInput, StreamState } from "./stream-state.ts";

const resetCodes: Readonly<Record<ResetReason, number>> = {
  cancel: ErrorCode.cancel,
  refuse: ErrorCode.refusedStream,
  overload: ErrorCode.enhanceYourCalm,
  error: ErrorCode.internalError,
  no_error: ErrorCode.noError,
};

/** Before the head of a response any DATA, also an empty frame, is more than expected. */
export const noBodyYet = -2;

/** What happens before a receiver is set, or after the exchange is over, concerns nobody. */
export const noReceiver: BodyReceiver = { data() {}, ended() {}, aborted() {}, writable() {} };

/**
 * One stream, which is the exchange itself: one object per call. The fields down to the methods belong to the connection
 * and its parts; upper layers see the `Exchange` interface only.
 */
export abstract class Http2Stream implements Exchange {
  readonly httpVersion = 2;
  readonly id: number;
  readonly connectionState: Http2Connection;
  state: number = StreamState.idle;
  /** What the peer lets us send on this stream; negative after it shrank its initial window. */
  sendWindow: number;
  /** What we let the peer send. */
  receiveWindow: number;
  /** Given to the receiver, not consumed yet. */
  unconsumedBytes = 0;
  /** Consumed, not announced to the peer yet. */
  owedBytes = 0;
  /** Body bytes received, against `content-length`. */
  bodyBytes = 0;
  /** −1: not declared; {@link noBodyYet}. */
  bodyBytesExpected = -1;

  /** Waiting output: chunks from `queueIndex` on, of the first one the bytes from `queueOffset` on. */
  queue: Uint8Array[] | undefined = undefined;
  queueIndex = 0;
  queueOffset = 0;
  queuedBytes = 0;
  /** Our end follows behind the waiting bytes, with these trailers. */
  endWaits = false;
  trailersWaiting: readonly HeaderField[] | undefined = undefined;
  nextInRing: Http2Stream | undefined = undefined;
  isInRing = false;
  /** When the waiting output last moved, for the stall limit. */
  movedAt = 0;
  /** `isWritable` was false, so `writable` is owed. */
  wasFull = false;

  constructor(connection: Http2Connection, id: number) {
    this.connectionState = connection;
    this.id = id;
    this.sendWindow = connection.sender.initialStreamWindow;
    this.receiveWindow = connection.windows.streamBytes;
  }

  abstract receiver: BodyReceiver;

  /** The stream is closed, or the exchange was ended. */
  get isOver(): boolean {
    return this.state === StreamState.closed;
  }

  /** The final head has gone out, so that body may follow. */
  abstract readonly maySendBody: boolean;

  get connection(): ConnectionInfo {
    return this.connectionState.info;
  }

  consumed(bytes: number): void {
    this.connectionState.consumed(this, bytes);
  }

  get isWritable(): boolean {
    return this.queuedBytes <= this.connectionState.limits.streamBufferHighBytes;
  }

  get bufferedBytes(): number {
    return this.queuedBytes;
  }

  beginData(): ByteWriter {
    const { sender } = this.connectionState;
    sender.beginData();
    return sender.output.writer;
  }

  commitData(end: boolean): void {
    const connection = this.connectionState;
    if (!this.#maySend()) {
      connection.sender.abandonData();
      if (end) this.finished();
      return;
    }
    connection.sender.commitData(this, end);
    if (end) this.finished();
    connection.outputGathered();
  }

  abandonData(): void {
    this.connectionState.sender.abandonData();
  }

  sendData(bytes: Uint8Array, end: boolean): void {
    if (!this.#maySend()) {
      if (end) this.finished();
      return;
    }
    this.connectionState.sender.sendData(this, bytes, end);
    if (end) this.finished();
    this.connectionState.outputGathered();
  }

  sendTrailers(fields: readonly HeaderField[]): void {
    if (!this.#maySend()) {
      this.finished();
      return;
    }
    const { sender } = this.connectionState;
    if (fields.length === 0) {
      sender.beginData();
      sender.commitData(this, true);
    } else if (this.queuedBytes === 0) {
      sender.beginHeaders();
      sender.fields(fields);
      sender.endHeaders(this.id, true);
      this.endSent();
    } else {
      this.trailersWaiting = fields;
      this.endWaits = true;
    }
    this.finished();
    this.connectionState.outputGathered();
  }

  reset(reason: ResetReason): void {
    this.receiver = noReceiver;
    if (!this.isOver) this.connectionState.resetStream(this, resetCodes[reason]);
    this.finished();
  }

  #maySend(): boolean {
    return (
      (this.state === StreamState.open || this.state === StreamState.halfClosedRemote) &&
      !this.endWaits &&
      this.maySendBody &&
      !this.connectionState.isClosing
    );
  }

  /** END_STREAM has been written. */
  endSent(): void {
    this.state = nextStreamState(this.state, StreamInput.sendEnd);
    this.connectionState.localEnded(this);
  }

  /** The application has ended its side (the bytes may still wait), or given up. May be called repeatedly. */
  abstract finished(): void;

  /** A frame of waiting output has left. */
  afterSending(): void {
    this.movedAt = 0;
    if (this.wasFull && this.queuedBytes <= this.connectionState.limits.streamBufferLowBytes) {
      this.wasFull = false;
      this.receiver.writable();
    }
  }

  /** Tells the receiver why the exchange is over; nothing more follows. */
  abort(error: ExchangeError): void {
    const { receiver } = this;
    this.receiver = noReceiver;
    receiver.aborted(error);
  }

  /** The peer's message is complete. A server's receiver may still hear `aborted`: the call can be cancelled. */
  ended(trailers: FieldList | undefined): void {
    this.receiver.ended(trailers);
  }
}
