import { ByteWriter } from "../../platform/index.ts";
import type { ConnectionInfo, Exchange, HeaderField, ResetReason } from "../exchange.ts";
import type { OutgoingBody } from "./outgoing-body.ts";
import type { Output } from "./output.ts";

/** What an exchange asks of its connection. */
export interface ExchangeOwner {
  readonly info: ConnectionInfo;
  readonly output: Output;
  readonly outgoing: OutgoingBody;
  /** Bytes waiting in the stream, below the output. */
  readonly streamBufferedBytes: number;
  /** The receiver has dealt with so much input. */
  paid(bytes: number): void;
  /** A part of the message is in the output; more follows. */
  sentPart(): void;
  /** The message is in the output. `isWhole`: as many bytes as announced. */
  sentLast(isWhole: boolean): void;
  resetBy(reason: ResetReason): void;
}

/**
 * The half of an exchange that sends, the same for both roles. Once the exchange is over every call is harmless: the
 * layer above may not have noticed yet.
 */
export abstract class MessageExchange implements Exchange {
  readonly httpVersion = 1;
  /** Head sent: a body may follow. */
  protected bodyIsOpen = false;
  /** Complete or aborted; nothing reaches the connection any more. */
  isOver = false;
  protected readonly owner: ExchangeOwner;

  constructor(owner: ExchangeOwner) {
    this.owner = owner;
  }

  get connection(): ConnectionInfo {
    return this.owner.info;
  }

  consumed(bytes: number): void {
    if (!this.isOver) this.owner.paid(bytes);
  }

  get isWritable(): boolean {
    return this.isOver || !this.owner.output.isBlocked;
  }

  get bufferedBytes(): number {
    return this.isOver ? 0 : this.owner.output.pendingBytes + this.owner.streamBufferedBytes;
  }

  beginData(): ByteWriter {
    return this.#mayNotSend() ? new ByteWriter(256) : this.owner.outgoing.begin();
  }

  commitData(end: boolean): void {
    if (this.#mayNotSend()) return;
    this.owner.outgoing.commit();
    this.#sent(end);
  }

  abandonData(): void {
    if (!this.#mayNotSend()) this.owner.outgoing.abandon();
  }

  sendData(bytes: Uint8Array, end: boolean): void {
    if (this.#mayNotSend()) return;
    this.owner.outgoing.send(bytes);
    this.#sent(end);
  }

  sendTrailers(fields: readonly HeaderField[]): void {
    if (this.#mayNotSend()) return;
    const isWhole = this.owner.outgoing.end(fields);
    this.bodyIsOpen = false;
    this.owner.sentLast(isWhole);
  }

  reset(reason: ResetReason): void {
    if (!this.isOver) this.owner.resetBy(reason);
  }

  #sent(end: boolean): void {
    if (!end) {
      this.owner.sentPart();
      return;
    }
    const isWhole = this.owner.outgoing.end([]);
    this.bodyIsOpen = false;
    this.owner.sentLast(isWhole);
  }

  #mayNotSend(): boolean {
    if (this.isOver) return true;
    if (!this.bodyIsOpen) throw new Error("a body was sent before its head, or after its end");
    return false;
  }
}
