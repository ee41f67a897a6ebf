import { codeFromHttp, RpcError } from "../../errors/index.ts";
import { type Observer, type Platform, systemPlatform, type TlsClientOptions } from "../../platform/index.ts";
import { parseRetryAfter } from "../../resilience/index.ts";
import type { DiscoveryOptions } from "../discovery/index.ts";
import { Channel } from "./channel.ts";
import type { EndpointView } from "./endpoint.ts";
import { sendHttp } from "./http-call.ts";
import { type HttpBody, type HttpRequest, httpRequest } from "./http-request.ts";
import { fetchTimeoutMs, responseBytesMax } from "./limits.ts";

/** What a policy of `trunkline/resilience` is to a plain HTTP call: it runs the work, perhaps more than once. */
export interface PolicyRunner {
  run<T>(work: (signal: AbortSignal) => Promise<T>, options?: { readonly signal?: AbortSignal }): Promise<T>;
}

export interface DiscoverOptions {
  /**
   * Guards every call. Answers 429 and 5xx count as failures, of which the last is returned when the policy gives up;
   * requests that are not idempotent are marked as not to be repeated unless they certainly had no effect.
   */
  readonly policy?: PolicyRunner | undefined;
  /** Speak TLS, with these roots and this certificate. */
  readonly tls?: TlsClientOptions | undefined;
  /** `auto`: with TLS what the server prefers, otherwise HTTP/1.1. @default "auto" */
  readonly httpVersion?: "auto" | "1.1" | "2" | undefined;
  /** From the call to the last byte of its answer, in milliseconds. @default 30_000 */
  readonly timeoutMs?: number | undefined;
  /** Body of an answer, in bytes. @default 4_194_304 */
  readonly responseBytesMax?: number | undefined;
  /** How the target is resolved. */
  readonly discovery?: DiscoveryOptions | undefined;
  readonly platform?: Platform | undefined;
  readonly observer?: Observer | undefined;
  /** What is left of the work that calls are made for, in milliseconds. @default unlimited */
  readonly timeLeftMs?: (() => number | undefined) | undefined;
}

export interface FetchInit {
  /** @default "GET" */
  readonly method?: string | undefined;
  readonly headers?: RequestInit["headers"] | undefined;
  /** A stream is sent as it is read, and cannot be sent again. */
  readonly body?: HttpBody | null | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Instead of the service's; Infinity for streams without an end. */
  readonly timeoutMs?: number | undefined;
  /** Instead of the service's. */
  readonly responseBytesMax?: number | undefined;
}

/** An HTTP status that a policy should see as a failure; its answer goes to the caller in the end. */
class StatusFailure extends RpcError {
  readonly response: Response;
  constructor(response: Response, retryAfterMs: number | undefined) {
    super(codeFromHttp(response.status), `HTTP ${response.status}`, { retryAfterMs });
    this.response = response;
  }
}

/** A plain HTTP service behind a target. Made by `discover`. */
export class DiscoveredService implements AsyncDisposable {
  readonly #channel: Channel;
  readonly #options: DiscoverOptions;

  /** @throws TypeError for a target that does not parse, and for impossible limits */
  constructor(target: string, options: DiscoverOptions = {}) {
    const httpVersion = options.httpVersion ?? "auto";
    checkLimits(options);
    this.#options = options;
    this.#channel = new Channel(target, {
      protocol: "connect",
      httpVersion: httpVersion === "auto" && options.tls === undefined ? "1.1" : httpVersion,
      tls: options.tls,
      discovery: options.discovery,
      platform: options.platform,
      observer: options.observer,
    });
  }

  get target(): string {
    return this.#channel.target;
  }

  /**
   * Calls the service: as the global `fetch`, with a path in place of a URL. Redirects are answers like others, and the body
   * streams as fast as it is read, decompressed where the request did not ask for codings or ranges itself.
   *
   * @throws (rejects) ServiceDiscoveryError when the target has no endpoints; RpcError `unavailable` when none of them can be
   * reached, `deadline_exceeded`, `resource_exhausted` for a body above the limit; the signal's reason when it aborts;
   * TypeError for a request that HTTP forbids
   */
  async fetch(path: string, init: FetchInit = {}): Promise<Response> {
    const request = await httpRequest(path, init);
    const call = new Deadline(this.#channel, request, init, this.#options);
    const { policy } = this.#options;
    try {
      if (policy === undefined) return await call.attempt(undefined);
      return await this.#guarded(policy, request, call, init.signal);
    } finally {
      call.settled();
    }
  }

  /** The endpoints as they are known now. Empty before the first call. */
  endpoints(): readonly EndpointView[] {
    return this.#channel.endpoints();
  }

  /** Lets running calls finish, then closes the connections. */
  drain(): Promise<void> {
    return this.#channel.drain();
  }

  /** Ends all connections and the calls on them. */
  close(): void {
    this.#channel.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.drain();
  }

  async #guarded(
    policy: PolicyRunner,
    request: HttpRequest,
    call: Deadline,
    signal: AbortSignal | undefined,
  ): Promise<Response> {
    let failed: Response | undefined;
    const work = async (attemptSignal: AbortSignal): Promise<Response> => {
      const before = failed;
      failed = undefined;
      await before?.body?.cancel();
      const response = await call.attempt(attemptSignal);
      if (response.status < 500 && response.status !== 429) return response;
      failed = response;
      throw new StatusFailure(
        response,
        request.isIdempotent ? retryAfterMs(response, this.#channel.platform.clock.wall()) : -1,
      );
    };
    try {
      return await policy.run(work, signal === undefined ? undefined : { signal });
    } catch (error) {
      if (error instanceof StatusFailure && error.response === failed) return error.response;
      await failed?.body?.cancel();
      throw error;
    }
  }
}

/** @throws TypeError naming the option, of the service or of one call */
function checkLimits(options: Pick<FetchInit, "timeoutMs" | "responseBytesMax">): void {
  for (const name of ["timeoutMs", "responseBytesMax"] as const) {
    const value = options[name];
    if (value !== undefined && !(value >= 0)) throw new TypeError(`${name} is ${value}; it must be 0 or more`);
  }
}

/**
 * `Retry-After` (RFC 9110, section 10.2.3) in milliseconds; −1: not at all. A date counts from the answer's own `Date`, where it
 * has one: clocks differ.
 */
function retryAfterMs({ headers }: Response, wallMs: number): number | undefined {
  const answeredMs = Date.parse(headers.get("date") ?? "");
  const nowMs = Number.isNaN(answeredMs) ? wallMs : answeredMs;
  const pushback = parseRetryAfter(headers.get("retry-after") ?? undefined, nowMs);
  return pushback === "stop" ? -1 : pushback;
}

/** The time and the signals of one call, over all its attempts and until its answer has been read. */
class Deadline {
  readonly #channel: Channel;
  readonly #request: HttpRequest;
  readonly #responseBytesMax: number;
  readonly #controller = new AbortController();
  readonly #release: () => void;
  #attempts = 0;
  /** Whether the answer of the last attempt is still being read. */
  #isReading = false;
  #isSettled = false;

  constructor(channel: Channel, request: HttpRequest, init: FetchInit, options: DiscoverOptions) {
    this.#channel = channel;
    this.#request = request;
    this.#responseBytesMax = init.responseBytesMax ?? options.responseBytesMax ?? responseBytesMax;
    checkLimits(init);
    const timeoutMs = init.timeoutMs ?? options.timeoutMs ?? fetchTimeoutMs;
    const grantedMs = Math.min(timeoutMs, options.timeLeftMs?.() ?? Number.POSITIVE_INFINITY);
    const { clock } = options.platform ?? systemPlatform;
    const what = `${request.method} ${request.path.value} at ${channel.target}`;
    const timer = clock.after(grantedMs, () =>
      this.#controller.abort(new RpcError("deadline_exceeded", `${what} took longer than ${Math.round(grantedMs)} ms`)),
    );
    const { signal } = init;
    const abort = () => this.#controller.abort(signal?.reason);
    if (signal?.aborted === true) abort();
    else signal?.addEventListener("abort", abort, { once: true });
    this.#release = () => {
      timer.cancel();
      signal?.removeEventListener("abort", abort);
    };
  }

  /** Sends the request once. `signal` is the policy's, for this attempt. */
  async attempt(signal: AbortSignal | undefined): Promise<Response> {
    const own = this.#controller.signal;
    const both = signal === undefined ? own : AbortSignal.any([own, signal]);
    both.throwIfAborted();
    const attempt = ++this.#attempts;
    this.#isReading = true;
    try {
      return await sendHttp(this.#channel, this.#request, {
        signal: both,
        responseBytesMax: this.#responseBytesMax,
        over: () => this.#ended(attempt),
      });
    } catch (error) {
      this.#ended(attempt);
      throw error;
    }
  }

  /** There are no more attempts. Timer and listener stay until the answer has been read. */
  settled(): void {
    this.#isSettled = true;
    if (!this.#isReading) this.#release();
  }

  #ended(attempt: number): void {
    if (attempt !== this.#attempts) return;
    this.#isReading = false;
    if (this.#isSettled) this.#release();
  }
}

/**
 * A plain HTTP service behind a target: resolved, balanced and, with a policy, guarded.
 *
 * ```ts
 * await using inventory = discover("dns:///inventory-service:80");
 * const level = await (await inventory.fetch("/inventory/product-1")).json();
 * ```
 * @throws TypeError for a target that does not parse
 */
export function discover(target: string, options?: DiscoverOptions): DiscoveredService {
  return new DiscoveredService(target, options);
}
