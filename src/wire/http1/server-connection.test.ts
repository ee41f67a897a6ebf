import assert from "node:assert/strict";
import { test } from "node:test";
import { contextKey, contextValue, runInContext } from "../../platform/index.ts";
import { constantField, HeaderField } from "../exchange.ts";
import { type Answering, echo, fieldTexts, ScriptedClient } from "./scripted-peer.ts";

const date = "date: Thu, 01 Jan 2026 00:00:00 GMT\r\n";
const get = "GET /orders/123 HTTP/1.1\r\nHost: shop\r\n\r\n";

/** Answers with nothing by itself. */
const silent: Answering = () => {};
const ok: Answering = request => request.exchange.respond(200, [], "ok");
const okAnswer = `HTTP/1.1 200 OK\r\ncontent-length: 2\r\n${date}\r\nok`;

test("a request is answered in one write, with length and date", () => {
  const client = new ScriptedClient(request =>
    request.exchange.respond(200, [constantField("content-type", "application/json")], '{"id":"123"}'),
  );
  const answer = client.send(get);
  assert.equal(
    answer,
    `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 12\r\n${date}\r\n{"id":"123"}`,
  );
  assert.equal(client.stream.writes, 1);
  assert.equal(client.lastRequest.isEnded, true);
});

test("text beyond ASCII goes out as UTF-8 and is counted in bytes", () => {
  const client = new ScriptedClient(request => request.exchange.respond(200, [], "größe €"));
  assert.equal(
    Buffer.from(client.send(get), "latin1").toString("utf8"),
    `HTTP/1.1 200 OK\r\ncontent-length: 11\r\n${date}\r\ngröße €`,
  );
});

test("pipelined requests are answered in their order and leave in one write", () => {
  const client = new ScriptedClient();
  const answer = client.send(
    "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: b\r\nContent-Length: 3\r\n\r\nabcGET /3 HTTP/1.1\r\nHost: c\r\n\r\n",
  );
  assert.deepEqual(answer.match(/(?:GET|POST) .*?\]/g), ["GET a /1 []", "POST b /2 [abc]", "GET c /3 []"]);
  assert.equal(client.stream.writes, 1);
});

test("a pipelined request waits until the answer before it is complete", () => {
  const client = new ScriptedClient(silent);
  client.send(`${get}${get}`);
  assert.equal(client.requests.length, 1);
  client.lastRequest.exchange.respond(200, [], "first");
  assert.equal(client.requests.length, 2);
  client.lastRequest.exchange.respond(200, [], "second");
  assert.match(client.send(), /first[\s\S]*second$/);
});

test("reading stops while too many pipelined bytes wait, and goes on when they are read", () => {
  const client = new ScriptedClient(silent, { pipelinedBytesMax: 100 });
  client.send(get.repeat(5));
  assert.equal(client.stream.isPaused, true);
  while (client.requests.length < 5) client.lastRequest.exchange.respond(204, [], undefined);
  assert.equal(client.stream.isPaused, false);
});

test("a repeated head gives the same field objects, so that what was derived from them stays", () => {
  const client = new ScriptedClient(ok);
  const head = "GET /a HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n\r\n";
  client.send(head);
  const field = client.lastRequest.exchange.fields.find("content-type");
  const { path } = client.lastRequest.exchange;
  assert.ok(field);
  client.send(head.replace("/a", "/b"));
  assert.equal(client.lastRequest.exchange.fields.find("content-type"), field);
  assert.equal(client.lastRequest.exchange.path.value, "/b");
  client.send(head);
  assert.equal(client.lastRequest.exchange.path, path);
  client.send(head.replace("json", "jsen"));
  assert.equal(client.lastRequest.exchange.fields.get("content-type"), "application/jsen");
});

test("fields keep their order and repetition; names are lower case, values trimmed", () => {
  const client = new ScriptedClient(ok);
  client.send(
    "GET / HTTP/1.1\r\nHost: shop\r\nX-Odd: \t a b\t \r\nCookie: a=1\r\nx-odd:c\r\nCookie: b=2\r\nEmpty:\r\n\r\n",
  );
  const { fields } = client.lastRequest.exchange;
  assert.deepEqual(fieldTexts(fields), ["host=shop", "x-odd=a b", "cookie=a=1", "x-odd=c", "cookie=b=2", "empty="]);
  assert.equal(fields.get("x-odd"), "a b, c");
  assert.equal(fields.get("cookie"), "a=1; b=2");
  assert.deepEqual(fields.getAll("x-odd"), ["a b", "c"]);
});

test("a chunked body and its trailers arrive, cut wherever", () => {
  const request =
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=1\r\nhello\r\n1\r\n!\r\n0\r\nDigest: d\r\n\r\n";
  for (let cut = 1; cut < request.length; cut++) {
    const client = new ScriptedClient();
    assert.match(client.send(request.slice(0, cut), request.slice(cut)), /POST a \/ \[hello!\]$/);
    assert.deepEqual(fieldTexts(client.lastRequest.trailers), ["digest=d"]);
  }
});

test("an answer of unknown length is chunked, with trailers", () => {
  const client = new ScriptedClient(silent);
  client.send(get);
  const { exchange } = client.lastRequest;
  exchange.sendHead(200, [], false);
  const writer = exchange.beginData();
  writer.append(Buffer.from("hello"));
  exchange.commitData(false);
  exchange.sendData(Buffer.from("world"), false);
  exchange.beginData().append(Buffer.from("thrown away"));
  exchange.abandonData();
  exchange.sendTrailers([new HeaderField("grpc-status", "0")]);
  assert.equal(
    client.send(),
    `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n${date}\r\n5\r\nhello\r\n5\r\nworld\r\n0\r\ngrpc-status: 0\r\n\r\n`,
  );
  assert.equal(client.send(get), "");
  assert.equal(client.requests.length, 2);
});

test("chunks of every size are framed right", () => {
  for (const size of [1, 15, 16, 255, 4096, 4097, 16_384, 70_000]) {
    for (const way of ["writer", "reference"]) {
      const client = new ScriptedClient(silent);
      client.send(get);
      const { exchange } = client.lastRequest;
      exchange.sendHead(200, [], false);
      const body = Buffer.alloc(size, 0x61);
      if (way === "writer") {
        exchange.beginData().append(body);
        exchange.commitData(true);
      } else exchange.sendData(body, true);
      const answer = client.send();
      const [, hex, data] = /\r\n\r\n([0-9a-f]+)\r\n(a+)\r\n0\r\n\r\n$/.exec(answer) ?? [];
      assert.equal(Number.parseInt(hex ?? "", 16), size);
      assert.equal(data?.length, size);
    }
  }
});

test("HEAD, 204 and 304 have no body, and HEAD counts the one it leaves out", () => {
  const head = new ScriptedClient(ok);
  assert.equal(head.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"), okAnswer.slice(0, -2));
  const empty = new ScriptedClient(request => request.exchange.respond(204, [], undefined));
  assert.equal(empty.send(get), `HTTP/1.1 204 No Content\r\n${date}\r\n`);
  const unchanged = new ScriptedClient(request => request.exchange.respond(304, [], "ignored"));
  assert.equal(unchanged.send(get), `HTTP/1.1 304 Not Modified\r\n${date}\r\n`);
  const streamed = new ScriptedClient(request => {
    request.exchange.sendHead(200, [], false);
    request.exchange.sendData(Buffer.from("not sent"), true);
  });
  const text = streamed.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
  assert.equal(text, `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n${date}\r\n`);
});

test("a body that breaks its own content-length breaks the connection, not the framing", () => {
  const client = new ScriptedClient(silent);
  client.send(get);
  const { exchange } = client.lastRequest;
  exchange.sendHead(200, [new HeaderField("content-length", "3")], false);
  assert.throws(() => exchange.sendData(Buffer.from("four"), true), RangeError);
  exchange.sendData(Buffer.from("ab"), true);
  assert.equal(client.stream.isDestroyed, true);
});

test("Connection: close and draining end the connection after the answer", () => {
  const client = new ScriptedClient(ok);
  const answer = client.send(
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
  );
  assert.equal(answer, `HTTP/1.1 200 OK\r\ncontent-length: 2\r\n${date}connection: close\r\n\r\nok`);
  assert.equal(client.stream.isEnded, true);
  assert.equal(client.requests.length, 1);

  const draining = new ScriptedClient(silent);
  draining.send(get);
  draining.connection.drain();
  draining.lastRequest.exchange.respond(200, [], "ok");
  assert.match(draining.send(), /connection: close/);
  assert.equal(draining.stream.isEnded, true);

  const idle = new ScriptedClient(ok);
  idle.connection.drain();
  assert.equal(idle.stream.isEnded, true);
});

test("HTTP/1.0 is kept alive only when it asks, and never gets chunks or 1xx", () => {
  const closing = new ScriptedClient(ok);
  assert.match(closing.send("GET / HTTP/1.0\r\n\r\n"), /^HTTP\/1\.1 200 OK[\s\S]*connection: close\r\n\r\nok$/);
  const keeping = new ScriptedClient(ok);
  assert.match(keeping.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), /connection: keep-alive\r\n\r\nok$/);
  assert.equal(keeping.stream.isEnded, false);
  const streamed = new ScriptedClient(request => {
    request.exchange.sendInformational(103, []);
    request.exchange.sendHead(200, [], false);
    request.exchange.sendData(Buffer.from("part"), true);
  });
  const answer = streamed.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  assert.equal(answer, `HTTP/1.1 200 OK\r\n${date}connection: close\r\n\r\npart`);
  assert.equal(streamed.stream.isEnded, true);
});

test("100 Continue is sent when the handler waits for a body that is announced only", () => {
  const head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n";
  const client = new ScriptedClient();
  assert.equal(client.send(head), "HTTP/1.1 100 Continue\r\n\r\n");
  assert.match(client.send("ab"), /\[ab\]$/);
  const eager = new ScriptedClient();
  assert.match(eager.send(`${head}ab`), /^HTTP\/1\.1 200/);
  const refusing = new ScriptedClient(request => request.exchange.respond(401, [], "no"));
  assert.match(refusing.send(head), /^HTTP\/1\.1 401[\s\S]*connection: close/);
  assert.equal(refusing.stream.isEnded, true);
  assert.match(new ScriptedClient().send(head.replace("100-Continue", "200-ok")), /^HTTP\/1\.1 417/);
});

test("a short body left unread is taken and the connection goes on; a long one ends it", () => {
  const client = new ScriptedClient(ok);
  const post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n";
  assert.equal(client.send(post), okAnswer);
  assert.equal(client.send("abc", "def", get), okAnswer);
  assert.equal(client.requests[0]?.isEnded, true);

  const long = new ScriptedClient(ok, { drainBytesMax: 5 });
  assert.match(long.send(post), /connection: close/);
  assert.equal(long.stream.isEnded, true);

  const chunked = new ScriptedClient(ok, { drainBytesMax: 5 });
  chunked.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  chunked.send("6\r\nabcdef\r\n");
  assert.equal(chunked.stream.isEnded, true);
  assert.equal(chunked.lastRequest.error?.reason, "limit");
});

test("answers stream while the request's body is still coming", () => {
  const client = new ScriptedClient(silent);
  client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n");
  const { exchange } = client.lastRequest;
  exchange.sendHead(200, [], false);
  exchange.sendData(Buffer.from("one"), false);
  assert.match(client.send(), /3\r\none\r\n$/);
  client.send("2\r\ncd\r\n");
  exchange.sendData(Buffer.from("two"), false);
  assert.equal(client.send("0\r\n\r\n"), "3\r\ntwo\r\n");
  assert.equal(client.lastRequest.body, "abcd");
  exchange.sendTrailers([]);
  assert.equal(client.send(get), "0\r\n\r\n");
  assert.equal(client.requests.length, 2);
});

test("an unpaid body stops the reading, paying resumes it", () => {
  const client = new ScriptedClient(
    request => {
      request.pays = false;
    },
    { unpaidBytesMax: 10 },
  );
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n", "x".repeat(20));
  assert.equal(client.stream.isPaused, true);
  client.lastRequest.exchange.consumed(14);
  assert.equal(client.stream.isPaused, true);
  client.lastRequest.exchange.consumed(1);
  assert.equal(client.stream.isPaused, false);
});

test("a full stream makes the exchange not writable until it has drained", () => {
  const client = new ScriptedClient(silent);
  client.send(get);
  client.stream.hasRoom = false;
  const { exchange } = client.lastRequest;
  exchange.sendHead(200, [], false);
  exchange.sendData(Buffer.alloc(100_000), false);
  assert.equal(exchange.isWritable, false);
  client.stream.hasRoom = true;
  client.stream.handler.drained();
  assert.equal(client.lastRequest.writableCount, 1);
  assert.equal(exchange.isWritable, true);
});

test("a peer that reads nothing is cut off", () => {
  const client = new ScriptedClient(silent);
  client.send(get);
  client.stream.hasRoom = false;
  client.stream.bufferedBytes = 1000;
  client.lastRequest.exchange.sendHead(200, [], false);
  client.clock.advanceSync(29_000);
  assert.equal(client.stream.isDestroyed, false);
  client.clock.advanceSync(2_000);
  assert.equal(client.stream.isDestroyed, true);
  assert.equal(client.lastRequest.error?.reason, "connection");
});

test("a head that takes more than 10 s is answered with 408, an idle connection closed after 5 min", () => {
  const slow = new ScriptedClient();
  slow.send("GET / HTTP/1.1\r\n");
  slow.clock.advanceSync(6_000);
  slow.send("Host: a\r\n");
  slow.clock.advanceSync(3_900);
  assert.equal(slow.stream.isEnded, false);
  slow.clock.advanceSync(200);
  assert.match(slow.send(), /^HTTP\/1\.1 408 /);
  assert.equal(slow.stream.isEnded, true);

  const idle = new ScriptedClient(ok);
  idle.send(get);
  idle.clock.advanceSync(299_000);
  idle.send(get);
  idle.clock.advanceSync(299_000);
  assert.equal(idle.stream.isEnded, false);
  idle.clock.advanceSync(2_000);
  assert.equal(idle.stream.isEnded, true);
});

test("a body that comes too slowly is answered with 408, a quiet stream between two chunks is not", () => {
  const slow = new ScriptedClient();
  slow.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
  let answer = "";
  for (let second = 0; second < 11; second++) {
    answer += slow.send("x".repeat(100));
    slow.clock.advanceSync(1000);
  }
  assert.match(answer, /^HTTP\/1\.1 408 /);
  assert.equal(slow.lastRequest.error?.reason, "timeout");

  const quiet = new ScriptedClient();
  quiet.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
  quiet.clock.advanceSync(200_000);
  assert.match(quiet.send("0\r\n\r\n"), /\[a\]$/);
});

test("a client that leaves while an answer is due aborts the exchange", () => {
  const client = new ScriptedClient(silent);
  client.send(get);
  client.stream.handler.ended();
  assert.equal(client.lastRequest.error?.reason, "connection");
  assert.equal(client.closedCount, 1);
  client.lastRequest.exchange.respond(200, [], "nobody hears it");
  assert.equal(client.stream.text, "");
});

test("a body that is cut aborts the exchange", () => {
  const client = new ScriptedClient();
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
  client.stream.handler.ended();
  assert.match(client.send(), /^HTTP\/1\.1 400 /);
  assert.equal(client.lastRequest.error?.reason, "protocol");
});

test("an upgrade hands over the stream with the bytes behind the head, and h2c is ignored", () => {
  const handshake = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
  const client = new ScriptedClient(silent);
  client.stream.arrive(`${handshake}first`);
  const { exchange } = client.lastRequest;
  client.stream.arrive(" bytes");
  const taken = exchange.upgrade?.(101, [new HeaderField("upgrade", "websocket")]);
  assert.equal(taken?.stream, client.stream);
  assert.equal(taken?.firstBytes.toString(), "first bytes");
  assert.equal(client.send(), "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
  assert.equal(client.connection.isClosed, true);

  let atOnce: string | undefined;
  const eager = new ScriptedClient(request => {
    atOnce = request.exchange.upgrade?.(101, [new HeaderField("upgrade", "websocket")]).firstBytes.toString();
  });
  eager.send(`${handshake}behind`);
  assert.equal(atOnce, "behind");

  const h2c = new ScriptedClient(ok);
  assert.equal(h2c.send(handshake.replace("websocket", "h2c")), okAnswer);
  assert.equal(h2c.lastRequest.exchange.upgrade, undefined);
});

test("what could split an answer is refused", () => {
  const client = new ScriptedClient(silent);
  client.send(get);
  const { exchange } = client.lastRequest;
  for (const [name, value] of [
    ["x", "a\r\nset-cookie: b"],
    ["x", "a\nb"],
    ["x", "a\0b"],
    ["x", "€"],
    ["x\r\ny", "a"],
    ["", "a"],
    ["transfer-encoding", "chunked"],
    ["connection", "x-secret"],
  ] as const) {
    assert.throws(() => exchange.respond(200, [new HeaderField(name, value)], "x"), TypeError, `${name}: ${value}`);
  }
  exchange.respond(200, [], "ok");
  assert.equal(client.send(), okAnswer);
});

test("resetting: overload before an answer is a 503, in the middle of one a cut connection", () => {
  const early = new ScriptedClient(request => request.exchange.reset("overload"));
  assert.match(early.send(get), /^HTTP\/1\.1 503 [\s\S]*connection: close/);
  const late = new ScriptedClient(request => {
    request.exchange.sendHead(200, [], false);
    request.exchange.reset("error");
  });
  late.send(get);
  assert.equal(late.stream.isDestroyed, true);
  assert.equal(late.closedCount, 1);
  assert.equal(late.lastRequest.error, undefined);
});

test("limits of a head: 414 for its target, 431 for its fields", () => {
  assert.match(new ScriptedClient().send(`GET /${"a".repeat(9000)}`), /^HTTP\/1\.1 414 /);
  assert.match(new ScriptedClient().send(`GET / HTTP/1.1\r\nHost: a\r\nX: ${"a".repeat(17_000)}`), /^HTTP\/1\.1 431 /);
  assert.match(
    new ScriptedClient().send(`GET / HTTP/1.1\r\nHost: a\r\n${"x:\r\n".repeat(200)}\r\n`),
    /^HTTP\/1\.1 431 /,
  );
  const client = new ScriptedClient(echo);
  client.send("GET / HTTP/1.1\r\nHost : a\r\n\r\n");
  assert.deepEqual(client.events, [
    { type: "http1.request.refused", status: 400, reason: "field_name", remoteAddress: "192.0.2.1" },
  ]);
});

test("an idle connection has one timer and a closed one has none", () => {
  const client = new ScriptedClient(ok);
  client.send(get);
  assert.equal(client.clock.pendingTimers, 1);
  client.connection.destroy();
  assert.equal(client.clock.pendingTimers, 0);
});

test("the next request does not start in the context of the one that was answered", () => {
  const key = contextKey<string>("call");
  const contexts: (string | undefined)[] = [];
  const client = new ScriptedClient(() => void contexts.push(contextValue(key)));
  client.send(`${get}${get}`);
  runInContext(key, "first", () => client.lastRequest.exchange.respond(204, [], undefined));
  assert.deepEqual(contexts, [undefined, undefined]);
});

test("a pipeline of many small requests is taken without moving its rest each time", () => {
  const client = new ScriptedClient(silent);
  client.send(get.repeat(1500));
  for (let answered = 0; answered < 1500; answered++) client.lastRequest.exchange.respond(204, [], undefined);
  assert.equal(client.requests.length, 1500);
  assert.equal(client.send().match(/204 No Content/g)?.length, 1500);
});

test("a target that drips in is refused at its limit, whatever the connection has carried before", () => {
  // How far a long pipeline had been read was remembered for the requests behind it.
  const client = new ScriptedClient(silent);
  client.send(`${get}${get}POST /long HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\n\r\n${"b".repeat(30_000)}`);
  while (client.requests.length < 3) client.lastRequest.exchange.respond(204, [], undefined);
  client.lastRequest.exchange.respond(204, [], undefined);
  client.send();
  let answer = client.send(`GET /${"a".repeat(1500)}`);
  let sentBytes = 1505;
  for (; answer === "" && sentBytes < 20_000; sentBytes += 100) answer = client.send("a".repeat(100));
  assert.match(answer, /^HTTP\/1\.1 414 /);
  assert.ok(sentBytes < 9_000, `${sentBytes} bytes were taken`);
});
