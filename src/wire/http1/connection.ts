import { type ByteStream, type Clock, outsideContext } from "../../platform/index.ts";
import type { ConnectionInfo } from "../exchange.ts";
import { BodyWindow } from "./body-window.ts";
import { type BodySink, IncomingBody } from "./incoming-body.ts";
import { completeLimits, type Http1Limits } from "./limits.ts";
import { OutgoingBody } from "./outgoing-body.ts";
import { Output } from "./output.ts";
import { Watchdog } from "./watchdog.ts";

/** What both roles of a connection have: output, bodies, back-pressure, timers. The roles say what happens when. */
export abstract class Connection implements BodySink {
  readonly info: ConnectionInfo;
  readonly output: Output;
  readonly outgoing: OutgoingBody;
  protected readonly stream: ByteStream;
  protected readonly clock: Clock;
  protected readonly limits: Http1Limits;
  protected readonly incoming: IncomingBody;
  protected readonly watchdog: Watchdog;
  protected readonly bodyWindow: BodyWindow;
  protected isReadingStopped = false;
  /** Body bytes handed up and not paid yet. */
  protected unpaidBytes = 0;
  #stall: Watchdog | undefined;
  #stallBufferedBytes = 0;

  constructor(stream: ByteStream, clock: Clock, limits: Partial<Http1Limits> | undefined) {
    this.stream = stream;
    this.clock = clock;
    this.limits = completeLimits(limits);
    this.info = {
      remoteAddress: stream.remoteAddress,
      remotePort: stream.remotePort,
      localPort: stream.localPort,
      tls: stream.tls,
      derived: undefined,
    };
    this.output = new Output(stream, clock, () => this.watchStall());
    this.outgoing = new OutgoingBody(this.output);
    this.incoming = new IncomingBody(this.limits);
    this.watchdog = new Watchdog(clock, () => this.expired());
    this.bodyWindow = new BodyWindow(this.limits, this.watchdog);
  }

  get streamBufferedBytes(): number {
    return this.stream.bufferedBytes;
  }

  abstract bodyData(chunk: Buffer, start: number, end: number): void;
  abstract destroy(error?: Error): void;
  protected abstract expired(): void;

  protected setReading(isReading: boolean): void {
    if (isReading !== this.isReadingStopped) return;
    this.isReadingStopped = !isReading;
    if (isReading) outsideContext(() => this.stream.resume());
    else this.stream.pause();
  }

  /** Called when the stream says stop: a peer that reads nothing for a while is cut off. */
  protected watchStall(): void {
    this.#stall ??= new Watchdog(this.clock, () => this.#stallExpired());
    if (this.#stall.isSet) return;
    this.#stallBufferedBytes = this.stream.bufferedBytes;
    this.#stall.set(this.limits.writeStallMs);
  }

  protected stallEnded(): void {
    this.#stall?.clear();
  }

  #stallExpired(): void {
    const bufferedBytes = this.stream.bufferedBytes;
    if (bufferedBytes >= this.#stallBufferedBytes) {
      this.destroy(new Error(`the peer read nothing for ${this.limits.writeStallMs} ms`));
      return;
    }
    this.watchStall();
  }

  /** Stops timers and output for good. */
  protected shut(): void {
    this.watchdog.stop();
    this.#stall?.stop();
    this.output.close();
  }
}
