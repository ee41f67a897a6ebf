import type { ByteStream, ByteWriter, TlsState } from "../platform/index.ts";

/**
 * One HTTP request and its answer, seen from above: the only view that protocols have of HTTP/2 streams and HTTP/1.1
 * message pairs. Protocols are written once over it, for both versions.
 *
 * Bytes come in by calls to a receiver, as views that are valid only during the call, and are paid for with `consumed`.
 * Bytes go out by `beginData`/`commitData` (written straight into the connection's buffer) or `sendData` (by reference).
 */

/**
 * A header or trailer field. The name is lower case; the value is latin1 text without leading or trailing blanks.
 *
 * Fields made by {@link constantField} are worth remembering: the HPACK encoder indexes them, and finds them again by
 * number. All others go out as literals, those that are `sensitive` as never-indexed ones.
 */
export class HeaderField {
  readonly name: string;
  readonly value: string;
  readonly sensitive: boolean;
  /** ≥ 0 for constants: a small number that is unique in the process; −1 otherwise. */
  readonly constantId: number;
  /**
   * A slot for the layer above: what it derived from this field (the method of a path, the meaning of a content type).
   * HTTP/2 hands out the same object for every indexed occurrence, so the work is done once per connection.
   */
  derived: unknown = undefined;

  constructor(name: string, value: string, sensitive = false, constantId = -1) {
    this.name = name;
    this.value = value;
    this.sensitive = sensitive;
    this.constantId = constantId;
  }
}

const constants = new Map<string, HeaderField>();

/** The shared instance of a field that goes out again and again; for compile-time values, never for a peer's input. */
export function constantField(name: string, value: string): HeaderField {
  const key = `${name}\n${value}`;
  let field = constants.get(key);
  if (field === undefined) {
    field = new HeaderField(name, value, false, constants.size);
    constants.set(key, field);
  }
  return field;
}

/** The fields of a head or of trailers, in their order, without pseudo-fields. */
export interface FieldList extends Iterable<HeaderField> {
  /** The value; those of a repeated field joined by `", "` (`"; "` for cookie). */
  get(name: string): string | undefined;
  /** The first field of that name, with its slot. */
  find(name: string): HeaderField | undefined;
  getAll(name: string): readonly string[];
}

/** Why an exchange ended before its time. */
export class ExchangeError extends Error {
  override readonly name = "ExchangeError";
  readonly reason: ExchangeErrorReason;
  /** `true` when the peer certainly did not act on the request. */
  readonly unprocessed: boolean;
  /** The error code of RST_STREAM or GOAWAY (RFC 9113, section 7) where there was one. */
  readonly http2Code: number | undefined;

  constructor(
    reason: ExchangeErrorReason,
    message: string,
    options: { unprocessed?: boolean; http2Code?: number | undefined; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.reason = reason;
    this.unprocessed = options.unprocessed ?? false;
    this.http2Code = options.http2Code;
  }
}

export type ExchangeErrorReason =
  /** The peer ended this exchange (RST_STREAM). */
  | "reset"
  /** The connection was lost, or could not be made. */
  | "connection"
  /** The peer broke the protocol. */
  | "protocol"
  /** The peer was slower than a limit allows. */
  | "timeout"
  /** The peer said that it is going away (GOAWAY, `Connection: close`). */
  | "draining"
  /** A limit of ours: header list too large, too many streams waiting. */
  | "limit";

/** What the receiver of a message body is told. Exactly one of `ended` and `aborted` comes, last. */
export interface BodyReceiver {
  /** `chunk.subarray(start, end)` came. Valid only during the call. Pay with `consumed`. */
  data(chunk: Buffer, start: number, end: number): void;
  /** The message is complete. */
  ended(trailers: FieldList | undefined): void;
  /** The exchange is over: peer's reset, lost connection, broken protocol. Nothing more can be sent either. */
  aborted(error: ExchangeError): void;
  /** What was sent has drained below the low mark after `isWritable` had become false. */
  writable(): void;
}

/** What the receiver of a response is told, on top of its body. */
export interface ResponseReceiver extends BodyReceiver {
  /** The final response head; informational ones (1xx) are not shown. */
  head(status: number, fields: FieldList): void;
}

/** The sending half and the controls, the same for both roles. */
export interface Exchange {
  readonly httpVersion: 1 | 2;
  readonly connection: ConnectionInfo;
  /** Input that has been dealt with: opens the peer's window again. Every byte given to `data` must be paid. */
  consumed(bytes: number): void;

  /** `false` while more than the high mark (64 KiB) waits to be sent; `receiver.writable()` tells when it is over. */
  readonly isWritable: boolean;
  /** Bytes of this exchange that wait for the peer's window or the socket. */
  readonly bufferedBytes: number;
  /**
   * Starts a piece of body that is written straight into the output: append to the writer, then `commitData`. Nothing
   * else may be called on the connection in between. The writer's `position` is where the piece starts.
   */
  beginData(): ByteWriter;
  /** Ends the piece begun by `beginData`. With `end` it is the last and there are no trailers. */
  commitData(end: boolean): void;
  /** Drops what was written since `beginData`: the encoder threw. */
  abandonData(): void;
  /** Sends bytes by reference where they are large; they must not change afterwards. */
  sendData(bytes: Uint8Array, end: boolean): void;
  /** Ends the message with trailers (none: just ends it). On HTTP/1.1 they need a chunked body. */
  sendTrailers(fields: readonly HeaderField[]): void;
  /** Ends the exchange at once in both directions. No more calls to the receiver follow. */
  reset(reason: ResetReason): void;
}

/** `cancel`: nobody wants it any more. `refuse`: not acted upon, may be repeated. `overload`, `error`: as they say. */
export type ResetReason = "cancel" | "refuse" | "overload" | "error" | "no_error";

/** A request as its server sees it. `receiver` must be set before the `request` callback returns. */
export interface ServerExchange extends Exchange {
  receiver: BodyReceiver;
  readonly method: string;
  readonly scheme: string;
  /** `:authority`, or `Host`. */
  readonly authority: string;
  /** Path with query, as sent; the slot is for the router. */
  readonly path: HeaderField;
  readonly fields: FieldList;
  /** `true` when the request has no body: `ended` follows at once. */
  readonly bodyIsAbsent: boolean;
  /** Set once the final response head has been sent. */
  readonly headSent: boolean;

  /** Sends `100 Continue` or another informational head. `receiver` asking for data implies 100 where it is expected. */
  sendInformational(status: number, fields: readonly HeaderField[]): void;
  /** Sends the final head; the body follows. With `end` there is none. HTTP/1.1 adds `Date` and framing by itself. */
  sendHead(status: number, fields: readonly HeaderField[], end: boolean): void;
  /**
   * Sends head and whole body at once, with `content-length`. A string goes out as UTF-8. On HEAD the body is counted
   * but not sent.
   */
  respond(status: number, fields: readonly HeaderField[], body: Uint8Array | string | undefined): void;
  /** HTTP/1.1 with `Upgrade` only: hands over the raw stream with the bytes read past the head. */
  upgrade?(status: number, fields: readonly HeaderField[]): { stream: ByteStream; firstBytes: Buffer };
}

/** A request as its client sees it. */
export interface ClientExchange extends Exchange {
  /** The response is complete and so is the request. */
  readonly isClosed: boolean;
}

export interface RequestHead {
  readonly method: HeaderField; // :method
  readonly scheme: HeaderField; // :scheme
  readonly authority: HeaderField; // :authority
  readonly path: HeaderField; // :path
  /** The body's length when it is known, for HTTP/1.1; `undefined`: chunked. */
  readonly contentLength?: number | undefined;
}

/** A connection as its exchanges see it. */
export interface ConnectionInfo {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localPort: number;
  readonly tls: TlsState | undefined;
  /** A slot for the layer above. */
  derived: unknown;
}

/** A client's connection of either version. */
export interface ClientConnection {
  readonly info: ConnectionInfo;
  readonly httpVersion: 1 | 2;
  /** How many more requests it takes now: 0 when full, draining or closed. */
  readonly capacity: number;
  readonly activeExchanges: number;
  readonly isClosed: boolean;
  readonly isDraining: boolean;
  /**
   * Starts a request; with `end` it has no body. Answers and failures come to `receiver`, never before this returns.
   * The caller has looked at `capacity`.
   */
  request(head: RequestHead, fields: readonly HeaderField[], receiver: ResponseReceiver, end: boolean): ClientExchange;
  /** Takes no new requests, lets the running ones finish, then closes. */
  drain(): void;
  /** Ends everything now; running exchanges are aborted. */
  destroy(error?: Error): void;
}

/** What the owner of a client connection is told. */
export interface ClientConnectionHandler {
  /** `capacity` grew: an exchange ended, or the peer raised its limit. */
  capacityChanged(): void;
  /** The peer asked not to send more requests here. */
  draining(): void;
  closed(error: Error | undefined): void;
}

/** What the owner of a server connection is told. */
export interface ServerConnectionHandler {
  /** A request head arrived. The handler sets `exchange.receiver` before it returns. */
  request(exchange: ServerExchange): void;
  closed(error: Error | undefined): void;
}

/** A server's connection of either version, as the listener holds it. */
export interface ServerConnection {
  readonly info: ConnectionInfo;
  readonly activeExchanges: number;
  readonly isClosed: boolean;
  /** Two-phase on HTTP/2 (GOAWAY with the highest id, then with the last); `Connection: close` on HTTP/1.1. */
  drain(): void;
  destroy(error?: Error): void;
}
