import { type Method, requestIsStream, responseIsStream } from "../../contract/index.ts";
import { RpcError } from "../../errors/index.ts";
import { contextValue, currentWork, type Timer, type Work } from "../../platform/index.ts";
import { failureKind, type Hedge, markOutOfRetries, type Permit, TimeoutError } from "../../resilience/index.ts";
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
import { CallState, type Interceptor, type Peer } from "./call.ts";
import { type CallOptions, checkCallOptions } from "./call-options.ts";
import type { CallPolicy } from "./client-policy.ts";
import type { ClientWire } from "./client-wire.ts";
import type { Encoding } from "./compression.ts";
import { cancelCode, errorOfExchange } from "./exchange-error.ts";
import { isLostConnection, isRejection, outcomeOfFailure } from "./failure-outcome.ts";
import { hashKeyOf } from "./hash-key.ts";
import { type HedgeCall, type HedgedCall, type HedgeLead, Hedging } from "./hedging.ts";
import { hopMarginMs, hopMarginShare, type RpcLimits } from "./limits.ts";
import { MessageQueue, PackedMessage } from "./message-queue.ts";
import { appendFields, appendTrace, Metadata, metadataFromFields } from "./metadata.ts";
import type { CodecName } from "./protocols/message.ts";
import { previousAttemptsName, Repetition } from "./repetition.ts";

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

const post = new HeaderField(":method", "POST");

/** One call on the client: deadline, cancellation, messages and outcome; a {@link ClientWire} speaks the protocol. */
export class ClientCall extends CallState implements ResponseReceiver, PickedCall, HedgedCall {
  override readonly side = "client";
  readonly settings: ClientSettings;
  readonly policy: CallPolicy;
  /** The call that this one is made for. */
  served: Work | undefined;
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
  /** How often it was sent without asking the policy, after the first time. */
  #transparentRetries = 0;
  #attemptTimer: Timer | undefined;
  #repetition: Repetition | undefined;
  #hedging: Hedging | undefined;
  /** Set where this call is a hedge. */
  #lead: HedgeLead | undefined;
  #throttlePermit: Permit | undefined;
  #breakerPermit: Permit | undefined;
  /** Endpoints that no connection could be had to, for this call. */
  #unreached = 0;
  #hasWaitedForEndpoints = false;
  /** Ends the wait for endpoints or for a connection. */
  #waiting: AbortController | undefined;
  /** Its endpoint counts the call as pending. */
  #isPending = false;
  #sentAtMs = 0;
  /** Of a stream: when its answer began. */
  #answeredAtMs = 0;
  #requestIsUsed = false;
  #queue: MessageQueue | undefined;
  #resolve: ((response: unknown) => void) | undefined;
  #reject: ((error: unknown) => void) | undefined;
  #drained: (() => void) | undefined;

  constructor(settings: ClientSettings, policy: CallPolicy, method: Method, path: HeaderField, options: CallOptions) {
    super(method, settings.channel.protocol, settings.channel.platform.clock);
    this.settings = settings;
    this.policy = policy;
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

  get channel(): Channel {
    return this.settings.channel;
  }

  get path(): string {
    return this.method.path;
  }

  get isIdempotent(): boolean {
    return this.#options.retry ?? this.policy.isIdempotent;
  }

  /** Calls with equal keys go to the same endpoint, where the channel's rule looks at it. */
  get hashKey(): string | undefined {
    const { hashBy } = this.settings.channel;
    return hashBy === undefined ? undefined : hashKeyOf(hashBy, this);
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
    checkCallOptions(this.#options, this);
    if (this.#options.metadata !== undefined) this.#metadata ??= new Metadata(this.#options.metadata);
    const nowMs = this.clock.now();
    this.#setDeadline(nowMs);
    const promise = new Promise<unknown>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    if (responseIsStream(this.method.kind)) {
      this.#queue = new MessageQueue(
        bytes => this.#exchange?.consumed(bytes),
        () => this.#end(new RpcError("cancelled", "the caller stopped reading")),
        () => this.#unwatchSignal(),
      );
      this.#resolve?.(this.#queue);
    }
    this.#watchSignal();
    if (!this.#isSettled && this.#isAdmitted(nowMs)) this.#begin(nowMs);
    if ((this.policy.hedge ?? this.#options.hedge) !== undefined && !this.#isSettled) {
      this.#hedging = Hedging.plan(this, this.#options.hedge, nowMs);
    }
    return promise;
  }

  #setDeadline(nowMs: number): void {
    this.served = contextValue(currentWork);
    const leftMs = this.served?.timeLeftMs ?? Number.POSITIVE_INFINITY;
    // The answer must come while there is still time to pass it on.
    const inherited =
      leftMs === Number.POSITIVE_INFINITY ? leftMs : leftMs - Math.min(hopMarginMs, Math.abs(leftMs) * hopMarginShare);
    const { timeoutMs } = this.#options;
    const own =
      timeoutMs ??
      this.method.policy.timeoutMs ??
      (this.method.kind === "unary" ? this.settings.limits.defaultTimeoutMs : Number.POSITIVE_INFINITY);
    const grantedMs = Math.min(own, inherited);
    if (grantedMs === Number.POSITIVE_INFINITY) return;
    this.deadlineAt = nowMs + grantedMs;
    this.#timer = this.clock.after(grantedMs, () => {
      const options = { cause: this.#repetition?.lastError };
      this.#end(new RpcError("deadline_exceeded", `${this.method.path} took longer than its deadline`, options));
    });
  }

  /** Asks the guards of the target; where they refuse, the call has ended. */
  #isAdmitted(nowMs: number): boolean {
    const { throttle, budget } = this.policy;
    if (throttle !== undefined) {
      const admission = throttle.acquire(nowMs);
      if (admission.rejected) {
        this.#end(admission.toError(this.target));
        return false;
      }
      this.#throttlePermit = admission;
    }
    budget?.deposit(nowMs);
    return true;
  }

  #watchSignal(): void {
    const { signal } = this.#options;
    if (signal === undefined) return;
    this.#cancelled = () => {
      const error = new RpcError("cancelled", "the call was cancelled", { cause: signal.reason });
      // Before the rest: what has come already is not read any more, however much of the answer that is.
      this.#queue?.abort(error);
      this.#end(error);
    };
    if (signal.aborted) this.#cancelled();
    else signal.addEventListener("abort", this.#cancelled, { once: true });
  }

  #unwatchSignal(): void {
    if (this.#cancelled !== undefined) this.#options.signal?.removeEventListener("abort", this.#cancelled);
  }

  /** The endpoint of the attempt before this one. */
  get failedEndpoint(): Endpoint | undefined {
    return this.#endpoint ?? this.#lead?.endpoint;
  }

  #begin(nowMs: number, endpoint = this.settings.channel.pick(this, nowMs)): void {
    if (endpoint === undefined) {
      this.#waitForEndpoints();
      return;
    }
    this.#endpoint = endpoint;
    const { breaker } = this.policy;
    const attemptTimeoutMs = this.#attemptTimeoutMs;
    if (breaker !== undefined) {
      const admission = breaker.acquire(nowMs, attemptTimeoutMs);
      if (admission.rejected) {
        // What the attempt before failed with says more than that the breaker has opened meanwhile.
        this.#end(this.#repetition?.lastError ?? admission.toError(this.target));
        return;
      }
      this.#breakerPermit = admission;
    }
    this.#isPending = true;
    this.#sentAtMs = nowMs;
    this.settings.channel.begun(endpoint);
    if (attemptTimeoutMs !== undefined) this.#attemptTimer ??= this.#limitAttempt(attemptTimeoutMs);
    const connection = endpoint.pool.tryAcquire();
    if (connection !== undefined) {
      this.#send(connection);
      return;
    }
    const { timeLeftMs } = this;
    const timeoutMs = timeLeftMs === Number.POSITIVE_INFINITY ? undefined : Math.max(1, timeLeftMs);
    const waiting = new AbortController();
    this.#waiting = waiting;
    endpoint.pool.acquire({ timeoutMs, signal: waiting.signal }).then(
      acquired => {
        if (!this.#hasWaited(waiting)) return;
        this.#sentAtMs = this.clock.now();
        this.#send(acquired);
      },
      (error: unknown) => {
        if (this.#hasWaited(waiting)) this.#notConnected(endpoint, error);
      },
    );
  }

  /** What was waited for is there; `false`: the call waits for it no longer, while the promise was on its way. */
  #hasWaited(waiting: AbortController): boolean {
    if (this.#waiting !== waiting) return false;
    this.#waiting = undefined;
    return true;
  }

  /** Gives up what is waited for: its place in the queue is free at once. */
  #stopWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.abort();
  }

  /** `undefined`: no limit. It is also how long a probe of the target's breaker may take. */
  get #attemptTimeoutMs(): number | undefined {
    const ownMs = this.#options.attemptTimeoutMs;
    if (ownMs === undefined) return this.policy.attemptTimeoutMs;
    return ownMs === Number.POSITIVE_INFINITY ? undefined : ownMs;
  }

  #limitAttempt(limitMs: number): Timer {
    return this.clock.after(limitMs, () => {
      this.#attemptTimer = undefined;
      this.fail(new TimeoutError("attempt", `${this.method.path}: no answer of ${this.target} within ${limitMs} ms`));
    });
  }

  /** Nothing is known of the target yet; the deadline goes on. */
  #waitForEndpoints(): void {
    if (this.#hasWaitedForEndpoints) {
      this.#end(this.#unavailable(new Error("no endpoint takes calls")));
      return;
    }
    this.#hasWaitedForEndpoints = true;
    const waiting = new AbortController();
    this.#waiting = waiting;
    this.settings.channel.resolved(waiting.signal).then(
      () => {
        if (this.#hasWaited(waiting)) this.#begin(this.clock.now());
      },
      // The resolver has its own pauses; waiting here as well would help nobody.
      (error: unknown) => {
        if (this.#hasWaited(waiting)) this.#end(this.#unavailable(error));
      },
    );
  }

  /** No connection, so nothing was sent: another endpoint may take the call. */
  #notConnected(endpoint: Endpoint, error: unknown): void {
    const { channel } = this.settings;
    // A pool that is closed belongs to an endpoint that has left the list while the call waited.
    const hasLeft = endpoint.pool.isClosed;
    const isUnreachable = error instanceof ExchangeError && error.reason === "connection";
    if (isUnreachable) channel.unreachable(endpoint, error);
    const nowMs = this.clock.now();
    this.#attemptEnded(isUnreachable ? "failure" : "ignored", nowMs, 0, error);
    if ((isUnreachable || hasLeft) && this.#unreached++ < channel.size) {
      const next = channel.pick(this, nowMs);
      if (next !== undefined && next !== endpoint && !next.pool.isBackingOff) {
        this.#begin(nowMs, next);
        return;
      }
    }
    const failure = this.#unavailable(error);
    if (!(isUnreachable && this.#isRepeated(failure, nowMs))) this.#end(failure);
  }

  #unavailable(error: unknown): RpcError {
    const reason = error instanceof Error ? error.message : String(error);
    return new RpcError("unavailable", `${this.target}: ${reason}`, { cause: error, unprocessed: true });
  }

  #send(connection: ClientConnection): void {
    this.#connection = connection;
    this.#wire = this.settings.openWire(this);
    try {
      this.#exchange = this.#wire.begin(this, connection);
    } catch (error) {
      this.#end(this.#requestError(error));
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
          this.#end(this.#requestError(error));
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
      this.#end(
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
    const failed = (this.#repetition?.failed ?? 0) + (this.#lead?.previousAttempts ?? 0);
    const trace = this.served?.trace;
    if (timeLeft === Number.POSITIVE_INFINITY && !hasMetadata && failed === 0 && trace === undefined) return fixed;
    const fields = fixed.slice();
    if (failed > 0) fields.push(new HeaderField(previousAttemptsName, String(failed)));
    if (timeLeft !== Number.POSITIVE_INFINITY) fields.push(timeoutField(timeLeft));
    if (trace !== undefined) appendTrace(fields, trace, hasMetadata ? this.metadata : undefined);
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
    if (this.#queue !== undefined && !this.#answerBegan) this.#answeredAtMs = this.clock.now();
    this.#answerBegan = true;
    if (!this.#isSettled) this.#wire?.head(this, status, fields);
  }

  data(chunk: Buffer, start: number, end: number): void {
    this.#unpaid = end - start;
    const exchange = this.#exchange; // another one after an attempt that fails now
    try {
      if (!this.#isSettled) this.#wire?.data(this, chunk, start, end);
    } catch (error) {
      this.fail(error as RpcError);
    }
    // Of a stream, what the messages in the queue took of this chunk is paid when they are taken; the rest now, so that a
    // message may be larger than the window.
    exchange?.consumed(this.#unpaid);
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
      const nowMs = this.clock.now();
      // A server that goes away in good order has done nothing wrong.
      this.#attemptEnded(error.reason === "draining" ? "ignored" : "failure", nowMs, 0, this.#connection);
      this.#exchange = undefined;
      this.#transparentRetries++;
      this.#begin(nowMs);
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
    if (this.#transparentRetries >= transparentRetries || this.#requestIsUsed || this.#answerBegan) return false;
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
    const nowMs = this.clock.now();
    this.#observedHedge?.observe(nowMs, nowMs - this.#sentAtMs);
    this.#attemptEnded("success", nowMs);
    const permit = this.#throttlePermit;
    if (permit !== undefined) permit.success(nowMs - permit.admittedAtMs);
    if (this.#queue !== undefined) this.#queue.end();
    else this.#resolve?.(this.#message);
  }

  /** The attempt failed, and with it the call, unless it is worth another one. */
  fail(error: RpcError): void {
    if (this.#isSettled) return;
    const nowMs = this.clock.now();
    this.#attemptFailed(error, nowMs);
    if (this.#hedging?.mayStillAnswer(error) === true) return;
    if (!this.#isRepeated(error, nowMs)) this.#end(error);
  }

  // ── hedges ───────────────────────────────────────────────────────────────

  /** Who learns from how long attempts of the method take. */
  get #observedHedge(): Hedge | undefined {
    return this.policy.hedge ?? this.policy.hedgeOnDemand?.made;
  }

  /** An attempt of its own is under way. */
  get isPending(): boolean {
    return this.#isPending;
  }

  get failedAttempts(): number {
    return this.#repetition?.failed ?? 0;
  }

  openHedge(previousAttempts: number): HedgeCall {
    const { onHeaders, onTrailers, signal: _signal, hedge: _hedge, ...options } = this.#options;
    let headers: Metadata | undefined;
    let trailers: Metadata | undefined;
    const hedge = new ClientCall(this.settings, alone(this.policy), this.method, this.#path, {
      ...options,
      timeoutMs: Math.max(0, this.timeLeftMs),
      metadata: this.#metadata ?? options.metadata,
      onHeaders: onHeaders === undefined ? undefined : found => (headers = found),
      onTrailers: onTrailers === undefined ? undefined : found => (trailers = found),
    });
    hedge.#lead = { endpoint: this.#endpoint, previousAttempts };
    return {
      start: () => hedge.start(this.request),
      cancel: error => hedge.#end(error),
      passMetadata: () => {
        if (headers !== undefined) onHeaders?.(headers);
        if (trailers !== undefined) onTrailers?.(trailers);
      },
    };
  }

  answeredByHedge(response: unknown, hedge: HedgeCall): void {
    if (!this.#settle()) return;
    const nowMs = this.clock.now();
    // The time that its own attempt had taken until now: leaving it out would make the quantile sink with every hedge.
    if (this.#isPending) this.#observedHedge?.observe(nowMs, nowMs - this.#sentAtMs);
    this.#attemptEnded("unanswered", nowMs);
    const permit = this.#throttlePermit;
    if (permit !== undefined) permit.success(nowMs - permit.admittedAtMs);
    hedge.passMetadata();
    this.#resolve?.(response);
  }

  failedWithHedges(error: RpcError): void {
    this.#attemptEnded("ignored", this.clock.now());
    markOutOfRetries(error);
    this.#end(error);
  }

  /** Plans another attempt after a delay; `false`: there is none. */
  #isRepeated(error: RpcError, nowMs: number): boolean {
    const isCommitted = this.#queue !== undefined && this.#messages > 0;
    if (isCommitted || this.#requestIsUsed || this.policy.retry === undefined) return false;
    this.#repetition ??= new Repetition();
    const delayMs = this.#repetition.next(this, error, nowMs);
    if (delayMs === undefined) return false;
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#wire = undefined;
    if (exchange !== undefined && !exchange.isClosed) exchange.reset("cancel");
    this.#messages = 0;
    this.#message = undefined;
    this.#answerBegan = false;
    this.#unreached = 0;
    this.#hasWaitedForEndpoints = false;
    this.#hedging?.stop();
    this.#repetition.timer = this.clock.after(delayMs, () => this.#begin(this.clock.now()), true);
    return true;
  }

  /** Ends the call with an error; the first outcome stays. */
  #end(error: RpcError): void {
    if (!this.#settle()) return;
    const permit = this.#throttlePermit;
    if (this.#isPending || permit !== undefined) {
      const nowMs = this.clock.now();
      this.#attemptFailed(error, nowMs);
      // What was not sent, or given up by its caller, was no request to the target.
      const outcome = error.unprocessed || error.code === "cancelled" ? "ignore" : "failure";
      permit?.settle(
        outcome,
        isRejection(error, this.#answerBegan) ? failureKind(error) : "error",
        nowMs - permit.admittedAtMs,
      );
    }
    this.abortSignal(error);
    if (this.#queue !== undefined) this.#queue.end(error);
    else this.#reject?.(error);
  }

  /** Tells what the failed attempt says of its endpoint and of the target. */
  #attemptFailed(error: RpcError, nowMs: number): void {
    if (!this.#isPending) return;
    const outcome = outcomeOfFailure(error, this.#answerBegan);
    if (outcome !== "failure") this.#attemptEnded(outcome, nowMs);
    else {
      const cause = isLostConnection(error) ? this.#connection : undefined;
      this.#attemptEnded(outcome, nowMs, Math.max(0, error.retryAfterMs || 0), cause);
    }
  }

  #attemptEnded(outcome: CallOutcome, nowMs: number, pushbackMs = 0, cause?: unknown): void {
    const endpoint = this.#endpoint;
    if (!this.#isPending || endpoint === undefined) return;
    this.#isPending = false;
    this.#stopWaiting();
    this.#attemptTimer?.cancel();
    this.#attemptTimer = undefined;
    const latencyMs = outcome === "failure" ? nowMs - this.#sentAtMs : this.#latencyMs(nowMs);
    this.settings.channel.settled(endpoint, latencyMs, outcome, nowMs, pushbackMs, cause);
    const permit = this.#breakerPermit;
    if (permit === undefined) return;
    this.#breakerPermit = undefined;
    if (this.#answerBegan) permit.success(latencyMs);
    else if (outcome === "failure" && this.#exchange !== undefined) {
      permit.failure("unavailable", latencyMs, cause as object | undefined);
    } else permit.ignore();
  }

  /** How long the endpoint took: of a stream until its answer began. What its caller has yet to send says nothing. */
  #latencyMs(nowMs: number): number | undefined {
    const { kind } = this.method;
    if (kind === "unary") return nowMs - this.#sentAtMs;
    return kind === "server_streaming" && this.#answerBegan ? this.#answeredAtMs - this.#sentAtMs : undefined;
  }

  #settle(): boolean {
    if (this.#isSettled) return false;
    this.#isSettled = true;
    this.#stopWaiting();
    this.#timer?.cancel();
    this.#repetition?.timer?.cancel();
    this.#hedging?.cancel();
    // A stream is watched until it is read.
    if (this.#queue === undefined) this.#unwatchSignal();
    // What is still on its way in either direction is of no use any more: a request whose answer came early as well.
    const exchange = this.#exchange;
    if (exchange !== undefined && !exchange.isClosed) exchange.reset("cancel");
    this.writable();
    return true;
  }
}

/** The policy of a hedge: the call that it is sent for has asked the others already. */
function alone(policy: CallPolicy): CallPolicy {
  const none = undefined;
  return { ...policy, retry: none, hedge: none, hedgeOnDemand: none, throttle: none, budget: none };
}
