import type { ClientExchange, FieldList, ResponseReceiver } from "../exchange.ts";
import type { Http2Connection } from "./connection.ts";
import { Http2Stream, noBodyYet, noReceiver } from "./stream.ts";
import { StreamState } from "./stream-state.ts";

const noResponseReceiver: ResponseReceiver = { ...noReceiver, head() {} };

export class Http2ClientStream extends Http2Stream implements ClientExchange {
  /** The receiver until the exchange is over; its base class's view leaves `head` out. */
  override receiver: ResponseReceiver;
  /** The final head has come. */
  headReceived = false;
  readonly isHeadRequest: boolean;
  readonly maySendBody = true;

  constructor(
    connection: Http2Connection,
    id: number,
    receiver: ResponseReceiver,
    isHeadRequest: boolean,
    end: boolean,
  ) {
    super(connection, id);
    this.receiver = receiver;
    this.isHeadRequest = isHeadRequest;
    this.bodyBytesExpected = noBodyYet;
    this.state = end ? StreamState.halfClosedLocal : StreamState.open;
  }

  get isClosed(): boolean {
    return this.state === StreamState.closed;
  }

  /** With the response complete the exchange is over for its receiver, even while the request is still going out. */
  override ended(trailers: FieldList | undefined): void {
    const { receiver } = this;
    this.receiver = noResponseReceiver;
    receiver.ended(trailers);
  }

  finished(): void {}
}
