import type { ObservedEvent } from "../../platform/index.ts";

/** A connection that was closed before it had a protocol. */
export interface ConnectionRefused extends ObservedEvent {
  readonly type: "listener.connection.refused";
  readonly reason: RefusalReason;
  readonly remoteAddress: string;
  readonly error?: Error | undefined;
}

export type RefusalReason =
  | "too_many_connections"
  | "too_many_connections_of_address"
  | "no_first_bytes"
  | "tls_handshake_failed"
  | "tls_on_plaintext_port"
  | "plaintext_on_tls_port";

/** A connection whose protocol is known. */
export interface ConnectionAccepted extends ObservedEvent {
  readonly type: "listener.connection.accepted";
  readonly remoteAddress: string;
  readonly httpVersion: 1 | 2;
  readonly isSecure: boolean;
}

export interface ConnectionEnded extends ObservedEvent {
  readonly type: "listener.connection.closed";
  readonly remoteAddress: string;
  readonly error: Error | undefined;
}

/** A pool has made a connection. */
export interface PoolConnected extends ObservedEvent {
  readonly type: "pool.connected";
  readonly endpoint: string;
  readonly httpVersion: 1 | 2;
}

/** A pool could not make a connection; it pauses for `retryAfterMs`. */
export interface PoolConnectFailed extends ObservedEvent {
  readonly type: "pool.connect_failed";
  readonly endpoint: string;
  readonly error: Error;
  readonly retryAfterMs: number;
}

export interface PoolDisconnected extends ObservedEvent {
  readonly type: "pool.disconnected";
  readonly endpoint: string;
  readonly error: Error | undefined;
}
