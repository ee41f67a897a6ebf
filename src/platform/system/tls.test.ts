import assert from "node:assert/strict";
import { connect as connectSocket } from "node:net";
import { test } from "node:test";
import { makeCertificates } from "../../../test/certificates.ts";
import { type ByteStream, systemPlatform, type TlsServerContext } from "../index.ts";
import { splitAltNames } from "./peer-certificate.ts";

const { network } = systemPlatform;
const alpn = ["h2", "http/1.1"];

interface Secured {
  readonly port: number;
  /** What became of the next connection. */
  next(): Promise<ByteStream>;
  close(): Promise<void>;
}

async function secureListener(context: TlsServerContext, timeoutMs = 5_000): Promise<Secured> {
  const waiting: ((result: Promise<ByteStream>) => void)[] = [];
  const listening = await network.listen({ host: "127.0.0.1", port: 0 }, stream => {
    stream.handler = {
      data: chunk => waiting.shift()?.(network.secure(stream, chunk, context, timeoutMs)),
      drained() {},
      ended() {},
      closed() {},
    };
  });
  return {
    port: listening.port,
    next: () => new Promise(resolve => waiting.push(resolve)),
    close: () => listening.close(),
  };
}

function firstInput(stream: ByteStream): Promise<string> {
  return new Promise((resolve, reject) => {
    stream.handler = {
      data: chunk => resolve(chunk.toString()),
      drained() {},
      ended() {},
      closed: error => reject(error ?? new Error("closed")),
    };
  });
}

test("TLS: protocol, names and both certificates are agreed on, and bytes go both ways", async () => {
  const certificates = await makeCertificates();
  const { ca, server, client } = certificates;
  const listener = await secureListener(network.tlsServerContext({ ...server, clientCa: ca, alpn }));
  const accepted = listener.next();
  const stream = await network.connect({
    host: "localhost",
    port: listener.port,
    tls: { ca, ...client, alpn: ["http/1.1", "h2"] },
  });
  const secured = await accepted;
  assert.equal(stream.tls?.alpn, "h2");
  assert.equal(secured.tls?.alpn, "h2");
  assert.equal(secured.tls?.serverName, "localhost");
  assert.equal(secured.tls?.version, "TLSv1.3");
  assert.equal(secured.tls?.peerCertificate?.subject, "CN=orders");
  assert.deepEqual(secured.tls?.peerCertificate?.subjectAltNames, ["URI:spiffe://example/orders"]);
  assert.match(stream.tls?.peerCertificate?.fingerprint256 ?? "", /^[0-9a-f]{64}$/);
  stream.write(Buffer.from("ping"));
  assert.equal(await firstInput(secured), "ping");
  secured.write(Buffer.from("pong"));
  assert.equal(await firstInput(stream), "pong");
  stream.destroy();
  secured.destroy();
  await listener.close();
});

test("TLS: a client without an accepted certificate is refused where one is required, and passes where it is asked for", async () => {
  const { ca, server, stranger } = await makeCertificates();
  const context = network.tlsServerContext({ ...server, clientCa: ca, alpn });
  const listener = await secureListener(context);
  for (const [own, reason] of [
    [{}, /certificate was not accepted: none was sent/],
    [stranger, /certificate was not accepted: .*(issuer|self-signed|verify)/],
  ] as const) {
    const accepted = listener.next();
    const connecting = network.connect({ host: "127.0.0.1", port: listener.port, tls: { ca, ...own, alpn } });
    await assert.rejects(accepted, reason);
    // With TLS 1.3 the client has finished before the server has looked at its certificate.
    await connecting.then(stream => stream.destroy()).catch(() => {});
  }
  context.reload({ ...server, clientCa: ca, clientAuth: "request" });
  const accepted = listener.next();
  const stream = await network.connect({ host: "127.0.0.1", port: listener.port, tls: { ca, ...stranger, alpn } });
  assert.equal((await accepted).tls?.peerCertificate, undefined);
  stream.destroy();
  await listener.close();
});

test("TLS: certificates are exchanged without a restart, and bad ones leave the old in force", async () => {
  const first = await makeCertificates();
  const second = await makeCertificates("second");
  const context = network.tlsServerContext({ ...first.server, alpn });
  const listener = await secureListener(context);
  const dial = async (ca: string) => {
    const accepted = listener.next();
    accepted.catch(() => {});
    const stream = await network.connect({ host: "localhost", port: listener.port, tls: { ca, alpn } });
    stream.destroy();
  };
  await dial(first.ca);
  assert.throws(() => context.reload({ cert: "nonsense", key: "nonsense" }), /cannot be used/);
  await dial(first.ca);
  context.reload(second.server);
  await dial(second.ca);
  await assert.rejects(dial(first.ca), /not signed by a trusted root|certificate signature failure/);
  await listener.close();
});

test("TLS: the usual mistakes are explained", async () => {
  const { ca, server } = await makeCertificates();
  let answer = Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n");
  const plain = await network.listen({ host: "127.0.0.1", port: 0 }, stream => {
    stream.handler = {
      data: () => void stream.write(answer),
      drained() {},
      ended() {},
      closed() {},
    };
  });
  await assert.rejects(
    network.connect({ host: "127.0.0.1", port: plain.port, tls: { ca, alpn } }),
    new RegExp(`cannot connect to 127\\.0\\.0\\.1:${plain.port}: the peer does not speak TLS on this port`),
  );
  answer = Buffer.from([0x15, 3, 1, 0, 2, 2, 40]); // a fatal alert, handshake_failure: what our plaintext ports answer
  await assert.rejects(
    network.connect({ host: "127.0.0.1", port: plain.port, tls: { ca, alpn } }),
    /the peer refused the TLS handshake: no TLS on this port, no common version/,
  );
  await plain.close();

  const listener = await secureListener(network.tlsServerContext({ ...server, alpn }), 50);
  const port = listener.port;
  listener.next().catch(() => {});
  await assert.rejects(
    network.connect({ host: "127.0.0.1", port, tls: { ca, serverName: "payments", alpn } }),
    /does not match certificate's altnames/,
  );
  const stalled = listener.next();
  const socket = connectSocket(port, "127.0.0.1", () => socket.write(Buffer.from([0x16, 3, 1, 0, 200])));
  await assert.rejects(stalled, /TLS handshake with 127\.0\.0\.1:\d+ failed: not finished within 50 ms/);
  socket.destroy();
  await listener.close();
});

test("alternative names are split where OpenSSL ends them, not where a name pretends it", () => {
  assert.deepEqual(splitAltNames("DNS:orders, IP Address:127.0.0.1, URI:spiffe://a/b"), [
    "DNS:orders",
    "IP Address:127.0.0.1",
    "URI:spiffe://a/b",
  ]);
  assert.deepEqual(splitAltNames('DNS:"good, DNS:evil", DNS:last'), ["DNS:good, DNS:evil", "DNS:last"]);
  assert.deepEqual(splitAltNames(""), []);
});
