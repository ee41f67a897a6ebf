/**
 * The network as the rest of the code sees it: byte streams that are pushed at their owner, in chunks, with explicit
 * back-pressure. Node's sockets, the in-memory pair and the simulated network implement it.
 */

/** What the owner of a byte stream is told. Chunks belong to the stream: they are valid until the call returns. */
export interface ByteStreamHandler {
  /** Bytes came. The view is valid only during the call; copy what must stay. */
  data(chunk: Buffer): void;
  /** The output buffer has fallen below its low mark after a `write` answered `false`. */
  drained(): void;
  /** The peer will send no more (FIN); the other direction is still open. */
  ended(): void;
  /** Both directions are over, once, always last. `error` is absent after an orderly end. */
  closed(error?: Error): void;
}

export interface PeerCertificate {
  /** Subject as RFC 4514-like text, for example `CN=orders,O=Example`. */
  readonly subject: string;
  /** Subject alternative names, for example `["DNS:orders", "URI:spiffe://example/orders"]`. */
  readonly subjectAltNames: readonly string[];
  /** SHA-256 of the certificate, lower-case hex. */
  readonly fingerprint256: string;
  readonly raw: Uint8Array;
}

export interface TlsState {
  /** The protocol that ALPN chose, or `undefined` when the peer offered none. */
  readonly alpn: string | undefined;
  readonly serverName: string | undefined;
  readonly version: string;
  /** The peer's certificate when it sent one and it was verified. */
  readonly peerCertificate: PeerCertificate | undefined;
}

export interface ByteStream {
  /** Set by the owner before this turn of the event loop ends. */
  handler: ByteStreamHandler;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localPort: number;
  /** Set once the handshake is done, `undefined` on plain streams. */
  readonly tls: TlsState | undefined;
  /** Bytes accepted by `write` that have not left this process. */
  readonly bufferedBytes: number;
  /** Hands bytes over; they must not change afterwards. `false`: stop until `drained`. */
  write(chunk: Uint8Array): boolean;
  /** Like several writes, in one system call where there is one. */
  writeAll(chunks: readonly Uint8Array[]): boolean;
  /**
   * Stops and resumes `data`. While a system socket is paused and nothing is being written, a reset by its peer shows
   * only after `resume`.
   */
  pause(): void;
  resume(): void;
  /** Whether the process goes on for this stream alone; to begin with it does. */
  holdProcess(holds: boolean): void;
  /** Sends FIN after everything written. */
  end(): void;
  /** Ends both directions at once, without waiting for what is buffered. */
  destroy(error?: Error): void;
}

export interface TlsServerOptions {
  /** PEM: certificate chain. */
  readonly cert: string | Uint8Array;
  /** PEM: private key. */
  readonly key: string | Uint8Array;
  /** PEM: when given, a client must show a certificate signed by one of these (see `clientAuth`). */
  readonly clientCa?: string | Uint8Array | undefined;
  /** @default "require" when `clientCa` is given */
  readonly clientAuth?: "require" | "request" | undefined;
  /** @default "TLSv1.2" */
  readonly minVersion?: "TLSv1.2" | "TLSv1.3" | undefined;
}

export interface TlsClientOptions {
  /** PEM: trusted roots instead of the system's. */
  readonly ca?: string | Uint8Array | undefined;
  /** PEM: certificate and key that the client shows when asked. */
  readonly cert?: string | Uint8Array | undefined;
  readonly key?: string | Uint8Array | undefined;
  /** Name for SNI and verification. @default the host of the target */
  readonly serverName?: string | undefined;
  /** `false` accepts any certificate; only for tests. @default true */
  readonly verify?: boolean | undefined;
}

/** Server-side TLS settings that can be exchanged while connections go on. */
export interface TlsServerContext {
  /** New handshakes use the new certificates. Throws, and keeps the old ones, when they do not load. */
  reload(options: TlsServerOptions): void;
}

export interface ListenOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Connections waiting in the kernel. @default 511 */
  readonly backlog?: number | undefined;
  /** Several processes may listen on one port (SO_REUSEPORT). @default false */
  readonly reusePort?: boolean | undefined;
}

export interface Listening {
  readonly host: string;
  readonly port: number;
  /** Stops accepting; open connections go on. */
  close(): Promise<void>;
}

export interface ConnectOptions {
  /** A name or an IP literal; names are tried with happy eyeballs. */
  readonly host: string;
  readonly port: number;
  /** @default 10_000 */
  readonly timeoutMs?: number | undefined;
  readonly tls?: (TlsClientOptions & { readonly alpn: readonly string[] }) | undefined;
}

/** An address that a name stands for. */
export interface ResolvedAddress {
  readonly address: string;
  readonly family: 4 | 6;
}

/** An address record (A, AAAA) with the time that it may be kept. */
export interface AddressRecord {
  readonly address: string;
  readonly ttlSeconds: number;
}

/** A service record (RFC 2782). Node does not show its time to live. */
export interface ServiceRecord {
  readonly name: string;
  readonly port: number;
  readonly priority: number;
  readonly weight: number;
}

/**
 * Why a DNS query has no answer. `not_found`: the name does not exist, or has no records of that type (NXDOMAIN, NODATA);
 * everything else may pass.
 */
export type DnsFailureReason = "not_found" | "server_failure" | "refused" | "timeout" | "unreachable" | "malformed";

export class DnsError extends Error {
  override readonly name = "DnsError";
  readonly reason: DnsFailureReason;
  constructor(reason: DnsFailureReason, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.reason = reason;
  }
}

export interface DnsOptions {
  /** `address` or `address:port` of the servers to ask. @default those of the machine (/etc/resolv.conf) */
  readonly servers?: readonly string[] | undefined;
  /** For one attempt; there are two. @default 2_000 */
  readonly timeoutMs?: number | undefined;
}

/** Asks DNS servers themselves, for the time to live. Every rejection is a {@link DnsError}. */
export interface DnsClient {
  resolveAddresses(name: string, family: 4 | 6): Promise<readonly AddressRecord[]>;
  resolveServices(name: string): Promise<readonly ServiceRecord[]>;
  /** The addresses of a name in the machine's own table (/etc/hosts), which goes before DNS; empty when it has none. */
  hosts(name: string): Promise<readonly string[]>;
  /** Ends running queries; they reject. */
  close(): void;
}

export interface Network {
  /** @throws (rejects) an Error whose message names host and port, with the system's error as `cause` (EADDRINUSE …). */
  listen(options: ListenOptions, onConnection: (stream: ByteStream) => void): Promise<Listening>;
  /** Resolves when the stream can be used, after the TLS handshake if one was asked for. */
  connect(options: ConnectOptions, signal?: AbortSignal): Promise<ByteStream>;
  /** The addresses of a name, in the system's order; IP literals stand for themselves. Rejects when there is none. */
  lookup(host: string): Promise<readonly ResolvedAddress[]>;
  /** @throws TypeError when a server is not an address */
  dns(options?: DnsOptions): DnsClient;
  tlsServerContext(options: TlsServerOptions & { readonly alpn: readonly string[] }): TlsServerContext;
  /**
   * Runs the server's side of a TLS handshake on an accepted stream whose first bytes were read already. Resolves with
   * the secure stream (its `tls` is set); rejects when the handshake fails or takes longer than `timeoutMs`.
   */
  secure(stream: ByteStream, firstBytes: Buffer, context: TlsServerContext, timeoutMs: number): Promise<ByteStream>;
}
