import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { after, describe, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { createServer, type Handlers, implement, isRpcError } from "trunkline";
import { Streams } from "../gen/transcoding/v1/transcoding_pb.ts";

/** The port of a server of some streams. */
async function serve(handlers: Partial<Handlers<typeof Streams>>): Promise<number> {
  const server = createServer({ services: [implement(Streams, handlers as never)] });
  after(() => server.close());
  return (await server.listen({ host: "127.0.0.1", port: 0 })).port;
}

/** A peer that sends a body piece by piece and sees the answer come. */
interface Peer {
  readonly socket: Socket | { destroy(): void };
  write(bytes: Buffer): Promise<void>;
  end(): void;
  pause(): void;
  resume(): void;
  /** Called with each piece of the answer's body (HTTP/1.1: with head and chunk framing). */
  received: (bytes: Buffer) => void;
  readonly ended: Promise<unknown>;
}

const openings: Record<string, (port: number, path: string, type?: string) => Peer> = {
  "HTTP/1.1": (port, path, type) => {
    const socket = connect(port, "127.0.0.1");
    const head = [`${type === undefined ? "GET" : "POST"} ${path} HTTP/1.1`, "host: a", "connection: close"];
    if (type !== undefined) head.push(`content-type: ${type}`, "transfer-encoding: chunked");
    socket.write(`${head.join("\r\n")}\r\n\r\n`);
    const peer: Peer = {
      socket,
      async write(bytes) {
        socket.write(`${bytes.length.toString(16)}\r\n`);
        socket.write(bytes);
        if (!socket.write("\r\n")) await once(socket, "drain");
      },
      end: () => void socket.write("0\r\n\r\n"),
      pause: () => void socket.pause(),
      resume: () => void socket.resume(),
      received: () => {},
      ended: once(socket, "close"),
    };
    socket.on("data", (bytes: Buffer) => peer.received(bytes));
    socket.on("error", () => {});
    return peer;
  },
  "HTTP/2": (port, path, type) => {
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    const stream =
      type === undefined
        ? session.request({ ":path": path })
        : session.request({ ":path": path, ":method": "POST", "content-type": type });
    const peer: Peer = {
      socket: { destroy: () => session.destroy() },
      async write(bytes) {
        if (!stream.write(bytes)) await once(stream, "drain");
      },
      end: () => void stream.end(),
      pause: () => void stream.pause(),
      resume: () => void stream.resume(),
      received: () => {},
      ended: once(stream, "close").then(() => session.close()),
    };
    stream.on("data", (bytes: Buffer) => peer.received(bytes));
    stream.on("error", () => {});
    session.on("error", () => {});
    return peer;
  },
};

/** Resolves when the answer so far holds the text. */
function arrival(peer: Peer): (text: string) => Promise<void> {
  let all = "";
  let look = () => {};
  peer.received = bytes => {
    all += bytes.toString("latin1");
    look();
  };
  return text =>
    new Promise(resolve => {
      look = () => {
        if (all.includes(text)) resolve();
      };
      look();
    });
}

/** How many more bytes the process holds at most while `work` runs. */
async function memoryGrowth(work: () => Promise<void>): Promise<number> {
  const start = process.memoryUsage.rss();
  let peak = start;
  const timer = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage.rss());
  }, 5);
  await work();
  clearInterval(timer);
  return peak - start;
}

const total = 256 * 1024 * 1024;
const piece = Buffer.alloc(64 * 1024, 1);
/** Buffers of sockets and of the collector's leisure; a whole body would be eight times as much. */
const growthMax = 32 * 4 * 1024 * 1024;

for (const [version, open] of Object.entries(openings)) {
  describe(version, () => {
    test("both sides of a call speak in turns", async () => {
      const port = await serve({
        async *chat(items) {
          for await (const { itemNumber } of items) yield { itemNumber: itemNumber * 2 };
        },
      });
      const peer = open(port, "/s/chat", "application/x-ndjson");
      const arrives = arrival(peer);
      for (let number = 1; number <= 5; number++) {
        await peer.write(Buffer.from(`{"item_number":${number}}\n`));
        await arrives(`{"item_number":${number * 2}}\n`);
      }
      peer.end();
      await peer.ended;
    });

    test("256 MiB come down in memory that does not grow with them", async () => {
      const port = await serve({
        async *download() {
          for (let sent = 0; sent < total; sent += piece.length) yield { contentType: "x/y", data: piece };
        },
      });
      let bytes = 0;
      const growth = await memoryGrowth(async () => {
        const peer = open(port, "/s/download/1");
        peer.received = chunk => {
          bytes += chunk.length;
        };
        await peer.ended;
      });
      assert(bytes >= total, `${bytes} bytes came`);
      assert(growth < growthMax, `memory grew by ${growth} bytes`);
    });

    test("256 MiB go up in memory that does not grow with them", async () => {
      let bytes = 0;
      const port = await serve({
        async sendPieces(pieces) {
          for await (const { file } of pieces) bytes += file?.data.length ?? 0;
          return { texts: [String(bytes)] };
        },
      });
      const growth = await memoryGrowth(async () => {
        const peer = open(port, "/s/pieces/a", "x/y");
        const arrives = arrival(peer);
        for (let sent = 0; sent < total; sent += piece.length) await peer.write(piece);
        peer.end();
        await arrives(`{"texts":["${total}"]}`);
        await peer.ended;
      });
      assert.equal(bytes, total);
      assert(growth < growthMax, `memory grew by ${growth} bytes`);
    });

    test("a reader that stops stops the handler", async () => {
      let sent = 0;
      const port = await serve({
        async *download() {
          for (;;) {
            sent += piece.length;
            yield { contentType: "x/y", data: piece };
          }
        },
      });
      const peer = open(port, "/s/download/1");
      const began = new Promise<void>(resolve => {
        peer.received = () => resolve();
      });
      await began;
      peer.pause();
      let before = -1;
      // Kernel buffers of both sides fill up first.
      while (before !== sent) {
        before = sent;
        for (let index = 0; index < 200; index++) await turn();
      }
      assert(sent < 32 * 1024 * 1024, `${sent} bytes were made for a reader that does not read`);
      peer.socket.destroy();
    });

    test("a handler that stops stops its caller", async () => {
      let release = (_: unknown) => {};
      const held = new Promise(resolve => {
        release = resolve;
      });
      let read = 0;
      const port = await serve({
        async sendPieces(pieces) {
          await held;
          for await (const { file } of pieces) read += file?.data.length ?? 0;
          return {};
        },
      });
      const peer = open(port, "/s/pieces/a", "x/y");
      let written = 0;
      let isStalled = false;
      const writing = (async () => {
        while (!isStalled) {
          await peer.write(piece);
          written += piece.length;
        }
        peer.end();
      })();
      let before = -1;
      while (before !== written) {
        before = written;
        for (let index = 0; index < 200; index++) await turn();
      }
      assert(written < 32 * 1024 * 1024, `${written} bytes were taken that nobody reads`);
      isStalled = true;
      release(undefined);
      await writing;
      await peer.ended;
      assert(read >= written);
    });

    test("a reader that leaves ends the handler", async () => {
      let wasAborted: (value: unknown) => void = () => {};
      let wasReturned: (value: unknown) => void = () => {};
      const aborted = new Promise(resolve => {
        wasAborted = resolve;
      });
      const returned = new Promise(resolve => {
        wasReturned = resolve;
      });
      const port = await serve({
        async *download(_request, call) {
          call.signal.addEventListener("abort", () => wasAborted(call.signal.reason));
          try {
            for (;;) yield { contentType: "x/y", data: piece };
          } finally {
            wasReturned(true);
          }
        },
      });
      const peer = open(port, "/s/download/1");
      await new Promise<void>(resolve => {
        peer.received = () => resolve();
      });
      peer.socket.destroy();
      assert(isRpcError(await aborted, "cancelled"));
      assert.equal(await returned, true);
    });

    test("a caller that leaves in the middle of its body ends the handler's loop with cancelled", async () => {
      let fail: (error: unknown) => void = () => {};
      const failed = new Promise(resolve => {
        fail = resolve;
      });
      let begin: (value: unknown) => void = () => {};
      const begun = new Promise(resolve => {
        begin = resolve;
      });
      const port = await serve({
        async sendPieces(pieces) {
          try {
            for await (const _ of pieces) begin(true);
          } catch (error) {
            fail(error);
          }
          return {};
        },
      });
      const peer = open(port, "/s/pieces/a", "x/y");
      await peer.write(piece);
      await begun;
      peer.socket.destroy();
      assert(isRpcError(await failed, "cancelled"));
    });

    test("a handler that has enough answers in the middle of the body", async () => {
      const port = await serve({
        async sendPieces(pieces) {
          for await (const { file } of pieces) return { texts: [String((file?.data.length ?? 0) > 0)] };
          return {};
        },
      });
      const peer = open(port, "/s/pieces/a", "x/y");
      const arrives = arrival(peer);
      await peer.write(piece.subarray(0, 1024));
      await arrives('{"texts":["true"]}');
      peer.socket.destroy();
    });
  });
}
