/** Limits and defaults of listeners and pools, each with its unit and reason. */

export interface ListenerLimits {
  /** Open connections of one listener; one more is closed at once. @default 10_000 */
  readonly connectionsMax: number;
  /**
   * Open connections of one client address (an IPv6 /64 counts as one: it belongs to one subscriber). A browser has 6
   * per host, a proxy some hundreds. Loopback addresses are exempt: they are sidecars and proxies of this machine.
   * @default 1_000
   */
  readonly connectionsPerAddressMax: number;
  /** From accepting a connection to knowing its protocol. @default 10_000 */
  readonly firstBytesTimeoutMs: number;
  /** For the TLS handshake. @default 10_000 */
  readonly tlsHandshakeTimeoutMs: number;
  /** A connection without requests is drained after this time, up to a quarter later. @default 300_000 */
  readonly idleTimeoutMs: number;
  /** What a refused connection has to read its answer and to close. @default 1_000 */
  readonly refusalLingerMs: number;
}

export const listenerLimits: ListenerLimits = {
  connectionsMax: 10_000,
  connectionsPerAddressMax: 1_000,
  firstBytesTimeoutMs: 10_000,
  tlsHandshakeTimeoutMs: 10_000,
  idleTimeoutMs: 300_000,
  refusalLingerMs: 1_000,
};

/** Time for running requests when a listener is drained; Kubernetes allows 30 s in all. */
export const drainTimeoutMs = 25_000;

export interface PoolLimits {
  /** Connections of HTTP/1.1, which take one request at a time. @default 256 */
  readonly http1ConnectionsMax: number;
  /** Connections of HTTP/2; further ones are made when the peer's MAX_CONCURRENT_STREAMS is reached. @default 4 */
  readonly http2ConnectionsMax: number;
  /** Requests that wait for a connection; one more fails at once. @default 1_024 */
  readonly waitingMax: number;
  /** For a connection attempt with its TLS handshake. @default 10_000 */
  readonly connectTimeoutMs: number;
  /** A connection without requests is closed after this time, up to a quarter later. @default 300_000 */
  readonly idleTimeoutMs: number;
  /**
   * A connection takes no more requests at this age, give or take a tenth, so that load finds new servers behind a
   * balancer. @default 1_800_000
   */
  readonly ageMaxMs: number;
  /** Pause after the first failed connection attempt; doubles with each further one, with full jitter above half. @default 50 */
  readonly backOffMinMs: number;
  /** @default 5_000 */
  readonly backOffMaxMs: number;
}

export const poolLimits: PoolLimits = {
  http1ConnectionsMax: 256,
  http2ConnectionsMax: 4,
  waitingMax: 1_024,
  connectTimeoutMs: 10_000,
  idleTimeoutMs: 300_000,
  ageMaxMs: 1_800_000,
  backOffMinMs: 50,
  backOffMaxMs: 5_000,
};
