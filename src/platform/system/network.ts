import { lookup } from "node:dns/promises";
import { connect as connectSocket, createServer, type Socket, type SocketConstructorOpts } from "node:net";
import { outsideContext } from "../context.ts";
import { hostAndPort } from "../host-and-port.ts";
import { connectTimeoutMs, listenBacklog, tcpKeepaliveMs } from "../limits.ts";
import type {
  ByteStream,
  ConnectOptions,
  Listening,
  ListenOptions,
  Network,
  ResolvedAddress,
  TlsServerContext,
  TlsServerOptions,
} from "../network.ts";
import { acceptedStream, SocketByteStream, sharedBufferReading } from "./byte-stream.ts";
import { systemClock } from "./clock.ts";
import { systemDns } from "./dns.ts";
import { connectTls } from "./tls-client.ts";
import { SystemTlsContext, secureAccepted } from "./tls-server.ts";

function listenFailure(options: ListenOptions, cause: NodeJS.ErrnoException): Error {
  const at = hostAndPort(options.host, options.port);
  const reason =
    cause.code === "EADDRINUSE"
      ? "the port is taken by another process or server"
      : cause.code === "EACCES"
        ? "the process may not use this port (ports below 1024 need a privilege)"
        : cause.code === "EADDRNOTAVAIL"
          ? "this machine has no such address"
          : cause.message;
  return new Error(`cannot listen on ${at}: ${reason}`, { cause });
}

function listen(options: ListenOptions, onConnection: (stream: ByteStream) => void): Promise<Listening> {
  const { promise, resolve, reject } = Promise.withResolvers<Listening>();
  outsideContext(() => {
    const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true });
    server.on("connection", socket => {
      socket.setKeepAlive(true, tcpKeepaliveMs);
      onConnection(acceptedStream(socket));
    });
    server.once("error", (error: NodeJS.ErrnoException) => reject(listenFailure(options, error)));
    server.listen(
      {
        host: options.host,
        port: options.port,
        backlog: options.backlog ?? listenBacklog,
        reusePort: options.reusePort ?? false,
        exclusive: options.reusePort ?? false,
      },
      () => {
        const address = server.address();
        // Running out of file descriptors while accepting is reported by Node as an error of the server; the
        // connection is lost, the server goes on.
        server.on("error", () => {});
        if (address === null || typeof address === "string") reject(new Error("the server has no TCP address"));
        else resolve({ host: address.address, port: address.port, close: async () => void server.close() });
      },
    );
  });
  return promise;
}

function connectFailure(options: ConnectOptions, cause: unknown): Error {
  const reason = cause instanceof AggregateError ? (cause.errors[0] as unknown) : cause;
  const code = (reason as NodeJS.ErrnoException | undefined)?.code;
  const at = hostAndPort(options.host, options.port);
  const text =
    code === "ECONNREFUSED"
      ? "connection refused: nothing listens there"
      : code === "ENOTFOUND"
        ? "the host name is not known"
        : reason instanceof Error
          ? reason.message
          : String(reason);
  return new Error(`cannot connect to ${at}: ${text}`, { cause });
}

async function connect(options: ConnectOptions, signal?: AbortSignal): Promise<ByteStream> {
  signal?.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<ByteStream>();
  const fail = (cause: unknown) => reject(connectFailure(options, cause));
  const socket = outsideContext(() =>
    options.tls === undefined ? connectPlain(options, resolve, fail) : connectTls(options, options.tls, resolve, fail),
  );
  const timeoutMs = options.timeoutMs ?? connectTimeoutMs;
  const timer = systemClock.after(timeoutMs, () => {
    const step = options.tls === undefined ? "no connection" : "no connection with a finished TLS handshake";
    fail(new Error(`${step} within ${timeoutMs} ms`));
    socket.destroy();
  });
  const abort = () => {
    reject(signal?.reason);
    socket.destroy();
  };
  signal?.addEventListener("abort", abort, { once: true });
  try {
    return await promise;
  } finally {
    timer.cancel();
    signal?.removeEventListener("abort", abort);
  }
}

function connectPlain(
  { host, port }: ConnectOptions,
  connected: (stream: ByteStream) => void,
  fail: (cause: unknown) => void,
): Socket {
  let stream: SocketByteStream | undefined;
  const onread = sharedBufferReading(chunk => stream?.received(chunk));
  const tuning: SocketConstructorOpts = { onread, allowHalfOpen: true };
  const socket = connectSocket({ ...tuning, host, port, noDelay: true, autoSelectFamily: true });
  socket.setKeepAlive(true, tcpKeepaliveMs);
  socket.on("error", fail);
  socket.once("close", () => fail(new Error("the connection was closed before it was made")));
  socket.once("connect", () => {
    stream = new SocketByteStream(socket);
    connected(stream);
  });
  return socket;
}

async function lookUp(host: string): Promise<readonly ResolvedAddress[]> {
  try {
    const found = await outsideContext(() => lookup(host, { all: true }));
    return found.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 }));
  } catch (cause) {
    throw new Error(`cannot look up the host "${host}": ${(cause as Error).message}`, { cause });
  }
}

/** The machine's network: node:net and node:tls behind byte streams. */
export const systemNetwork: Network = {
  listen,
  connect,
  lookup: lookUp,
  dns: systemDns,
  tlsServerContext: (options: TlsServerOptions & { readonly alpn: readonly string[] }): TlsServerContext =>
    new SystemTlsContext(options),
  secure: secureAccepted,
};
