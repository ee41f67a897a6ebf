import type { ClientExchange, ResponseReceiver } from "../exchange.ts";
import { type ExchangeOwner, MessageExchange } from "./message-exchange.ts";

export class Http1ClientExchange extends MessageExchange implements ClientExchange {
  readonly receiver: ResponseReceiver;
  readonly isHead: boolean;
  /** What the output had handed to the stream when the request began: equal means that nothing of it has left. */
  readonly flushedBytesBefore: number;

  constructor(owner: ExchangeOwner, receiver: ResponseReceiver, isHead: boolean, flushedBytesBefore: number) {
    super(owner);
    this.receiver = receiver;
    this.isHead = isHead;
    this.flushedBytesBefore = flushedBytesBefore;
    this.bodyIsOpen = true;
  }

  get isClosed(): boolean {
    return this.isOver;
  }
}
