import type { SecureContext, TLSSocket } from "node:tls";
import { outsideContext } from "../context.ts";
import type { ByteStream, TlsServerContext, TlsServerOptions } from "../network.ts";
import { SocketByteStream } from "./byte-stream.ts";
import { systemClock } from "./clock.ts";
import { tlsState } from "./peer-certificate.ts";
import { tlsModule } from "./tls-module.ts";

function pem(text: string | Uint8Array): string | Buffer {
  return typeof text === "string" ? text : Buffer.from(text);
}

function load(options: TlsServerOptions): SecureContext {
  try {
    return tlsModule().createSecureContext({
      cert: pem(options.cert),
      key: pem(options.key),
      minVersion: options.minVersion ?? "TLSv1.2",
      ...(options.clientCa === undefined ? {} : { ca: pem(options.clientCa) }),
    });
  } catch (cause) {
    const reason = (cause as Error).message;
    throw new Error(`the TLS certificate, key or client CA cannot be used: ${reason}`, { cause });
  }
}

/** The certificates in force. A connection takes what is there when its handshake begins. */
export class SystemTlsContext implements TlsServerContext {
  readonly alpn: readonly string[];
  secureContext: SecureContext;
  options: TlsServerOptions;

  constructor(options: TlsServerOptions & { readonly alpn: readonly string[] }) {
    this.alpn = options.alpn;
    this.options = options;
    this.secureContext = load(options);
  }

  reload(options: TlsServerOptions): void {
    this.secureContext = load(options);
    this.options = options;
  }
}

/** Implements `Network.secure` for accepted sockets. */
export async function secureAccepted(
  stream: ByteStream,
  firstBytes: Buffer,
  context: TlsServerContext,
  timeoutMs: number,
): Promise<ByteStream> {
  if (!(stream instanceof SocketByteStream) || !(context instanceof SystemTlsContext)) {
    throw new TypeError("TLS needs a stream and a context of the system's network");
  }
  const { clientCa, clientAuth = "require" } = context.options;
  const asksForCertificate = clientCa !== undefined;
  const { promise, resolve, reject } = Promise.withResolvers<ByteStream>();
  const raw = stream.release();
  const from = `${stream.remoteAddress}:${stream.remotePort}`;
  const copy = Buffer.from(firstBytes);
  const socket = outsideContext(() => {
    // TLSSocket takes what its socket has buffered as the first input.
    raw.pause();
    raw.unshift(copy);
    const { TLSSocket } = tlsModule();
    return new TLSSocket(raw, {
      isServer: true,
      secureContext: context.secureContext,
      ALPNProtocols: [...context.alpn],
      requestCert: asksForCertificate,
      // The verdict is taken below: a TLSSocket outside of a tls.Server does not look at it.
      rejectUnauthorized: false,
    });
  });
  const fail = (cause: Error) => {
    reject(new Error(`TLS handshake with ${from} failed: ${cause.message}`, { cause }));
    socket.destroy();
  };
  const timer = systemClock.after(timeoutMs, () => fail(new Error(`not finished within ${timeoutMs} ms`)));
  socket.on("error", fail);
  socket.on("_tlsError", fail);
  socket.once("close", () => fail(new Error("the peer closed the connection")));
  socket.once("secure", () => {
    const refusal = asksForCertificate ? certificateRefusal(socket) : undefined;
    if (refusal !== undefined && clientAuth === "require") {
      fail(new Error(`the client's certificate was not accepted: ${refusal}`));
      return;
    }
    const serverName = (socket as TLSSocket & { servername?: string | false | null }).servername;
    const isVerified = asksForCertificate && refusal === undefined;
    resolve(new SocketByteStream(socket, tlsState(socket, isVerified, serverName || undefined), true));
  });
  try {
    return await promise;
  } finally {
    timer.cancel();
  }
}

/** Why the client's certificate does not count, or `undefined` when it does. */
function certificateRefusal(socket: TLSSocket): string | undefined {
  if (socket.getPeerX509Certificate() === undefined) return "none was sent";
  const { ssl } = socket as unknown as { ssl?: { verifyError?: () => Error | null } };
  if (ssl?.verifyError === undefined) return "this version of Node does not tell whether it was verified";
  return ssl.verifyError()?.message;
}
