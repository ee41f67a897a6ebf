import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { silentObserver, systemPlatform } from "../../platform/index.ts";
import {
  constantField,
  type ExchangeError,
  type FieldList,
  HeaderField,
  type ResponseReceiver,
  type ServerExchange,
} from "../exchange.ts";
import { Http2ClientConnection } from "./client-connection.ts";
import { Http2ServerConnection } from "./server-connection.ts";

/** Node's implementation as the other side, over real sockets of the loopback interface. */
const { clock, network } = systemPlatform;
const plain = [constantField("content-type", "application/octet-stream")];

/** Sends back what comes, as it comes, no faster than the peer takes it. */
function echo(exchange: ServerExchange): void {
  const held: number[] = [];
  let isOver = false;
  exchange.sendHead(200, plain, false);
  const pay = (): void => {
    for (const bytes of held.splice(0)) exchange.consumed(bytes);
  };
  exchange.receiver = {
    data(chunk, start, end) {
      exchange.sendData(Buffer.from(chunk.subarray(start, end)), false);
      if (exchange.isWritable) exchange.consumed(end - start);
      else held.push(end - start);
    },
    ended() {
      isOver = true;
      exchange.sendTrailers([new HeaderField("x-end", "1")]);
    },
    aborted() {
      if (!isOver) exchange.reset("cancel");
    },
    writable: pay,
  };
}

async function startOurServer(): Promise<{ port: number; close(): Promise<void> }> {
  const open = new Set<Http2ServerConnection>();
  const listening = await network.listen({ host: "127.0.0.1", port: 0 }, stream => {
    const connection: Http2ServerConnection = new Http2ServerConnection({
      stream,
      clock,
      observer: silentObserver,
      scheme: "http",
      handler: { request: echo, closed: () => void open.delete(connection) },
    });
    open.add(connection);
    stream.handler = connection;
    connection.start();
  });
  return {
    port: listening.port,
    async close() {
      for (const connection of open) connection.destroy();
      await listening.close();
    },
  };
}

const digest = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

function bodyOf(bytes: number, seed: number): Buffer {
  const body = Buffer.alloc(bytes);
  for (let index = 0, state = seed; index < bytes; index++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    body[index] = state >>> 16;
  }
  return body;
}

const sizes = [0, 1, 100, 16_383, 16_384, 16_385, 65_535, 65_536, 1_000_000, 4_000_000];

test("node:http2 as client: bodies of all sizes come back whole, at the same time", { timeout: 20_000 }, async () => {
  const server = await startOurServer();
  const session = http2.connect(`http://127.0.0.1:${server.port}`);
  try {
    await Promise.all(
      sizes.map(async (size, index) => {
        const body = bodyOf(size, index + 1);
        const stream = session.request({ ":method": "POST", ":path": `/echo/${index}`, "x-index": String(index) });
        let trailers: http2.IncomingHttpHeaders = {};
        stream.on("trailers", received => {
          trailers = received;
        });
        stream.end(body);
        const chunks: Buffer[] = [];
        for await (const chunk of stream) chunks.push(chunk as Buffer);
        assert.equal(digest(Buffer.concat(chunks)), digest(body), `${size} bytes`);
        assert.equal(trailers["x-end"], "1");
      }),
    );
  } finally {
    session.destroy();
    await server.close();
  }
});

test("node:http2 as client: 500 calls after each other and 200 at once", { timeout: 20_000 }, async () => {
  const server = await startOurServer();
  const session = http2.connect(`http://127.0.0.1:${server.port}`);
  const call = async (index: number): Promise<void> => {
    const stream = session.request({ ":method": "POST", ":path": "/", "x-changing": `value ${index}` });
    stream.end(`body ${index}`);
    let text = "";
    for await (const chunk of stream) text += String(chunk);
    assert.equal(text, `body ${index}`);
  };
  try {
    for (let index = 0; index < 500; index++) await call(index);
    await Promise.all(Array.from({ length: 200 }, (_, index) => call(index)));
  } finally {
    session.destroy();
    await server.close();
  }
});

interface Answer {
  readonly status: number;
  readonly fields: FieldList;
  readonly body: Buffer;
  readonly trailers: FieldList | undefined;
}

function request(connection: Http2ClientConnection, body: Buffer): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let status = 0;
    let fields: FieldList;
    let at = 0;
    const chunks: Buffer[] = [];
    const sendMore = (): void => {
      while (at < body.length && exchange.isWritable) {
        const end = Math.min(at + 30_000, body.length);
        exchange.sendData(body.subarray(at, end), end === body.length);
        at = end;
      }
    };
    const receiver: ResponseReceiver = {
      head(received, receivedFields) {
        status = received;
        fields = receivedFields;
      },
      data(chunk, start, end) {
        chunks.push(Buffer.from(chunk.subarray(start, end)));
        exchange.consumed(end - start);
      },
      ended: trailers => resolve({ status, fields, body: Buffer.concat(chunks), trailers }),
      aborted: (error: ExchangeError) => reject(error),
      writable: sendMore,
    };
    const head = {
      method: constantField(":method", "POST"),
      scheme: constantField(":scheme", "http"),
      authority: new HeaderField(":authority", "localhost"),
      path: constantField(":path", "/echo"),
    };
    const exchange = connection.request(head, plain, receiver, body.length === 0);
    sendMore();
  });
}

async function connectTo(port: number): Promise<Http2ClientConnection> {
  const stream = await network.connect({ host: "127.0.0.1", port });
  const connection = new Http2ClientConnection({
    stream,
    clock,
    observer: silentObserver,
    handler: { capacityChanged() {}, draining() {}, closed() {} },
  });
  stream.handler = connection;
  connection.start();
  return connection;
}

test("node:http2 as server: bodies of all sizes come back whole, with trailers", { timeout: 20_000 }, async () => {
  const server = http2.createServer();
  server.on("stream", (stream: http2.ServerHttp2Stream) => {
    stream.respond({ ":status": 200, "x-many": ["a", "b"] }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-end": "1" }));
    stream.pipe(stream);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const connection = await connectTo((server.address() as AddressInfo).port);
  try {
    await Promise.all(
      sizes.map(async (size, index) => {
        const body = bodyOf(size, index + 100);
        const answer = await request(connection, body);
        assert.equal(answer.status, 200);
        assert.equal(answer.fields.get("x-many"), "a, b");
        assert.equal(digest(answer.body), digest(body), `${size} bytes`);
        assert.equal(answer.trailers?.get("x-end"), "1");
      }),
    );
    for (let index = 0; index < 300; index++) {
      const body = Buffer.from(`call ${index}`);
      assert.equal((await request(connection, body)).body.toString(), `call ${index}`);
    }
  } finally {
    connection.destroy();
    server.close();
  }
});

test("node:http2 as server: a graceful close reaches us as draining", { timeout: 20_000 }, async () => {
  const server = http2.createServer();
  server.on("stream", (stream: http2.ServerHttp2Stream) => {
    stream.respond({ ":status": 200 });
    stream.session?.close();
    stream.end("last");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const connection = await connectTo((server.address() as AddressInfo).port);
  try {
    assert.equal((await request(connection, Buffer.from("x"))).body.toString(), "last");
    while (!connection.isDraining) await new Promise<void>(resolve => setImmediate(resolve));
    assert.equal(connection.capacity, 0);
    await assert.rejects(request(connection, Buffer.from("x")), { unprocessed: true });
  } finally {
    connection.destroy();
    server.close();
  }
});
