import {
  type ByteStream,
  type ByteStreamHandler,
  type Clock,
  type Observer,
  outsideContext,
} from "../../platform/index.ts";
import { ExchangeError, type ResetReason, type ServerConnection, type ServerConnectionHandler } from "../exchange.ts";
import { Connection } from "./connection.ts";
import type { Http1RequestRefused } from "./events.ts";
import { incomplete, refused } from "./field-section.ts";
import { RequestHeadParser } from "./head-parser.ts";
import { DateLine } from "./http-date.ts";
import type { Http1Limits } from "./limits.ts";
import { Linger } from "./linger.ts";
import { type InputReader, PipelinedInput, stopped } from "./pipelined-input.ts";
import { type Refusal, refusals } from "./refusal.ts";
import { type Http1ServerExchange, openExchange, type ServerExchangeOwner } from "./server-exchange.ts";
import { statusLine } from "./status-lines.ts";

export interface Http1ServerOptions {
  readonly stream: ByteStream;
  readonly clock: Clock;
  readonly observer: Observer;
  readonly handler: ServerConnectionHandler;
  readonly limits?: Partial<Http1Limits> | undefined;
  readonly scheme: "http" | "https";
}

/**
 * What the connection waits for.
 * `head`: a request, or the rest of its head. `body`: the rest of a request's body. `answer`: the handler.
 * `lingering`: the peer's end, after ours. `over`: nothing.
 */
type Phase = "head" | "body" | "answer" | "lingering" | "over";

/**
 * A server's HTTP/1.1 connection. Requests are handed up one after the other: the next head is read when the answer
 * before it is complete, so that answers are in order and a pipeline costs no more than its waiting bytes (RFC 9112,
 * section 9.3.2). A peer that closes its side while an answer is due counts as gone.
 */
export class Http1ServerConnection
  extends Connection
  implements ServerConnection, ByteStreamHandler, ServerExchangeOwner, InputReader
{
  readonly scheme: string;
  readonly #observer: Observer;
  readonly #handler: ServerConnectionHandler;
  readonly #parser: RequestHeadParser;
  readonly #date: DateLine;
  readonly #input: PipelinedInput;
  readonly #linger: Linger;
  #phase: Phase = "head";
  #exchange: Http1ServerExchange | undefined;
  #headHasBegun = false;
  /** The answer is complete and the request's body is not. */
  #isAnsweredEarly = false;
  #drainedBytes = 0;
  #awaitsContinue = false;
  #peerKeepsAlive = true;
  #isDraining = false;

  constructor(options: Http1ServerOptions) {
    super(options.stream, options.clock, options.limits);
    this.scheme = options.scheme;
    this.#observer = options.observer;
    this.#handler = options.handler;
    this.#parser = new RequestHeadParser(this.limits);
    this.#date = new DateLine(options.clock);
    this.#input = new PipelinedInput(this);
    this.#linger = new Linger(this.stream, this.limits, this.watchdog);
  }

  get activeExchanges(): number {
    return this.#exchange === undefined ? 0 : 1;
  }

  get isClosed(): boolean {
    return this.#phase === "over";
  }

  get dateLine(): string {
    return this.#date.get();
  }

  /** Begins to read; `firstBytes` were read from the stream before. */
  start(firstBytes?: Buffer): void {
    this.watchdog.set(this.limits.idleMs);
    if (firstBytes !== undefined && firstBytes.length > 0) this.data(firstBytes);
  }

  drain(): void {
    this.#isDraining = true;
    if (this.#phase === "head" && this.#input.waitingBytes === 0) this.#endOurSide();
  }

  destroy(error?: Error): void {
    if (this.#phase === "over") return;
    this.#abort(new ExchangeError("connection", "the connection was destroyed", { cause: error }));
    this.#end(error);
    this.stream.destroy(error);
  }

  // Input

  data(chunk: Buffer): void {
    switch (this.#phase) {
      case "over":
        return;
      case "lingering":
        if (!this.#linger.receives(chunk.length)) this.destroy();
        return;
      case "answer":
        this.#input.hold(chunk);
        this.#updateReading();
        return;
      case "head":
      case "body":
        if (this.#input.read(chunk, this.#phase === "head" && this.#headHasBegun)) this.#settle();
    }
  }

  /** Implements `InputReader`. */
  take(bytes: Buffer, at: number, end: number): number {
    switch (this.#phase) {
      case "head":
        return this.#takeHead(bytes, at, end);
      case "body": {
        const next = this.incoming.take(bytes, at, end, this);
        if (this.incoming.isRefused) this.#refuse(this.incoming.refusal);
        else if (this.incoming.isDone) this.#bodyEnded();
        return next;
      }
      case "answer":
        return stopped;
      default:
        return end;
    }
  }

  #takeHead(bytes: Buffer, at: number, end: number): number {
    // A peer that does not read its answers gets no more of them.
    if (this.output.isBlocked) return stopped;
    const next = this.#parser.parse(bytes, at, end);
    if (next === incomplete) return stopped;
    if (next === refused) {
      this.#refuse(this.#parser.refusal);
      return end;
    }
    this.#input.passed(next);
    this.#begin(next < end);
    return next;
  }

  /** Reads what waits; `false`: nothing does. */
  #resume(): boolean {
    if (!this.#input.resume()) return false;
    this.#settle();
    return true;
  }

  /** After input: what leaves now, what is awaited, whether reading goes on. */
  #settle(): void {
    switch (this.#phase) {
      case "head":
        this.output.scheduleFlush();
        if (this.#input.waitingBytes > 0 && !this.#headHasBegun && !this.output.isBlocked) {
          this.#headHasBegun = true;
          this.watchdog.set(this.limits.headMs);
        }
        break;
      case "body":
        this.output.scheduleFlush();
        if (!this.watchdog.isSet) this.bodyWindow.open(this.incoming);
        break;
      case "answer":
        this.output.scheduleFlush();
        break;
    }
    this.#updateReading();
  }

  #updateReading(): void {
    const pipelineIsFull =
      this.#input.waitingBytes > this.limits.pipelinedBytesMax && (this.#phase === "answer" || this.output.isBlocked);
    this.setReading(!pipelineIsFull && (this.unpaidBytes <= this.limits.unpaidBytesMax || this.#phase !== "body"));
  }

  #begin(moreIsHere: boolean): void {
    const parser = this.#parser;
    const section = parser.section;
    this.#headHasBegun = false;
    this.watchdog.clear();
    this.#peerKeepsAlive = parser.isVersion10 ? section.hasKeepAlive && !section.hasClose : !section.hasClose;
    const bodyIsAbsent = !section.isChunked && section.contentLength <= 0;
    const exchange = openExchange(this, parser, bodyIsAbsent);
    this.#exchange = exchange;
    if (bodyIsAbsent) {
      this.#phase = "answer";
      this.#handler.request(exchange);
      if (!exchange.wasReset) exchange.receiver.ended(undefined);
      return;
    }
    if (section.isChunked) this.incoming.startChunked();
    else this.incoming.startLength(section.contentLength);
    this.unpaidBytes = 0;
    this.#isAnsweredEarly = false;
    // RFC 9110, section 10.1.1: no 100 for HTTP/1.0, nor when the body is coming already.
    this.#awaitsContinue = section.expectsContinue && !parser.isVersion10 && !moreIsHere;
    this.#phase = "body";
    this.#handler.request(exchange);
    if (this.#awaitsContinue && !exchange.headSent) exchange.sendInformational(100, []);
  }

  /** Implements `BodySink`. */
  bodyData(chunk: Buffer, start: number, end: number): void {
    const exchange = this.#exchange;
    if (exchange === undefined) return;
    this.#awaitsContinue = false;
    const length = end - start;
    this.bodyWindow.received(length);
    if (this.#isAnsweredEarly) {
      this.#drainedBytes += length;
      if (this.#drainedBytes > this.limits.drainBytesMax) {
        this.#giveUpBody();
        return;
      }
    } else this.unpaidBytes += length;
    exchange.receiver.data(chunk, start, end);
  }

  #bodyEnded(): void {
    const exchange = this.#exchange;
    this.watchdog.clear();
    if (exchange === undefined) return;
    this.#phase = "answer";
    const { trailers } = this.incoming;
    if (this.#isAnsweredEarly) this.#complete();
    exchange.receiver.ended(trailers);
  }

  // Output

  keepsAlive(willRead: boolean): boolean {
    if (!this.#peerKeepsAlive || this.#isDraining) return false;
    if (willRead || this.#phase !== "body") return true;
    // The body that nobody reads: not announced yet, or too long to take.
    return (
      !this.#awaitsContinue && !(this.incoming.knownRemaining > this.limits.drainBytesMax && !this.incoming.isChunked)
    );
  }

  informationalSent(): void {
    this.#awaitsContinue = false;
  }

  paid(bytes: number): void {
    if (this.#isAnsweredEarly) return;
    this.unpaidBytes -= bytes;
    if (this.isReadingStopped && this.unpaidBytes <= this.limits.unpaidBytesMax / 2) this.#updateReading();
  }

  sentPart(): void {
    this.output.scheduleFlush();
  }

  sentLast(isWhole: boolean): void {
    if (!isWhole) {
      // The peer waits for bytes that will not come: only a broken connection tells it so.
      this.output.flush();
      this.destroy(new Error("an answer ended before its content-length"));
      return;
    }
    if (this.#phase === "body") {
      if (this.#exchange?.closesConnection === true || this.#awaitsContinue) {
        this.#giveUpBody();
        return;
      }
      this.#isAnsweredEarly = true;
      this.#drainedBytes = 0;
      this.unpaidBytes = 0;
      this.output.flush();
      this.#updateReading();
      return;
    }
    this.#complete();
    if (this.#input.isReading || this.#phase !== "head") return;
    if (this.#input.waitingBytes === 0) this.output.scheduleFlush();
    // The handler that has just answered must not lend its context to the next request.
    else outsideContext(() => this.#resume());
  }

  /** Answer and request are complete. */
  #complete(): void {
    const exchange = this.#exchange!;
    exchange.isOver = true;
    this.#exchange = undefined;
    this.#isAnsweredEarly = false;
    if (exchange.closesConnection || this.#isDraining) {
      this.#endOurSide();
      return;
    }
    this.#phase = "head";
    this.watchdog.set(this.limits.idleMs);
  }

  /** The answer is complete; the rest of the request is not worth its bytes. */
  #giveUpBody(): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#endOurSide();
    if (exchange === undefined) return;
    exchange.isOver = true;
    exchange.receiver.aborted(new ExchangeError("limit", "the rest of the body was not read: the answer is complete"));
  }

  resetBy(reason: ResetReason): void {
    const exchange = this.#exchange;
    if (exchange === undefined) return;
    exchange.wasReset = true;
    exchange.isOver = true;
    this.#exchange = undefined;
    this.outgoing.abort();
    if (!exchange.headSent && (reason === "refuse" || reason === "overload")) {
      this.#answer(503, "not accepted; nothing was done");
      this.#endOurSide();
      return;
    }
    this.output.flush();
    this.#end(undefined);
    this.stream.destroy();
  }

  handOver(): { stream: ByteStream; firstBytes: Buffer } {
    this.output.flush();
    const exchange = this.#exchange;
    if (exchange !== undefined) exchange.isOver = true;
    const firstBytes = this.#input.rest();
    this.setReading(true);
    this.#end(undefined);
    return { stream: this.stream, firstBytes };
  }

  // Ends

  drained(): void {
    this.output.isBlocked = false;
    this.stallEnded();
    this.#exchange?.receiver.writable();
    if (this.#phase !== "head" || this.output.isBlocked) return;
    if (!this.#resume()) this.#updateReading();
  }

  ended(): void {
    switch (this.#phase) {
      case "head":
        // What had not been looked at may be wrong rather than incomplete.
        this.#resume();
        if (this.#phase !== "head") return;
        if (this.#input.waitingBytes === 0) this.#endOurSide();
        else this.#refuse(refusals.incomplete);
        return;
      case "body":
        this.#refuse(refusals.incomplete);
        return;
      case "answer":
        this.destroy();
        return;
    }
  }

  closed(error?: Error): void {
    if (this.#phase === "over") return;
    this.#abort(new ExchangeError("connection", "the connection was lost", { cause: error }));
    this.#end(error);
  }

  protected override expired(): void {
    switch (this.#phase) {
      case "head":
        if (this.#headHasBegun) this.#refuse(refusals.headSlow);
        else this.#endOurSide();
        return;
      case "body":
        if (this.isReadingStopped || this.bodyWindow.isGoodEnough(this.incoming)) this.bodyWindow.open(this.incoming);
        else this.#refuse(refusals.bodySlow);
        return;
      case "lingering":
        if (!this.#linger.goesOn()) this.destroy();
        return;
    }
  }

  /** Answers bytes that are no request, or come too slowly, and closes. */
  #refuse(refusal: Refusal): void {
    const exchange = this.#exchange;
    const event: Http1RequestRefused = {
      type: "http1.request.refused",
      status: refusal.status,
      reason: refusal.token,
      remoteAddress: this.info.remoteAddress,
    };
    this.#observer.emit(event);
    if (exchange !== undefined) {
      const hasAnswer = exchange.headSent;
      const isComplete = this.#isAnsweredEarly;
      this.#abort(new ExchangeError(refusal.status === 408 ? "timeout" : "protocol", refusal.text));
      if (hasAnswer && !isComplete) {
        // A cut answer must not look like a complete one.
        this.#end(undefined);
        this.stream.destroy();
        return;
      }
      if (!hasAnswer) this.#answer(refusal.status, refusal.text);
    } else this.#answer(refusal.status, refusal.text);
    this.#endOurSide();
  }

  #answer(status: number, text: string): void {
    this.output.appendText(
      `${statusLine(status)}content-type: text/plain; charset=utf-8\r\ncontent-length: ${text.length + 1}\r\n` +
        `${this.dateLine}connection: close\r\n\r\n${text}\n`,
    );
  }

  /** Ends our side and waits for the peer's, so that unread input does not destroy the answer (RFC 9112, section 9.6). */
  #endOurSide(): void {
    this.#phase = "lingering";
    this.#input.clear();
    this.output.flush();
    this.setReading(true);
    this.stream.end();
    this.#linger.begin();
  }

  #abort(error: ExchangeError): void {
    const exchange = this.#exchange;
    if (exchange === undefined) return;
    this.#exchange = undefined;
    exchange.isOver = true;
    this.outgoing.abort();
    exchange.receiver.aborted(error);
  }

  #end(error: Error | undefined): void {
    this.#phase = "over";
    this.#exchange = undefined;
    this.#input.clear();
    this.shut();
    this.#handler.closed(error);
  }
}
