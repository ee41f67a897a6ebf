import assert from "node:assert/strict";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { after, test } from "node:test";
import { createServer, type FetchHandler, type Observer, type Server, type ServerOptions } from "trunkline";

interface Served {
  readonly server: Server;
  readonly port: number;
  readonly base: string;
  readonly events: { readonly type: string; readonly path?: string; readonly error?: unknown }[];
}

async function serve(fetchHandler: FetchHandler, options: Partial<ServerOptions> = {}): Promise<Served> {
  const events: Served["events"] = [];
  const observer: Observer = { emit: event => events.push(event as Served["events"][number]) };
  const server = createServer({ services: [], fetch: fetchHandler, observer, ...options });
  const { port } = await server.listen({ port: 0, host: "127.0.0.1" });
  after(() => server.close());
  return { server, port, base: `http://127.0.0.1:${port}`, events };
}

/** What a request, byte for byte, is answered with; the request asks for the connection to be closed. */
function raw(port: number, ...pieces: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    let answer = "";
    socket.on("data", chunk => {
      answer += chunk.toString("latin1");
    });
    socket.on("end", () => resolve(answer));
    socket.on("error", reject);
    for (const piece of pieces) socket.write(Buffer.from(piece, "latin1"));
  });
}

/** Status and body of a request over HTTP/2. */
function overHttp2(base: string, headers: Record<string, string | string[]>): Promise<Record<string, unknown>> {
  const session = connectHttp2(base);
  return new Promise((resolve, reject) => {
    session.on("error", reject);
    const request = session.request(headers, { endStream: true });
    let answer: Record<string, unknown> = {};
    let body = "";
    request.on("response", head => {
      answer = { ...head };
    });
    request.on("data", chunk => {
      body += chunk;
    });
    request.on("end", () => {
      session.close();
      resolve({ ...answer, body });
    });
    request.on("error", reject);
  });
}

test("a handler that throws is 500 without its message, and is reported", async () => {
  const error = new Error("a secret");
  const { base, events } = await serve(() => {
    throw error;
  });
  const answer = await fetch(`${base}/x?y=1`);
  assert.equal(answer.status, 500);
  assert.equal(await answer.text(), "");
  const reported = events.filter(({ type }) => type === "http.handler.failed");
  assert.deepEqual(reported, [{ type: "http.handler.failed", path: "/x?y=1", error }]);
});

test("a handler that returns no response is reported, and so is one that gives a response twice", async () => {
  const once = new Response("only once");
  const { base, events } = await serve(request => {
    return request.url.endsWith("/twice") ? once : (undefined as unknown as Response);
  });
  assert.equal((await fetch(base)).status, 500);
  assert.equal((await fetch(`${base}/twice`)).status, 200);
  assert.equal((await fetch(`${base}/twice`)).status, 500);
  const failed = events.filter(({ type }) => type === "http.handler.failed");
  assert.match(String(failed[0]?.error), /the fetch handler returned undefined/);
});

test("a response of another copy of the standard is a response", async () => {
  class Response2 {
    readonly status = 202;
    readonly headers = new Headers();
    readonly body = null;
    get [Symbol.toStringTag]() {
      return "Response";
    }
  }
  const { base } = await serve(() => new Response2() as unknown as Response);
  assert.equal((await fetch(base)).status, 202);
});

test("an answer that is there at once has its length, one that comes later has not", async () => {
  const { base } = await serve(({ url }) => {
    if (url.endsWith("/whole")) return new Response("12345");
    return new Response(
      new ReadableStream({
        async start(controller) {
          controller.enqueue(new TextEncoder().encode("12"));
          await new Promise(resolve => setImmediate(() => setImmediate(resolve)));
          controller.enqueue(new TextEncoder().encode("345"));
          controller.close();
        },
      }),
    );
  });
  const whole = await fetch(`${base}/whole`);
  assert.equal(whole.headers.get("content-length"), "5");
  const later = await fetch(`${base}/later`);
  assert.equal(later.headers.get("content-length"), null);
  assert.equal(await later.text(), "12345");
});

test("the head goes out before the body's source has anything to say", async () => {
  let source: ReadableStreamDefaultController | undefined;
  const { base } = await serve(
    () =>
      new Response(
        new ReadableStream({
          start(controller) {
            source = controller;
          },
        }),
        { headers: { "x-head": "early" } },
      ),
  );
  const answer = await fetch(base);
  assert.equal(answer.headers.get("x-head"), "early");
  source?.enqueue(new TextEncoder().encode("at last"));
  source?.close();
  assert.equal(await answer.text(), "at last");
});

test("the source of a silent body hears at once that its reader has left", async () => {
  const cancelled = Promise.withResolvers<void>();
  const { base } = await serve(() => new Response(new ReadableStream({ cancel: () => cancelled.resolve() })));
  const controller = new AbortController();
  await fetch(base, { signal: controller.signal });
  controller.abort();
  await cancelled.promise;
});

test("a body that fails in the middle, or is not bytes, cuts the answer", async () => {
  const { base, events } = await serve(({ url }) => {
    return new Response(
      new ReadableStream({
        async start(controller) {
          const piece = url.endsWith("/text") ? "no bytes" : new Uint8Array(3);
          controller.enqueue(piece as Uint8Array);
          await new Promise(resolve => setImmediate(() => setImmediate(resolve)));
          controller.error(new Error("the disk is gone"));
        },
      }),
    );
  });
  await assert.rejects(async () => (await fetch(`${base}/bytes`)).arrayBuffer());
  assert.equal((await fetch(`${base}/text`)).status, 500);
  assert.deepEqual(
    events.filter(({ type }) => type === "http.handler.failed").map(({ error }) => (error as Error).message),
    ["the disk is gone", "the body of a response yields bytes (Uint8Array), this one yielded string"],
  );
});

test("a body over the limit is 413 with the option to set, announced or not", async () => {
  let calls = 0;
  const { port, base } = await serve(
    async request => {
      calls++;
      return new Response(await request.text());
    },
    { limits: { fetchBodyBytesMax: 10 } },
  );
  const announced = await fetch(base, { method: "POST", body: "12345678901" });
  assert.equal(announced.status, 413);
  assert.match(await announced.text(), /limit of 10 bytes \(limits.fetchBodyBytesMax\)/);
  assert.equal(calls, 0);
  const chunked = "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
  const answer = await raw(port, chunked, "6\r\n123456\r\n6\r\n789012\r\n0\r\n\r\n");
  assert.match(answer, /^HTTP\/1.1 413 /);
  assert.equal(calls, 1);
  assert.equal(await (await fetch(base, { method: "POST", body: "1234567890" })).text(), "1234567890");
});

test("the limit of bodies can be lifted, and must be a size", async () => {
  const { base } = await serve(async request => new Response(String((await request.arrayBuffer()).byteLength)), {
    limits: { fetchBodyBytesMax: Number.POSITIVE_INFINITY },
  });
  const body = new Uint8Array(5 << 20);
  assert.equal(await (await fetch(base, { method: "POST", body })).text(), String(5 << 20));
  assert.throws(
    () => createServer({ services: [], fetch: () => new Response(), limits: { fetchBodyBytesMax: -1 } }),
    /fetchBodyBytesMax is -1/,
  );
});

test("an upload that is cut fails the handler's reading and is no failure of the handler", async () => {
  const outcome = Promise.withResolvers<unknown>();
  const started = Promise.withResolvers<void>();
  const { port, events } = await serve(async request => {
    started.resolve();
    try {
      await request.text();
    } catch (error) {
      outcome.resolve(request.signal.aborted);
      throw error;
    }
    return new Response();
  });
  const socket = connect(port, "127.0.0.1");
  socket.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nabc");
  await started.promise;
  socket.destroy();
  assert.equal(await outcome.promise, true);
  assert.deepEqual(
    events.filter(({ type }) => type === "http.handler.failed"),
    [],
  );
});

test("an upload whose reader asks for more is told to continue", async () => {
  const { port } = await serve(async request => new Response(await request.text()));
  const head = "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n";
  const answer = await raw(port, head, "abc");
  assert.match(answer, /HTTP\/1.1 200 OK[\s\S]*abc$/);
});

test("header values are latin1 in both directions", async () => {
  const { port } = await serve(
    request => new Response(null, { headers: { "x-echo": request.headers.get("x-name") ?? "" } }),
  );
  const answer = await raw(port, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-name: \xe9t\xe9\r\n\r\n");
  assert.match(answer, /\r\nx-echo: \xe9t\xe9\r\n/);
});

test("HEAD keeps the length that the handler names, and invents none", async () => {
  const { port } = await serve(({ url }) => {
    return new Response(null, url.endsWith("/sized") ? { headers: { "content-length": "1234" } } : {});
  });
  const head = (path: string) => `HEAD ${path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`;
  assert.match(await raw(port, head("/sized")), /\r\ncontent-length: 1234\r\n/);
  assert.doesNotMatch(await raw(port, head("/unsized")), /content-length/);
  const sized = await overHttp2(`http://127.0.0.1:${port}`, { ":path": "/sized", ":method": "HEAD" });
  assert.equal(sized["content-length"], "1234");
});

test("answers without content have none, whatever the handler says", async () => {
  const { port } = await serve(({ url }) => {
    const status = Number(new URL(url).pathname.slice(1));
    return new Response(null, { status, headers: { "content-length": "5", "transfer-encoding": "chunked" } });
  });
  for (const status of [204, 304]) {
    const answer = await raw(port, `GET /${status} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`);
    assert.match(answer, new RegExp(`^HTTP/1.1 ${status} `));
    assert.doesNotMatch(answer, /transfer-encoding|content-length/);
    assert.match(answer, /\r\n\r\n$/);
  }
});

test("cookies that HTTP/2 clients send one by one are joined as cookies are", async () => {
  const { base } = await serve(request => new Response(request.headers.get("cookie")));
  const { body } = await overHttp2(base, { ":path": "/", cookie: ["a=1", "b=2; c=3"] });
  assert.equal(body, "a=1; b=2; c=3");
});

test("an authority that would move the path is refused", async () => {
  const { base } = await serve(request => new Response(new URL(request.url).pathname));
  for (const authority of ["a/admin?", "user@host", "a#b", "a\\b"]) {
    const answer = await overHttp2(base, { ":path": "/x", ":authority": authority });
    assert.equal(answer[":status"], 400, authority);
  }
  const star = await overHttp2(base, { ":path": "*", ":method": "OPTIONS" });
  assert.equal(star[":status"], 400);
});

test("methods that the standard forbids are refused", async () => {
  const { port } = await serve(() => new Response());
  assert.match(await raw(port, "TRACE / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"), /^HTTP\/1.1 400 /);
});

test("drain waits for handlers that run, and their answers arrive", async () => {
  const started = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  const { server, base } = await serve(async () => {
    started.resolve();
    await go.promise;
    return new Response("done");
  });
  const answer = fetch(base).then(response => response.text());
  await started.promise;
  assert.equal(server.activeCalls, 1);
  let isDrained = false;
  const draining = server.drain().then(() => {
    isDrained = true;
  });
  await new Promise(resolve => setImmediate(resolve));
  assert(!isDrained);
  go.resolve();
  assert.equal(await answer, "done");
  await draining;
  assert.equal(server.activeCalls, 0);
});
