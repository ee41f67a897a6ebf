import type { ByteStream } from "../../platform/index.ts";
import {
  type Clock,
  type Listening,
  type Network,
  type Observer,
  outsideContext,
  type Platform,
  silentObserver,
  systemPlatform,
  type Timer,
  type TlsServerContext,
  type TlsServerOptions,
} from "../../platform/index.ts";
import type { ServerExchange } from "../exchange.ts";
import { AcceptedConnection, type ConnectionOwner } from "./accepted-connection.ts";
import { AddressCounts } from "./address-counts.ts";
import type { ConnectionRefused, RefusalReason } from "./events.ts";
import { drainTimeoutMs, type ListenerLimits, listenerLimits } from "./limits.ts";
import type { ProtocolOptions, ServerProtocols } from "./protocols.ts";

export interface ListenerOptions extends ProtocolOptions {
  /** Called for every request, of both HTTP versions. Sets `exchange.receiver` before it returns. */
  readonly handler: (exchange: ServerExchange) => void;
  /** @default "::", all addresses of both families; "0.0.0.0" on machines without IPv6 */
  readonly host?: string | undefined;
  /** 0: any free port. */
  readonly port: number;
  /** With it the port speaks TLS; see `allowPlaintext`. */
  readonly tls?: TlsServerOptions | undefined;
  /** Accept connections without TLS beside those with it. @default false */
  readonly allowPlaintext?: boolean | undefined;
  readonly limits?: Partial<ListenerLimits> | undefined;
  readonly backlog?: number | undefined;
  readonly reusePort?: boolean | undefined;
  /** @default systemPlatform */
  readonly platform?: Platform | undefined;
  readonly observer?: Observer | undefined;
}

/** ALPN names of what a listener speaks, in its order of preference. */
const alpn: readonly string[] = ["h2", "http/1.1"];

/** A port that speaks HTTP/1.1 and HTTP/2, in plain or over TLS: the first bytes of a connection decide. */
export class Listener {
  readonly #clock: Clock;
  readonly #network: Network;
  readonly #observer: Observer;
  readonly #limits: ListenerLimits;
  readonly #tlsContext: TlsServerContext | undefined;
  readonly #owner: ConnectionOwner;
  readonly #connections = new Set<AcceptedConnection>();
  readonly #addresses = new AddressCounts();
  #listening: Listening | undefined;
  #sweepTimer: Timer | undefined;
  #isStopping = false;
  #onEmpty: (() => void) | undefined;

  constructor(options: ListenerOptions, protocols: ServerProtocols) {
    const { platform = systemPlatform, observer = silentObserver, tls } = options;
    this.#clock = platform.clock;
    this.#network = platform.network;
    this.#observer = observer;
    this.#limits = { ...listenerLimits, ...options.limits };
    this.#tlsContext = tls === undefined ? undefined : platform.network.tlsServerContext({ ...tls, alpn });
    this.#owner = {
      clock: platform.clock,
      network: platform.network,
      observer,
      limits: this.#limits,
      protocols,
      tlsContext: this.#tlsContext,
      allowPlaintext: options.allowPlaintext ?? false,
      handleRequest: options.handler,
      forget: connection => this.#forget(connection),
    };
  }

  /** The address in use. */
  get host(): string {
    return this.#listening?.host ?? "";
  }

  /** The port in use. */
  get port(): number {
    return this.#listening?.port ?? 0;
  }

  /** Number of open connections. */
  get connections(): number {
    return this.#connections.size;
  }

  /** @throws (rejects) an Error that names host, port and the option to change */
  async open(options: ListenerOptions): Promise<void> {
    const { host, port, backlog, reusePort } = options;
    const listenOn = (address: string) =>
      this.#network.listen({ host: address, port, backlog, reusePort }, stream => this.#accept(stream));
    try {
      this.#listening = await listenOn(host ?? "::").catch(error => {
        const { code } = (error as Error).cause as NodeJS.ErrnoException;
        if (host !== undefined || (code !== "EAFNOSUPPORT" && code !== "EADDRNOTAVAIL")) throw error;
        return listenOn("0.0.0.0");
      });
    } catch (error) {
      const { cause, message } = error as Error & { cause?: NodeJS.ErrnoException };
      if (cause?.code !== "EADDRINUSE") throw error;
      throw new Error(`${message}; choose another with the option \`port\`, or 0 for any free one`, { cause });
    }
    this.#sweepLater();
  }

  /** New handshakes use these certificates. @throws and keeps the old ones when they do not load, or without `tls` */
  reloadTls(options: TlsServerOptions): void {
    if (this.#tlsContext === undefined) throw new Error("this listener was opened without the option `tls`");
    this.#tlsContext.reload(options);
  }

  /**
   * Stops accepting, lets running requests finish, and ends what is left after `timeoutMs`. Resolves, when everything
   * is over, with the number of connections that had to be ended.
   */
  async drain(timeoutMs = drainTimeoutMs): Promise<number> {
    await this.#stop();
    for (const connection of this.#connections) connection.drain();
    let ended = 0;
    const timer = outsideContext(() =>
      this.#clock.after(timeoutMs, () => {
        ended = this.#connections.size;
        for (const connection of this.#connections) connection.destroy();
      }),
    );
    await this.#whenEmpty();
    timer.cancel();
    return ended;
  }

  /** Stops accepting and ends every connection now. */
  async close(): Promise<void> {
    await this.#stop();
    for (const connection of this.#connections) connection.destroy();
    await this.#whenEmpty();
  }

  async #stop(): Promise<void> {
    this.#isStopping = true;
    this.#sweepTimer?.cancel();
    await this.#listening?.close();
  }

  #whenEmpty(): Promise<void> {
    if (this.#connections.size === 0) return Promise.resolve();
    const before = this.#onEmpty;
    return new Promise(resolve => {
      this.#onEmpty = () => {
        before?.();
        resolve();
      };
    });
  }

  #accept(stream: ByteStream): void {
    const { connectionsMax, connectionsPerAddressMax } = this.#limits;
    if (this.#isStopping) stream.destroy();
    else if (this.#connections.size >= connectionsMax) this.#turnAway(stream, "too_many_connections");
    else if (!this.#addresses.tryAdd(stream.remoteAddress, connectionsPerAddressMax)) {
      this.#turnAway(stream, "too_many_connections_of_address");
    } else this.#connections.add(new AcceptedConnection(this.#owner, stream));
  }

  #turnAway(stream: ByteStream, reason: RefusalReason): void {
    const { remoteAddress } = stream;
    const event: ConnectionRefused = { type: "listener.connection.refused", reason, remoteAddress };
    this.#observer.emit(event);
    stream.handler = { data() {}, drained() {}, ended() {}, closed() {} };
    stream.destroy();
  }

  #forget(connection: AcceptedConnection): void {
    if (!this.#connections.delete(connection)) return;
    this.#addresses.remove(connection.remoteAddress);
    if (this.#connections.size === 0) {
      this.#onEmpty?.();
      this.#onEmpty = undefined;
    }
  }

  #sweepLater(): void {
    this.#sweepTimer = outsideContext(() =>
      this.#clock.after(this.#limits.idleTimeoutMs / 4, () => {
        for (const connection of this.#connections) connection.sweep();
        this.#sweepLater();
      }),
    );
  }
}
