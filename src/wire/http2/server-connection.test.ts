import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { constantField, HeaderField, type ServerExchange } from "../exchange.ts";
import { ErrorCode } from "./errors.ts";
import { clientPreface, Flag, FrameType, streamIdMax, uint31, uint32 } from "./frames.ts";
import {
  dataFrame,
  frame,
  getRequest,
  postRequest,
  type Recorder,
  resetFrame,
  type SentFrame,
  ServerUnderTest,
  settingsFrame,
  windowUpdateFrame,
} from "./scripted-peer.ts";

const contentType = [constantField("content-type", "application/grpc")];
const trailers = [constantField("grpc-status", "0")];
const dataOf = (frames: readonly SentFrame[], streamId: number): SentFrame[] =>
  frames.filter(sent => sent.type === FrameType.data && sent.streamId === streamId);
const bytesOf = (frames: readonly SentFrame[]): number =>
  frames.reduce((total, sent) => total + sent.payload.length, 0);

test("a unary call: head, data and trailers leave in one write", () => {
  const server = new ServerUnderTest({}, (exchange, recorder) => {
    const ended = recorder.ended.bind(recorder);
    recorder.ended = received => {
      ended(received);
      exchange.sendHead(200, contentType, false);
      exchange.beginData().append(Buffer.from("answer"));
      exchange.commitData(false);
      exchange.sendTrailers(trailers);
    };
    return recorder;
  }).open();
  const writesBefore = server.stream.writes;
  server.arrive(server.hpack.headers(1, postRequest, 0), dataFrame(1, "question", Flag.endStream));
  assert.equal(server.stream.writes, writesBefore + 1);
  const sent = server.frames();
  assert.deepEqual(
    sent.map(({ type, flags }) => [type, flags]),
    [
      [FrameType.headers, Flag.endHeaders],
      [FrameType.data, 0],
      [FrameType.headers, Flag.endHeaders | Flag.endStream],
    ],
  );
  assert.deepEqual(server.hpack.fieldsOf(sent[0]!), [
    [":status", "200"],
    ["content-type", "application/grpc"],
  ]);
  assert.deepEqual(server.hpack.fieldsOf(sent[2]!), [["grpc-status", "0"]]);
  const { exchange, recorder } = server.requests[0]!;
  assert.deepEqual(recorder.heard, ["data 8", "ended"]);
  assert.equal(exchange.path.value, "/");
  assert.equal(exchange.authority, "example.test");
  assert.equal(server.connection.runningHandlers, 0);
  assert.equal(server.connection.activeExchanges, 0);
});

test("respond: content-length, HEAD without body, text as UTF-8", () => {
  const server = new ServerUnderTest().open();
  server.get(1);
  server.arrive(server.hpack.headers(3, [[":method", "HEAD"], ...getRequest.slice(1)]));
  server.requests[0]!.exchange.respond(200, [], "zürich");
  server.requests[1]!.exchange.respond(200, [], "zürich");
  const sent = server.frames();
  assert.deepEqual(server.hpack.fieldsOf(sent[0]!), [
    [":status", "200"],
    ["content-length", "7"],
  ]);
  assert.equal(sent[1]!.payload.toString(), "zürich");
  assert.deepEqual(server.hpack.fieldsOf(sent[2]!)[1], ["content-length", "7"]);
  assert.equal(sent[2]!.flags, Flag.endHeaders | Flag.endStream);
  assert.equal(sent.length, 3);
});

test("request trailers and padding are understood, padding is paid", () => {
  const server = new ServerUnderTest({ windowBytes: 100 }).open();
  server.arrive(
    server.hpack.headers(1, postRequest, 0),
    frame(FrameType.data, Flag.padded, 1, Buffer.concat([Buffer.of(60), Buffer.from("body"), Buffer.alloc(60)])),
    server.hpack.headers(1, [["x-checksum", "1"]]),
  );
  const { recorder } = server.requests[0]!;
  assert.deepEqual(recorder.heard, ["data 4", "ended"]);
  assert.equal(recorder.trailers?.get("x-checksum"), "1");
  const update = server.frames().find(sent => sent.type === FrameType.windowUpdate && sent.streamId === 1);
  assert.equal(uint31(update!.payload, 0), 61);
});

test("the same bytes give the same events however they are cut", () => {
  const hear = (cut: (whole: Buffer) => Buffer[]): string[] => {
    const server = new ServerUnderTest();
    server.connection.start();
    const whole = Buffer.concat([
      clientPreface,
      settingsFrame([4, 1000]),
      server.hpack.headers(1, postRequest, 0),
      dataFrame(1, "first"),
      server.hpack.headers(3, getRequest),
      frame(FrameType.ping, 0, 0, Buffer.from("12345678")),
      dataFrame(1, "second", Flag.endStream),
      server.hpack.headers(5, [...postRequest, ["x-long", "y".repeat(300)]], 0),
      resetFrame(5),
    ]);
    for (const chunk of cut(whole)) server.stream.arrive(chunk);
    return server.requests.map(({ exchange, recorder }) => `${exchange.method} ${recorder.heard.join(", ")}`);
  };
  const expected = hear(whole => [whole]);
  assert.deepEqual(expected, ["POST data 5, data 6, ended", "GET ended", "POST aborted reset"]);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 40 }), sizes => {
      const actual = hear(whole => {
        const chunks: Buffer[] = [];
        let at = 0;
        for (const size of sizes) {
          chunks.push(whole.subarray(at, at + size));
          at += size;
        }
        return [...chunks, whole.subarray(at)];
      });
      assert.deepEqual(actual, expected);
    }),
  );
});

test("a cancelled call is told once; what is sent afterwards goes nowhere", () => {
  const server = new ServerUnderTest().open();
  server.get(1);
  server.arrive(resetFrame(1, ErrorCode.cancel));
  const { exchange, recorder } = server.requests[0]!;
  assert.deepEqual(recorder.heard, ["ended", "aborted reset"]);
  assert.equal(recorder.error?.http2Code, ErrorCode.cancel);
  exchange.respond(200, [], "too late");
  assert.equal(server.frames().length, 0);
  assert.equal(server.connection.runningHandlers, 0);
});

test("a handler that throws ends its connection with INTERNAL_ERROR, not the process", () => {
  const server = new ServerUnderTest({}, () => {
    throw new Error("handler bug");
  }).open();
  server.get(1);
  assert.equal(server.goaway()?.code, ErrorCode.internalError);
  assert.ok(server.events.some(event => event.type === "http2.callback.failed"));
});

test("an answer before the end of the request stops the request with NO_ERROR", () => {
  const server = new ServerUnderTest().open();
  server.arrive(server.hpack.headers(1, postRequest, 0));
  server.requests[0]!.exchange.respond(413, [], undefined);
  const sent = server.frames();
  assert.equal(sent.at(-1)?.type, FrameType.rstStream);
  assert.equal(uint32(sent.at(-1)!.payload, 0), ErrorCode.noError);
  server.arrive(dataFrame(1, "still coming"));
  assert.equal(server.frames().length, 0, "what was on its way is ignored");
});

test("data waits for the stream's window in order, and trailers wait behind it", () => {
  const server = new ServerUnderTest().open([4, 10]);
  server.get(1);
  const { exchange } = server.requests[0]!;
  exchange.sendHead(200, [], false);
  exchange.sendData(Buffer.from("0123456789abcdef"), false);
  exchange.sendData(Buffer.from("ghij"), false);
  exchange.sendTrailers(trailers);
  assert.equal(exchange.bufferedBytes, 10, "the last answer of a chunk is flushed at once");
  const first = server.frames();
  assert.equal(dataOf(first, 1)[0]?.payload.toString(), "0123456789");
  server.arrive(windowUpdateFrame(1, 8));
  assert.equal(dataOf(server.frames(), 1)[0]?.payload.toString(), "abcdefgh");
  server.arrive(windowUpdateFrame(1, 8));
  const last = server.frames();
  assert.equal(dataOf(last, 1)[0]?.payload.toString(), "ij");
  assert.equal(last.at(-1)?.flags, Flag.endHeaders | Flag.endStream);
  assert.equal(server.connection.activeExchanges, 0);
});

test("isWritable and writable follow the marks", () => {
  const server = new ServerUnderTest().open([4, 0]);
  server.get(1);
  const { exchange, recorder } = server.requests[0]!;
  exchange.sendHead(200, [], false);
  exchange.sendData(Buffer.alloc(65_537), false);
  assert.equal(exchange.isWritable, false);
  server.frames();
  server.arrive(windowUpdateFrame(1, 30_000));
  assert.ok(!recorder.heard.includes("writable"));
  server.arrive(windowUpdateFrame(1, 30_000));
  assert.ok(recorder.heard.includes("writable"));
  assert.equal(exchange.isWritable, true);
});

test("streams with much data take turns, so that a bulk stream starves nobody", () => {
  const server = new ServerUnderTest().open([4, 1_000_000]);
  server.arrive(windowUpdateFrame(0, 10_000_000));
  for (const id of [1, 3, 5]) server.get(id);
  for (const { exchange } of server.requests) {
    exchange.sendHead(200, [], false);
    exchange.sendData(Buffer.alloc(40_000), false);
  }
  const order = server.frames().filter(sent => sent.type === FrameType.data);
  assert.deepEqual(
    order.map(sent => sent.streamId),
    [1, 3, 5, 1, 3, 5, 1, 3, 5],
  );
});

test("the windows are never exceeded, and everything arrives in order", () => {
  fc.assert(
    fc.property(
      fc.nat(70_000),
      fc.array(fc.nat(40_000), { minLength: 1, maxLength: 8 }),
      fc.array(fc.tuple(fc.constantFrom(0, 1), fc.integer({ min: 1, max: 60_000 })), { maxLength: 30 }),
      (initialWindow, sizes, updates) => {
        const server = new ServerUnderTest({ windowUpdates: { burst: 1e6, perSecond: 0, token: "off" } }).open([
          4,
          initialWindow,
        ]);
        server.get(1);
        const { exchange } = server.requests[0]!;
        exchange.sendHead(200, [], false);
        const whole = Buffer.concat(sizes.map((size, index) => Buffer.alloc(size, index + 1)));
        let at = 0;
        for (const size of sizes) {
          exchange.sendData(whole.subarray(at, at + size), false);
          at += size;
        }
        exchange.sendTrailers(trailers);
        let streamWindow = initialWindow;
        let connectionWindow = 65_535;
        const received: Buffer[] = [];
        const look = (): void => {
          for (const sent of server.frames()) {
            if (sent.type !== FrameType.data) continue;
            streamWindow -= sent.payload.length;
            connectionWindow -= sent.payload.length;
            assert.ok(streamWindow >= 0 && connectionWindow >= 0 && sent.payload.length <= 16_384);
            received.push(sent.payload);
          }
        };
        look();
        for (const [id, increment] of [...updates, [0, 1_000_000], [1, 1_000_000]] as [number, number][]) {
          if (id === 0) connectionWindow += increment;
          else streamWindow += increment;
          server.arrive(windowUpdateFrame(id, increment));
          look();
        }
        assert.ok(Buffer.concat(received).equals(whole));
        assert.equal(server.connection.activeExchanges, 0);
      },
    ),
    { numRuns: 60 },
  );
});

test("a peer that shrinks its window makes it negative, which is no error", () => {
  const server = new ServerUnderTest().open([4, 1000]);
  server.get(1);
  const { exchange } = server.requests[0]!;
  exchange.sendHead(200, [], false);
  exchange.sendData(Buffer.alloc(900), false);
  server.frames();
  server.arrive(settingsFrame([4, 100]));
  exchange.sendData(Buffer.alloc(10), false);
  assert.equal(bytesOf(dataOf(server.frames(), 1)), 0);
  server.arrive(windowUpdateFrame(1, 800));
  assert.equal(bytesOf(dataOf(server.frames(), 1)), 0);
  server.arrive(windowUpdateFrame(1, 5));
  assert.equal(bytesOf(dataOf(server.frames(), 1)), 5);
});

function sendUntilRefused(server: ServerUnderTest, streamId: number): number {
  let sentBytes = 0;
  while (sentBytes < 65_535) {
    const size = Math.min(8_000, 65_535 - sentBytes);
    server.arrive(dataFrame(streamId, Buffer.alloc(size)));
    sentBytes += size;
  }
  return sentBytes;
}

test("a slow handler stops its own stream, and no other one", () => {
  const server = new ServerUnderTest().open();
  server.arrive(server.hpack.headers(1, postRequest, 0));
  sendUntilRefused(server, 1);
  const updates = server.frames().filter(sent => sent.type === FrameType.windowUpdate);
  assert.ok(updates.length > 0 && updates.every(sent => sent.streamId === 0), "only the connection is paid");
  server.arrive(server.hpack.headers(3, postRequest, 0), dataFrame(3, "passes", Flag.endStream));
  assert.deepEqual(server.requests[1]!.recorder.heard, ["data 6", "ended"]);
  server.requests[0]!.exchange.consumed(40_000);
  const paid = server.frames().filter(sent => sent.streamId === 1);
  assert.equal(uint31(paid[0]!.payload, 0), 40_000);
});

test("bytes beyond the window are a flow-control error of the stream", () => {
  const server = new ServerUnderTest().open();
  server.arrive(server.hpack.headers(1, postRequest, 0));
  sendUntilRefused(server, 1);
  server.frames();
  server.arrive(dataFrame(1, "x"));
  const reset = server.frames().find(sent => sent.type === FrameType.rstStream);
  assert.equal(uint32(reset!.payload, 0), ErrorCode.flowControlError);
});

test("unconsumed bytes of all streams together are bounded by the connection's largest window", () => {
  const server = new ServerUnderTest({ streamWindowBytesMax: 65_535, connectionWindowBytesMax: 131_070 }).open();
  let granted = 65_535;
  let sentBytes = 0;
  for (let id = 1; id <= 11; id += 2) {
    server.arrive(server.hpack.headers(id, postRequest, 0));
    for (let rest = 65_535; rest > 0; ) {
      const size = Math.min(8_000, rest, granted - sentBytes);
      if (size === 0) break;
      server.arrive(dataFrame(id, Buffer.alloc(size)));
      sentBytes += size;
      rest -= size;
      for (const sent of server.frames()) {
        if (sent.type === FrameType.windowUpdate && sent.streamId === 0) granted += uint31(sent.payload, 0);
      }
    }
  }
  assert.ok(sentBytes <= 131_070, `${sentBytes} bytes were taken`);
  assert.ok(sentBytes >= 100_000, `${sentBytes} bytes were taken`);
  for (const { exchange } of server.requests) exchange.consumed(65_535);
  assert.ok(server.frames().some(sent => sent.type === FrameType.windowUpdate && sent.streamId === 0));
});

test("the window grows with the bandwidth-delay product, and open streams with it", () => {
  const server = new ServerUnderTest({}, (exchange, recorder) => {
    recorder.onData = bytes => exchange.consumed(bytes);
    return recorder;
  }).open();
  server.arrive(server.hpack.headers(1, postRequest, 0));
  const initial = server.connection.windows.connectionBytes;
  for (let round = 0; round < 20; round++) {
    // Per round trip of 10 ms as much as the windows allow.
    let rest = Math.min(server.connection.windows.connectionBytes, server.connection.windows.streamBytes);
    let ping: SentFrame | undefined;
    for (; rest > 0; rest -= 16_000) {
      server.arrive(dataFrame(1, Buffer.alloc(Math.min(16_000, rest))));
      ping ??= server.frames().find(sent => sent.type === FrameType.ping);
    }
    server.clock.advanceSync(10);
    if (ping !== undefined) server.arrive(frame(FrameType.ping, Flag.ack, 0, ping.payload));
  }
  assert.ok(server.connection.windows.connectionBytes > initial * 4);
  assert.ok(server.connection.windows.connectionBytes <= 16 * 1024 * 1024);
});

test("graceful shutdown has two phases: requests under way are served, later ones refused as unprocessed", () => {
  const server = new ServerUnderTest().open();
  server.get(1);
  server.connection.drain();
  const first = server.frames();
  assert.equal(uint31(first.find(sent => sent.type === FrameType.goaway)!.payload, 0), streamIdMax);
  const ping = first.find(sent => sent.type === FrameType.ping)!;
  server.get(3);
  assert.equal(server.requests.length, 2, "it was on its way");
  server.arrive(frame(FrameType.ping, Flag.ack, 0, ping.payload));
  assert.equal(server.goaway()?.lastStreamId, 3);
  server.get(5);
  assert.equal(server.requests.length, 2);
  const refused = server.frames().find(sent => sent.type === FrameType.rstStream);
  assert.equal(uint32(refused!.payload, 0), ErrorCode.refusedStream);
  for (const { exchange } of server.requests) exchange.respond(200, [], "bye");
  assert.equal(server.stream.isEnded, true);
});

test("a drain does not wait for ever for the answer to its ping", () => {
  const server = new ServerUnderTest().open();
  server.connection.drain();
  server.clock.advanceSync(1_001);
  assert.equal(server.stream.isEnded, true);
});

test("a lost connection aborts every exchange once, and the owner hears it last", () => {
  const server = new ServerUnderTest().open();
  server.get(1);
  server.get(3);
  server.stream.destroy(new Error("ECONNRESET"));
  const heard = server.requests.map(({ recorder }: { recorder: Recorder }) => recorder.heard.join());
  assert.deepEqual(heard, ["ended,aborted connection", "ended,aborted connection"]);
  assert.equal(server.closedWith?.message, "ECONNRESET");
});

test("a long head goes out in CONTINUATION frames", () => {
  const server = new ServerUnderTest().open();
  server.get(1);
  const large = Array.from({ length: 5 }, (_, index) => new HeaderField(`x-${index}`, "v".repeat(9_000)));
  server.requests[0]!.exchange.sendHead(200, large, true);
  const sent = server.frames();
  assert.deepEqual(
    sent.map(({ type, flags }) => [type, flags]),
    [
      [FrameType.headers, Flag.endStream],
      [FrameType.continuation, 0],
      [FrameType.continuation, Flag.endHeaders],
    ],
  );
  const whole = { ...sent[0]!, payload: Buffer.concat(sent.map(({ payload }) => payload)) };
  assert.equal(server.hpack.fieldsOf(whole).length, 6);
});

test("after a cancelled call every way of ending it frees the handler's slot", () => {
  const ways: ((exchange: ServerExchange) => void)[] = [
    exchange => exchange.respond(200, [], "x"),
    exchange => exchange.sendHead(200, [], true),
    exchange => exchange.sendTrailers(trailers),
    exchange => exchange.sendData(Buffer.from("x"), true),
    exchange => {
      exchange.beginData().append(Buffer.from("x"));
      exchange.commitData(true);
    },
    exchange => exchange.reset("cancel"),
  ];
  for (const [index, endIt] of ways.entries()) {
    const server = new ServerUnderTest().open();
    server.get(1);
    server.arrive(resetFrame(1));
    assert.equal(server.connection.runningHandlers, 1);
    const { exchange } = server.requests[0]!;
    endIt(exchange);
    assert.equal(server.connection.runningHandlers, 0, `way ${index}`);
    endIt(exchange);
    assert.equal(server.connection.runningHandlers, 0, "and only once");
    assert.equal(server.frames().length, 0);
  }
});
