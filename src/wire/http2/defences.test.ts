import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ErrorCode } from "./errors.ts";
import { clientPreface, Flag, FrameType, uint32 } from "./frames.ts";
import { limitToken } from "./limits.ts";
import {
  dataFrame,
  frame,
  getRequest,
  postRequest,
  resetFrame,
  ServerUnderTest,
  settingsFrame,
  uint32Bytes,
  windowUpdateFrame,
} from "./scripted-peer.ts";

/** Sends one round after another until the connection ends; answers the number of rounds it took. */
function flood(server: ServerUnderTest, roundsMax: number, round: (index: number) => void): number {
  for (let index = 0; index < roundsMax; index++) {
    round(index);
    if (server.connection.isClosing) return index + 1;
  }
  return roundsMax;
}

function assertCalmedDown(server: ServerUnderTest, token: string): void {
  const goaway = server.goaway();
  assert.equal(goaway?.code, ErrorCode.enhanceYourCalm);
  assert.equal(goaway?.token, token);
  assert.equal(server.stream.isEnded, true, "the connection is ended, not silently kept");
  server.clock.advanceSync(2_000);
  assert.equal(server.stream.isDestroyed, true);
  const closed = server.events.find(event => event.type === "http2.connection.closed") as
    | { token?: string }
    | undefined;
  assert.equal(closed?.token, token, "the observer hears which limit it was");
}

const finishAtOnce = { data() {}, ended() {}, writable() {} };

test("rapid reset ends the connection (CVE-2023-44487)", () => {
  const server = new ServerUnderTest({}, exchange => ({
    ...finishAtOnce,
    aborted: () => exchange.reset("cancel"),
  })).open();
  const rounds = flood(server, 5_000, index => {
    server.get(index * 2 + 1);
    server.arrive(resetFrame(index * 2 + 1));
  });
  assert.equal(rounds, 501);
  assertCalmedDown(server, "reset_flood");
});

test("cancelling at the pace of honest work is no rapid reset", () => {
  const server = new ServerUnderTest({}, exchange => ({
    data() {},
    ended: () => exchange.respond(200, [], "x"),
    aborted: () => exchange.reset("cancel"),
    writable() {},
  })).open();
  const rounds = flood(server, 3_000, index => {
    server.arrive(server.hpack.headers(index * 4 + 1, postRequest, 0), resetFrame(index * 4 + 1));
    server.get(index * 4 + 3);
  });
  assert.equal(rounds, 3_000);
  assert.equal(server.goaway(), undefined);
});

test("a handler keeps its slot after the peer's reset, so resets do not multiply work", () => {
  const server = new ServerUnderTest({ concurrentStreams: 10 }).open();
  for (let index = 0; index < 30; index++) {
    server.get(index * 2 + 1);
    server.arrive(resetFrame(index * 2 + 1));
  }
  assert.equal(server.requests.length, 10, "only as many handlers as slots");
  assert.equal(server.connection.runningHandlers, 10);
  const refused = server.frames().filter(sent => sent.type === FrameType.rstStream);
  assert.equal(refused.length, 20);
  assert.ok(refused.every(sent => uint32(sent.payload, 0) === ErrorCode.refusedStream));
  server.requests[0]!.exchange.reset("cancel");
  server.get(101);
  assert.equal(server.requests.length, 11, "an ended handler frees its slot");
});

test("requests beyond the slots are refused until the budget is used up", () => {
  const server = new ServerUnderTest({ concurrentStreams: 1 }).open();
  server.get(1);
  const rounds = flood(server, 5_000, index => server.get(index * 2 + 3));
  assert.equal(rounds, 1_001);
  assertCalmedDown(server, "refused_flood");
});

test("making the server reset streams ends the connection (CVE-2025-8671)", () => {
  const server = new ServerUnderTest({}, exchange => ({
    ...finishAtOnce,
    aborted: () => exchange.reset("cancel"),
  })).open();
  const rounds = flood(server, 5_000, index => {
    server.get(index * 2 + 1);
    server.arrive(windowUpdateFrame(index * 2 + 1, 0));
  });
  assert.equal(rounds, 201);
  assertCalmedDown(server, "provoked_reset_flood");
});

test("a flood of CONTINUATION frames ends the connection before the block is complete (CVE-2024-27316)", () => {
  const server = new ServerUnderTest().open();
  server.arrive(frame(FrameType.headers, Flag.endStream, 1, Buffer.of(0x82)));
  const rounds = flood(server, 1_000, () => server.arrive(frame(FrameType.continuation, 0, 1)));
  assert.equal(rounds, 65);
  assertCalmedDown(server, limitToken.continuation);
});

test("an endless header block ends the connection at four times the list's limit", () => {
  const server = new ServerUnderTest().open();
  server.arrive(frame(FrameType.headers, 0, 1, Buffer.alloc(16_000)));
  flood(server, 10, () => server.arrive(frame(FrameType.continuation, 0, 1, Buffer.alloc(16_000))));
  assertCalmedDown(server, limitToken.headerList);
});

test("an HPACK bomb is counted decoded: references to one large entry end the connection", () => {
  const server = new ServerUnderTest().open();
  const value = Buffer.alloc(3_000, 0x61);
  const literal = Buffer.concat([Buffer.of(0x40, 1, 0x78, 0x7f, 0xb9, 0x16), value]);
  server.arrive(
    frame(FrameType.headers, Flag.endHeaders | Flag.endStream, 1, Buffer.concat([literal, Buffer.alloc(8_000, 0xbe)])),
  );
  assertCalmedDown(server, limitToken.headerList);
  assert.equal(server.requests.length, 0);
});

test("a header list above the limit is answered with 431, and the next request is served", () => {
  const server = new ServerUnderTest().open();
  server.arrive(server.hpack.headers(1, [...getRequest, ["x-large", "a".repeat(16_250)]], Flag.endStream));
  const [head] = server.frames();
  assert.deepEqual(server.hpack.fieldsOf(head!), [[":status", "431"]]);
  server.get(3);
  assert.equal(server.requests.length, 1);
});

const budgets: { token: string; rounds: number; part: (index: number) => Buffer }[] = [
  { token: "settings_flood", rounds: 65, part: () => settingsFrame() },
  { token: "ping_flood", rounds: 201, part: () => frame(FrameType.ping, 0, 0, Buffer.alloc(8)) },
  {
    token: "priority_flood",
    rounds: 201,
    part: () => frame(FrameType.priority, 0, 1, uint32Bytes(0, 0).subarray(0, 5)),
  },
  { token: "priority_flood", rounds: 201, part: () => frame(0xfa, 0, 0) },
  { token: "empty_data_flood", rounds: 101, part: () => dataFrame(1, "") },
  { token: "window_update_flood", rounds: 2_001, part: () => windowUpdateFrame(0, 1) },
];
for (const { token, rounds, part } of budgets) {
  test(`${token}: frames of type ${part(0)[3]} are counted, and time refills the budget`, () => {
    const server = new ServerUnderTest().open();
    server.arrive(server.hpack.headers(1, postRequest, 0));
    assert.equal(
      flood(server, 10_000, index => server.arrive(part(index))),
      rounds,
    );
    assertCalmedDown(server, token);

    const patient = new ServerUnderTest().open();
    patient.arrive(patient.hpack.headers(1, postRequest, 0));
    const calmRounds = flood(patient, 3_000, index => {
      patient.arrive(part(index));
      patient.clock.advanceSync(300);
    });
    assert.equal(calmRounds, 3_000);
  });
}

test("RST_STREAM on streams that are over is a flood too", () => {
  const server = new ServerUnderTest({}, exchange => ({
    ...finishAtOnce,
    ended: () => exchange.respond(200, [], ""),
    aborted() {},
  })).open();
  server.get(1);
  assert.equal(
    flood(server, 10_000, () => server.arrive(resetFrame(1))),
    2_001,
  );
  assertCalmedDown(server, "window_update_flood");
});

test("small DATA frames that nobody consumes end the connection, consumed ones do not", () => {
  const idle = new ServerUnderTest({ smallDataBytesMax: 25_600 }).open();
  idle.arrive(idle.hpack.headers(1, postRequest, 0));
  assert.equal(
    flood(idle, 1_000, () => idle.arrive(dataFrame(1, "a"))),
    101,
  );
  assertCalmedDown(idle, limitToken.smallData);

  const busy = new ServerUnderTest({ smallDataBytesMax: 25_600 }, (exchange, recorder) => {
    recorder.onData = bytes => exchange.consumed(bytes);
    return recorder;
  }).open();
  busy.arrive(busy.hpack.headers(1, postRequest, 0));
  assert.equal(
    flood(busy, 5_000, () => busy.arrive(dataFrame(1, "a"))),
    5_000,
  );
});

test("answers to control frames are capped while the socket is blocked: reading stops", () => {
  const server = new ServerUnderTest().open();
  server.stream.hasRoom = false;
  server.arrive(frame(FrameType.ping, 0, 0, Buffer.alloc(8)));
  for (let index = 0; index < 99; index++) server.arrive(frame(FrameType.ping, 0, 0, Buffer.alloc(8)));
  assert.equal(server.stream.isPaused, false);
  server.arrive(frame(FrameType.ping, 0, 0, Buffer.alloc(8)));
  assert.equal(server.stream.isPaused, true);
  server.stream.hasRoom = true;
  server.connection.drained();
  assert.equal(server.stream.isPaused, false);
});

test("a peer that does not read is not read from either, and is gone after the stall limit", () => {
  const server = new ServerUnderTest({ writeStallMs: 30_000 }, (exchange, recorder) => {
    exchange.sendHead(200, [], false);
    return recorder;
  }).open();
  server.stream.hasRoom = false;
  server.stream.bufferedBytes = 2_000_000;
  server.get(1);
  server.frames();
  assert.equal(server.stream.isPaused, true);
  server.clock.advanceSync(46_000);
  assert.equal(server.stream.isDestroyed, true);
  assert.equal(server.requests[0]!.recorder.error?.reason, "limit");
});

test("a stream whose peer opens no window is reset after the limit, others go on", () => {
  const server = new ServerUnderTest({ windowStallMs: 60_000 }).open([4, 0]);
  server.get(1);
  server.get(3);
  const { exchange, recorder } = server.requests[0]!;
  exchange.respond(200, [], "waits for ever");
  server.requests[1]!.exchange.sendHead(200, [], false);
  server.frames();
  for (let second = 0; second < 95; second++) server.clock.advanceSync(1_000);
  assert.equal(recorder.error?.reason, "timeout");
  assert.equal(server.connection.isClosing, false);
  const sent = server.frames().find(candidate => candidate.type === FrameType.rstStream);
  assert.equal(sent?.streamId, 1);
});

test("a client that does not finish its preface is gone after 10 s", () => {
  const server = new ServerUnderTest();
  server.connection.start();
  server.arrive(clientPreface.subarray(0, 10));
  server.clock.advanceSync(9_999);
  assert.equal(server.connection.isClosing, false);
  server.clock.advanceSync(2);
  assertCalmedDown(server, limitToken.slowPreface);
});

test("a client that does not finish a header block is gone after 10 s", () => {
  const server = new ServerUnderTest().open();
  server.arrive(frame(FrameType.headers, Flag.endStream, 1, Buffer.of(0x82)));
  server.clock.advanceSync(10_001);
  assertCalmedDown(server, limitToken.slowHeaders);
});

test("an idle connection is closed after 5 minutes, in order", () => {
  const server = new ServerUnderTest().open();
  server.clock.advanceSync(299_000);
  assert.equal(server.connection.isClosing, false);
  server.clock.advanceSync(2_000);
  assert.equal(server.goaway()?.code, ErrorCode.noError);
});

const smuggling: { name: string; fields: [string, string][] }[] = [
  { name: "upper-case names", fields: [["X-Upper", "1"]] },
  { name: "connection", fields: [["connection", "keep-alive"]] },
  { name: "transfer-encoding", fields: [["transfer-encoding", "chunked"]] },
  { name: "te other than trailers", fields: [["te", "gzip"]] },
  { name: "CR and LF in values", fields: [["x", "a\r\nb: c"]] },
  { name: "NUL in values", fields: [["x", "a\0"]] },
  { name: "a host that differs from :authority", fields: [["host", "other.test"]] },
  {
    name: "contradicting content-length",
    fields: [
      ["content-length", "1"],
      ["content-length", "2"],
    ],
  },
  {
    name: "a pseudo-field behind a field",
    fields: [
      ["x", "1"],
      [":path", "/"],
    ],
  },
];
for (const { name, fields } of smuggling) {
  test(`malformed request: ${name}`, () => {
    const server = new ServerUnderTest().open();
    server.arrive(server.hpack.headers(1, [...getRequest, ...fields]));
    const [sent] = server.frames();
    assert.equal(sent?.type, FrameType.rstStream);
    assert.equal(uint32(sent!.payload, 0), ErrorCode.protocolError);
    assert.equal(server.requests.length, 0);
    server.get(3);
    assert.equal(server.requests.length, 1, "the connection goes on");
  });
}

for (const [name, parts] of [
  ["longer", [dataFrame(1, "123456")]],
  ["shorter", [dataFrame(1, "1234", Flag.endStream)]],
] as const) {
  test(`a body that is ${name} than content-length is a stream error`, () => {
    const server = new ServerUnderTest().open();
    server.arrive(server.hpack.headers(1, [...postRequest, ["content-length", "5"]], 0), ...parts);
    assert.equal(server.requests[0]!.recorder.error?.reason, "protocol");
    assert.ok(!server.requests[0]!.recorder.heard.includes("ended"));
  });
}

test("garbage never throws out of data(), and the connection always ends or goes on", () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 60 }).map(bytes => Buffer.from(bytes)),
    fc
      .tuple(fc.nat(10), fc.nat(63), fc.nat(9), fc.uint8Array({ maxLength: 40 }))
      .map(([type, flags, streamId, payload]) => frame(type, flags, streamId, payload)),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), pieces => {
      const server = new ServerUnderTest({}, (exchange, recorder) => {
        recorder.onData = bytes => exchange.consumed(bytes);
        return recorder;
      }).open();
      for (const bytes of pieces) server.arrive(bytes);
      server.connection.destroy();
      for (const { recorder } of server.requests) {
        assert.ok(recorder.heard.filter(line => line.startsWith("aborted")).length <= 1);
      }
      assert.equal(server.isClosed, true);
      assert.equal(server.connection.activeExchanges, 0);
      assert.ok(!server.events.some(event => event.type === "http2.callback.failed"));
    }),
    { numRuns: 1_500 },
  );
});

test("a peer that does not acknowledge our SETTINGS is given up with SETTINGS_TIMEOUT, one that does is not", () => {
  const silent = new ServerUnderTest();
  silent.connection.start();
  silent.arrive(clientPreface, settingsFrame());
  silent.clock.advanceSync(10_000);
  const goaway = silent.goaway();
  assert.equal(goaway?.code, ErrorCode.settingsTimeout);
  assert.equal(goaway?.token, "settings_timeout");

  const polite = new ServerUnderTest().open();
  polite.clock.advanceSync(10_000);
  assert.equal(polite.connection.isClosing, false);
});
