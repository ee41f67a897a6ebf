import type { Observer, Platform, TlsClientOptions } from "../../platform/index.ts";
import { silentObserver, systemPlatform } from "../../platform/index.ts";
import { type ConnectionPool, HeaderField, openPool } from "../../wire/index.ts";
import { parseTarget } from "./target.ts";

/** What a channel speaks. gRPC needs HTTP/2; the others work with every version and through proxies. */
export type ClientProtocol = "grpc" | "grpc-web" | "connect";

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
  readonly platform?: Platform | undefined;
  readonly observer?: Observer | undefined;
}

const poolProtocols = { auto: "auto", "1.1": "http1", "2": "http2" } as const;

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
  readonly protocol: ClientProtocol;
  readonly platform: Platform;
  readonly scheme: HeaderField;
  readonly #endpoints: readonly Endpoint[];
  #next = 0;

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
    this.scheme = new HeaderField(":scheme", tls === undefined ? "http" : "https");
    this.#endpoints = parseTarget(target).map(({ host, port }) => ({
      authority: new HeaderField(":authority", host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`),
      pool: openPool({ host, port, protocol: poolProtocols[httpVersion], tls, platform, observer }),
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
