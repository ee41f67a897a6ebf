import { silentObserver, systemPlatform } from "../../platform/index.ts";
import { ConnectionPool, type PoolOptions } from "./pool.ts";
import { clientProtocols, type Keepalive, type ProtocolOptions } from "./protocols.ts";

export interface OpenPoolOptions extends PoolOptions, ProtocolOptions {
  /** @default { silenceMs: 10_000, timeoutMs: 5_000 } */
  readonly keepalive?: Keepalive | undefined;
}

/** A pool of HTTP/1.1 and HTTP/2 connections to one endpoint. Connects when it is used. */
export function openPool(options: OpenPoolOptions): ConnectionPool {
  const { platform = systemPlatform, observer = silentObserver } = options;
  return new ConnectionPool(options, clientProtocols(platform.clock, platform.random, observer, options));
}
