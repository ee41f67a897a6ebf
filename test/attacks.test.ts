import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { gzipSync } from "node:zlib";
import { Health } from "../src/contract/gen/grpc/health/v1/health_pb.ts";
import { createChannel, createClient, createServer, type Server } from "../src/exports/index.ts";

/**
 * Every attack that the defences are for, as bytes on real sockets against a whole server with its default limits. While
 * the attackers are still connected, a stranger's request must be answered within a second, and what the process holds must
 * have grown by less than a bound. That each defence does what it should in detail is shown beside its code.
 */
const requestMsMax = 1_000;
const growthBytesMax = 48 * 1024 * 1024;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** What is held once garbage is gone; the memory of buffers is given back in the turns behind a collection. */
async function heldBytes(): Promise<number> {
  for (let round = 0; round < 4; round++) {
    collectGarbage();
    await new Promise<void>(resolve => {
      setImmediate(resolve);
    });
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

// ── HTTP/2 by hand ───────────────────────────────────────────────────────────

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const type = { data: 0, headers: 1, priority: 2, reset: 3, settings: 4, ping: 6, windowUpdate: 8, continuation: 9 };
const endStream = 1;
const endHeaders = 4;

function frame(kind: number, flags: number, streamId: number, payload: Uint8Array = new Uint8Array()): Buffer {
  const bytes = Buffer.alloc(9 + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = kind;
  bytes[4] = flags;
  bytes.writeUInt32BE(streamId, 5);
  bytes.set(payload, 9);
  return bytes;
}

const text = (value: string): Buffer => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
/** POST to the health service as literals without indexing: valid on every stream. */
const request = Buffer.concat([
  Buffer.from([0x83, 0x86, 0x04]),
  text("/grpc.health.v1.Health/Check"),
  Buffer.from([0x01]),
  text("a"),
  Buffer.from([0x0f, 0x10]),
  text("application/grpc"),
]);
const watch = Buffer.concat([
  Buffer.from([0x83, 0x86, 0x04]),
  text("/grpc.health.v1.Health/Watch"),
  Buffer.from([0x01]),
  text("a"),
  Buffer.from([0x0f, 0x10]),
  text("application/grpc"),
]);
const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const opening = (...settings: Buffer[]): Buffer =>
  Buffer.concat([preface, frame(type.settings, 0, 0, Buffer.concat(settings)), frame(type.settings, 1, 0)]);
const initialWindow = (bytes: number): Buffer => Buffer.concat([Buffer.from([0, 4]), uint32(bytes)]);

// ── attackers ────────────────────────────────────────────────────────────────

/** The sockets of one attack. */
class Attackers {
  readonly sockets: Socket[] = [];
  readonly #port: number;

  constructor(port: number) {
    this.#port = port;
  }

  async open(): Promise<Socket> {
    const socket = connect(this.#port, "127.0.0.1");
    this.sockets.push(socket);
    socket.on("error", () => {});
    socket.resume();
    await once(socket, "connect");
    return socket;
  }

  /** Writes as fast as the server reads, until it closes the connection, stops reading, or has got everything. */
  async flood(socket: Socket, rounds: number, round: (index: number) => Buffer): Promise<void> {
    const end = Date.now() + 2_000;
    for (let index = 0; index < rounds && !socket.destroyed && socket.writable && Date.now() < end; index++) {
      if (socket.write(round(index))) continue;
      await moved(socket);
    }
  }

  close(): void {
    for (const socket of this.sockets) socket.destroy();
  }
}

/** Until the socket takes more, is closed, or the server has not read for a while. */
async function moved(socket: Socket): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, 300);
  socket.on("drain", resolve).on("close", resolve);
  await promise;
  clearTimeout(timer);
  socket.off("drain", resolve).off("close", resolve);
}

type Attack = (attackers: Attackers) => Promise<void>;

/** One connection that floods with what `round` gives, behind the opening. */
function http2Flood(rounds: number, round: (index: number) => Buffer, first: Buffer = opening()): Attack {
  return async attackers => {
    const socket = await attackers.open();
    socket.write(first);
    await attackers.flood(socket, rounds, round);
  };
}

const streamId = (index: number): number => 2 * index + 1;
const message = frame(type.data, endStream, 1, Buffer.alloc(5));

function on(bytes: Buffer, id: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt32BE(id, 5);
  return copy;
}

const bigField = Buffer.concat([
  Buffer.from([0x40]),
  text("x-bomb"),
  Buffer.from([0x7f, 0xa1, 0x1e]),
  Buffer.alloc(4_000, 0x61),
]);
const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024), { level: 9 });

const attacks: Readonly<Record<string, Attack>> = {
  "rapid reset (CVE-2023-44487)": http2Flood(20_000, index =>
    Buffer.concat([
      frame(type.headers, endHeaders, streamId(index), request),
      frame(type.reset, 0, streamId(index), uint32(8)),
    ]),
  ),

  "resets provoked by broken frames (MadeYouReset, CVE-2025-8671)": http2Flood(20_000, index =>
    Buffer.concat([
      frame(type.headers, endHeaders, streamId(index), request),
      frame(type.windowUpdate, 0, streamId(index), uint32(0)),
    ]),
  ),

  "CONTINUATION without end (CVE-2024-27316)": http2Flood(50_000, index =>
    index === 0 ? frame(type.headers, 0, 1, request) : frame(type.continuation, 0, 1, Buffer.alloc(1_000, 0)),
  ),

  "HPACK bomb: one large field, named again and again": http2Flood(2_000, index =>
    frame(
      type.headers,
      endHeaders | endStream,
      streamId(index),
      index === 0 ? Buffer.concat([request, bigField]) : Buffer.concat([request, Buffer.alloc(4_000, 0xbe)]),
    ),
  ),

  "SETTINGS flood (CVE-2019-9515)": http2Flood(100_000, () => frame(type.settings, 0, 0)),
  "PING flood (CVE-2019-9512)": http2Flood(100_000, () => frame(type.ping, 0, 0, Buffer.alloc(8))),
  "PRIORITY flood (CVE-2019-9513)": http2Flood(100_000, index =>
    frame(type.priority, 0, streamId(index % 1_000), Buffer.from([0, 0, 0, 0, 16])),
  ),
  "frames without content (CVE-2019-9518)": http2Flood(100_000, index =>
    index === 0 ? frame(type.headers, endHeaders, 1, request) : frame(type.data, 0, 1),
  ),
  "fields without names (CVE-2019-9516)": http2Flood(5_000, index =>
    frame(type.headers, endHeaders, streamId(index), Buffer.concat([request, Buffer.alloc(8_000, 0)])),
  ),
  "resets of streams that broke the protocol (CVE-2019-9514)": http2Flood(20_000, index =>
    frame(type.headers, endHeaders, streamId(index), Buffer.from([0x83, 0x83, 0x83])),
  ),

  "answers that nobody takes: windows of zero (CVE-2019-9517)": http2Flood(
    5_000,
    index => Buffer.concat([frame(type.headers, endHeaders, streamId(index), request), on(message, streamId(index))]),
    opening(initialWindow(0)),
  ),

  "answers that nobody reads (CVE-2019-9511)": async attackers => {
    for (let connection = 0; connection < 20; connection++) {
      const socket = await attackers.open();
      socket.pause();
      socket.write(opening());
      await attackers.flood(socket, 2_000, index =>
        Buffer.concat([
          frame(type.ping, 0, 0, Buffer.alloc(8)),
          frame(type.headers, endHeaders, streamId(index), request),
          on(message, streamId(index)),
        ]),
      );
    }
  },

  "streams that are opened and left": async attackers => {
    for (let connection = 0; connection < 20; connection++) {
      const socket = await attackers.open();
      socket.write(opening());
      await attackers.flood(socket, 1_000, index =>
        Buffer.concat([frame(type.headers, endHeaders, streamId(index), watch), on(message, streamId(index))]),
      );
    }
  },

  "messages announced as large and never sent": async attackers => {
    const prefix = Buffer.concat([Buffer.from([0]), uint32(4 * 1024 * 1024), Buffer.alloc(11)]);
    for (let connection = 0; connection < 20; connection++) {
      const socket = await attackers.open();
      socket.write(opening());
      await attackers.flood(socket, 200, index =>
        Buffer.concat([
          frame(type.headers, endHeaders, streamId(index), request),
          frame(type.data, 0, streamId(index), prefix),
        ]),
      );
    }
  },

  "compression bombs": http2Flood(
    200,
    index =>
      Buffer.concat([
        frame(
          type.headers,
          endHeaders,
          streamId(index),
          Buffer.concat([request, Buffer.from([0x00]), text("grpc-encoding"), text("gzip")]),
        ),
        ...Array.from({ length: Math.ceil((bomb.length + 5) / 16_384) }, (_, piece, all = piece * 16_384) => {
          const envelope = Buffer.concat([Buffer.from([1]), uint32(bomb.length), bomb]);
          const bytes = envelope.subarray(all, all + 16_384);
          return frame(type.data, all + 16_384 >= envelope.length ? endStream : 0, streamId(index), bytes);
        }),
      ]),
    opening(),
  ),

  "connections that say nothing, or begin a preface": async attackers => {
    for (let connection = 0; connection < 1_000; connection++) {
      const socket = await attackers.open();
      if (connection % 2 === 0) socket.write(preface.subarray(0, 1 + (connection % 20)));
    }
  },

  "heads that drip in (slow loris)": async attackers => {
    for (let connection = 0; connection < 500; connection++) {
      const socket = await attackers.open();
      socket.write(`GET / HTTP/1.1\r\nHost: a\r\nX-${connection}: `);
    }
  },

  "pipelined requests whose answers nobody reads": async attackers => {
    for (let connection = 0; connection < 3; connection++) {
      const socket = await attackers.open();
      socket.pause();
      await attackers.flood(socket, 10_000, () => Buffer.from("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20)));
    }
  },

  "chunk extensions without end": async attackers => {
    const socket = await attackers.open();
    socket.write("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    await attackers.flood(socket, 5_000, () => Buffer.from(`1;${"a".repeat(1_000)}\r\nx\r\n`));
  },

  "fields without end": async attackers => {
    const socket = await attackers.open();
    socket.write("GET / HTTP/1.1\r\nHost: a\r\n");
    await attackers.flood(socket, 50_000, index => Buffer.from(`X-${index}: ${"a".repeat(100)}\r\n`));
  },

  "smuggling: two framings in one request": async attackers => {
    for (let connection = 0; connection < 200; connection++) {
      const socket = await attackers.open();
      socket.write(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n",
      );
    }
  },

  "TLS to a plaintext port, and noise": async attackers => {
    for (let connection = 0; connection < 200; connection++) {
      const socket = await attackers.open();
      const noise = Buffer.alloc(2_000, 0x16);
      for (let at = 0; at < noise.length; at++) noise[at] = (at * 31 + connection * 17) & 0xff;
      socket.write(connection % 2 === 0 ? Buffer.from("16030100fa010000f60303", "hex") : noise);
    }
  },
};

describe("attacks: a stranger is answered within a second, and memory stays bounded", () => {
  let server: Server;
  let port = 0;

  async function ask(): Promise<number> {
    await using channel = createChannel(`127.0.0.1:${port}`);
    const startMs = performance.now();
    await createClient(Health, channel).check({}, { timeoutMs: 10_000 });
    return performance.now() - startMs;
  }

  before(async () => {
    server = createServer({ services: [] });
    ({ port } = await server.listen({ host: "127.0.0.1", port: 0 }));
    await ask();
  });
  after(() => server.close());

  for (const [name, attack] of Object.entries(attacks)) {
    test(name, { timeout: 60_000 }, async t => {
      const attackers = new Attackers(port);
      try {
        const before = await heldBytes();
        await attack(attackers);
        const tookMs = await ask();
        const growth = (await heldBytes()) - before;
        t.diagnostic(`answered in ${tookMs.toFixed(0)} ms, ${(growth / 1024 / 1024).toFixed(1)} MiB held`);
        assert(tookMs <= requestMsMax, `a stranger waited ${tookMs} ms`);
        assert(growth <= growthBytesMax, `${growth} bytes more are held`);
      } finally {
        attackers.close();
      }
    });
  }

  test("when all of them are gone, nothing of them is left", async () => {
    await ask();
    assert.equal(server.activeCalls, 0);
  });
});
