import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { constantField } from "../exchange.ts";
import { ErrorCode } from "./errors.ts";
import { Flag, FrameType, uint32 } from "./frames.ts";
import { limitToken } from "./limits.ts";
import {
  ClientUnderTest,
  dataFrame,
  frame,
  Recorder,
  requestHead,
  resetFrame,
  settingsFrame,
  uint32Bytes,
} from "./scripted-peer.ts";

const te = [constantField("te", "trailers")];

function call(client: ClientUnderTest, end = true) {
  const recorder = new Recorder();
  const exchange = client.connection.request(requestHead, te, recorder, end);
  return { recorder, exchange };
}

const goawayFrame = (lastStreamId: number, code: number): Buffer =>
  frame(FrameType.goaway, 0, 0, uint32Bytes(lastStreamId, code));

test("a unary call: request in one write, response with trailers", () => {
  const client = new ClientUnderTest().open();
  const writesBefore = client.stream.writes;
  const { recorder, exchange } = call(client, false);
  exchange.beginData().append(Buffer.from("question"));
  exchange.commitData(true);
  const sent = client.frames();
  assert.equal(client.stream.writes, writesBefore + 1);
  assert.deepEqual(client.hpack.fieldsOf(sent[0]!), [
    [":method", "POST"],
    [":scheme", "http"],
    [":authority", "example.test"],
    [":path", "/test.Service/Call"],
    ["te", "trailers"],
  ]);
  assert.equal(sent[1]!.payload.toString(), "question");
  client.arrive(
    client.hpack.headers(1, [[":status", "200"]], 0),
    dataFrame(1, "answer"),
    client.hpack.headers(1, [["grpc-status", "0"]]),
  );
  assert.deepEqual(recorder.heard, ["head 200", "data 6", "ended"]);
  assert.equal(recorder.trailers?.get("grpc-status"), "0");
  assert.equal(exchange.isClosed, true);
  assert.equal(client.connection.activeExchanges, 0);
});

test("an end of stream that waits alone for the socket leaves as an empty frame", () => {
  const client = new ClientUnderTest().open();
  const { exchange } = call(client, false);
  client.frames();
  client.stream.hasRoom = false;
  exchange.sendData(Buffer.from("question"), false);
  assert.equal(client.frames().length, 1);
  exchange.sendTrailers([]);
  assert.equal(client.frames().length, 0);
  client.stream.hasRoom = true;
  client.connection.drained();
  const [end, ...others] = client.frames();
  assert.deepEqual(others, [], "the connection goes on");
  assert.deepEqual([end?.type, end?.flags, end?.payload.length], [FrameType.data, Flag.endStream, 0]);
});

test("large pieces leave unharmed, however windows and the socket hold them back and memory goes round", () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ bytes: fc.integer({ min: 1, max: 700_000 }), isBlocked: fc.boolean() }), { maxLength: 6 }),
      pieces => {
        const client = new ClientUnderTest().open();
        const { exchange } = call(client, false);
        client.stream.takeBytes();
        pieces.forEach(({ bytes, isBlocked }, index) => {
          client.stream.hasRoom = !isBlocked;
          client.stream.bufferedBytes = isBlocked ? 100_000 : 0;
          const writer = exchange.beginData();
          writer.ensure(bytes);
          writer.bytes.fill(index + 1, writer.position, writer.position + bytes);
          writer.position += bytes;
          exchange.commitData(index === pieces.length - 1);
          client.clock.advanceSync(0);
          client.arrive(frame(FrameType.windowUpdate, 0, 1, uint32Bytes(200_000)));
          client.arrive(frame(FrameType.windowUpdate, 0, 0, uint32Bytes(200_000)));
          client.stream.bufferedBytes = 0;
          client.connection.drained();
        });
        client.stream.hasRoom = true;
        client.connection.drained();
        client.arrive(frame(FrameType.windowUpdate, 0, 1, uint32Bytes(8_000_000)));
        client.arrive(frame(FrameType.windowUpdate, 0, 0, uint32Bytes(8_000_000)));
        client.clock.advanceSync(0);
        const body = client.frames().filter(({ type }) => type === FrameType.data);
        const received = Buffer.concat(body.map(({ payload }) => payload));
        const expected = Buffer.concat(pieces.map(({ bytes }, index) => Buffer.alloc(bytes, index + 1)));
        assert(received.equals(expected), `${received.length} of ${expected.length} bytes`);
      },
    ),
    { numRuns: 50 },
  );
});

test("informational heads are not shown", () => {
  const client = new ClientUnderTest().open();
  const { recorder } = call(client);
  client.arrive(client.hpack.headers(1, [[":status", "103"]], 0), client.hpack.headers(1, [[":status", "204"]]));
  assert.deepEqual(recorder.heard, ["head 204", "ended"]);
});

test("capacity follows the peer's limit and the calls under way", () => {
  const client = new ClientUnderTest();
  client.connection.start();
  assert.equal(client.connection.capacity, 100, "before the peer has said its limit");
  client.arrive(settingsFrame([3, 2]));
  assert.equal(client.connection.capacity, 2);
  call(client);
  call(client);
  assert.equal(client.connection.capacity, 0);
  client.told.length = 0;
  client.arrive(client.hpack.headers(1, [[":status", "200"]]));
  assert.equal(client.connection.capacity, 1);
  assert.deepEqual(client.told, ["capacity"]);
});

test("REFUSED_STREAM says that the request was not processed, other resets do not", () => {
  const client = new ClientUnderTest().open();
  const refused = call(client);
  const cancelled = call(client);
  client.frames();
  client.arrive(resetFrame(1, ErrorCode.refusedStream), resetFrame(3, ErrorCode.internalError));
  assert.equal(refused.recorder.error?.unprocessed, true);
  assert.equal(cancelled.recorder.error?.unprocessed, false);
  assert.equal(cancelled.recorder.error?.http2Code, ErrorCode.internalError);
});

test("GOAWAY: calls above the last id were not processed, those below finish, then the connection closes", () => {
  const client = new ClientUnderTest().open();
  const served = call(client);
  const dropped = call(client);
  client.frames();
  client.arrive(goawayFrame(1, ErrorCode.noError));
  assert.equal(dropped.recorder.error?.reason, "draining");
  assert.equal(dropped.recorder.error?.unprocessed, true);
  assert.ok(client.told.includes("draining"));
  assert.equal(client.connection.capacity, 0);
  client.arrive(client.hpack.headers(1, [[":status", "200"]]));
  assert.deepEqual(served.recorder.heard, ["head 200", "ended"]);
  assert.equal(client.stream.isEnded, true);
});

test("two-phase GOAWAY: the first one with the highest id aborts nothing", () => {
  const client = new ClientUnderTest().open();
  const { recorder } = call(client);
  client.frames();
  client.arrive(goawayFrame(0x7fffffff, ErrorCode.noError));
  assert.deepEqual(recorder.heard, []);
  client.arrive(goawayFrame(0, ErrorCode.noError));
  assert.equal(recorder.error?.unprocessed, true);
});

test("a request on a draining connection fails as unprocessed, but not before request() returns", async () => {
  const client = new ClientUnderTest().open();
  call(client);
  client.connection.drain();
  const { recorder } = call(client);
  assert.deepEqual(recorder.heard, []);
  await client.clock.settle();
  assert.equal(recorder.error?.unprocessed, true);
});

test("a lost connection: what never left this process is unprocessed, what left may have been processed", () => {
  const client = new ClientUnderTest().open();
  const sent = call(client);
  client.frames();
  const kept = call(client);
  client.stream.destroy(new Error("ECONNRESET"));
  assert.equal(sent.recorder.error?.unprocessed, false);
  assert.equal(kept.recorder.error?.unprocessed, true);
  assert.deepEqual(
    [sent, kept].map(({ recorder }) => recorder.heard.length),
    [1, 1],
  );
  assert.ok(client.told.includes("closed ECONNRESET"));
});

test("a request that leaves together with our own GOAWAY may have been processed", () => {
  const client = new ClientUnderTest().open();
  const { recorder } = call(client);
  client.arrive(frame(FrameType.pushPromise, Flag.endHeaders, 1, uint32Bytes(2)));
  assert.equal(recorder.error?.reason, "protocol");
  assert.equal(recorder.error?.unprocessed, false);
});

test("keepalive: a ping after 10 s of silence with calls pending, the end 5 s later", () => {
  const client = new ClientUnderTest().open();
  const { recorder } = call(client);
  client.frames();
  client.clock.advanceSync(9_900);
  assert.equal(client.frames().length, 0);
  client.clock.advanceSync(200);
  assert.equal(client.frames()[0]?.type, FrameType.ping);
  client.clock.advanceSync(5_100);
  assert.equal(recorder.error?.reason, "timeout");
  assert.ok(client.told.length === 0 || client.stream.isEnded);
  client.clock.advanceSync(1_100);
  assert.ok(client.told.some(line => line.includes(limitToken.keepalive)));
});

test("keepalive: an answered ping keeps the connection, and without calls there is none", () => {
  const client = new ClientUnderTest().open();
  call(client);
  client.frames();
  for (let round = 0; round < 5; round++) {
    client.clock.advanceSync(10_100);
    const ping = client.frames().find(sent => sent.type === FrameType.ping);
    assert.ok(ping !== undefined, `round ${round}`);
    client.arrive(frame(FrameType.ping, Flag.ack, 0, ping.payload));
  }
  client.arrive(client.hpack.headers(1, [[":status", "200"]]));
  client.clock.advanceSync(60_000);
  assert.equal(client.frames().length, 0);
  assert.equal(client.connection.isClosing, false);
});

test("a cancelled call tells the peer, and frames that come later are ignored and paid", () => {
  const client = new ClientUnderTest().open();
  const { recorder, exchange } = call(client);
  client.frames();
  exchange.reset("cancel");
  const [reset] = client.frames();
  assert.equal(uint32(reset!.payload, 0), ErrorCode.cancel);
  client.arrive(client.hpack.headers(1, [[":status", "200"]], 0));
  for (let count = 0; count < 3; count++) client.arrive(dataFrame(1, Buffer.alloc(16_000)));
  assert.deepEqual(recorder.heard, []);
  assert.ok(client.frames().some(sent => sent.type === FrameType.windowUpdate && sent.streamId === 0));
  assert.equal(client.connection.isClosing, false);
});

test("NO_ERROR behind a complete response ends the upload without an error", () => {
  const client = new ClientUnderTest().open();
  const { recorder, exchange } = call(client, false);
  client.frames();
  client.arrive(client.hpack.headers(1, [[":status", "413"]]), resetFrame(1, ErrorCode.noError));
  assert.deepEqual(recorder.heard, ["head 413", "ended"]);
  exchange.sendData(Buffer.from("too late"), true);
  assert.equal(exchange.isClosed, true);
  assert.equal(client.frames().length, 0);
});

const malformed: { name: string; parts: (client: ClientUnderTest) => Buffer[] }[] = [
  { name: "no :status", parts: client => [client.hpack.headers(1, [["x", "1"]])] },
  { name: "DATA before the head", parts: () => [dataFrame(1, "x")] },
  { name: "101", parts: client => [client.hpack.headers(1, [[":status", "101"]], 0)] },
  {
    name: "a short body",
    parts: client => [
      client.hpack.headers(
        1,
        [
          [":status", "200"],
          ["content-length", "5"],
        ],
        0,
      ),
      dataFrame(1, "abcd", Flag.endStream),
    ],
  },
  {
    name: "trailers that do not end the stream",
    parts: client => [client.hpack.headers(1, [[":status", "200"]], 0), client.hpack.headers(1, [["x", "1"]], 0)],
  },
];
for (const { name, parts } of malformed) {
  test(`malformed response: ${name}`, () => {
    const client = new ClientUnderTest().open();
    const { recorder } = call(client);
    client.frames();
    client.arrive(...parts(client));
    assert.equal(recorder.error?.reason, "protocol");
    assert.equal(client.connection.isClosing, false);
  });
}

test("a server's stream that nobody opened ends the connection", () => {
  const client = new ClientUnderTest().open();
  client.arrive(client.hpack.headers(2, [[":status", "200"]]));
  assert.equal(client.connection.isClosing, true);
});

test("garbage never throws out of data(), and every call hears exactly one end", () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 60 }).map(bytes => Buffer.from(bytes)),
    fc
      .tuple(fc.nat(10), fc.nat(63), fc.nat(7), fc.uint8Array({ maxLength: 40 }))
      .map(([type, flags, streamId, payload]) => frame(type, flags, streamId, payload)),
    fc.constantFrom(1, 3).map(streamId => frame(FrameType.headers, Flag.endHeaders, streamId, Buffer.of(0x88))),
    fc.constantFrom(1, 3).map(streamId => dataFrame(streamId, "x", Flag.endStream)),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), pieces => {
      const client = new ClientUnderTest().open();
      const calls = [call(client), call(client, false)];
      client.frames();
      for (const bytes of pieces) client.arrive(bytes);
      client.connection.destroy();
      for (const { recorder } of calls) {
        const ends = recorder.heard.filter(line => line === "ended" || line.startsWith("aborted"));
        assert.equal(ends.length, 1, recorder.heard.join());
        assert.equal(recorder.heard.at(-1), ends[0]);
      }
      assert.equal(client.connection.activeExchanges, 0);
    }),
    { numRuns: 1_500 },
  );
});
