import assert from "node:assert/strict";
import { test } from "node:test";
import type { ByteStream, ObservedEvent } from "../../platform/index.ts";
import { type VirtualPlatform, virtualPlatform } from "../../platform/virtual/index.ts";
import type { ServerConnection, ServerConnectionHandler } from "../exchange.ts";
import { AddressCounts, countedAddress } from "./address-counts.ts";
import { http2Preface, judgeFirstBytes } from "./first-bytes.ts";
import { Listener, type ListenerOptions } from "./listener.ts";
import type { ServerProtocols } from "./protocols.ts";

/** A protocol that does nothing but keep its bytes. */
class Served implements ServerConnection {
  readonly info;
  activeExchanges = 0;
  isClosed = false;
  drains = 0;
  bytes = "";
  readonly version: 1 | 2;
  readonly stream: ByteStream;
  constructor(version: 1 | 2, stream: ByteStream, handler: ServerConnectionHandler, firstBytes?: Buffer) {
    this.version = version;
    this.stream = stream;
    this.info = { remoteAddress: "", remotePort: 0, localPort: 0, tls: undefined, derived: undefined };
    const take = (chunk: Buffer) => {
      this.bytes += chunk.toString("latin1");
    };
    if (firstBytes !== undefined) take(firstBytes);
    stream.handler = {
      data: take,
      drained() {},
      ended() {},
      closed: error => {
        this.isClosed = true;
        handler.closed(error);
      },
    };
  }
  drain(): void {
    this.drains++;
    if (this.activeExchanges === 0) this.stream.destroy();
  }
  destroy(): void {
    this.stream.destroy();
  }
}

interface Rig {
  readonly platform: VirtualPlatform;
  readonly listener: Listener;
  readonly served: Served[];
  readonly events: ObservedEvent[];
  connect(): Promise<{ stream: ByteStream; input: () => string; isClosed: () => boolean }>;
}

async function rig(options: Partial<ListenerOptions> = {}): Promise<Rig> {
  const platform = virtualPlatform();
  const served: Served[] = [];
  const events: ObservedEvent[] = [];
  const start = (version: 1 | 2) => (stream: ByteStream, handler: ServerConnectionHandler, first?: Buffer) => {
    const connection = new Served(version, stream, handler, first);
    served.push(connection);
    return connection;
  };
  const protocols: ServerProtocols = { http1: start(1), http2: start(2) };
  const all: ListenerOptions = {
    handler() {},
    port: 8080,
    platform,
    observer: { emit: event => void events.push(event) },
    ...options,
  };
  const listener = new Listener(all, protocols);
  await listener.open(all);
  return {
    platform,
    listener,
    served,
    events,
    async connect() {
      const stream = await platform.network.connect({ host: "127.0.0.1", port: 8080 });
      let input = "";
      let isClosed = false;
      stream.handler = {
        data: chunk => {
          input += chunk.toString("latin1");
        },
        drained() {},
        ended() {},
        closed: () => {
          isClosed = true;
        },
      };
      return { stream, input: () => input, isClosed: () => isClosed };
    },
  };
}

test("the first bytes decide, however they are cut", () => {
  assert.equal(judgeFirstBytes(Buffer.from("GET / HTTP/1.1\r\n")), "http1");
  assert.equal(judgeFirstBytes(Buffer.from([0x16, 3, 1])), "tls");
  for (let length = 0; length < http2Preface.length; length++) {
    assert.equal(judgeFirstBytes(http2Preface.subarray(0, length)), "undecided");
    const spoiled = Buffer.concat([http2Preface.subarray(0, length), Buffer.from("x")]);
    assert.equal(judgeFirstBytes(spoiled), "http1");
  }
  assert.equal(judgeFirstBytes(http2Preface), "http2");
  assert.equal(judgeFirstBytes(Buffer.concat([http2Preface, Buffer.from([0])])), "http2");
});

test("one port serves both versions of HTTP, and no byte is lost on the way", async () => {
  const { platform, listener, served, connect } = await rig();
  const one = await connect();
  const other = await connect();
  one.stream.write(Buffer.from("POST / HTTP/1.1\r\n"));
  for (const byte of http2Preface) {
    other.stream.write(Buffer.from([byte]));
    await platform.clock.settle();
  }
  other.stream.write(Buffer.from("frames"));
  await platform.clock.settle();
  assert.deepEqual(
    served.map(({ version, bytes }) => [version, bytes]),
    [
      [1, "POST / HTTP/1.1\r\n"],
      [2, `${http2Preface.toString("latin1")}frames`],
    ],
  );
  assert.equal(listener.connections, 2);
  await listener.close();
  await platform.clock.settle();
  assert.ok(one.isClosed() && other.isClosed());
  assert.equal(listener.connections, 0);
  assert.equal(platform.clock.pendingTimers, 0);
});

test("a connection that says nothing, or half a preface, is closed after the limit", async () => {
  const { platform, listener, events, connect } = await rig();
  const silent = await connect();
  const slow = await connect();
  slow.stream.write(Buffer.from("PRI * HT"));
  await platform.clock.advance(9_999);
  assert.equal(silent.isClosed(), false);
  await platform.clock.advance(1);
  assert.ok(silent.isClosed() && slow.isClosed());
  assert.equal(listener.connections, 0);
  assert.deepEqual(
    events.map(event => (event as { reason?: string }).reason),
    ["no_first_bytes", "no_first_bytes"],
  );
});

test("TLS on a plaintext port is answered with an alert and closed", async () => {
  const { platform, listener, connect } = await rig();
  const client = await connect();
  client.stream.write(Buffer.from([0x16, 3, 1, 0, 5]));
  await platform.clock.settle();
  assert.equal(Buffer.from(client.input(), "latin1").toString("hex"), "15030100020228");
  await platform.clock.advance(1_000);
  assert.ok(client.isClosed());
  assert.equal(listener.connections, 0);
});

test("connections over the cap are turned away, and their places are free again afterwards", async () => {
  const { platform, listener, events, connect } = await rig({ limits: { connectionsMax: 2 } });
  const first = await connect();
  await connect();
  const third = await connect();
  await platform.clock.settle();
  assert.ok(third.isClosed());
  assert.equal(listener.connections, 2);
  assert.equal((events[0] as { reason?: string }).reason, "too_many_connections");
  first.stream.destroy();
  await platform.clock.settle();
  const fourth = await connect();
  await platform.clock.settle();
  assert.equal(fourth.isClosed(), false);
  await listener.close();
});

test("clients are counted by IPv4 address or IPv6 /64, loopback not at all", () => {
  assert.equal(countedAddress("::ffff:10.1.2.3"), "10.1.2.3");
  assert.equal(countedAddress("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
  assert.equal(countedAddress("2001:db8::1"), "2001:db8:0:0::/64");
  assert.equal(countedAddress("fe80::1%eth0"), "fe80:0:0:0::/64");
  const counts = new AddressCounts();
  assert.ok(counts.tryAdd("2001:db8:1:2::1", 2) && counts.tryAdd("2001:db8:1:2::2", 2));
  assert.equal(counts.tryAdd("2001:db8:1:2::3", 2), false);
  counts.remove("2001:db8:1:2::1");
  assert.ok(counts.tryAdd("2001:db8:1:2::3", 2));
  for (let n = 0; n < 5; n++) assert.ok(counts.tryAdd("127.0.0.1", 1));
  counts.remove("2001:db8:1:2::3");
  counts.remove("2001:db8:1:2::2");
  assert.equal(counts.size, 0);
});

test("one client cannot take all connections: its address has a cap, and others still get in", async () => {
  const { platform, listener, events, connect } = await rig({ limits: { connectionsPerAddressMax: 2 } });
  platform.network.clientAddress = "::ffff:10.0.0.1";
  const greedy = [await connect(), await connect(), await connect()];
  platform.network.clientAddress = "10.0.0.2";
  const other = await connect();
  await platform.clock.settle();
  assert.deepEqual(
    [...greedy, other].map(({ isClosed }) => isClosed()),
    [false, false, true, false],
  );
  assert.equal((events[0] as { reason?: string }).reason, "too_many_connections_of_address");
  greedy[0]?.stream.destroy();
  await platform.clock.settle();
  platform.network.clientAddress = "10.0.0.1";
  const again = await connect();
  await platform.clock.settle();
  assert.equal(again.isClosed(), false);
  await listener.close();
});

test("draining waits for running requests, then ends what is left and says how many", async () => {
  const { platform, listener, served, connect } = await rig();
  const clients = [await connect(), await connect(), await connect()];
  for (const { stream } of clients.slice(0, 2)) stream.write(Buffer.from("GET "));
  await platform.clock.settle();
  for (const connection of served) connection.activeExchanges = 1;
  const draining = listener.drain(5_000);
  await platform.clock.advance(1_000);
  assert.deepEqual(
    served.map(({ drains }) => drains),
    [1, 1],
  );
  assert.equal(clients[2]?.isClosed(), true, "a connection that has asked nothing has nothing to finish");
  await assert.rejects(connect(), /connection refused/);
  served[0]?.stream.destroy();
  await platform.clock.advance(4_000);
  assert.equal(await draining, 1);
  assert.equal(platform.clock.pendingTimers, 0);
});

test("a connection without requests is drained after the idle time, one in use is not", async () => {
  const { platform, listener, served, connect } = await rig({ limits: { idleTimeoutMs: 40_000 } });
  const idle = await connect();
  const busy = await connect();
  for (const { stream } of [idle, busy]) stream.write(Buffer.from("GET "));
  await platform.clock.settle();
  if (served[1] !== undefined) served[1].activeExchanges = 1;
  await platform.clock.advance(39_000);
  assert.equal(idle.isClosed(), false);
  await platform.clock.advance(11_000);
  assert.equal(idle.isClosed(), true);
  assert.equal(busy.isClosed(), false);
  await listener.close();
});

test("a taken port is refused with host, port and the option to change", async () => {
  const { platform, listener } = await rig();
  const options: ListenerOptions = { handler() {}, port: 8080, platform };
  const start = () => assert.fail("nothing to serve");
  const second = new Listener(options, { http1: start, http2: start });
  await assert.rejects(second.open(options), /cannot listen on .*8080: the port is taken .* option `port`/);
  await listener.close();
  await second.open(options);
  await second.close();
});
