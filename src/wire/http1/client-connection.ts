import type { ByteStream, ByteStreamHandler, Clock, Observer } from "../../platform/index.ts";
import {
  type ClientConnection,
  type ClientConnectionHandler,
  type ClientExchange,
  ExchangeError,
  type HeaderField,
  type RequestHead,
  type ResetReason,
  type ResponseReceiver,
} from "../exchange.ts";
import { CarriedBytes } from "./carried-bytes.ts";
import { Http1ClientExchange } from "./client-exchange.ts";
import { Connection } from "./connection.ts";
import type { Http1ResponseRefused } from "./events.ts";
import { incomplete, refused } from "./field-section.ts";
import { ResponseHeadParser } from "./head-parser.ts";
import type { Http1Limits } from "./limits.ts";
import type { ExchangeOwner } from "./message-exchange.ts";
import { type Refusal, refusals } from "./refusal.ts";
import { RequestHeadWriter } from "./request-head.ts";

export interface Http1ClientOptions {
  readonly stream: ByteStream;
  readonly clock: Clock;
  readonly observer: Observer;
  readonly handler: ClientConnectionHandler;
  readonly limits?: Partial<Http1Limits> | undefined;
}

/** `idle`: no request; `head`: an answer is due; `body`: it is coming; `ended`: it came, the request goes on; `over`. */
type Phase = "idle" | "head" | "body" | "ended" | "over";

/**
 * A client's HTTP/1.1 connection: one request at a time, no pipelining. Bytes that no request has asked for end it, so
 * that no answer is ever taken for that of another request (RFC 9112, section 9.2).
 *
 * Failures say `unprocessed` only when not one byte of the request has left. A kept connection that the server closes at
 * the very moment a request is sent gives reason `connection` and `unprocessed: false`: nobody can know.
 */
export class Http1ClientConnection extends Connection implements ClientConnection, ByteStreamHandler, ExchangeOwner {
  readonly httpVersion = 1;
  readonly #observer: Observer;
  readonly #handler: ClientConnectionHandler;
  readonly #parser: ResponseHeadParser;
  readonly #head = new RequestHeadWriter();
  #phase: Phase = "idle";
  #exchange: Http1ClientExchange | undefined;
  #carry: CarriedBytes | undefined;
  #requestsStarted = 0;
  #informational = 0;
  #isDraining = false;
  /** This answer is the last one of the connection. */
  #isLast = false;
  #requestCloses = false;
  #answerHasBegun = false;

  constructor(options: Http1ClientOptions) {
    super(options.stream, options.clock, options.limits);
    this.#observer = options.observer;
    this.#handler = options.handler;
    this.#parser = new ResponseHeadParser(this.limits);
  }

  get capacity(): number {
    return this.#phase === "idle" && !this.#isDraining ? 1 : 0;
  }

  get activeExchanges(): number {
    return this.#exchange === undefined ? 0 : 1;
  }

  get isClosed(): boolean {
    return this.#phase === "over";
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** Nothing to say first in HTTP/1.1; here for likeness with HTTP/2. */
  start(): void {}

  request(head: RequestHead, fields: readonly HeaderField[], receiver: ResponseReceiver, end: boolean): ClientExchange {
    const flushedBytes = this.output.flushedBytes;
    const exchange = new Http1ClientExchange(this, receiver, head.method.value === "HEAD", flushedBytes);
    if (this.capacity === 0) {
      exchange.isOver = true;
      const isGone = this.#phase === "over";
      const message = isGone ? "the connection is closed" : "the connection takes no request now";
      const error = new ExchangeError(isGone ? "connection" : "draining", message, { unprocessed: true });
      this.clock.endOfTurn(() => receiver.aborted(error));
      return exchange;
    }
    const text = this.#head.write(head, fields, end, this.outgoing);
    this.#requestCloses = fields.some(field => field.name === "connection" && field.value.toLowerCase() === "close");
    this.#exchange = exchange;
    this.#phase = "head";
    this.stream.holdProcess(true);
    this.#requestsStarted++;
    this.#informational = 0;
    this.#answerHasBegun = false;
    this.#isLast = false;
    this.unpaidBytes = 0;
    this.output.appendText(text);
    if (end) exchange.sendTrailers([]);
    else this.output.scheduleFlush();
    return exchange;
  }

  drain(): void {
    this.#isDraining = true;
    // Whoever drains waits for the end.
    this.stream.holdProcess(true);
    if (this.#phase === "idle") this.#close();
  }

  destroy(error?: Error): void {
    if (this.#phase === "over") return;
    this.#fail(this.#lost("the connection was destroyed", error));
    this.#end(error);
    this.stream.destroy(error);
  }

  // Input

  data(chunk: Buffer): void {
    if (this.#phase === "over") return;
    if (this.#carry !== undefined) {
      const carry = this.#carry;
      this.#carry = undefined;
      carry.append(chunk);
      this.#run(carry.bytes);
    } else this.#run(chunk);
    if (this.#phase === "body") this.#updateReading();
  }

  #run(bytes: Buffer): void {
    const end = bytes.length;
    let at = 0;
    while (at < end) {
      switch (this.#phase) {
        case "head": {
          this.#answerHasBegun = true;
          const next = this.#parser.parse(bytes, at, end);
          if (next === refused) {
            this.#refuse(this.#parser.refusal);
            return;
          }
          if (next === incomplete) {
            this.#carry = new CarriedBytes(bytes.subarray(at));
            return;
          }
          at = next;
          this.#takeHead();
          break;
        }
        case "body":
          at = this.incoming.take(bytes, at, end, this);
          if (this.incoming.isRefused) {
            this.#refuse(this.incoming.refusal);
            return;
          }
          if (this.incoming.isDone) this.#answered();
          break;
        case "over":
          return;
        default:
          // Nobody asked for this: at best a 408 of a server that closes, at worst an answer that was smuggled in.
          this.#isDraining = true;
          this.destroy();
          return;
      }
    }
  }

  #takeHead(): void {
    const exchange = this.#exchange;
    if (exchange === undefined) return;
    const { status, section, isVersion10 } = this.#parser;
    if (status < 200) {
      // An upgrade is never asked for here.
      if (status === 101) this.#refuse(refusals.upgrade);
      else if (++this.#informational > this.limits.informationalMax) this.#refuse(refusals.informationalCount);
      return;
    }
    this.#isLast = this.#requestCloses || section.hasClose || (isVersion10 && !section.hasKeepAlive);
    // RFC 9112, section 6.3
    const hasNoBody = exchange.isHead || status === 204 || status === 304;
    if (hasNoBody) this.incoming.startLength(0);
    else if (section.isChunked) this.incoming.startChunked();
    else if (section.contentLength !== -1) this.incoming.startLength(section.contentLength);
    else {
      this.incoming.startUntilClose();
      this.#isLast = true;
    }
    this.#phase = "body";
    exchange.receiver.head(status, section);
    if (this.#phase === "body" && this.incoming.isDone) this.#answered();
  }

  /** Implements `BodySink`. */
  bodyData(chunk: Buffer, start: number, end: number): void {
    this.unpaidBytes += end - start;
    this.#exchange?.receiver.data(chunk, start, end);
  }

  /** The answer is complete. */
  #answered(): void {
    const exchange = this.#exchange;
    if (exchange === undefined) return;
    this.#exchange = undefined;
    exchange.isOver = true;
    const { trailers } = this.incoming;
    if (!this.outgoing.isEnded) {
      // The server has answered without the rest of the request; what is missing of it makes the connection useless.
      this.outgoing.abort();
      this.#isLast = true;
    }
    if (this.#isLast && !this.#isDraining) {
      this.#isDraining = true;
      this.#phase = "ended";
      this.#handler.draining();
    }
    if (this.#isDraining) this.#close();
    else {
      this.#phase = "idle";
      this.setReading(true);
      // Nobody waits for anything here: a program that has done its work may end.
      this.stream.holdProcess(false);
    }
    exchange.receiver.ended(trailers);
    if (this.#phase === "idle" && !this.#isDraining) this.#handler.capacityChanged();
  }

  #updateReading(): void {
    this.setReading(this.unpaidBytes <= this.limits.unpaidBytesMax);
  }

  paid(bytes: number): void {
    this.unpaidBytes -= bytes;
    if (this.isReadingStopped && this.unpaidBytes <= this.limits.unpaidBytesMax / 2) this.setReading(true);
  }

  // Output

  sentPart(): void {
    this.output.scheduleFlush();
  }

  sentLast(isWhole: boolean): void {
    if (!isWhole) {
      this.destroy(new Error("a request ended before its content-length"));
      return;
    }
    this.output.flush();
  }

  /** HTTP/1.1 can end an exchange only together with its connection. */
  resetBy(_reason: ResetReason): void {
    const exchange = this.#exchange;
    if (exchange === undefined) return;
    exchange.isOver = true;
    this.#exchange = undefined;
    this.#end(undefined);
    this.stream.destroy();
  }

  // Ends

  drained(): void {
    this.output.isBlocked = false;
    this.stallEnded();
    this.#exchange?.receiver.writable();
  }

  ended(): void {
    if (this.#phase === "body" && this.incoming.isUntilClose) {
      this.incoming.finishUntilClose();
      this.#answered();
      return;
    }
    if (this.#phase !== "over") this.destroy();
  }

  closed(error?: Error): void {
    if (this.#phase === "over") return;
    this.#fail(this.#lost("the connection was lost", error));
    this.#end(error);
  }

  protected override expired(): void {
    this.destroy();
  }

  #refuse(refusal: Refusal): void {
    const event: Http1ResponseRefused = {
      type: "http1.response.refused",
      reason: refusal.token,
      remoteAddress: this.info.remoteAddress,
    };
    this.#observer.emit(event);
    const error = new ExchangeError("protocol", `the server's answer is not HTTP/1.1: ${refusal.text}`);
    this.#fail(error);
    this.#end(error);
    this.stream.destroy(error);
  }

  #lost(what: string, cause: Error | undefined): ExchangeError {
    const exchange = this.#exchange;
    const unprocessed = exchange !== undefined && this.output.flushedBytes === exchange.flushedBytesBefore;
    const when = unprocessed
      ? "before the request was sent"
      : this.#answerHasBegun
        ? "in the middle of the answer"
        : this.#requestsStarted > 1
          ? "before an answer, on a connection that had served others"
          : "before an answer";
    return new ExchangeError("connection", `${what} ${when}`, { unprocessed, cause });
  }

  #fail(error: ExchangeError): void {
    const exchange = this.#exchange;
    if (exchange === undefined) return;
    this.#exchange = undefined;
    exchange.isOver = true;
    this.outgoing.abort();
    exchange.receiver.aborted(error);
  }

  /** Orderly: nothing is under way. */
  #close(): void {
    this.output.flush();
    this.#end(undefined);
    this.stream.end();
    this.stream.destroy();
  }

  #end(error: Error | undefined): void {
    this.#phase = "over";
    this.#carry = undefined;
    this.shut();
    this.#handler.closed(error);
  }
}
