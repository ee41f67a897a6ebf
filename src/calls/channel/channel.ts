import {
  type Observer,
  outsideContext,
  type Platform,
  silentObserver,
  systemPlatform,
  type TlsClientOptions,
} from "../../platform/index.ts";
import { ExchangeError, HeaderField, openPool } from "../../wire/index.ts";
import type { BalancingOptions } from "../balancing/index.ts";
import {
  createResolver,
  type DiscoveryOptions,
  parseTarget,
  type ResolvedEndpoint,
  type Resolver,
  ServiceDiscoveryError,
} from "../discovery/index.ts";
import type { Endpoint, EndpointView } from "./endpoint.ts";
import { EndpointSet } from "./endpoint-set.ts";
import { type HashBy, hashByOption } from "./hash-by.ts";
import { unresolvedCallsMax } from "./limits.ts";
import { type CallOutcome, type PickedCall, Picker } from "./picker.ts";
import { TargetGuards } from "./target-guards.ts";

/** What a channel speaks. gRPC needs HTTP/2; the others work with every version and through proxies. */
export type ClientProtocol = "grpc" | "grpc-web" | "connect";

export interface ChannelBalancing extends BalancingOptions {
  /** What calls of rule `ring_hash` are told apart by: those with equal values go to the same endpoint. */
  readonly hashBy?: HashBy | undefined;
}

export interface ChannelOptions {
  /** @default "grpc" */
  readonly protocol?: ClientProtocol | undefined;
  /**
   * `auto`: with TLS what the server prefers (ALPN), otherwise HTTP/2 by prior knowledge. gRPC always takes HTTP/2.
   * @default "auto"
   */
  readonly httpVersion?: "auto" | "1.1" | "2" | undefined;
  /** Speak TLS, with these roots and this certificate. */
  readonly tls?: TlsClientOptions | undefined;
  /** How the target is resolved. */
  readonly discovery?: DiscoveryOptions | undefined;
  /** How calls are spread over the endpoints, and when one is left out. @default where the answer should come first */
  readonly balancing?: ChannelBalancing | undefined;
  readonly platform?: Platform | undefined;
  readonly observer?: Observer | undefined;
}

const poolProtocols = { auto: "auto", "1.1": "http1", "2": "http2" } as const;

/**
 * The way of every outgoing call: target → endpoints → connection. Several clients may share one. Resolves and connects
 * when it is first used, and follows the endpoints from then on, until it is closed.
 */
export class Channel implements AsyncDisposable {
  readonly target: string;
  readonly protocol: ClientProtocol;
  readonly platform: Platform;
  readonly observer: Observer;
  readonly scheme: HeaderField;
  /** What calls are told apart by. */
  readonly hashBy: HashBy | undefined;
  readonly #service: string;
  readonly #resolver: Resolver;
  readonly #endpoints: EndpointSet;
  readonly #picker: Picker;
  #isStarted = false;
  #isClosed = false;
  /** Why nothing is known, after a resolution that failed. */
  #failure: ServiceDiscoveryError | undefined;
  #isResolved = false;
  #guards: TargetGuards | undefined;
  /** Calls that wait for the first endpoints. */
  #waiting = new Set<{ resolve(): void; reject(error: unknown): void }>();

  /** @throws TypeError for a target that does not parse, for gRPC over HTTP/1.1 */
  constructor(target: string, options: ChannelOptions = {}) {
    const { platform = systemPlatform, observer = silentObserver, tls, protocol = "grpc" } = options;
    const httpVersion = protocol === "grpc" ? "2" : (options.httpVersion ?? "auto");
    if (protocol === "grpc" && options.httpVersion === "1.1") {
      throw new TypeError(
        `target "${target}": gRPC needs HTTP/2; choose protocol "connect" or "grpc-web" for HTTP/1.1`,
      );
    }
    this.target = target;
    this.protocol = protocol;
    this.platform = platform;
    this.observer = observer;
    this.scheme = new HeaderField(":scheme", tls === undefined ? "http" : "https");
    const parsed = parseTarget(target);
    this.#service = parsed.service;
    this.#resolver = createResolver(parsed, options.discovery ?? {}, { platform, observer });
    const { hashBy, ...balancing } = options.balancing ?? {};
    this.hashBy = hashByOption(hashBy, balancing.rule);
    this.#picker = new Picker(balancing, { target, clock: platform.clock, random: platform.random, observer });
    this.#endpoints = new EndpointSet(parsed, (host, port, serverName) =>
      openPool({
        host,
        port,
        protocol: poolProtocols[httpVersion],
        tls: tls === undefined ? undefined : { ...tls, serverName: tls.serverName ?? serverName },
        platform,
        observer,
      }),
    );
  }

  /**
   * The endpoint for the next call; `undefined` when none is known, and `resolved` tells why or when. Hot path: no promise
   * once endpoints are known.
   */
  pick(call?: PickedCall, nowMs: number = this.platform.clock.now()): Endpoint | undefined {
    if (!this.#isStarted) this.#start();
    return this.#picker.pick(call, nowMs);
  }

  /**
   * Resolves when there are endpoints to pick from.
   * @param signal gives the wait up
   * @throws (rejects) ServiceDiscoveryError when the target cannot be resolved, or has no endpoints; ExchangeError when the
   * channel is closed; the signal's reason
   */
  resolved(signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    if (!this.#isStarted) this.#start();
    if (this.#isClosed) return Promise.reject(this.#closedError());
    if (this.#isResolved) {
      return this.#endpoints.size > 0 ? Promise.resolve() : Promise.reject(this.#noEndpoints());
    }
    // A resolution that has failed is not waited for, unless the next one is under way.
    if (this.#failure !== undefined && !this.#resolver.resolveNow()) return Promise.reject(this.#failure);
    if (this.#waiting.size >= unresolvedCallsMax) {
      const text = `${this.#waiting.size} calls wait for ${this.target} to be resolved already`;
      return Promise.reject(new ExchangeError("limit", text, { unprocessed: true }));
    }
    return new Promise((resolve, reject) => {
      const aborted = () => {
        this.#waiting.delete(waiting);
        reject(signal?.reason);
      };
      const told = () => signal?.removeEventListener("abort", aborted);
      const waiting = {
        resolve() {
          told();
          resolve();
        },
        reject(error: unknown) {
          told();
          reject(error);
        },
      };
      signal?.addEventListener("abort", aborted, { once: true });
      this.#waiting.add(waiting);
    });
  }

  /** A connection was lost: the endpoints that are known may be out of date. */
  connectionFailed(): void {
    if (!this.#isClosed) this.#resolver.resolveNow();
  }

  /** A connection to an endpoint could not be made. */
  unreachable(endpoint: Endpoint, error: ExchangeError): void {
    if (isRefusal(error)) endpoint.wasRefused = true;
    this.connectionFailed();
  }

  /** What guards the target as a whole. Made when the first client asks. */
  get guards(): TargetGuards {
    this.#guards ??= new TargetGuards(this.target, this.platform);
    return this.#guards;
  }

  /** How many endpoints are known. */
  get size(): number {
    return this.#endpoints.size;
  }

  /** So few endpoints are usable that all of them are used. */
  get isPanicking(): boolean {
    return this.#picker.isPanicking;
  }

  /** A call goes to an endpoint that was picked; `settled` must follow exactly once. */
  begun(endpoint: Endpoint): void {
    this.#picker.begun(endpoint);
  }

  /**
   * A call that had begun at an endpoint has ended.
   * @param latencyMs from its beginning; `undefined`: it says nothing of the endpoint, as of a long stream
   * @param pushbackMs how long the server asked to be left alone
   * @param cause one object for all calls that failed by one event, such as the loss of their connection
   */
  settled(
    endpoint: Endpoint,
    latencyMs: number | undefined,
    outcome: CallOutcome,
    nowMs: number = this.platform.clock.now(),
    pushbackMs = 0,
    cause?: unknown,
  ): void {
    this.#picker.settled(endpoint, latencyMs, outcome, nowMs, pushbackMs, cause);
  }

  /** The endpoints as they are known now. Empty before the first call. */
  endpoints(): readonly EndpointView[] {
    return this.#endpoints.views(endpoint => this.#picker.view(endpoint));
  }

  /** Lets running calls finish, then closes the connections. */
  async drain(): Promise<void> {
    this.#stop();
    await this.#endpoints.drain();
  }

  /** Ends all connections and the calls on them. */
  close(): void {
    this.#stop();
    this.#endpoints.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.drain();
  }

  #start(): void {
    this.#isStarted = true;
    if (this.#isClosed) return;
    outsideContext(() =>
      this.#resolver.start({
        endpoints: (list, { isStale }) => this.#update(list, isStale),
        failed: error => this.#failed(error),
      }),
    );
  }

  #update(list: readonly ResolvedEndpoint[], isStale: boolean): void {
    this.#picker.update(outsideContext(() => this.#endpoints.update(list, isStale)));
    this.#isResolved = true;
    this.#failure = undefined;
    const waiting = this.#waiting;
    this.#waiting = new Set();
    for (const { resolve, reject } of waiting) {
      if (list.length > 0) resolve();
      else reject(this.#noEndpoints());
    }
  }

  #failed(error: ServiceDiscoveryError): void {
    this.#failure = error;
    const waiting = this.#waiting;
    this.#waiting = new Set();
    for (const { reject } of waiting) reject(error);
  }

  #stop(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#resolver.close();
    const waiting = this.#waiting;
    this.#waiting = new Set();
    for (const { reject } of waiting) reject(this.#closedError());
  }

  #noEndpoints(): ServiceDiscoveryError {
    const scheme = /^[a-z0-9+]+(?=:\/\/)/.exec(this.target)?.[0] ?? "dns";
    const at = { target: this.target, service: this.#service, resolver: scheme };
    return new ServiceDiscoveryError(at, new Error("it has no endpoints at the moment"));
  }

  #closedError(): ExchangeError {
    return new ExchangeError("draining", `the channel to ${this.target} is closed`, { unprocessed: true });
  }
}

/** Whether nothing listens at the address: the process there has ended. */
function isRefusal(error: ExchangeError): boolean {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    if ("code" in at && at.code === "ECONNREFUSED") return true;
  }
  return false;
}

/** A channel to a target, for one or several clients. @throws TypeError for a target that does not parse */
export function createChannel(target: string, options?: ChannelOptions): Channel {
  return new Channel(target, options);
}
