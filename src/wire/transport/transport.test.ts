import assert from "node:assert/strict";
import { connect as connectSocket } from "node:net";
import { test } from "node:test";
import { makeCertificates } from "../../../test/certificates.ts";
import { type Platform, systemPlatform } from "../../platform/index.ts";
import { virtualPlatform } from "../../platform/virtual/index.ts";
import {
  type BodyReceiver,
  type ClientConnection,
  constantField,
  ExchangeError,
  HeaderField,
  type ServerExchange,
} from "../exchange.ts";
import {
  type Listener,
  type ListenerOptions,
  listen,
  memoryPlatform,
  type OpenPoolOptions,
  openPool,
} from "./index.ts";

/** Listener and pool with the real protocols in between: over memory, sockets and TLS. */

const okField = constantField("content-type", "text/plain");

/** Answers with what the request was; `/slow` waits for `release`. */
function answering(): { handler: (exchange: ServerExchange) => void; release(): void } {
  const held: (() => void)[] = [];
  return {
    handler(exchange) {
      const receiver: BodyReceiver = {
        data: (_chunk, start, end) => exchange.consumed(end - start),
        ended() {
          const { connection } = exchange;
          const peer = connection.tls?.peerCertificate?.subject ?? "nobody";
          const answer = () =>
            exchange.respond(
              200,
              [okField],
              `${exchange.httpVersion} ${exchange.scheme} ${exchange.path.value} ${peer}`,
            );
          if (exchange.path.value === "/slow") held.push(answer);
          else answer();
        },
        aborted() {},
        writable() {},
      };
      exchange.receiver = receiver;
    },
    release: () => {
      for (const answer of held.splice(0)) answer();
    },
  };
}

function get(connection: ClientConnection, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let body = "";
    const head = {
      method: constantField(":method", "GET"),
      scheme: constantField(":scheme", connection.info.tls === undefined ? "http" : "https"),
      authority: new HeaderField(":authority", "localhost"),
      path: new HeaderField(":path", path),
    };
    const exchange = connection.request(
      head,
      [],
      {
        head: status => assert.equal(status, 200),
        data(chunk, start, end) {
          body += chunk.toString("utf8", start, end);
          exchange.consumed(end - start);
        },
        ended: () => resolve(body),
        aborted: reject,
        writable() {},
      },
      true,
    );
  });
}

async function open(platform: Platform, options: Partial<ListenerOptions> = {}): Promise<Listener> {
  return listen({ ...answering(), host: "127.0.0.1", port: 0, platform, ...options });
}

const platforms: readonly (readonly [string, () => Platform])[] = [
  ["sockets", () => systemPlatform],
  ["memory", () => memoryPlatform()],
  ["a virtual machine", () => virtualPlatform()],
];

for (const [name, platform] of platforms) {
  for (const [protocol, version] of [
    ["http1", 1],
    ["http2", 2],
    ["auto", 2],
  ] as const) {
    test(`over ${name}, ${protocol} requests reach the one port and share connections`, async () => {
      const machine = platform();
      const listener = await open(machine);
      const pool = openPool({ host: "127.0.0.1", port: listener.port, protocol, platform: machine });
      for (let round = 0; round < 3; round++) {
        const connection = pool.tryAcquire() ?? (await pool.acquire());
        assert.equal(await get(connection, "/a"), `${version} http /a nobody`);
      }
      const many = await Promise.all(
        Array.from({ length: 40 }, async (_, n) => get(pool.tryAcquire() ?? (await pool.acquire()), `/${n}`)),
      );
      assert.deepEqual(
        many,
        Array.from({ length: 40 }, (_, n) => `${version} http /${n} nobody`),
      );
      assert.ok(listener.connections <= (version === 1 ? 40 : 1), `${listener.connections} connections`);
      await pool.drain();
      assert.equal(pool.connections, 0);
      assert.equal(await listener.drain(), 0);
      assert.equal(listener.connections, 0);
    });
  }

  test(`over ${name}, draining the listener lets the running request finish and the pool go elsewhere`, async () => {
    const machine = platform();
    const { handler, release } = answering();
    const listener = await open(machine, { handler });
    const { port } = listener;
    const pool = openPool({ host: "127.0.0.1", port, platform: machine });
    const running = get(await pool.acquire(), "/slow");
    await get(await pool.acquire(), "/quick");
    const drained = listener.drain(20_000);
    while (pool.tryAcquire() !== undefined) await new Promise(resolve => setImmediate(resolve));
    await assert.rejects(pool.acquire(), (error: unknown) => {
      assert.ok(error instanceof ExchangeError);
      return error.reason === "connection" && error.unprocessed;
    });
    release();
    assert.equal(await running, "2 http /slow nobody");
    if ("advance" in machine.clock) {
      const clock = machine.clock as { advance(ms: number): Promise<void> };
      await clock.advance(5_000);
    }
    assert.equal(await drained, 0);
    pool.destroy();
  });
}

test("over TLS, ALPN chooses the protocol, the client's certificate arrives, and a reload is seen by new connections", async () => {
  const first = await makeCertificates();
  const second = await makeCertificates("second");
  const listener = await open(systemPlatform, { tls: { ...first.server, clientCa: first.ca } });
  const endpoint = { host: "localhost", port: listener.port };
  const dial = async (options: Partial<OpenPoolOptions>) => {
    const pool = openPool({ ...endpoint, ...options });
    try {
      return await get(await pool.acquire(), "/a");
    } finally {
      await pool.drain();
    }
  };
  const tls = { ca: first.ca, ...first.client };
  assert.equal(await dial({ tls }), "2 https /a CN=orders");
  assert.equal(await dial({ tls, protocol: "http2" }), "2 https /a CN=orders");
  assert.equal(await dial({ tls, protocol: "http1" }), "1 https /a CN=orders");
  listener.reloadTls({ ...second.server, clientCa: first.ca });
  assert.equal(await dial({ tls: { ...tls, ca: second.ca } }), "2 https /a CN=orders");
  await assert.rejects(dial({ tls }), /certificate/);
  await listener.close();
});

test("a plaintext client of a TLS port is told so, in its own protocol, and is served where that is allowed", async () => {
  const { server, ca } = await makeCertificates();
  const listener = await open(systemPlatform, { tls: server });
  const raw = (bytes: string) =>
    new Promise<string>((resolve, reject) => {
      let input = "";
      const socket = connectSocket(listener.port, "127.0.0.1", () => socket.write(bytes, "latin1"));
      socket.on("data", chunk => {
        input += chunk.toString("latin1");
      });
      socket.on("end", () => resolve(input));
      socket.on("error", reject);
    });
  assert.match(await raw("GET / HTTP/1.1\r\nhost: a\r\n\r\n"), /^HTTP\/1\.1 400 Bad Request\r\n[\s\S]*use https/);
  assert.match(await raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), /tls_required$/);
  await listener.close();

  const both = await open(systemPlatform, { tls: server, allowPlaintext: true });
  const plain = openPool({ host: "127.0.0.1", port: both.port });
  const secure = openPool({ host: "127.0.0.1", port: both.port, tls: { ca } });
  assert.equal(await get(await plain.acquire(), "/"), "2 http / nobody");
  assert.equal(await get(await secure.acquire(), "/"), "2 https / nobody");
  plain.destroy();
  secure.destroy();
  await both.close();
});

test("a TLS client of a plaintext port is told that there is no TLS", async () => {
  const { ca } = await makeCertificates();
  const listener = await open(systemPlatform);
  const pool = openPool({ host: "127.0.0.1", port: listener.port, tls: { ca } });
  await assert.rejects(pool.acquire(), /cannot connect to 127\.0\.0\.1:\d+: .*(does not speak TLS|handshake)/);
  pool.destroy();
  await listener.close();
});

test("nothing is left open: no socket, no server", async () => {
  const sockets = () => process.getActiveResourcesInfo().filter(kind => /TCP/.test(kind)).length;
  const before = sockets();
  const listener = await open(systemPlatform);
  const pool = openPool({ host: "127.0.0.1", port: listener.port });
  await get(await pool.acquire(), "/");
  pool.destroy();
  await listener.close();
  await new Promise(resolve => setTimeout(resolve, 5));
  assert.ok(sockets() <= before, `${sockets()} TCP handles, ${before} before`);
});

test("closing a listener also ends handshakes that are under way, and a handshake that stalls ends by itself", async () => {
  const { server } = await makeCertificates();
  const refused: string[] = [];
  const observer = {
    emit: (event: { type: string; reason?: string }) => void refused.push(event.reason ?? event.type),
  };
  const listener = await open(systemPlatform, { tls: server, observer, limits: { tlsHandshakeTimeoutMs: 30 } });
  const stall = async () => {
    const socket = connectSocket(listener.port, "127.0.0.1");
    const closed = new Promise(resolve => socket.once("close", resolve));
    socket.on("error", () => {});
    socket.write(Buffer.from([0x16, 3, 1, 0, 200, 1]));
    while (listener.connections === 0) await new Promise(resolve => setImmediate(resolve));
    return closed;
  };
  await stall();
  assert.equal(listener.connections, 0);
  const second = stall();
  while (listener.connections === 0) await new Promise(resolve => setImmediate(resolve));
  await listener.close();
  await second;
  assert.deepEqual(refused, ["tls_handshake_failed", "tls_handshake_failed"].slice(0, refused.length));
  assert.equal(listener.connections, 0);
});

test("a listener without a host is reached by both families", async () => {
  const listener = await listen({ ...answering(), port: 0 });
  const hosts = listener.host === "::" ? ["127.0.0.1", "::1"] : ["127.0.0.1"];
  for (const host of hosts) {
    const pool = openPool({ host, port: listener.port });
    assert.equal(await get(await pool.acquire(), "/"), "2 http / nobody");
    pool.destroy();
  }
  await listener.close();
});
