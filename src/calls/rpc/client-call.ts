import { type Method, requestIsStream, responseIsStream } from "../../contract/index.ts";
import { RpcError } from "../../errors/index.ts";
import { contextValue, type Timer } from "../../platform/index.ts";
import {
  type ClientConnection,
  type ClientExchange,
  ExchangeError,
  type FieldList,
  HeaderField,
  type RequestHead,
  type ResponseReceiver,
} from "../../wire/index.ts";
import {
  type CallOutcome,
  type Channel,
  type Endpoint,
  type PickedCall,
  transparentRetries,
} from "../channel/index.ts";
import { CallState, currentCall, type Interceptor, type Peer } from "./call.ts";
import type { Encoding } from "./compression.ts";
import { cancelCode, errorOfExchange } from "./exchange-error.ts";
import type { RpcLimits } from "./limits.ts";
import { MessageQueue, PackedMessage } from "./message-queue.ts";
import { appendFields, Metadata, type MetadataInit, metadataFromFields } from "./metadata.ts";
import type { CodecName } from "./protocols/message.ts";

export interface CallOptions {
  /** Milliseconds until the deadline. @default what is left of the call that is being served, otherwise 30,000 (unary) */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly metadata?: MetadataInit | undefined;
  /** Compress what is sent; "identity" switches the client's option off. */
  readonly compression?: Encoding | "identity" | undefined;
  /** With `compression`: which messages. @default all that are not smaller than the client's `compressBytesMin` */
  readonly compressIf?: ((message: object) => boolean) | undefined;
  readonly onHeaders?: ((headers: Metadata) => void) | undefined;
  readonly onTrailers?: ((trailers: Metadata) => void) | undefined;
}

/** What all calls of a client have in common. */
export interface ClientSettings {
  readonly channel: Channel;
  readonly codec: CodecName;
  readonly compression: Encoding | undefined;
  readonly compressBytesMin: number;
  readonly useHttpGet: boolean;
  readonly limits: RpcLimits;
  readonly interceptors: readonly Interceptor[];
  /** A new wire of the channel's protocol, one for each attempt of a call. */
  readonly openWire: (call: ClientCall) => ClientWire;
}

/** The protocol's side of one attempt of a call: frames what goes and parses what comes. */
export interface ClientWire {
  /** Sends the head of the request; where the client does not stream, also its message and the end. @throws RpcError */
  begin(call: ClientCall, connection: ClientConnection): ClientExchange;
  /** Sends a message of a stream. @throws RpcError */
  send(call: ClientCall, exchange: ClientExchange, message: object, end: boolean): void;
  head(call: ClientCall, status: number, fields: FieldList): void;
  /** Takes bytes of the answer; calls `call.message` for each message. @throws RpcError */
  data(call: ClientCall, chunk: Buffer, start: number, end: number): void;
  /** The answer is complete: calls `call.finish` or `call.fail`. @throws RpcError */
  ended(call: ClientCall, trailers: FieldList | undefined): void;
}

const post = new HeaderField(":method", "POST");

/** Codes that say something of the endpoint; the others are about the request, or the caller gave up. */
const endpointFailures: ReadonlySet<string> = new Set([
  "unknown",
  "deadline_exceeded",
  "resource_exhausted",
  "internal",
  "unavailable",
  "data_loss",
]);

/** One call on the client: deadline, cancellation, messages and outcome; a {@link ClientWire} speaks the protocol. */
export class ClientCall extends CallState implements ResponseReceiver, PickedCall {
  override readonly side = "client";
  readonly settings: ClientSettings;
  readonly #options: CallOptions;
  readonly #path: HeaderField;
  #metadata: Metadata | undefined;
  #endpoint: Endpoint | undefined;
  #connection: ClientConnection | undefined;
  #exchange: ClientExchange | undefined;
  #wire: ClientWire | undefined;
  #timer: Timer | undefined;
  #cancelled: (() => void) | undefined;
  #message: unknown;
  #messages = 0;
  #answerBegan = false;
  /** Bytes of the chunk at hand that still count against the peer's window. */
  #unpaid = 0;
  #isSettled = false;
  #attempts = 0;
  /** Endpoints that no connection could be had to, for this call. */
  #unreached = 0;
  #hasWaitedForEndpoints = false;
  #sentAtMs = Number.NaN;
  #requestIsUsed = false;
  #queue: MessageQueue | undefined;
  #resolve: ((response: unknown) => void) | undefined;
  #reject: ((error: unknown) => void) | undefined;
  #drained: (() => void) | undefined;

  constructor(settings: ClientSettings, method: Method, path: HeaderField, options: CallOptions) {
    super(method, settings.channel.protocol, settings.channel.platform.clock);
    this.settings = settings;
    this.#options = options;
    this.#path = path;
  }

  get peer(): Peer {
    const info = this.#connection?.info;
    return { address: info?.remoteAddress ?? "", port: info?.remotePort ?? 0, tls: info?.tls };
  }

  get metadata(): Metadata {
    this.#metadata ??= new Metadata(this.#options.metadata);
    return this.#metadata;
  }

  get target(): string {
    return this.settings.channel.target;
  }

  get isSettled(): boolean {
    return this.#isSettled;
  }

  /** How messages of this call are compressed, `undefined`: not at all. */
  get compression(): Encoding | undefined {
    const chosen = this.#options.compression ?? this.settings.compression;
    return chosen === "identity" ? undefined : chosen;
  }

  /**
   * Sends the request. Resolves with the response message, or with an iterable of messages where the server streams.
   * @throws TypeError for options that no call can have
   */
  start(request: unknown): Promise<unknown> {
    this.request = request;
    if (this.#options.metadata !== undefined) this.#metadata ??= new Metadata(this.#options.metadata);
    this.#setDeadline();
    const promise = new Promise<unknown>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    if (responseIsStream(this.method.kind)) {
      this.#queue = new MessageQueue(
        bytes => this.#exchange?.consumed(bytes),
        () => this.fail(new RpcError("cancelled", "the caller stopped reading")),
      );
      this.#resolve?.(this.#queue);
    }
    this.#watchSignal();
    if (!this.#isSettled) this.#begin();
    return promise;
  }

  #setDeadline(): void {
    const inherited = contextValue(currentCall)?.timeLeftMs ?? Number.POSITIVE_INFINITY;
    const { timeoutMs } = this.#options;
    if (timeoutMs !== undefined && !(timeoutMs >= 0)) {
      throw new TypeError(`timeoutMs is ${timeoutMs}; it must be 0 or more`);
    }
    const own =
      timeoutMs ??
      this.method.policy.timeoutMs ??
      (this.method.kind === "unary" ? this.settings.limits.defaultTimeoutMs : Number.POSITIVE_INFINITY);
    const grantedMs = Math.min(own, inherited);
    if (grantedMs === Number.POSITIVE_INFINITY) return;
    this.deadlineAt = this.clock.now() + grantedMs;
    this.#timer = this.clock.after(grantedMs, () =>
      this.fail(new RpcError("deadline_exceeded", `${this.method.path} took longer than its deadline`)),
    );
  }

  #watchSignal(): void {
    const { signal } = this.#options;
    if (signal === undefined) return;
    this.#cancelled = () => this.fail(new RpcError("cancelled", "the call was cancelled", { cause: signal.reason }));
    if (signal.aborted) this.#cancelled();
    else signal.addEventListener("abort", this.#cancelled, { once: true });
  }

  /** The endpoint of the attempt before this one. */
  get failedEndpoint(): Endpoint | undefined {
    return this.#endpoint;
  }

  #begin(endpoint = this.settings.channel.pick(this)): void {
    if (endpoint === undefined) {
      this.#waitForEndpoints();
      return;
    }
    this.#endpoint = endpoint;
    const connection = endpoint.pool.tryAcquire();
    if (connection !== undefined) {
      this.#send(connection);
      return;
    }
    const timeLeft = this.timeLeftMs;
    endpoint.pool.acquire(timeLeft === Number.POSITIVE_INFINITY ? {} : { timeoutMs: Math.max(1, timeLeft) }).then(
      acquired => {
        if (!this.#isSettled) this.#send(acquired);
      },
      (error: unknown) => this.#notConnected(endpoint, error),
    );
  }

  /** Nothing is known of the target yet; the deadline goes on. */
  #waitForEndpoints(): void {
    if (this.#hasWaitedForEndpoints) {
      this.#unavailable(new Error("no endpoint takes calls"));
      return;
    }
    this.#hasWaitedForEndpoints = true;
    this.settings.channel.resolved().then(
      () => {
        if (!this.#isSettled) this.#begin();
      },
      (error: unknown) => this.#unavailable(error),
    );
  }

  /** No connection, so nothing was sent: another endpoint may take the call. */
  #notConnected(endpoint: Endpoint, error: unknown): void {
    const { channel } = this.settings;
    // A pool that is closed belongs to an endpoint that has left the list while the call waited.
    const hasLeft = endpoint.pool.isClosed;
    const isUnreachable = error instanceof ExchangeError && error.reason === "connection";
    if (isUnreachable) channel.connectionFailed();
    if (this.#isSettled) return;
    if ((isUnreachable || hasLeft) && this.#unreached++ < channel.size) {
      const next = channel.pick(this);
      if (next !== undefined && next !== endpoint && !next.pool.isBackingOff) {
        this.#begin(next);
        return;
      }
    }
    this.#unavailable(error);
  }

  #unavailable(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.fail(new RpcError("unavailable", `${this.target}: ${reason}`, { cause: error, unprocessed: true }));
  }

  #send(connection: ClientConnection): void {
    this.#attempts++;
    this.#connection = connection;
    if (this.settings.channel.watchesOutcomes) this.#sentAtMs = this.clock.now();
    this.#wire = this.settings.openWire(this);
    try {
      this.#exchange = this.#wire.begin(this, connection);
    } catch (error) {
      this.fail(this.#requestError(error));
      return;
    }
    if (requestIsStream(this.method.kind)) void this.#sendAll(this.#exchange, this.#wire);
  }

  async #sendAll(exchange: ClientExchange, wire: ClientWire): Promise<void> {
    this.#requestIsUsed = true;
    try {
      for await (const message of this.request as AsyncIterable<object>) {
        if (this.#isSettled) return;
        try {
          wire.send(this, exchange, message, false);
        } catch (error) {
          this.fail(this.#requestError(error));
          return;
        }
        if (!exchange.isWritable) {
          await new Promise<void>(resolve => {
            this.#drained = resolve;
          });
        }
      }
      if (!this.#isSettled) exchange.sendTrailers([]);
    } catch (error) {
      this.fail(
        error instanceof RpcError ? error : new RpcError("cancelled", "the request's iterable threw", { cause: error }),
      );
    }
  }

  #requestError(error: unknown): RpcError {
    if (error instanceof RpcError) return error;
    const { typeName } = this.method.input;
    const isMessage = typeof this.request === "object" && this.request !== null;
    const what = isMessage
      ? `${typeName} does not encode`
      : `the request is ${String(this.request)}, not a ${typeName}`;
    const reason = error instanceof Error ? error.message : String(error);
    return new RpcError("invalid_argument", isMessage ? `${what}: ${reason}` : what, {
      cause: error,
    });
  }

  // ── for the protocol ─────────────────────────────────────────────────────

  /** The pseudo-fields of a POST to this method. */
  requestHead(): RequestHead {
    const endpoint = this.#endpoint as Endpoint; // set before a wire is opened
    return { method: post, scheme: this.settings.channel.scheme, authority: endpoint.authority, path: this.#path };
  }

  /** The protocol's own fields with deadline and metadata behind. */
  requestFields(
    fixed: readonly HeaderField[],
    timeoutField: (timeLeftMs: number) => HeaderField,
  ): readonly HeaderField[] {
    const hasMetadata = this.#metadata !== undefined || this.#options.metadata !== undefined;
    const timeLeft = this.timeLeftMs;
    if (timeLeft === Number.POSITIVE_INFINITY && !hasMetadata) return fixed;
    const fields = fixed.slice();
    if (timeLeft !== Number.POSITIVE_INFINITY) fields.push(timeoutField(timeLeft));
    if (hasMetadata) appendFields(fields, this.metadata);
    return fields;
  }

  /** Whether a message of a call with compression is compressed, if it is large enough. */
  compresses(message: object): boolean {
    return this.#options.compressIf?.(message) ?? true;
  }

  headersArrived(fields: Iterable<HeaderField>): void {
    if (this.#options.onHeaders === undefined || this.#isSettled) return;
    this.responseHeaders = metadataFromFields(fields);
    this.#options.onHeaders(this.responseHeaders);
  }

  /** `read` is called when somebody wants the trailers. */
  trailersArrived(read: () => Metadata): void {
    if (this.#options.onTrailers === undefined || this.#isSettled) return;
    this.responseTrailers = read();
    this.#options.onTrailers(this.responseTrailers);
  }

  /** A whole message arrived; `bytes` is what it took on the wire. */
  message(message: unknown, bytes: number): void {
    this.#messages++;
    if (this.#queue === undefined) {
      this.#message = message;
      return;
    }
    const held = Math.min(bytes, this.#unpaid);
    this.#unpaid -= held;
    this.#queue.push(message, held);
  }

  /** A whole message of a stream arrived that is still compressed; `unpack` may throw an `RpcError`. */
  packedMessage(unpack: () => unknown, bytes: number): void {
    const message = new PackedMessage(() => {
      try {
        return unpack();
      } catch (error) {
        this.fail(error as RpcError);
        throw error;
      }
    });
    this.message(message, bytes);
  }

  /** The answer is complete, with the status that the server gave. */
  finish(error: RpcError | undefined): void {
    if (error !== undefined) {
      this.fail(error);
    } else if (this.#queue === undefined && this.#messages !== 1) {
      this.fail(
        new RpcError("unimplemented", `${this.method.path} answered with ${this.#messages} messages instead of one`),
      );
    } else {
      this.#succeed();
    }
  }

  // ── from the wire ────────────────────────────────────────────────────────

  head(status: number, fields: FieldList): void {
    this.#answerBegan = true;
    if (!this.#isSettled) this.#wire?.head(this, status, fields);
  }

  data(chunk: Buffer, start: number, end: number): void {
    this.#unpaid = end - start;
    try {
      if (!this.#isSettled) this.#wire?.data(this, chunk, start, end);
    } catch (error) {
      this.fail(error as RpcError);
    }
    // Of a stream, what the messages in the queue took of this chunk is paid when they are taken; the rest now, so that a
    // message may be larger than the window.
    this.#exchange?.consumed(this.#unpaid);
    this.#unpaid = 0;
  }

  ended(trailers: FieldList | undefined): void {
    if (this.#isSettled) return;
    try {
      this.#wire?.ended(this, trailers);
    } catch (error) {
      this.fail(error as RpcError);
    }
  }

  aborted(error: ExchangeError): void {
    if (error.reason === "connection") this.settings.channel.connectionFailed();
    if (this.#isSettled) return;
    if (this.#mayRepeat(error)) {
      this.#attemptEnded("failure");
      this.#exchange = undefined;
      this.#begin();
      return;
    }
    // The server's own deadline may be heard before ours: both are rounded to whole milliseconds.
    const isLate = error.http2Code === cancelCode && this.timeLeftMs <= 1;
    this.fail(
      isLate
        ? new RpcError("deadline_exceeded", `${this.method.path} took longer than its deadline`, { cause: error })
        : errorOfExchange(error, this.target),
    );
  }

  /**
   * Whether the request may go out again without asking a policy: it was not acted upon, or a kept HTTP/1.1 connection was
   * closed under it (RFC 9112, section 9.3.1) and the contract says that repeating does no harm.
   */
  #mayRepeat(error: ExchangeError): boolean {
    if (this.#attempts > transparentRetries || this.#requestIsUsed || this.#answerBegan) return false;
    const isStale = error.reason === "connection" && this.#connection?.httpVersion === 1;
    return error.unprocessed || (isStale && this.method.idempotency !== "unknown");
  }

  writable(): void {
    const drained = this.#drained;
    this.#drained = undefined;
    drained?.();
  }

  // ── the outcome ──────────────────────────────────────────────────────────

  #succeed(): void {
    if (!this.#settle()) return;
    this.#attemptEnded("success");
    if (this.#queue !== undefined) this.#queue.end();
    else this.#resolve?.(this.#message);
  }

  /** Ends the call with an error; the first outcome stays. */
  fail(error: RpcError): void {
    if (!this.#settle()) return;
    this.#attemptEnded(endpointFailures.has(error.code) ? "failure" : "ignored");
    this.abortSignal(error);
    if (this.#queue !== undefined) this.#queue.end(error);
    else this.#reject?.(error);
  }

  #attemptEnded(outcome: CallOutcome): void {
    if (this.#endpoint === undefined || Number.isNaN(this.#sentAtMs)) return;
    this.settings.channel.settled(this.#endpoint, this.clock.now() - this.#sentAtMs, outcome);
    this.#sentAtMs = Number.NaN;
  }

  #settle(): boolean {
    if (this.#isSettled) return false;
    this.#isSettled = true;
    this.#timer?.cancel();
    if (this.#cancelled !== undefined) this.#options.signal?.removeEventListener("abort", this.#cancelled);
    // What is still on its way in either direction is of no use any more: a request whose answer came early as well.
    const exchange = this.#exchange;
    if (exchange !== undefined && !exchange.isClosed) exchange.reset("cancel");
    this.writable();
    return true;
  }
}
