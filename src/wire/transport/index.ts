/**
 * Where bytes meet protocols: the listener (one port for HTTP/1.1, HTTP/2 and TLS), the client's pool of connections to
 * one endpoint, and the in-memory network. May import `platform` and the other folders of `wire`. Start at `listener.ts`
 * and `pool.ts`; how the protocol of a connection is found is in `accepted-connection.ts`.
 */
export type {
  ConnectionAccepted,
  ConnectionEnded,
  ConnectionRefused,
  PoolConnected,
  PoolConnectFailed,
  PoolDisconnected,
  RefusalReason,
} from "./events.ts";
export { drainTimeoutMs, type ListenerLimits, listenerLimits, type PoolLimits, poolLimits } from "./limits.ts";
export { listen } from "./listen.ts";
export type { Listener, ListenerOptions } from "./listener.ts";
export { memoryPlatform } from "./memory.ts";
export { type OpenPoolOptions, openPool } from "./open-pool.ts";
export {
  type AcquireOptions,
  ConnectionPool,
  type ConnectionWaiter,
  type PoolEndpoint,
  type PoolOptions,
  type ProtocolPreference,
} from "./pool.ts";
export type { ClientProtocols, Keepalive, ProtocolOptions, ServerProtocols } from "./protocols.ts";
