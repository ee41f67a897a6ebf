import { type Method, type Priority, requestIsStream, responseIsStream, type Validate } from "../../contract/index.ts";
import { isRpcError, RpcError } from "../../errors/index.ts";
import {
  bindIterator,
  type Clock,
  currentWork,
  type Observer,
  outsideContext,
  runInContext,
  type Timer,
  type TraceContext,
  traceOf,
} from "../../platform/index.ts";
import { type Bulkhead, Permit, Waiter } from "../../resilience/index.ts";
import type { BodyReceiver, ExchangeError, ServerExchange } from "../../wire/index.ts";
import { asRpcError, CallState, type Interceptor, type Peer, type ProtocolName } from "./call.ts";
import { readPreviousAttempts, readPriority } from "./call-priority.ts";
import { judge, judgedStream } from "./judge-request.ts";
import { abandonedHandlerMs } from "./limits.ts";
import { MessageQueue, PackedMessage } from "./message-queue.ts";
import { Metadata, metadataFromFields } from "./metadata.ts";
import { wasGivenUpBelow, withoutRetry } from "./pushback.ts";
import type { MethodGate } from "./server-overload.ts";

/** What an implementation gives for one method: `request` is a message, or an async iterable of them. */
export type AnyHandler = (request: never, call: ServerCall) => unknown;

/** A method with the function that serves it. */
export interface ServedMethod {
  readonly method: Method;
  readonly handler: AnyHandler;
  /** The rules of the contract that every request message must keep; `undefined`: there are none. */
  readonly validate?: Validate | undefined;
  /** Who is let in while there is too much to do; `undefined`: everybody. */
  readonly gate?: MethodGate | undefined;
}

/** The protocol's side of a server call. One object per call: it parses what comes and frames what goes. */
export interface ServerWire {
  readonly protocol: ProtocolName;
  /** Takes body bytes; calls `call.message` for each whole message. @throws RpcError */
  data(call: ServerCall, chunk: Buffer, start: number, end: number): void;
  /** The body is complete. @throws RpcError when it ends inside a message */
  ended(call: ServerCall): void;
  /** Sends head, the only message and the end. */
  respond(call: ServerCall, message: object): void;
  /** Sends a message of a stream, the head before the first. */
  send(call: ServerCall, message: object): void;
  /** Ends the call; without an error after a stream, with one instead of the (rest of the) answer. */
  finish(call: ServerCall, error: RpcError | undefined): void;
  /** The caller has gone: nothing can be sent any more. For wires that hold timers. */
  aborted?(): void;
}

/** When a server compresses its answers. */
export interface ResponseCompression {
  /**
   * `mirror`: in the encoding of the request, where the client compresses itself. `accepted`: for every client that can
   * read it. `never`: only where the handler asks for it.
   */
  readonly responses: "mirror" | "accepted" | "never";
  /** Messages below this many bytes go out as they are. */
  readonly bytesMin: number;
}

/** What calls need of the server that runs them. */
export interface CallHost {
  readonly clock: Clock;
  readonly observer: Observer;
  readonly interceptors: readonly Interceptor[];
  /** Those among them that authenticate. */
  readonly authenticators: readonly Interceptor[];
  /** Milliseconds given to a call that names no deadline of its own, unless it streams. */
  readonly defaultTimeoutMs: number;
  /** The longest deadline that is granted, in milliseconds. */
  readonly timeoutMsMax: number;
  readonly receiveBytesMax: number;
  readonly sendBytesMax: number;
  readonly compression: ResponseCompression;
  /** A call has begun. */
  started(): void;
  /** A call has its answer, or nobody waits for one. */
  ended(): void;
}

/** What one connection keeps busy. */
export interface ConnectionLoad {
  /** Handlers that run, whether or not somebody waits for them. */
  handlers: number;
}

export function connectionLoad({ connection }: ServerExchange): ConnectionLoad {
  connection.derived ??= { handlers: 0 };
  return connection.derived as ConnectionLoad;
}

/** A handler threw something that is not an `RpcError`; the caller saw `internal`. */
export interface HandlerFailed {
  readonly type: "rpc.handler.failed";
  readonly method: string;
  readonly error: unknown;
}

/** A handler goes on although its call has long been over. Its place is given to another call. */
export interface HandlerAbandoned {
  readonly type: "rpc.handler.abandoned";
  readonly method: string;
}

/**
 * One call on the server: takes messages from its protocol, runs interceptors and handler in the call's ambient
 * context, and hands the outcome back.
 *
 * Hot path (unary): no AbortController, no metadata, no queue and no closure is made unless the handler asks.
 */
export class ServerCall extends CallState implements BodyReceiver {
  override readonly side = "server";
  readonly exchange: ServerExchange;
  readonly host: CallHost;
  readonly wire: ServerWire;
  readonly #handler: AnyHandler;
  readonly #validate: Validate | undefined;
  readonly #gate: MethodGate | undefined;
  #metadata: Metadata | undefined;
  #priority: Priority | undefined;
  /** The place under the adaptive limit, held until the work has really ended. */
  #permit: Permit | undefined;
  /** The place under the method's fixed limit, and the wait for it. */
  #place: Permit | undefined;
  #waiter: Waiter | undefined;
  #timer: Timer | undefined;
  #queue: MessageQueue | undefined;
  #single: unknown;
  #messages = 0;
  /** Bytes of the chunk at hand that still count against the peer's window. */
  #unpaid = 0;
  #hasBegun = false;
  /** The request's body has begun to be read and is not complete. */
  #bodyIsOpen = false;
  /** Why the body makes no request: told when it is settled that the caller may be told. */
  #bodyError: RpcError | undefined;
  /** The handler has been reached. */
  #isServed = false;
  /** The answer is complete, or nobody waits for it. */
  #isSettled = false;
  #isRunning = false;
  #wasAborted = false;
  #hasTimedOut = false;
  #drained: (() => void) | undefined;

  constructor(host: CallHost, exchange: ServerExchange, served: ServedMethod, wire: ServerWire) {
    super(served.method, wire.protocol, host.clock);
    this.host = host;
    this.exchange = exchange;
    this.wire = wire;
    this.#handler = served.handler;
    this.#validate = served.validate;
    this.#gate = served.gate;
  }

  get peer(): Peer {
    const { remoteAddress, remotePort, tls } = this.exchange.connection;
    return { address: remoteAddress, port: remotePort, tls };
  }

  get metadata(): Metadata {
    this.#metadata ??= metadataFromFields(this.exchange.fields);
    return this.#metadata;
  }

  override get priority(): Priority {
    if (this.#priority === undefined) {
      const ofContract = this.method.policy.priority;
      const ofCaller = readPriority(this.exchange.fields);
      this.#priority = this.#gate?.priority(ofContract, ofCaller) ?? ofCaller ?? ofContract;
    }
    return this.#priority;
  }

  override get attempt(): number {
    return readPreviousAttempts(this.exchange.fields);
  }

  override get trace(): TraceContext | undefined {
    return traceOf(name => this.exchange.fields.get(name));
  }

  get isSettled(): boolean {
    return this.#isSettled;
  }

  /**
   * Whether an HTTP/1.1 connection cannot be used again, because the answer leaves a rest of the request. Unless the head
   * says so, the peer may send its next request just when the connection is closed.
   */
  get closesConnection(): boolean {
    return this.exchange.httpVersion === 1 && this.#bodyIsOpen && this.#isSettled;
  }

  /**
   * Arms the deadline and, where the client streams, starts the handler. A call that is late already, or that the server
   * has no room for, is answered by its head: its body passes unread.
   *
   * @param timeoutMs what the client asked for
   */
  begin(timeoutMs: number | undefined): void {
    const { host, method } = this;
    const nowMs = this.clock.now();
    const isStream = method.kind !== "unary";
    const grantedMs =
      timeoutMs === undefined
        ? (method.policy.timeoutMs ?? (isStream ? Number.POSITIVE_INFINITY : host.defaultTimeoutMs))
        : Math.min(timeoutMs, isStream ? timeoutMs : host.timeoutMsMax);
    if (grantedMs <= 0) {
      this.#expire();
      return;
    }
    const admission = this.#gate?.admit(this, nowMs);
    if (admission instanceof Permit) {
      this.#permit = admission;
    } else if (admission !== undefined) {
      this.fail(admission);
      return;
    }
    host.started();
    this.#hasBegun = true;
    this.#bodyIsOpen = true;
    if (grantedMs !== Number.POSITIVE_INFINITY) {
      this.deadlineAt = nowMs + grantedMs;
      this.#timer = this.clock.after(grantedMs, () => this.#expire());
    }
    if (requestIsStream(method.kind)) {
      this.#queue = new MessageQueue(
        bytes => this.#consumed(bytes),
        () => {},
      );
      this.#start(this.#queue);
    }
  }

  /** The deadline has passed, whether or not its timer has had its turn: a late event loop reads its input first. */
  get #isLate(): boolean {
    return this.deadlineAt !== Number.POSITIVE_INFINITY && this.clock.now() >= this.deadlineAt;
  }

  #expire(): void {
    this.#hasTimedOut = true;
    this.fail(new RpcError("deadline_exceeded", `the deadline of ${this.method.path} has passed`));
  }

  /** Runs what serves the request, where the method has a fixed limit not before it has a place. */
  #start(request: unknown): void {
    if (this.#isLate) this.#expire();
    else if (this.#gate?.places === undefined) void this.#run(request, this.host.interceptors);
    else this.#startInPlace(request, this.#gate, this.#gate.places);
  }

  #startInPlace(request: unknown, gate: MethodGate, places: Bulkhead): void {
    const run = (place: Permit): void => {
      this.#place = place;
      void this.#run(request, this.host.interceptors);
    };
    const admission = places.acquire();
    if (!admission.rejected) {
      run(admission);
      return;
    }
    const waiter = new Waiter(this.deadlineAt, decided => {
      this.#waiter = undefined;
      if (decided.rejected) this.fail(gate.refusal(this, decided.reason));
      // Whoever leaves a place runs this, but it belongs to another call.
      else outsideContext(() => run(decided));
    });
    const refused = places.enqueue(waiter);
    if (refused === undefined) this.#waiter = waiter;
    else this.fail(gate.refusal(this, refused.reason));
  }

  // ── from the wire ────────────────────────────────────────────────────────

  data(chunk: Buffer, start: number, end: number): void {
    if (this.#isSettled || this.#bodyError !== undefined) {
      this.exchange.consumed(end - start);
      return;
    }
    this.#unpaid = end - start;
    try {
      this.wire.data(this, chunk, start, end);
    } catch (error) {
      this.#refuseBody(asRpcError(error));
    }
    // Of a stream, what the messages in the queue took of this chunk is paid when they are taken; the rest now, so that a
    // message may be larger than the window.
    this.#consumed(this.#unpaid);
    this.#unpaid = 0;
  }

  /** A whole message arrived; `bytes` is what it took on the wire. */
  message(message: object, bytes: number): void {
    this.#messages++;
    if (this.#queue !== undefined) {
      const held = Math.min(bytes, this.#unpaid);
      this.#unpaid -= held;
      this.#queue.push(message, held);
    } else if (this.#messages > 1) {
      this.#refuseBody(new RpcError("unimplemented", `${this.method.path} takes one message, but more came`));
    } else {
      this.#single = message;
    }
  }

  /** A whole message of a stream arrived that is still compressed; `unpack` may throw an `RpcError`. */
  packedMessage(unpack: () => object, bytes: number): void {
    const message = new PackedMessage(() => {
      try {
        return unpack();
      } catch (error) {
        this.fail(asRpcError(error));
        throw error;
      }
    });
    this.message(message, bytes);
  }

  /**
   * The body makes no request. Who calls is asked first, as of any other call: a caller that is not known hears of that,
   * and not what is wrong with its message.
   */
  #refuseBody(error: RpcError): void {
    if (this.#isSettled || this.#bodyError !== undefined) return;
    if (this.#queue === undefined) {
      if (this.host.authenticators.length === 0) {
        this.fail(error);
        return;
      }
      this.#bodyError = error;
      void this.#run(undefined, this.host.authenticators);
    } else if (this.#isServed) {
      this.fail(error);
    } else {
      // The interceptors are at work; whoever reads the stream, or calls the handler, gets it.
      this.#bodyError = error;
      this.#queue.end(error);
    }
  }

  ended(): void {
    this.#bodyIsOpen = false;
    if (this.#isSettled || this.#bodyError !== undefined) return;
    try {
      this.wire.ended(this);
    } catch (error) {
      this.#refuseBody(asRpcError(error));
      return;
    }
    if (this.#isSettled || this.#bodyError !== undefined) return;
    if (this.#queue !== undefined) this.#queue.end();
    else if (this.#messages === 0)
      this.#refuseBody(new RpcError("unimplemented", `${this.method.path} takes one message, but none came`));
    else this.#start(this.#single);
  }

  aborted(error: ExchangeError): void {
    const reason = new RpcError("cancelled", "the caller has gone", { cause: error });
    this.#wasAborted = true;
    this.#settle();
    this.wire.aborted?.();
    this.abortSignal(reason);
    this.#queue?.end(reason);
    this.#wake();
    if (!this.#isRunning) this.exchange.reset("no_error");
    else this.#watchAbandoned();
  }

  writable(): void {
    this.#wake();
  }

  // ── to the wire ──────────────────────────────────────────────────────────

  /** Answers with an error, unless the answer is complete. */
  fail(error: RpcError): void {
    if (this.#isSettled) return;
    this.#settle();
    this.#finish(error);
    this.abortSignal(error);
    this.#queue?.end(error);
    this.#wake();
    if (this.#isRunning) this.#watchAbandoned();
  }

  /** Headers, trailers or details of the handler's that cannot be sent cost the call its answer, not the process its life. */
  #finish(error: RpcError | undefined): void {
    try {
      this.wire.finish(this, error);
    } catch (failure) {
      this.#report(failure);
      this.responseHeaders = new Metadata();
      this.responseTrailers = new Metadata();
      try {
        this.wire.finish(this, asRpcError(failure));
      } catch {
        // Something of the answer has left already: only a cut tells that it is not whole.
        this.exchange.reset("error");
      }
    }
  }

  async #run(request: unknown, interceptors: readonly Interceptor[]): Promise<void> {
    this.request = request;
    this.#isRunning = true;
    const load = connectionLoad(this.exchange);
    load.handlers++;
    let hasAnswered = false;
    try {
      const result = await runInContext(currentWork, this, () =>
        interceptors.length === 0 ? this.#invoke(request) : this.#intercept(interceptors, 0, request),
      );
      if (responseIsStream(this.method.kind)) await this.#sendAll(result);
      else this.#respond(result);
      hasAnswered = true;
    } catch (error) {
      this.#isRunning = false;
      if (!isRpcError(error)) this.#report(error);
      const answer = asRpcError(error);
      this.fail(wasGivenUpBelow(error) ? withoutRetry(answer) : answer);
    } finally {
      this.#isRunning = false;
      this.#leave(hasAnswered);
      load.handlers--;
      // After the peer's reset the exchange counts as running until its work has really ended.
      if (this.#wasAborted) this.exchange.reset("no_error");
    }
  }

  /** The last step: the contract's rules judge what the interceptors let pass, then the handler gets it. */
  #invoke(passed: unknown): unknown {
    if (this.#bodyError !== undefined) throw this.#bodyError;
    // Interceptors take time; nobody waits for what would be done now.
    if (this.host.interceptors.length > 0 && this.#isLate) this.#expire();
    if (this.#isSettled) throw new RpcError("cancelled", `${this.method.path} was over before its handler was reached`);
    this.#isServed = true;
    const request = this.#validate === undefined ? passed : this.#judged(passed, this.#validate);
    const result = this.#handler(request as never, this);
    if (!responseIsStream(this.method.kind)) return result;
    if (typeof (result as AsyncIterable<unknown> | undefined)?.[Symbol.asyncIterator] !== "function") {
      const what = result instanceof Promise ? "a promise" : String(result);
      throw new TypeError(`the handler of ${this.method.path} returned ${what} instead of an async iterable`);
    }
    return bindIterator(result as AsyncIterable<unknown>);
  }

  #judged(request: unknown, validate: Validate): unknown {
    if (requestIsStream(this.method.kind)) {
      return judgedStream(request as AsyncIterable<object>, validate, error => this.#refuseMessage(error));
    }
    judge(request as object, validate);
    return request;
  }

  /** A message of a stream breaks a rule: that ends the call, whatever the handler makes of it. */
  #refuseMessage(cause: unknown): RpcError {
    if (!isRpcError(cause)) this.#report(cause);
    const error = asRpcError(cause);
    this.fail(error);
    return error;
  }

  async #intercept(interceptors: readonly Interceptor[], index: number, request: unknown): Promise<unknown> {
    const interceptor = interceptors[index];
    if (interceptor === undefined) return this.#invoke(request);
    this.request = request;
    return interceptor(this, (replaced = request) => this.#intercept(interceptors, index + 1, replaced));
  }

  #respond(message: unknown): void {
    if (this.#isSettled) return;
    if (typeof message !== "object" || message === null) {
      throw new TypeError(`the handler of ${this.method.path} returned ${String(message)} instead of a message`);
    }
    this.wire.respond(this, message);
    this.#settle();
  }

  async #sendAll(messages: unknown): Promise<void> {
    const iterator = (messages as AsyncIterable<object>)[Symbol.asyncIterator]();
    try {
      for (;;) {
        const { done, value } = await iterator.next();
        if (this.#isSettled) return;
        if (done === true) break;
        this.wire.send(this, value);
        if (!this.exchange.isWritable) await this.#untilWritable();
      }
    } finally {
      if (this.#isSettled) await iterator.return?.();
    }
    this.#settle();
    this.#finish(undefined);
  }

  #untilWritable(): Promise<void> {
    return new Promise(resolve => {
      this.#drained = resolve;
    });
  }

  #wake(): void {
    const drained = this.#drained;
    this.#drained = undefined;
    drained?.();
  }

  #consumed(bytes: number): void {
    if (!this.#isSettled) this.exchange.consumed(bytes);
  }

  #settle(): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#timer?.cancel();
    if (this.#waiter !== undefined) this.#gate?.places?.leave(this.#waiter);
    if (!this.#isRunning) this.#leave(false);
    if (this.#hasBegun) this.host.ended();
  }

  /** The work of the call has really ended, or will never begin. */
  #leave(hasAnswered: boolean): void {
    const permit = this.#permit;
    if (permit !== undefined) {
      this.#permit = undefined;
      this.#gate?.ended(permit, this.#hasTimedOut ? "timed_out" : hasAnswered ? "answered" : "failed");
    }
    if (this.#place === undefined) return;
    const place = this.#place;
    this.#place = undefined;
    place.ignore();
  }

  /** A handler that never ends would hold its place for ever, and many of them would leave none. */
  #watchAbandoned(): void {
    if (this.#permit === undefined && this.#place === undefined) return;
    this.clock.after(abandonedHandlerMs, () => {
      if (!this.#isRunning) return;
      this.#leave(false);
      const event: HandlerAbandoned = { type: "rpc.handler.abandoned", method: this.method.path };
      this.host.observer.emit(event);
    });
  }

  #report(error: unknown): void {
    const event: HandlerFailed = { type: "rpc.handler.failed", method: this.method.path, error };
    this.host.observer.emit(event);
  }
}
