import { type Priority, requestIsStream, responseIsStream, type Validate } from "../../contract/index.ts";
import { isRpcError, RpcError } from "../../errors/index.ts";
import { bindIterator, currentWork, runInContext, type Timer } from "../../platform/index.ts";
import type { ExchangeError, ServerExchange } from "../../wire/index.ts";
import { asRpcError, type Interceptor } from "./call.ts";
import {
  type CallHost,
  connectionLoad,
  grantedTimeoutMs,
  type HandlerAbandoned,
  type HandlerFailed,
} from "./call-host.ts";
import { readPriority } from "./call-priority.ts";
import { HeldPlaces } from "./held-places.ts";
import { intercept } from "./intercept.ts";
import { judge, judgedStream } from "./judge-request.ts";
import { abandonedHandlerMs } from "./limits.ts";
import { Metadata } from "./metadata.ts";
import { wasGivenUpBelow, withoutRetry } from "./pushback.ts";
import type { AnyHandler, ServedMethod } from "./served-method.ts";
import { ServerCallInput } from "./server-call-input.ts";
import type { MethodGate } from "./server-overload.ts";
import type { ServerWire } from "./server-wire.ts";

/**
 * One call on the server: takes its request from its protocol, runs interceptors and handler in the call's ambient
 * context, and hands the outcome back.
 *
 * Hot path (unary): no AbortController and no closure is made unless the handler asks.
 */
export class ServerCall extends ServerCallInput {
  readonly wire: ServerWire;
  readonly #handler: AnyHandler;
  readonly #validate: Validate | undefined;
  readonly #gate: MethodGate | undefined;
  #priority: Priority | undefined;
  #held: HeldPlaces | undefined;
  #timer: Timer | undefined;
  /** Runs while the handler goes on after its call is over. */
  #abandoned: Timer | undefined;
  #hasBegun = false;
  /** The handler has been reached. */
  #isServed = false;
  #isSettled = false;
  #isRunning = false;
  #wasAborted = false;
  #hasTimedOut = false;
  #drained: (() => void) | undefined;

  constructor(host: CallHost, exchange: ServerExchange, served: ServedMethod, wire: ServerWire) {
    super(host, exchange, served.method, wire.protocol);
    this.wire = wire;
    this.#handler = served.handler;
    this.#validate = served.validate;
    this.#gate = served.gate;
  }

  override get priority(): Priority {
    if (this.#priority === undefined) {
      const ofContract = this.method.policy.priority;
      const ofCaller = readPriority(this.exchange.fields);
      this.#priority = this.#gate?.priority(ofContract, ofCaller) ?? ofCaller ?? ofContract;
    }
    return this.#priority;
  }

  override get isSettled(): boolean {
    return this.#isSettled;
  }

  /**
   * Whether an HTTP/1.1 connection cannot be used again, because the answer leaves a rest of the request. Unless the head
   * says so, the peer may send its next request just when the connection is closed.
   */
  get closesConnection(): boolean {
    return this.exchange.httpVersion === 1 && this.bodyIsOpen && this.#isSettled;
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
    const grantedMs = grantedTimeoutMs(timeoutMs, method, host);
    if (grantedMs <= 0) {
      this.#expire();
      return;
    }
    if (this.#gate !== undefined) {
      this.#held = new HeldPlaces(this.#gate);
      const refusal = this.#held.enter(this, nowMs);
      if (refusal !== undefined) {
        this.fail(refusal);
        return;
      }
    }
    host.started();
    this.#hasBegun = true;
    this.bodyIsOpen = true;
    if (grantedMs !== Number.POSITIVE_INFINITY) {
      this.deadlineAt = nowMs + grantedMs;
      this.#timer = this.clock.after(grantedMs, () => this.#expire());
    }
    if (requestIsStream(method.kind)) this.start(this.openQueue());
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
  protected override start(request: unknown): void {
    const held = this.#held;
    if (this.#isLate) this.#expire();
    else if (held === undefined || !held.mayHaveToWait) void this.#run(request, this.host.interceptors);
    else held.whenFree(this, () => void this.#run(request, this.host.interceptors));
  }

  // ── from the wire ────────────────────────────────────────────────────────

  protected override readBody(chunk: Buffer, start: number, end: number): void {
    this.wire.data(this, chunk, start, end);
  }

  protected override endBody(): void {
    this.wire.ended(this);
  }

  /**
   * The body makes no request. Who calls is asked first, as of any other call: a caller that is not known hears of that,
   * and not what is wrong with its message.
   */
  protected override refuseBody(error: RpcError): void {
    if (this.#isSettled || this.bodyError !== undefined) return;
    if (this.queue === undefined) {
      if (this.host.authenticators.length === 0) {
        this.fail(error);
        return;
      }
      this.bodyError = error;
      void this.#run(undefined, this.host.authenticators);
    } else if (this.#isServed) {
      this.fail(error);
    } else {
      // The interceptors are at work; whoever reads the stream, or calls the handler, gets it.
      this.bodyError = error;
      this.queue.end(error);
    }
  }

  override aborted(error: ExchangeError): void {
    const reason = new RpcError("cancelled", "the caller has gone", { cause: error });
    this.#wasAborted = true;
    this.#settle();
    this.wire.aborted?.();
    this.abortSignal(reason);
    this.queue?.end(reason);
    this.#wake();
    if (!this.#isRunning) this.exchange.reset("no_error");
    else this.#watchAbandoned();
  }

  override writable(): void {
    this.#wake();
  }

  // ── to the wire ──────────────────────────────────────────────────────────

  /** Answers with an error, unless the answer is complete. */
  override fail(error: RpcError): void {
    if (this.#isSettled) return;
    this.#settle();
    this.#finish(error);
    this.abortSignal(error);
    this.queue?.end(error);
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
        interceptors.length === 0
          ? this.#invoke(request)
          : intercept(this, interceptors, request, passed => this.#invoke(passed)),
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
      this.#abandoned?.cancel();
      this.#leave(hasAnswered);
      load.handlers--;
      // After the peer's reset the exchange counts as running until its work has really ended.
      if (this.#wasAborted) this.exchange.reset("no_error");
    }
  }

  /** The last step: the contract's rules judge what the interceptors let pass, then the handler gets it. */
  #invoke(passed: unknown): unknown {
    if (this.bodyError !== undefined) throw this.bodyError;
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

  #settle(): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#timer?.cancel();
    this.#held?.stopWaiting();
    if (!this.#isRunning) this.#leave(false);
    if (this.#hasBegun) this.host.ended();
  }

  #leave(hasAnswered: boolean): void {
    this.#held?.leave(this.#hasTimedOut ? "timed_out" : hasAnswered ? "answered" : "failed");
  }

  /** A handler that never ends would hold its place for ever, and many of them would leave none. */
  #watchAbandoned(): void {
    if (this.#held?.areTaken !== true) return;
    this.#abandoned ??= this.clock.after(abandonedHandlerMs, () => {
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
