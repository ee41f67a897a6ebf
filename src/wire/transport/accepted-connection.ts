import type {
  ByteStream,
  ByteStreamHandler,
  Clock,
  Network,
  Observer,
  Timer,
  TlsServerContext,
} from "../../platform/index.ts";
import type { ServerConnection, ServerConnectionHandler, ServerExchange } from "../exchange.ts";
import type { ConnectionAccepted, ConnectionEnded, ConnectionRefused, RefusalReason } from "./events.ts";
import { judgeFirstBytes } from "./first-bytes.ts";
import type { ListenerLimits } from "./limits.ts";
import type { ServerProtocols } from "./protocols.ts";
import { plainHttp1Answer, plainHttp2Answer, tlsAnswer } from "./wrong-protocol.ts";

/** What a connection needs of its listener. */
export interface ConnectionOwner {
  readonly clock: Clock;
  readonly network: Network;
  readonly observer: Observer;
  readonly limits: ListenerLimits;
  readonly protocols: ServerProtocols;
  readonly tlsContext: TlsServerContext | undefined;
  readonly allowPlaintext: boolean;
  readonly handleRequest: (exchange: ServerExchange) => void;
  forget(connection: AcceptedConnection): void;
}

/**
 * A connection from its acceptance to its end: reads until the protocol is known, puts TLS in between where it was asked
 * for, then hands the stream to HTTP/1.1 or HTTP/2 and only watches whether it is in use.
 *
 *     undecided → securing → serving → closed
 *         ├────────────────────┘
 *         └→ refusing → closed
 */
export class AcceptedConnection implements ByteStreamHandler, ServerConnectionHandler {
  readonly remoteAddress: string;
  readonly #owner: ConnectionOwner;
  #stream: ByteStream;
  #state: "undecided" | "securing" | "serving" | "refusing" | "closed" = "undecided";
  #connection: ServerConnection | undefined;
  #timer: Timer | undefined;
  /** What was read while undecided. */
  #held: Buffer | undefined;
  #requests = 0;
  #requestsAtSweep = 0;
  #idleSweeps = 0;

  constructor(owner: ConnectionOwner, stream: ByteStream) {
    this.#owner = owner;
    this.#stream = stream;
    this.remoteAddress = stream.remoteAddress;
    stream.handler = this;
    this.#timer = owner.clock.after(owner.limits.firstBytesTimeoutMs, () => {
      this.#report("no_first_bytes");
      this.destroy();
    });
  }

  data(chunk: Buffer): void {
    if (this.#state !== "undecided") return;
    const bytes = this.#held === undefined ? chunk : Buffer.concat([this.#held, chunk]);
    const verdict = judgeFirstBytes(bytes);
    const { tlsContext, allowPlaintext } = this.#owner;
    if (verdict === "undecided") {
      this.#held = this.#held === undefined ? Buffer.from(bytes) : bytes;
      return;
    }
    this.#timer?.cancel();
    if (verdict === "tls") {
      if (tlsContext === undefined) this.#refuse("tls_on_plaintext_port", tlsAnswer);
      else void this.#secure(bytes, tlsContext);
    } else if (tlsContext !== undefined && !allowPlaintext) {
      this.#refuse("plaintext_on_tls_port", verdict === "http2" ? plainHttp2Answer : plainHttp1Answer);
    } else this.#serve(verdict === "http2" ? 2 : 1, bytes);
  }

  drained(): void {}

  ended(): void {
    // Nothing can come of a connection that ends before it has begun.
    if (this.#state === "undecided" || this.#state === "refusing") this.destroy();
  }

  /** Called by the stream before there is a protocol, by the protocol's connection afterwards. */
  closed(error?: Error): void {
    if (this.#state === "closed") return;
    const wasServing = this.#state === "serving";
    this.#state = "closed";
    this.#timer?.cancel();
    this.#owner.forget(this);
    if (wasServing) {
      const { remoteAddress } = this;
      const event: ConnectionEnded = { type: "listener.connection.closed", remoteAddress, error };
      this.#owner.observer.emit(event);
    }
  }

  request(exchange: ServerExchange): void {
    this.#requests++;
    this.#owner.handleRequest(exchange);
  }

  get isServing(): boolean {
    return this.#state === "serving";
  }

  /** Counts sweeps without a request; drains after four. The listener sweeps every quarter of the idle time. */
  sweep(): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    const isIdle = connection.activeExchanges === 0 && this.#requests === this.#requestsAtSweep;
    this.#requestsAtSweep = this.#requests;
    this.#idleSweeps = isIdle ? this.#idleSweeps + 1 : 0;
    if (this.#idleSweeps === 4) connection.drain();
    // A peer that ignores the farewell does not keep the connection.
    if (this.#idleSweeps === 5) connection.destroy();
  }

  /** Lets running requests finish; a connection without a protocol has none. */
  drain(): void {
    if (this.#connection === undefined) this.destroy();
    else this.#connection.drain();
  }

  destroy(): void {
    if (this.#connection !== undefined) this.#connection.destroy();
    else this.#stream.destroy();
    // A stream that is being secured is told by its handshake's failure, the others by themselves, in a moment.
  }

  async #secure(firstBytes: Buffer, context: TlsServerContext): Promise<void> {
    this.#state = "securing";
    const { network, limits } = this.#owner;
    try {
      this.#stream = await network.secure(this.#stream, firstBytes, context, limits.tlsHandshakeTimeoutMs);
    } catch (error) {
      this.#report("tls_handshake_failed", error as Error);
      this.closed(error as Error);
      return;
    }
    this.#serve(this.#stream.tls?.alpn === "h2" ? 2 : 1);
  }

  #serve(httpVersion: 1 | 2, firstBytes?: Buffer): void {
    const { observer, protocols } = this.#owner;
    this.#state = "serving";
    this.#held = undefined;
    const isSecure = this.#stream.tls !== undefined;
    const { remoteAddress } = this;
    const event: ConnectionAccepted = { type: "listener.connection.accepted", remoteAddress, httpVersion, isSecure };
    observer.emit(event);
    const start = httpVersion === 2 ? protocols.http2 : protocols.http1;
    this.#connection = start(this.#stream, this, firstBytes);
  }

  #refuse(reason: RefusalReason, answer: Buffer): void {
    this.#state = "refusing";
    this.#report(reason);
    this.#stream.write(answer);
    this.#stream.end();
    // Closing at once could turn into a reset that overtakes the answer (RFC 9112, section 9.6).
    this.#timer = this.#owner.clock.after(this.#owner.limits.refusalLingerMs, () => this.#stream.destroy());
  }

  #report(reason: RefusalReason, error?: Error): void {
    const { remoteAddress } = this;
    const event: ConnectionRefused = { type: "listener.connection.refused", reason, remoteAddress, error };
    this.#owner.observer.emit(event);
  }
}
