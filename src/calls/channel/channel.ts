import type { Observer, Platform, TlsClientOptions } from "../../platform/index.ts";
import { silentObserver, systemPlatform } from "../../platform/index.ts";
import { type ConnectionPool, HeaderField, openPool } from "../../wire/index.ts";
import { parseTarget } from "./target.ts";

export interface ChannelOptions {
  /** Speak TLS, with these roots and this certificate. */
  readonly tls?: TlsClientOptions | undefined;
  readonly platform?: Platform | undefined;
  readonly observer?: Observer | undefined;
}

/** An address of the target with its connections. */
export interface Endpoint {
  readonly authority: HeaderField;
  readonly pool: ConnectionPool;
}

/**
 * The way of every outgoing call: target → endpoint → connection. Several clients may share one. Connects when it is
 * first used; endpoints take turns, those that cannot be reached are passed over.
 */
export class Channel implements AsyncDisposable {
  readonly target: string;
  readonly platform: Platform;
  readonly scheme: HeaderField;
  readonly #endpoints: readonly Endpoint[];
  #next = 0;

  /** @throws TypeError for a target that does not parse */
  constructor(target: string, options: ChannelOptions = {}) {
    const { platform = systemPlatform, observer = silentObserver, tls } = options;
    this.target = target;
    this.platform = platform;
    this.scheme = new HeaderField(":scheme", tls === undefined ? "http" : "https");
    this.#endpoints = parseTarget(target).map(({ host, port }) => ({
      authority: new HeaderField(":authority", host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`),
      pool: openPool({ host, port, protocol: "http2", tls, platform, observer }),
    }));
  }

  /** The endpoint for the next call. */
  pick(): Endpoint {
    const endpoints = this.#endpoints;
    for (let tries = 0; tries < endpoints.length; tries++) {
      const endpoint = endpoints[this.#next++ % endpoints.length] as Endpoint; // a target has at least one
      if (!endpoint.pool.isBackingOff) return endpoint;
    }
    return endpoints[this.#next % endpoints.length] as Endpoint;
  }

  /** Lets running calls finish, then closes the connections. */
  async drain(): Promise<void> {
    await Promise.all(this.#endpoints.map(({ pool }) => pool.drain()));
  }

  /** Ends all connections and the calls on them. */
  close(): void {
    for (const { pool } of this.#endpoints) pool.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.drain();
  }
}

/** A channel to a target, for one or several clients. @throws TypeError for a target that does not parse */
export function createChannel(target: string, options?: ChannelOptions): Channel {
  return new Channel(target, options);
}
