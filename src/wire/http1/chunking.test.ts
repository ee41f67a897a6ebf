import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { HeaderField } from "../exchange.ts";
import { describe, echo, fieldTexts, ScriptedClient, ScriptedServer, SeenResponse } from "./scripted-peer.ts";

/** Whole messages, right and wrong ones, that are joined, damaged and cut below. */
const requestParts = [
  "GET /a HTTP/1.1\r\nHost: shop\r\n\r\n",
  "GET /a?b=c HTTP/1.1\r\nHost: shop\r\nX: y\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n",
  "POST /b HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n\r\nhello",
  "POST /c HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nT: u\r\n\r\n",
  "HEAD / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
  "GET http://shop/d HTTP/1.1\r\nHost: shop\r\n\r\n",
  "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
  "\r\n",
  "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
];

const damage = fc.record({
  at: fc.nat(400),
  remove: fc.nat(3),
  insert: fc.constantFrom("", "", "\r", "\n", "\r\n", " ", "\t", ":", "\0", "0", "\xff", ";", ",", "x"),
});

const requestBytes = fc
  .tuple(fc.array(fc.constantFrom(...requestParts), { minLength: 1, maxLength: 4 }), fc.array(damage, { maxLength: 2 }))
  .map(([parts, damages]) => damages.reduce((text, change) => damaged(text, change), parts.join("")));

function damaged(text: string, change: { at: number; remove: number; insert: string }): string {
  const at = change.at % text.length;
  return text.slice(0, at) + change.insert + text.slice(at + change.remove);
}

function pieces(text: string, cuts: readonly number[]): string[] {
  const ends = [...cuts.map(cut => cut % (text.length + 1)), text.length].sort((a, b) => a - b);
  return ends.map((end, index) => text.slice(index === 0 ? 0 : ends[index - 1], end)).filter(piece => piece !== "");
}

/** Everything that a server's connection did with the bytes. */
function serverTranscript(bytes: readonly string[]): unknown {
  const client = new ScriptedClient(echo);
  let answer = "";
  for (const piece of bytes) answer += client.send(piece);
  client.stream.handler.ended();
  answer += client.send();
  return {
    answer,
    requests: client.requests.map(request => ({
      text: describe(request),
      fields: fieldTexts(request.exchange.fields),
      trailers: fieldTexts(request.trailers),
      isEnded: request.isEnded,
      reason: request.error?.reason,
    })),
    events: client.events,
    isEnded: client.stream.isEnded,
  };
}

test("however a request's bytes are cut, the same is seen and answered", () => {
  fc.assert(
    fc.property(requestBytes, fc.array(fc.nat(2000), { maxLength: 12 }), (bytes, cuts) => {
      assert.deepEqual(serverTranscript(pieces(bytes, cuts)), serverTranscript([bytes]));
    }),
    { numRuns: 600 },
  );
});

test("byte by byte the same is seen as at once", () => {
  for (const bytes of requestParts) assert.deepEqual(serverTranscript([...bytes]), serverTranscript([bytes]));
});

test("long heads that drip in are judged as at once, wherever they are wrong", () => {
  const lines = "X-Name: some value\r\n".repeat(60);
  for (const wrong of ["", "\n", "\0", " x", "\r"]) {
    for (const long of [
      `${lines}Y: ${"y".repeat(1500)}${wrong}${"y".repeat(300)}\r\n`,
      `Y: ${"y".repeat(900)}\r\n${wrong}${lines}`,
    ]) {
      const bytes = `GET /a HTTP/1.1\r\nHost: shop\r\n${long}\r\n`;
      assert.deepEqual(serverTranscript([...bytes]), serverTranscript([bytes]));
      assert.deepEqual(serverTranscript([...bytes.slice(0, -10)]), serverTranscript([bytes.slice(0, -10)]));
    }
  }
  const target = `GET /${"a".repeat(9000)}`;
  assert.deepEqual(serverTranscript([...target]), serverTranscript([target]));
  const field = `GET / HTTP/1.1\r\nX: ${"a".repeat(17_000)}`;
  assert.deepEqual(serverTranscript([...field]), serverTranscript([field]));
});

test("no bytes make a server's connection throw", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 5 }), bytes => {
      serverTranscript(bytes.map(piece => Buffer.from(piece).toString("latin1")));
    }),
    { numRuns: 300 },
  );
});

const responseParts = [
  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nT: u\r\n\r\n",
  "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
  "HTTP/1.1 200 OK\r\n\r\nuntil the end",
  "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
];

const responseBytes = fc
  .tuple(fc.constantFrom(...responseParts), fc.array(damage, { maxLength: 2 }))
  .map(([part, damages]) => damages.reduce((text, change) => damaged(text, change), part));

function clientTranscript(bytes: readonly string[]): unknown {
  const server = new ScriptedServer();
  const response = new SeenResponse();
  const field = (name: string, value: string): HeaderField => new HeaderField(name, value);
  const head = {
    method: field(":method", "GET"),
    scheme: field(":scheme", "http"),
    authority: field(":authority", "shop"),
    path: field(":path", "/"),
  };
  const exchange = server.connection.request(head, [], response, true);
  response.pay = count => exchange.consumed(count);
  for (const piece of bytes) server.send(piece);
  server.stream.handler.ended();
  // What came of a body before it broke depends on the cuts; that it broke does not.
  return {
    status: response.status,
    fields: fieldTexts(response.fields),
    body: response.isEnded ? response.body : undefined,
    trailers: fieldTexts(response.trailers),
    isEnded: response.isEnded,
    reason: response.error?.reason,
    isClosed: server.connection.isClosed,
  };
}

test("however an answer's bytes are cut, the same is seen", () => {
  fc.assert(
    fc.property(responseBytes, fc.array(fc.nat(2000), { maxLength: 12 }), (bytes, cuts) => {
      assert.deepEqual(clientTranscript(pieces(bytes, cuts)), clientTranscript([bytes]));
    }),
    { numRuns: 600 },
  );
});

test("no bytes make a client's connection throw", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 5 }), bytes => {
      clientTranscript(bytes.map(piece => Buffer.from(piece).toString("latin1")));
    }),
    { numRuns: 300 },
  );
});
