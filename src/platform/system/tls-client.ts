import { isIP } from "node:net";
import type { ConnectionOptions, TLSSocket } from "node:tls";
import { tcpKeepaliveMs } from "../limits.ts";
import type { ByteStream, ConnectOptions, TlsClientOptions } from "../network.ts";
import { SocketByteStream, sharedBufferReading } from "./byte-stream.ts";
import { tlsState } from "./peer-certificate.ts";
import { tlsModule } from "./tls-module.ts";

function pem(text: string | Uint8Array | undefined): string | Buffer | undefined {
  return text === undefined || typeof text === "string" ? text : Buffer.from(text);
}

/** OpenSSL's words for the usual mistakes say little to who made them. */
function explain(cause: NodeJS.ErrnoException): Error {
  const { code = "" } = cause;
  if (/WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST|UNEXPECTED_MESSAGE/.test(code)) {
    return new Error("the peer does not speak TLS on this port; connect without `tls`, or to its TLS port", { cause });
  }
  if (code.includes("ALERT_HANDSHAKE_FAILURE")) {
    const reasons = "no TLS on this port, no common version or cipher, or no client certificate";
    return new Error(`the peer refused the TLS handshake: ${reasons}`, { cause });
  }
  if (/SELF_SIGNED|UNABLE_TO_(VERIFY|GET_ISSUER)/.test(code)) {
    return new Error(`the server's certificate is not signed by a trusted root (${code}); set \`tls.ca\``, { cause });
  }
  if (code === "CERT_HAS_EXPIRED") return new Error("the server's certificate has expired", { cause });
  if (code === "ECONNRESET") return new Error("the peer closed the connection during the TLS handshake", { cause });
  return cause;
}

/** Options that `tls.connect` hands to its socket; the type declarations lack them. */
interface SocketTuning {
  readonly noDelay: boolean;
  readonly autoSelectFamily: boolean;
  readonly allowHalfOpen: boolean;
  readonly onread: ReturnType<typeof sharedBufferReading>;
}

/** Connects with TLS; `connected` is called once the handshake is done and the server's certificate was accepted. */
export function connectTls(
  { host, port }: ConnectOptions,
  tls: TlsClientOptions & { readonly alpn: readonly string[] },
  connected: (stream: ByteStream) => void,
  fail: (cause: unknown) => void,
): TLSSocket {
  let stream: SocketByteStream | undefined;
  const { checkServerIdentity, connect } = tlsModule();
  const name = tls.serverName ?? host;
  // RFC 6066, section 3: an IP address is not a server name.
  const serverName = isIP(name) === 0 ? name : undefined;
  const options: ConnectionOptions & SocketTuning = {
    host,
    port,
    noDelay: true,
    autoSelectFamily: true,
    allowHalfOpen: true,
    ALPNProtocols: [...tls.alpn],
    rejectUnauthorized: tls.verify ?? true,
    checkServerIdentity: (_host, certificate) => checkServerIdentity(name, certificate),
    onread: sharedBufferReading(chunk => stream?.received(chunk)),
    ca: pem(tls.ca),
    cert: pem(tls.cert),
    key: pem(tls.key),
    ...(serverName === undefined ? {} : { servername: serverName }),
  };
  const socket = connect(options);
  socket.setKeepAlive(true, tcpKeepaliveMs);
  socket.on("error", (error: NodeJS.ErrnoException) => fail(explain(error)));
  socket.once("close", () => fail(new Error("the peer closed the connection during the TLS handshake")));
  socket.once("secureConnect", () => {
    stream = new SocketByteStream(socket, tlsState(socket, socket.authorized, serverName));
    connected(stream);
  });
  return socket;
}
