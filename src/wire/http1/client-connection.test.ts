import assert from "node:assert/strict";
import { test } from "node:test";
import { type ClientExchange, HeaderField, type RequestHead } from "../exchange.ts";
import { fieldTexts, ScriptedServer, SeenResponse } from "./scripted-peer.ts";

function head(method: string, path = "/", contentLength?: number): RequestHead {
  return {
    method: new HeaderField(":method", method),
    scheme: new HeaderField(":scheme", "http"),
    authority: new HeaderField(":authority", "shop:8080"),
    path: new HeaderField(":path", path),
    contentLength,
  };
}

function get(server: ScriptedServer, method = "GET"): { response: SeenResponse; exchange: ClientExchange } {
  const response = new SeenResponse();
  const exchange = server.connection.request(head(method), [], response, true);
  response.pay = bytes => exchange.consumed(bytes);
  server.clock.advanceSync(0);
  return { response, exchange };
}

test("a request goes out, its answer comes in, and the connection is used again", () => {
  const server = new ScriptedServer();
  for (let round = 0; round < 3; round++) {
    const { response, exchange } = get(server);
    assert.equal(server.stream.takeText(), "GET / HTTP/1.1\r\nhost: shop:8080\r\n\r\n");
    assert.equal(server.connection.capacity, 0);
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: y\r\n\r\nok");
    assert.equal(response.status, 200);
    assert.deepEqual(fieldTexts(response.fields), ["content-length=2", "x=y"]);
    assert.equal(response.body, "ok");
    assert.equal(response.isEnded, true);
    assert.equal(exchange.isClosed, true);
    assert.equal(server.connection.capacity, 1);
    assert.equal(server.capacityChangedCount, round + 1);
  }
});

test("bodies: known length, chunked with trailers, none where a length is expected", () => {
  const server = new ScriptedServer();
  const answer = "HTTP/1.1 204 No Content\r\n\r\n";
  const fixed = server.connection.request(head("POST", "/a", 5), [], new SeenResponse(), false);
  fixed.sendData(Buffer.from("hello"), true);
  assert.equal(server.stream.takeText(), "POST /a HTTP/1.1\r\nhost: shop:8080\r\ncontent-length: 5\r\n\r\nhello");
  server.send(answer);
  const chunked = server.connection.request(head("POST"), [new HeaderField("x", "y")], new SeenResponse(), false);
  chunked.beginData().append(Buffer.from("abc"));
  chunked.commitData(false);
  chunked.sendTrailers([new HeaderField("t", "u")]);
  assert.equal(
    server.stream.takeText(),
    "POST / HTTP/1.1\r\nhost: shop:8080\r\nx: y\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nt: u\r\n\r\n",
  );
  server.send(answer);
  server.connection.request(head("PUT"), [], new SeenResponse(), true);
  server.clock.advanceSync(0);
  assert.match(server.stream.takeText(), /content-length: 0\r\n\r\n$/);
});

test("answers are framed by length, chunks, the connection's end, or not at all", () => {
  const server = new ScriptedServer();
  const chunked = get(server).response;
  server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nt: u\r\n\r\n");
  assert.equal(chunked.body, "abc");
  assert.deepEqual(fieldTexts(chunked.trailers), ["t=u"]);
  const none = get(server, "HEAD").response;
  server.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
  assert.equal(none.isEnded, true);
  const unchanged = get(server).response;
  server.send("HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n");
  assert.equal(unchanged.isEnded, true);
  const untilClose = get(server).response;
  server.send("HTTP/1.1 200 OK\r\n\r\nabc", "def");
  assert.equal(untilClose.isEnded, false);
  server.stream.handler.ended();
  assert.equal(untilClose.body, "abcdef");
  assert.equal(untilClose.isEnded, true);
  assert.equal(server.connection.isClosed, true);
  assert.equal(server.closedCount, 1);
});

test("informational answers are skipped, too many of them or a wrong upgrade are not", () => {
  const server = new ScriptedServer({ informationalMax: 2 });
  const { response } = get(server);
  server.send(
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
  );
  assert.equal(response.status, 200);
  const flooded = get(server).response;
  server.send("HTTP/1.1 100 Continue\r\n\r\n".repeat(3));
  assert.equal(flooded.error?.reason, "protocol");
  const upgraded = new ScriptedServer();
  const { response: switching } = get(upgraded);
  upgraded.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n");
  assert.equal(switching.error?.reason, "protocol");
});

test("Connection: close and HTTP/1.0 end the connection after the answer", () => {
  for (const start of ["HTTP/1.1 200 OK\r\nConnection: close\r\n", "HTTP/1.0 200 OK\r\n"]) {
    const server = new ScriptedServer();
    const { response } = get(server);
    server.send(`${start}Content-Length: 2\r\n\r\nok`);
    assert.equal(response.body, "ok");
    assert.equal(response.isEnded, true);
    assert.equal(server.drainingCount, 1);
    assert.equal(server.connection.capacity, 0);
    assert.equal(server.closedCount, 1);
  }
});

test("bytes that no request asked for end the connection", () => {
  const server = new ScriptedServer();
  get(server);
  server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n");
  assert.equal(server.connection.isClosed, true);
  const idle = new ScriptedServer();
  idle.send("HTTP/1.1 408 Request Timeout\r\n\r\n");
  assert.equal(idle.connection.isClosed, true);
});

test("a request is unprocessed only when nothing of it was sent", () => {
  const closed = new ScriptedServer();
  closed.connection.destroy();
  const refused = get(closed).response;
  assert.equal(refused.error?.unprocessed, true);

  const unsent = new ScriptedServer();
  const waiting = new SeenResponse();
  unsent.connection.request(head("POST"), [], waiting, false);
  unsent.stream.handler.closed();
  assert.equal(waiting.error?.unprocessed, true);

  const reused = new ScriptedServer();
  get(reused);
  reused.send("HTTP/1.1 204 No Content\r\n\r\n");
  const stale = get(reused).response;
  reused.stream.handler.ended();
  assert.equal(stale.error?.unprocessed, false);
  assert.equal(stale.error?.reason, "connection");

  const cut = new ScriptedServer();
  const { response } = get(cut);
  cut.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab");
  cut.stream.handler.ended();
  assert.equal(response.error?.unprocessed, false);
  assert.match(response.error?.message ?? "", /middle of the answer/);
});

test("an answer before the end of the request is delivered and ends the connection", () => {
  const server = new ScriptedServer();
  const response = new SeenResponse();
  const exchange = server.connection.request(head("POST"), [], response, false);
  exchange.sendData(Buffer.from("abc"), false);
  server.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n");
  assert.equal(response.status, 413);
  assert.equal(response.isEnded, true);
  assert.equal(server.connection.isClosed, true);
  exchange.sendData(Buffer.from("harmless"), true);
});

test("resetting a request ends its connection and says nothing more", () => {
  const server = new ScriptedServer();
  const { response, exchange } = get(server);
  exchange.reset("cancel");
  assert.equal(server.stream.isDestroyed, true);
  assert.equal(response.error, undefined);
  assert.equal(server.closedCount, 1);
});

test("an unpaid answer stops the reading", () => {
  const server = new ScriptedServer({ unpaidBytesMax: 10 });
  const response = new SeenResponse();
  const exchange = server.connection.request(head("GET"), [], response, true);
  server.send(`HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n${"x".repeat(20)}`);
  assert.equal(server.stream.isPaused, true);
  exchange.consumed(20);
  assert.equal(server.stream.isPaused, false);
});

test("what could split a request is refused before anything is sent", () => {
  const server = new ScriptedServer();
  const refused = (bad: RequestHead, fields: readonly HeaderField[] = []): void => {
    assert.throws(() => server.connection.request(bad, fields, new SeenResponse(), true), TypeError);
    assert.equal(server.connection.capacity, 1);
    assert.equal(server.stream.text, "");
  };
  refused(head("GET", "/a\r\nx: y"));
  refused(head("GET", "/a b"));
  refused(head("GET", "no-slash"));
  refused(head("GET", "/é"));
  refused(head("G ET"));
  refused({ ...head("GET"), authority: new HeaderField(":authority", "a\r\nb") });
  refused(head("GET"), [new HeaderField("x", "a\nb")]);
  refused(head("GET"), [new HeaderField("host", "other")]);
  refused(head("GET"), [new HeaderField("transfer-encoding", "chunked")]);
  refused(head("GET"), [new HeaderField("content-length", "5")]);
});

test("answers with two framings, bad lengths or bare line feeds are refused", () => {
  for (const answer of [
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "HTTP/1.1 200 OK\nContent-Length: 2\n\n",
    "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
    "HTTP/2.0 200 OK\r\n\r\n",
    "HTTP/1.1 99 No\r\n\r\n",
    "ICY 200 OK\r\n\r\n",
    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
  ]) {
    const server = new ScriptedServer();
    const { response } = get(server);
    server.send(answer);
    assert.equal(response.error?.reason, "protocol", answer);
    assert.equal(server.connection.isClosed, true);
  }
});
