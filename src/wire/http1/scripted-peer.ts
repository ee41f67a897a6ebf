import { type ByteStream, type ByteStreamHandler, type ObservedEvent, silentObserver } from "../../platform/index.ts";
import { VirtualClock } from "../../platform/virtual/index.ts";
import type {
  BodyReceiver,
  ExchangeError,
  FieldList,
  HeaderField,
  ResponseReceiver,
  ServerExchange,
} from "../exchange.ts";
import { Http1ClientConnection } from "./client-connection.ts";
import type { Http1Limits } from "./limits.ts";
import { Http1ServerConnection } from "./server-connection.ts";

/** For tests: a stream whose other end is the test. Chunks are overwritten after each call, as a real stream's may be. */
export class ScriptedStream implements ByteStream {
  handler: ByteStreamHandler = { data() {}, drained() {}, ended() {}, closed() {} };
  readonly remoteAddress = "192.0.2.1";
  readonly remotePort = 40_000;
  readonly localPort = 80;
  readonly tls = undefined;
  bufferedBytes = 0;
  /** What `write` answers. */
  hasRoom = true;
  isPaused = false;
  isEnded = false;
  isDestroyed = false;
  writes = 0;
  #written: Buffer[] = [];

  /** Everything written since the last look, as latin1 text. */
  get text(): string {
    return Buffer.concat(this.#written).toString("latin1");
  }

  takeText(): string {
    const text = this.text;
    this.#written = [];
    return text;
  }

  /** Lets bytes arrive. */
  arrive(bytes: string | Uint8Array): void {
    const chunk = Buffer.from(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
    this.handler.data(chunk);
    chunk.fill(0x21);
  }

  write(chunk: Uint8Array): boolean {
    this.writes++;
    if (!this.isEnded && !this.isDestroyed) this.#written.push(Buffer.from(chunk));
    return this.hasRoom;
  }

  writeAll(chunks: readonly Uint8Array[]): boolean {
    return this.write(Buffer.concat(chunks));
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  holdProcess(): void {}

  end(): void {
    this.isEnded = true;
  }

  destroy(error?: Error): void {
    if (this.isDestroyed) return;
    this.isDestroyed = true;
    this.handler.closed(error);
  }
}

/** One request as the handler saw it. */
export class SeenRequest implements BodyReceiver {
  readonly exchange: ServerExchange;
  body = "";
  isEnded = false;
  trailers: FieldList | undefined;
  error: ExchangeError | undefined;
  writableCount = 0;
  /** Pay for input at once. */
  pays = true;
  whenEnded: (() => void) | undefined;

  constructor(exchange: ServerExchange) {
    this.exchange = exchange;
  }

  data(chunk: Buffer, start: number, end: number): void {
    this.body += chunk.toString("latin1", start, end);
    if (this.pays) this.exchange.consumed(end - start);
  }

  ended(trailers: FieldList | undefined): void {
    if (this.isEnded || this.error !== undefined) throw new Error("a receiver was told its end twice");
    this.isEnded = true;
    this.trailers = trailers;
    this.whenEnded?.();
  }

  aborted(error: ExchangeError): void {
    if (this.error !== undefined) throw new Error("a receiver was told its end twice");
    this.error = error;
  }

  writable(): void {
    this.writableCount++;
  }
}

export type Answering = (request: SeenRequest) => void;

/** Answers 200 with what the request was, once it is complete. */
export const echo: Answering = request => {
  request.whenEnded = () => request.exchange.respond(200, [], describe(request));
};

export function describe(request: SeenRequest): string {
  const { method, authority, path } = request.exchange;
  return `${method} ${authority} ${path.value} [${request.body}]`;
}

/** For tests: a server's connection with the test as its client and as its handler. */
export class ScriptedClient {
  readonly stream = new ScriptedStream();
  readonly clock = new VirtualClock();
  readonly requests: SeenRequest[] = [];
  readonly events: ObservedEvent[] = [];
  readonly connection: Http1ServerConnection;
  closedCount = 0;

  constructor(answering: Answering = echo, limits: Partial<Http1Limits> = {}) {
    this.connection = new Http1ServerConnection({
      stream: this.stream,
      clock: this.clock,
      observer: { emit: event => void this.events.push(event) },
      handler: {
        request: exchange => {
          const request = new SeenRequest(exchange);
          exchange.receiver = request;
          this.requests.push(request);
          answering(request);
        },
        closed: () => void this.closedCount++,
      },
      limits,
      scheme: "http",
    });
    this.stream.handler = this.connection;
    this.connection.start();
  }

  /** Sends bytes and returns what came back, after the end of the turn. */
  send(...pieces: readonly string[]): string {
    for (const piece of pieces) this.stream.arrive(piece);
    this.clock.advanceSync(0);
    return this.stream.takeText();
  }

  get lastRequest(): SeenRequest {
    const request = this.requests.at(-1);
    if (request === undefined) throw new Error("no request was handed up");
    return request;
  }
}

/** One answer as the caller saw it. */
export class SeenResponse implements ResponseReceiver {
  status = 0;
  fields: FieldList | undefined;
  body = "";
  isEnded = false;
  trailers: FieldList | undefined;
  error: ExchangeError | undefined;
  writableCount = 0;
  pay: ((bytes: number) => void) | undefined;

  head(status: number, fields: FieldList): void {
    this.status = status;
    this.fields = fields;
  }

  data(chunk: Buffer, start: number, end: number): void {
    this.body += chunk.toString("latin1", start, end);
    this.pay?.(end - start);
  }

  ended(trailers: FieldList | undefined): void {
    if (this.isEnded || this.error !== undefined) throw new Error("a receiver was told its end twice");
    this.isEnded = true;
    this.trailers = trailers;
  }

  aborted(error: ExchangeError): void {
    if (this.isEnded || this.error !== undefined) throw new Error("a receiver was told its end twice");
    this.error = error;
  }

  writable(): void {
    this.writableCount++;
  }
}

/** For tests: a client's connection with the test as its server. */
export class ScriptedServer {
  readonly stream = new ScriptedStream();
  readonly clock = new VirtualClock();
  readonly connection: Http1ClientConnection;
  closedCount = 0;
  drainingCount = 0;
  capacityChangedCount = 0;

  constructor(limits: Partial<Http1Limits> = {}) {
    this.connection = new Http1ClientConnection({
      stream: this.stream,
      clock: this.clock,
      observer: silentObserver,
      handler: {
        capacityChanged: () => void this.capacityChangedCount++,
        draining: () => void this.drainingCount++,
        closed: () => void this.closedCount++,
      },
      limits,
    });
    this.stream.handler = this.connection;
    this.connection.start();
  }

  /** Lets bytes of an answer arrive. */
  send(...pieces: readonly string[]): void {
    for (const piece of pieces) this.stream.arrive(piece);
    this.clock.advanceSync(0);
  }
}

/** Fields of a list as `name=value` texts. */
export function fieldTexts(fields: Iterable<HeaderField> | undefined): string[] {
  return [...(fields ?? [])].map(field => `${field.name}=${field.value}`);
}
