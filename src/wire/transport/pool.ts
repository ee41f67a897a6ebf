import {
  type ByteStream,
  type Clock,
  type ConnectOptions,
  hostAndPort,
  type Network,
  type Observer,
  outsideContext,
  type Platform,
  type Random,
  silentObserver,
  systemPlatform,
  type Timer,
  type TlsClientOptions,
} from "../../platform/index.ts";
import { type ClientConnection, ExchangeError } from "../exchange.ts";
import { BackOff } from "./back-off.ts";
import type { PoolConnected, PoolConnectFailed, PoolDisconnected } from "./events.ts";
import { type PoolLimits, poolLimits } from "./limits.ts";
import { PoolMember, type PoolMemberOwner } from "./pool-member.ts";
import type { ClientProtocols } from "./protocols.ts";

/** `auto`: what ALPN chooses under TLS, otherwise HTTP/2 by prior knowledge. */
export type ProtocolPreference = "http1" | "http2" | "auto";

export interface PoolEndpoint {
  readonly host: string;
  readonly port: number;
  /** @default "auto" */
  readonly protocol?: ProtocolPreference | undefined;
  readonly tls?: TlsClientOptions | undefined;
}

export interface PoolOptions extends PoolEndpoint {
  readonly limits?: Partial<PoolLimits> | undefined;
  /** @default systemPlatform */
  readonly platform?: Platform | undefined;
  readonly observer?: Observer | undefined;
}

export interface AcquireOptions {
  /** The longest time to wait for a connection. @default the pool's connect time-out */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Somebody who waits for a connection. Exactly one of the two is called, never within `wait`. */
export interface ConnectionWaiter {
  /** Must begin its request before it returns. */
  connected(connection: ClientConnection): void;
  failed(error: ExchangeError): void;
}

/**
 * The connections to one endpoint. They are made when a request needs one, outside of any request's ambient context, and
 * shared by all. Every failure is an {@link ExchangeError} with `unprocessed: true`, because nothing was sent.
 *
 * ```ts
 * const connection = pool.tryAcquire() ?? (await pool.acquire({ timeoutMs: 500 }));
 * connection.request(head, fields, receiver, true);      // before anything else is awaited
 * ```
 */
export class ConnectionPool implements PoolMemberOwner {
  readonly #endpoint: PoolEndpoint;
  readonly #name: string;
  readonly #clock: Clock;
  readonly #network: Network;
  readonly #random: Random;
  readonly #observer: Observer;
  readonly #limits: PoolLimits;
  readonly #protocols: ClientProtocols;
  readonly #backOff: BackOff;

  readonly #members = new Set<PoolMember>();
  /**
   * A stack of members that had capacity when they were put there. The last one is used until it is full, so that the
   * others can become idle; full ones are dropped when they come to the top and return when capacity does.
   */
  readonly #listed: PoolMember[] = [];
  readonly #waiters = new Set<ConnectionWaiter>();
  readonly #connecting = new Set<AbortController>();
  #reserving: PoolMember[] = [];
  #httpVersion: 1 | 2 | undefined;
  #lastFailure: ExchangeError | undefined;
  #retryAtMs = 0;
  #retryTimer: Timer | undefined;
  #sweepTimer: Timer | undefined;
  #isDispatching = false;
  #isClosed = false;
  #onEmpty: (() => void) | undefined;

  constructor(options: PoolOptions, protocols: ClientProtocols) {
    const { platform = systemPlatform, observer = silentObserver, protocol = "auto" } = options;
    this.#endpoint = options;
    this.#name = hostAndPort(options.host, options.port);
    this.#clock = platform.clock;
    this.#network = platform.network;
    this.#random = platform.random;
    this.#observer = observer;
    this.#limits = { ...poolLimits, ...options.limits };
    this.#protocols = protocols;
    this.#backOff = new BackOff(platform.random, this.#limits.backOffMinMs, this.#limits.backOffMaxMs);
    if (protocol === "http1") this.#httpVersion = 1;
    else if (protocol === "http2" || options.tls === undefined) this.#httpVersion = 2;
  }

  /** `host:port`. */
  get name(): string {
    return this.#name;
  }

  /** Open connections, also those that only finish what they have begun. */
  get connections(): number {
    return this.#members.size;
  }

  /** Requests that wait for a connection. */
  get waiting(): number {
    return this.#waiters.size;
  }

  get activeExchanges(): number {
    let count = 0;
    for (const member of this.#members) count += member.connection?.activeExchanges ?? 0;
    return count;
  }

  /** A connection attempt failed a moment ago, and the next one waits. */
  get isBackingOff(): boolean {
    return this.#lastFailure !== undefined && this.#clock.now() < this.#retryAtMs;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** A connection that takes a request now, without waiting: begin it at once. Hot path: no promise, no allocation. */
  tryAcquire(): ClientConnection | undefined {
    if (this.#waiters.size > 0) return undefined;
    const member = this.#available();
    if (member === undefined) return undefined;
    this.#use(member);
    member.begunUnreserved(1);
    return member.connection;
  }

  /**
   * Waits for a connection, making one if need be. The capacity for one request is kept for the caller until the end of
   * the turn in which the promise resolves.
   * @throws (rejects) ExchangeError; with `signal.reason` when the signal aborts first
   */
  acquire(options: AcquireOptions = {}): Promise<ClientConnection> {
    const { signal, timeoutMs = this.#limits.connectTimeoutMs } = options;
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const abort = () => {
        if (this.cancel(waiter)) {
          timer.cancel();
          reject(signal?.reason);
        }
      };
      const timer = this.#clock.after(timeoutMs, () => {
        signal?.removeEventListener("abort", abort);
        if (this.cancel(waiter)) reject(this.#waitedTooLong(timeoutMs));
      });
      const waiter: ConnectionWaiter = {
        connected: connection => {
          timer.cancel();
          signal?.removeEventListener("abort", abort);
          this.#reserveForTurn(connection);
          resolve(connection);
        },
        failed: error => {
          timer.cancel();
          signal?.removeEventListener("abort", abort);
          reject(error);
        },
      };
      signal?.addEventListener("abort", abort, { once: true });
      this.wait(waiter);
    });
  }

  /** Like `acquire`, with callbacks and without a time-out. */
  wait(waiter: ConnectionWaiter): void {
    const refusal = this.#refusal();
    if (refusal !== undefined) {
      queueMicrotask(() => waiter.failed(refusal));
      return;
    }
    this.#waiters.add(waiter);
    this.#dispatchSoon();
  }

  /** Takes a waiter back; `false` when it has been told already. */
  cancel(waiter: ConnectionWaiter): boolean {
    return this.#waiters.delete(waiter);
  }

  /** Makes the first connection before a request needs it. Failures show in `isBackingOff` and in the observer. */
  warmUp(): void {
    if (!this.#isClosed && !this.isBackingOff && this.#members.size + this.#connecting.size === 0) this.#connect();
  }

  /** Takes no more requests, lets the running ones finish, and resolves when every connection is closed. */
  async drain(): Promise<void> {
    this.#shut();
    for (const member of this.#members) this.#retire(member);
    if (this.#members.size === 0) return;
    const before = this.#onEmpty;
    await new Promise<void>(resolve => {
      this.#onEmpty = () => {
        before?.();
        resolve();
      };
    });
  }

  /** Ends everything now. */
  destroy(): void {
    this.#shut();
    for (const member of this.#members) member.connection?.destroy();
  }

  memberHasCapacity(member: PoolMember): void {
    if (!member.isListed && member.spare > 0) this.#list(member);
    if (this.#waiters.size > 0) this.#dispatchSoon();
  }

  memberDraining(member: PoolMember): void {
    member.isRetired = true;
    if (this.#waiters.size > 0) this.#dispatchSoon();
  }

  memberClosed(member: PoolMember, error: Error | undefined): void {
    if (!this.#members.delete(member)) return;
    const wasUsable = member.wasUsed || member.isRetired || (error === undefined && this.#waiters.size === 0);
    member.isRetired = true;
    const event: PoolDisconnected = { type: "pool.disconnected", endpoint: this.#name, error };
    this.#observer.emit(event);
    // A peer that accepts and closes again is as good as one that refuses: do not run in circles.
    if (!wasUsable && !this.#isClosed) {
      this.#connectFailed(error ?? new Error(`${this.#name} closed the connection at once`));
    }
    if (this.#members.size === 0) {
      this.#sweepTimer?.cancel();
      this.#sweepTimer = undefined;
      this.#onEmpty?.();
      this.#onEmpty = undefined;
    }
    if (this.#waiters.size > 0) this.#dispatchSoon();
  }

  #list(member: PoolMember): void {
    member.isListed = true;
    this.#listed.push(member);
  }

  #available(): PoolMember | undefined {
    const listed = this.#listed;
    for (let last = listed.length - 1; last >= 0; last--) {
      const member = listed[last] as PoolMember;
      if (member.spare > 0) return member;
      member.isListed = false;
      listed.pop();
    }
    return undefined;
  }

  #use(member: PoolMember): void {
    member.isActive = true;
    if (member.wasUsed) return;
    member.wasUsed = true;
    this.#backOff.succeeded();
  }

  /** Why a request cannot even wait. */
  #refusal(): ExchangeError | undefined {
    if (this.#isClosed) {
      return new ExchangeError("draining", `the connection pool of ${this.#name} is closed`, { unprocessed: true });
    }
    if (this.#waiters.size >= this.#limits.waitingMax) {
      const text = `${this.#waiters.size} requests wait for a connection to ${this.#name} already`;
      return new ExchangeError("limit", text, { unprocessed: true });
    }
    return this.#usableMembers() + this.#connecting.size === 0 && this.isBackingOff ? this.#lastFailure : undefined;
  }

  #usableMembers(): number {
    let count = 0;
    for (const member of this.#members) if (!member.isRetired) count++;
    return count;
  }

  #waitedTooLong(timeoutMs: number): ExchangeError {
    const state =
      this.#members.size > 0 ? `${this.#members.size} connections, all busy` : "no connection has been made yet";
    const text = `no connection to ${this.#name} was free within ${timeoutMs} ms (${state})`;
    return new ExchangeError("timeout", text, { unprocessed: true });
  }

  /** Serves waiters after the present callback: connections call in the middle of reading their input. */
  #dispatchSoon(): void {
    if (this.#isDispatching) return;
    this.#isDispatching = true;
    outsideContext(() =>
      queueMicrotask(() => {
        this.#isDispatching = false;
        this.#dispatch();
      }),
    );
  }

  #dispatch(): void {
    for (const waiter of this.#waiters) {
      const member = this.#available();
      if (member?.connection === undefined) break;
      this.#waiters.delete(waiter);
      this.#use(member);
      const activeBefore = member.connection.activeExchanges;
      waiter.connected(member.connection);
      member.begunUnreserved(member.connection.activeExchanges - activeBefore);
    }
    this.#grow();
  }

  /** Makes as many connections as the waiting requests need. */
  #grow(): void {
    if (this.#isClosed || this.#waiters.size === 0) return;
    if (this.isBackingOff) {
      if (this.#usableMembers() + this.#connecting.size === 0) this.#failWaiters(this.#lastFailure as ExchangeError);
      else this.#retryLater();
      return;
    }
    const { http1ConnectionsMax, http2ConnectionsMax } = this.#limits;
    // Until the protocol is known, and with HTTP/2, one new connection may be enough for all.
    const isHttp1 = this.#httpVersion === 1;
    const wanted = isHttp1 ? this.#waiters.size : 1;
    const max = isHttp1 ? http1ConnectionsMax : http2ConnectionsMax;
    const room = max - this.#usableMembers();
    while (this.#connecting.size < Math.min(wanted, room)) this.#connect();
  }

  #connect(): void {
    const { host, port, tls, protocol = "auto" } = this.#endpoint;
    const alpn = protocol === "auto" ? ["h2", "http/1.1"] : protocol === "http2" ? ["h2"] : ["http/1.1"];
    const options: ConnectOptions = {
      host,
      port,
      timeoutMs: this.#limits.connectTimeoutMs,
      ...(tls === undefined ? {} : { tls: { ...tls, alpn } }),
    };
    const attempt = new AbortController();
    this.#connecting.add(attempt);
    outsideContext(() => this.#network.connect(options, attempt.signal)).then(
      stream => {
        this.#connecting.delete(attempt);
        this.#join(stream);
      },
      (error: unknown) => {
        this.#connecting.delete(attempt);
        if (!this.#isClosed) this.#connectFailed(error as Error);
      },
    );
  }

  #join(stream: ByteStream): void {
    if (this.#isClosed) {
      stream.handler = { data() {}, drained() {}, ended() {}, closed() {} };
      stream.destroy();
      return;
    }
    const version = this.#agreedVersion(stream);
    if (version === undefined) {
      stream.handler = { data() {}, drained() {}, ended() {}, closed() {} };
      stream.destroy();
      const chosen = stream.tls?.alpn === undefined ? "nothing" : `"${stream.tls.alpn}"`;
      // RFC 9113, section 3.2: HTTP/2 over TLS is only spoken when ALPN has chosen it.
      this.#connectFailed(new Error(`${this.#name} does not speak HTTP/2 over TLS (ALPN chose ${chosen})`));
      return;
    }
    this.#httpVersion = version;
    const { ageMaxMs } = this.#limits;
    const member = new PoolMember(this, this.#clock.now() + ageMaxMs * (0.9 + 0.2 * this.#random.next()));
    this.#members.add(member);
    this.#lastFailure = undefined;
    const event: PoolConnected = { type: "pool.connected", endpoint: this.#name, httpVersion: version };
    this.#observer.emit(event);
    const start = version === 2 ? this.#protocols.http2 : this.#protocols.http1;
    try {
      member.connection = outsideContext(() => start(stream, member));
    } catch (error) {
      this.#members.delete(member);
      stream.destroy();
      this.#connectFailed(error as Error);
      return;
    }
    if (!member.isListed && member.spare > 0) this.#list(member);
    this.#sweepTimer ??= this.#sweepLater();
    this.#dispatch();
  }

  #agreedVersion(stream: ByteStream): 1 | 2 | undefined {
    const { protocol = "auto" } = this.#endpoint;
    if (stream.tls === undefined) return protocol === "http1" ? 1 : 2;
    if (stream.tls.alpn === "h2") return 2;
    return protocol === "http2" ? undefined : 1;
  }

  #connectFailed(cause: Error): void {
    const pauseMs = this.#backOff.failed();
    this.#retryAtMs = this.#clock.now() + pauseMs;
    this.#lastFailure = new ExchangeError("connection", cause.message, { unprocessed: true, cause });
    const event: PoolConnectFailed = {
      type: "pool.connect_failed",
      endpoint: this.#name,
      error: cause,
      retryAfterMs: pauseMs,
    };
    this.#observer.emit(event);
    if (this.#usableMembers() + this.#connecting.size === 0) this.#failWaiters(this.#lastFailure);
    else if (this.#waiters.size > 0) this.#retryLater();
  }

  #retryLater(): void {
    this.#retryTimer ??= outsideContext(() =>
      this.#clock.after(this.#retryAtMs - this.#clock.now(), () => {
        this.#retryTimer = undefined;
        this.#grow();
      }),
    );
  }

  #failWaiters(error: ExchangeError): void {
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const waiter of waiters) waiter.failed(error);
  }

  /** Keeps a place on a connection for who was promised it, until it has had the chance to begin its request. */
  #reserveForTurn(connection: ClientConnection): void {
    for (const member of this.#members) {
      if (member.connection !== connection) continue;
      member.reserve();
      if (this.#reserving.push(member) === 1) this.#clock.endOfTurn(() => this.#releaseReservations());
      return;
    }
  }

  #releaseReservations(): void {
    const members = this.#reserving;
    this.#reserving = [];
    for (const member of members) {
      member.release();
      this.memberHasCapacity(member);
    }
  }

  #sweepLater(): Timer {
    return outsideContext(() => this.#clock.after(this.#limits.idleTimeoutMs / 4, () => this.#sweep()));
  }

  #sweep(): void {
    const nowMs = this.#clock.now();
    for (const member of this.#members) {
      const isInUse = member.isActive || (member.connection?.activeExchanges ?? 0) > 0;
      member.idleSweeps = isInUse ? 0 : member.idleSweeps + 1;
      member.isActive = false;
      if (member.idleSweeps >= 4 || nowMs >= member.retireAtMs) this.#retire(member);
    }
    this.#sweepTimer = this.#members.size > 0 ? this.#sweepLater() : undefined;
  }

  #retire(member: PoolMember): void {
    if (member.isRetired) return;
    member.isRetired = true;
    member.connection?.drain();
  }

  #shut(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#retryTimer?.cancel();
    this.#sweepTimer?.cancel();
    const closed = new ExchangeError("draining", `the connection pool of ${this.#name} is closed`, {
      unprocessed: true,
    });
    for (const attempt of this.#connecting) attempt.abort(closed);
    this.#failWaiters(closed);
  }
}
