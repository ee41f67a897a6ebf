// Opens HTTP/2 connections with the bytes of the protocol alone, and streams on them that stay open, so that what a
// server remembers for each can be weighed. Argument: JSON {port, connections, streamsPerConnection}. Prints
// {"open":N} when the server has acknowledged everything; leaves when stdin ends.
import { connect, type Socket } from "node:net";

const { port, connections, streamsPerConnection } = JSON.parse(process.argv[2] ?? "{}") as {
  port: number;
  connections: number;
  streamsPerConnection: number;
};

const dataFrame = 0;
const headersFrame = 1;
const settingsFrame = 4;
const pingFrame = 6;
const goAwayFrame = 7;
const ackFlag = 1;
const endStreamFlag = 1;
const endHeadersFlag = 4;

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A literal field without indexing and without Huffman (RFC 7541, section 6.2.2): no state on either side. */
function literal(name: string, value: string): Buffer {
  return Buffer.concat([
    Buffer.from([0, name.length]),
    Buffer.from(name),
    Buffer.from([value.length]),
    Buffer.from(value),
  ]);
}

const fields = Buffer.concat([
  literal(":method", "POST"),
  literal(":scheme", "http"),
  literal(":path", "/bench.OrderService/Watch"),
  literal(":authority", "127.0.0.1"),
  literal("content-type", "application/grpc"),
  literal("te", "trailers"),
]);
const emptyMessage = Buffer.alloc(5);

/** Resolves when the server has answered a PING sent behind everything else: it has read all of it. */
function open(): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1" });
    let received: Buffer = Buffer.alloc(0);
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("the server closed a connection")));
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      while (received.length >= 9 && received.length >= 9 + received.readUIntBE(0, 3)) {
        const length = received.readUIntBE(0, 3);
        const [type, flags] = [received[3], received[4] ?? 0];
        if (type === settingsFrame && (flags & ackFlag) === 0)
          socket.write(frame(settingsFrame, ackFlag, 0, Buffer.alloc(0)));
        if (type === goAwayFrame) reject(new Error(`GOAWAY ${received.toString("latin1", 17, 9 + length)}`));
        if (type === pingFrame && (flags & ackFlag) !== 0) resolve(socket);
        else if (type === pingFrame) socket.write(frame(pingFrame, ackFlag, 0, received.subarray(9, 17)));
        received = Buffer.from(received.subarray(9 + length));
      }
    });
    const parts = [Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(settingsFrame, 0, 0, Buffer.alloc(0))];
    for (let n = 0; n < streamsPerConnection; n++) {
      parts.push(frame(headersFrame, endHeadersFlag, 2 * n + 1, fields));
      parts.push(frame(dataFrame, endStreamFlag, 2 * n + 1, emptyMessage));
    }
    parts.push(frame(pingFrame, 0, 0, Buffer.from("weighing")));
    socket.write(Buffer.concat(parts));
  });
}

/** In groups: a burst of thousands of connects would only measure the accept queue. */
const groupSize = 50;
let count = 0;
while (count < connections) {
  const group = Math.min(groupSize, connections - count);
  await Promise.all(Array.from({ length: group }, open));
  count += group;
}
process.stdout.write(`${JSON.stringify({ open: count })}\n`);
process.stdin.on("end", () => process.exit(0)).resume();
