import type { ByteStream, Clock, Observer, Random } from "../../platform/index.ts";
import type {
  ClientConnection,
  ClientConnectionHandler,
  ServerConnection,
  ServerConnectionHandler,
} from "../exchange.ts";
import { Http1ClientConnection, type Http1Limits, Http1ServerConnection } from "../http1/index.ts";
import { Http2ClientConnection, type Http2Limits, Http2ServerConnection } from "../http2/index.ts";

/** Starts a server's connection on a stream. `firstBytes` were read already and are valid only during the call. */
export type StartServerConnection = (
  stream: ByteStream,
  handler: ServerConnectionHandler,
  firstBytes?: Buffer,
) => ServerConnection;

export interface ServerProtocols {
  readonly http1: StartServerConnection;
  readonly http2: StartServerConnection;
}

/** Starts a client's connection on a stream. */
export type StartClientConnection = (stream: ByteStream, handler: ClientConnectionHandler) => ClientConnection;

export interface ClientProtocols {
  readonly http1: StartClientConnection;
  readonly http2: StartClientConnection;
}

export interface ProtocolOptions {
  readonly http1?: Partial<Http1Limits> | undefined;
  readonly http2?: Partial<Http2Limits> | undefined;
}

export function serverProtocols(clock: Clock, observer: Observer, options: ProtocolOptions): ServerProtocols {
  const { http1 = {}, http2 = {} } = options;
  const scheme = (stream: ByteStream) => (stream.tls === undefined ? "http" : "https");
  return {
    http1(stream, handler, firstBytes) {
      const connection = new Http1ServerConnection({
        stream,
        clock,
        observer,
        handler,
        limits: http1,
        scheme: scheme(stream),
      });
      stream.handler = connection;
      connection.start(firstBytes);
      return connection;
    },
    http2(stream, handler, firstBytes) {
      const connection = new Http2ServerConnection({
        stream,
        clock,
        observer,
        handler,
        limits: http2,
        scheme: scheme(stream),
      });
      stream.handler = connection;
      connection.start(firstBytes);
      return connection;
    },
  };
}

/** When HTTP/2 connections ask whether their peer is still there. */
export interface Keepalive {
  /** Silence with requests pending, before a ping. @default 10_000 */
  readonly silenceMs: number;
  /** For the answer; without it the connection is lost. @default 5_000 */
  readonly timeoutMs: number;
}

export const defaultKeepalive: Keepalive = { silenceMs: 10_000, timeoutMs: 5_000 };

export function clientProtocols(
  clock: Clock,
  random: Random,
  observer: Observer,
  options: ProtocolOptions & { readonly keepalive?: Keepalive | undefined },
): ClientProtocols {
  const { http1 = {}, http2 = {}, keepalive = defaultKeepalive } = options;
  return {
    http1(stream, handler) {
      const connection = new Http1ClientConnection({ stream, clock, observer, handler, limits: http1 });
      stream.handler = connection;
      connection.start();
      return connection;
    },
    http2(stream, handler) {
      const connection = new Http2ClientConnection({
        stream,
        clock,
        observer,
        random,
        handler,
        limits: http2,
        keepalive,
      });
      stream.handler = connection;
      connection.start();
      return connection;
    },
  };
}
