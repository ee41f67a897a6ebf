import assert from "node:assert/strict";
import { test } from "node:test";
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { makeCertificates } from "../../../test/certificates.ts";
import { isRpcError, RpcError } from "../../errors/index.ts";
import { createServer } from "../../exports/server.ts";
import { type Clock, type DnsClient, DnsError, systemPlatform, type TlsClientOptions } from "../../platform/index.ts";
import { type VirtualPlatform, virtualPlatform } from "../../platform/virtual/index.ts";
import { policy } from "../../resilience/index.ts";
import { ServiceDiscoveryError } from "../discovery/index.ts";
import { type DiscoverOptions, discover, type PolicyRunner } from "./discover.ts";
import { resolve } from "./resolve.ts";

type Handle = (request: Request) => Response | Promise<Response>;

async function world(
  t: { after(run: () => void): void },
  handle: Handle,
  options: Partial<DiscoverOptions> = {},
  platform: VirtualPlatform = virtualPlatform(),
) {
  const server = createServer({ services: [], fetch: handle, openapi: false, platform });
  await server.listen({ host: "10.0.0.1", port: 80 });
  platform.network.dnsServer.set("inventory", ["10.0.0.1"]);
  const inventory = discover("dns:///inventory:80", { platform, ...options });
  t.after(() => inventory.close());
  return { platform, inventory, server };
}

for (const httpVersion of ["1.1", "2"] as const) {
  test(`HTTP/${httpVersion}: method, path, headers and body arrive, and the answer comes back as a Response`, async t => {
    const { inventory } = await world(
      t,
      async request =>
        Response.json(
          {
            url: request.url,
            method: request.method,
            type: request.headers.get("content-type"),
            own: request.headers.get("x-own"),
            body: await request.text(),
          },
          { status: 201, headers: { "x-answer": "yes" } },
        ),
      { httpVersion },
    );
    const response = await inventory.fetch("/stock/a b?x=1", {
      method: "POST",
      headers: { "x-own": "1", connection: "close", host: "elsewhere" },
      body: "grün",
    });
    assert.equal(response.status, 201);
    assert.equal(response.headers.get("x-answer"), "yes");
    assert.deepEqual(await response.json(), {
      url: "http://inventory/stock/a%20b?x=1",
      method: "POST",
      type: "text/plain;charset=UTF-8",
      own: "1",
      body: "grün",
    });
  });

  test(`HTTP/${httpVersion}: bodies stream both ways with back-pressure`, async t => {
    const block = new Uint8Array(65_536).fill(7);
    let produced = 0;
    const { inventory, platform } = await world(
      t,
      request => {
        if (request.method === "POST") return new Response(request.body);
        return new Response(
          new ReadableStream({
            pull(controller) {
              if (++produced > 200) controller.close();
              else controller.enqueue(block);
            },
          }),
        );
      },
      { httpVersion, responseBytesMax: 64 * 1_048_576 },
    );
    const response = await inventory.fetch("/large");
    await platform.clock.settle();
    assert.ok(produced < 60, `${produced} blocks were made before anybody read`);
    assert.equal((await response.bytes()).length, 200 * 65_536);
    const upload = new ReadableStream({
      start(controller) {
        for (let index = 0; index < 20; index++) controller.enqueue(block);
        controller.close();
      },
    });
    const echoed = await inventory.fetch("/echo", { method: "POST", body: upload });
    assert.equal((await echoed.bytes()).length, 20 * 65_536);
  });

  test(`HTTP/${httpVersion}: answers without a body, HEAD and redirects are answers like others`, async t => {
    const { inventory } = await world(
      t,
      request =>
        request.url.endsWith("/moved")
          ? new Response(null, { status: 302, headers: { location: "/elsewhere" } })
          : new Response(request.url.endsWith("/none") ? null : "abc", {
              status: request.url.endsWith("/none") ? 204 : 200,
            }),
      { httpVersion },
    );
    const moved = await inventory.fetch("/moved");
    assert.deepEqual([moved.status, moved.headers.get("location")], [302, "/elsewhere"]);
    assert.equal((await inventory.fetch("/none")).status, 204);
    const head = await inventory.fetch("/some", { method: "HEAD" });
    assert.deepEqual([head.status, head.body], [200, null]);
    assert.equal(await (await inventory.fetch("/some")).text(), "abc");
  });

  test(`HTTP/${httpVersion}: a body above the limit is refused, with and without a length`, async t => {
    const { inventory } = await world(
      t,
      request =>
        new Response(request.url.endsWith("/stream") ? new Blob(["x".repeat(5_000)]).stream() : "x".repeat(5_000)),
      { httpVersion, responseBytesMax: 4_000 },
    );
    const isTooLarge = (error: unknown) => isRpcError(error, "resource_exhausted") && /4000/.test(String(error));
    await assert.rejects(async () => (await inventory.fetch("/whole")).text(), isTooLarge);
    await assert.rejects(async () => (await inventory.fetch("/stream")).text(), isTooLarge);
    assert.equal((await (await inventory.fetch("/whole", { responseBytesMax: 5_000 })).text()).length, 5_000);
  });

  test(`HTTP/${httpVersion}: compressed answers are asked for and come decompressed, without what was true of the coded body`, async t => {
    const coders = { gzip: gzipSync, br: brotliCompressSync, zstd: zstdCompressSync, deflate: deflateSync };
    const text = "level ".repeat(10_000);
    const { inventory } = await world(
      t,
      ({ url, headers }) => {
        assert.equal(headers.get("accept-encoding"), "gzip, br, zstd, deflate");
        const coding = url.slice(url.lastIndexOf("/") + 1) as keyof typeof coders;
        const own = { "content-encoding": coding, "x-asked": String(headers.get("accept-encoding")) };
        return new Response(coders[coding](text), { headers: own });
      },
      { httpVersion },
    );
    for (const coding of Object.keys(coders)) {
      const response = await inventory.fetch(`/${coding}`);
      assert.equal(response.headers.get("content-encoding"), null);
      assert.equal(response.headers.get("content-length"), null);
      assert.equal(await response.text(), text);
    }
    const small = await inventory.fetch("/gzip", { responseBytesMax: 10_000 });
    await assert.rejects(
      small.text(),
      error => isRpcError(error, "resource_exhausted") && /GET \/gzip at dns:\/\/\/inventory:80/.test(error.message),
    );
    assert.equal(inventory.endpoints()[0]?.activeCalls, 0);
  });

  test(`HTTP/${httpVersion}: who asks for codings or ranges, or gets a coding that nobody reads, gets the answer as it is`, async t => {
    const coded = gzipSync("level");
    const { inventory } = await world(
      t,
      ({ url, headers }) =>
        new Response(coded, {
          headers: {
            "content-encoding": url.endsWith("/twice") ? "gzip, gzip" : "gzip",
            "x-asked": String(headers.get("accept-encoding")),
          },
        }),
      { httpVersion },
    );
    for (const [path, headers, asked] of [
      ["/own", { "accept-encoding": "gzip;q=0.5" }, "gzip;q=0.5"],
      ["/part", { range: "bytes=0-9" }, "null"],
      ["/twice", {}, "gzip, br, zstd, deflate"],
    ] as const) {
      const response = await inventory.fetch(path, { headers });
      assert.equal(response.headers.get("x-asked"), asked);
      assert.match(String(response.headers.get("content-encoding")), /^gzip/);
      assert.deepEqual(Buffer.from(await response.bytes()), coded);
    }
    const head = await inventory.fetch("/head", { method: "HEAD" });
    assert.deepEqual([head.headers.get("content-encoding"), await head.text()], ["gzip", ""]);
  });

  test(`HTTP/${httpVersion}: a call ends with its deadline, before the head and in the body`, async t => {
    const { inventory, platform } = await world(
      t,
      request =>
        request.url.endsWith("/body")
          ? new Response(new ReadableStream({ start: controller => controller.enqueue(new Uint8Array(1)) }))
          : new Promise<Response>(() => {}),
      { httpVersion },
    );
    const isLate = (error: unknown) =>
      isRpcError(error, "deadline_exceeded") && /took longer than 500 ms/.test(String(error));
    const head = assert.rejects(inventory.fetch("/head", { timeoutMs: 500 }), isLate);
    const body = assert.rejects(
      inventory.fetch("/body", { timeoutMs: 500 }).then(response => response.text()),
      isLate,
    );
    await platform.clock.advance(600);
    await Promise.all([head, body]);
    assert.equal(inventory.endpoints()[0]?.activeCalls, 0);
  });

  test(`HTTP/${httpVersion}: the caller's signal ends a call with its reason`, async t => {
    const { inventory, platform } = await world(t, () => new Promise<Response>(() => {}), { httpVersion });
    const controller = new AbortController();
    const outcome = assert.rejects(inventory.fetch("/x", { signal: controller.signal }), /enough/);
    await platform.clock.settle();
    controller.abort(new Error("enough"));
    await outcome;
    await assert.rejects(inventory.fetch("/x", { signal: controller.signal }), /enough/);
  });

  test(`HTTP/${httpVersion}: a body that is let go of ends the exchange`, async t => {
    let isCancelled = false;
    const endless = new ReadableStream({
      pull: controller => controller.enqueue(new Uint8Array(1_000)),
      cancel() {
        isCancelled = true;
      },
    });
    const { inventory, platform } = await world(t, () => new Response(endless), { httpVersion });
    const response = await inventory.fetch("/endless");
    await response.body?.cancel();
    await platform.clock.advance(100);
    assert.equal(isCancelled, true);
    assert.equal(inventory.endpoints()[0]?.activeCalls, 0);
  });
}

// A free connection was promised to every request that began before the first of them was sent; HTTP/1.1 takes one at a
// time, and whoever had lost three times was told that the connection takes no request.
test("HTTP/1.1: requests that begin at the same time do not share a free connection", async t => {
  const { inventory } = await world(t, () => new Response("here"), { httpVersion: "1.1" });
  const read = async () => (await inventory.fetch("/stock")).text();
  assert.equal(await read(), "here");
  assert.deepEqual(new Set(await Promise.all(Array.from({ length: 50 }, read))), new Set(["here"]));
  assert.deepEqual(new Set(await Promise.all(Array.from({ length: 50 }, read))), new Set(["here"]));
});

test("mistakes in a request are told before anything is sent", async t => {
  const { inventory } = await world(t, () => new Response());
  await assert.rejects(inventory.fetch("stock"), /path "stock" must begin with a slash/);
  await assert.rejects(inventory.fetch("/", { body: "x" }), TypeError);
  await assert.rejects(inventory.fetch("/", { headers: { "x y": "1" } }), TypeError);
  await assert.rejects(inventory.fetch("/", { timeoutMs: Number.NaN }), /timeoutMs is NaN/);
  await assert.rejects(inventory.fetch("/", { responseBytesMax: -1 }), /responseBytesMax is -1; it must be 0 or more/);
  assert.throws(() => discover("nowhere"), /target "nowhere"/);
  assert.throws(() => discover("a:80", { timeoutMs: -1 }), /timeoutMs is -1; it must be 0 or more/);
  assert.throws(() => discover("a:80", { responseBytesMax: Number.NaN }), /responseBytesMax is NaN/);
  const seen = await (await inventory.fetch("//evil.example/x")).text();
  assert.equal(seen, "");
});

test("a service that is not known is a ServiceDiscoveryError; one that cannot be reached is unavailable", async t => {
  const { platform, inventory, server } = await world(t, () => new Response("ok"));
  const unknown = discover("dns:///nobody:80", { platform });
  t.after(() => unknown.close());
  await assert.rejects(
    unknown.fetch("/"),
    error => error instanceof ServiceDiscoveryError && error.service === "nobody",
  );
  await assert.rejects(resolve("dns:///nobody:80", { platform }), ServiceDiscoveryError);
  const [endpoint] = await resolve("dns:///inventory:80", { platform });
  assert.deepEqual([endpoint?.address, endpoint?.port], ["10.0.0.1", 80]);
  await server.close();
  await assert.rejects(inventory.fetch("/"), error => isRpcError(error, "unavailable") && error.unprocessed);
});

/** Three attempts for what may be repeated: what a policy of `trunkline/resilience` does. */
const thrice: PolicyRunner = {
  async run(work) {
    for (let attempt = 1; ; attempt++) {
      try {
        return await work(new AbortController().signal);
      } catch (error) {
        const mayRepeat = error instanceof RpcError && error.retryAfterMs !== -1;
        if (attempt === 3 || !mayRepeat) throw error;
      }
    }
  },
};

test("a policy sees 429 and 5xx as failures, and the caller gets the last answer", async t => {
  let calls = 0;
  const { inventory, platform } = await world(
    t,
    request => {
      calls++;
      const isDone = request.url.endsWith("/recovers") && calls === 3;
      return new Response(`answer ${calls}`, { status: isDone ? 200 : 503 });
    },
    { policy: thrice },
  );
  const ask = async (path: string, method = "GET") => {
    calls = 0;
    const response = await inventory.fetch(path, { method });
    return [response.status, await response.text(), calls];
  };
  assert.deepEqual(await ask("/recovers"), [200, "answer 3", 3]);
  assert.deepEqual(await ask("/fails"), [503, "answer 3", 3]);
  assert.deepEqual(await ask("/fails", "POST"), [503, "answer 1", 1], "what may have had its effect is not repeated");
  await platform.clock.settle();
  assert.equal(inventory.endpoints()[0]?.activeCalls, 0);
});

test("Retry-After is obeyed by a policy: seconds, a date by the server's own clock, never what cannot be read", async t => {
  let retryAfter = "";
  const arrivedMs: number[] = [];
  const platform = virtualPlatform();
  const { clock } = platform;
  // The client's clock is months ahead of the server's.
  const skewed: Clock = {
    now: () => clock.now(),
    wall: () => clock.wall() + 1e10,
    after: (delayMs, run) => clock.after(delayMs, run),
    endOfTurn: run => clock.endOfTurn(run),
  };
  const { inventory } = await world(
    t,
    () => {
      arrivedMs.push(platform.clock.now());
      const isFirst = arrivedMs.length === 1;
      return new Response("", isFirst ? { status: 503, headers: { "retry-after": retryAfter } } : {});
    },
    { policy: policy({ retry: { attempts: 2 }, platform }), platform: { ...platform, clock: skewed } },
    platform,
  );
  const pauseMs = async (value: string): Promise<number | undefined> => {
    retryAfter = value;
    arrivedMs.length = 0;
    const answer = inventory.fetch("/");
    await platform.clock.advance(20_000);
    await answer;
    const [first = 0, second] = arrivedMs;
    return second === undefined ? undefined : Math.round(second - first);
  };
  const inMs = (ms: number) => new Date(clock.wall() + ms).toUTCString();
  assert.equal(await pauseMs("3"), 3_000);
  // HTTP dates are whole seconds: up to one is lost.
  const pause = Number(await pauseMs(inMs(7_500)));
  assert(pause > 6_000 && pause <= 8_000, `${pause} ms`);
  assert.equal(await pauseMs(inMs(-60_000)), 0);
  assert.equal(await pauseMs(inMs(31_536_000_000)), undefined, "a year is as good as never");
  assert.equal(await pauseMs("soon"), undefined);
});

test("a deadline covers all attempts of a policy", async t => {
  const { inventory, platform } = await world(
    t,
    () => new Promise(answer => platform.clock.after(400, () => answer(new Response("", { status: 503 })))),
    { policy: thrice },
  );
  const outcome = assert.rejects(inventory.fetch("/", { timeoutMs: 1_000 }), error =>
    isRpcError(error, "deadline_exceeded"),
  );
  await platform.clock.advance(1_100);
  await outcome;
});

test("over TLS the certificate is verified against the target's name, not against the address that DNS gave", async t => {
  const { ca, server: pair } = await makeCertificates();
  const server = createServer({ services: [], fetch: request => new Response(request.url), tls: pair });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  const dns = new LoopbackDns();
  const platform = { ...systemPlatform, network: { ...systemPlatform.network, dns: () => dns } };
  t.after(() => server.close());
  const ask = async (tls: TlsClientOptions) => {
    const orders = discover(`orders.test:${port}`, { platform, tls });
    try {
      return await (await orders.fetch("/x")).text();
    } finally {
      orders.close();
    }
  };
  await assert.rejects(ask({ ca }), /orders\.test.* is not in the cert's altnames/);
  assert.equal(await ask({ ca, serverName: "localhost" }), `https://orders.test:${port}/x`);
});

/** Knows one address for every name. */
class LoopbackDns implements DnsClient {
  async hosts(): Promise<readonly string[]> {
    return ["127.0.0.1"];
  }
  async resolveAddresses(): Promise<never> {
    throw new DnsError("not_found", "none");
  }
  async resolveServices(): Promise<never> {
    throw new DnsError("not_found", "none");
  }
  close(): void {}
}

test("callers that give up early do not go on to give up at the same host", async t => {
  const platform = virtualPlatform();
  const { clock } = platform;
  let atSilent = 0;
  for (const id of [1, 2]) {
    const answer = async () => {
      if (id === 1) atSilent++;
      await new Promise<void>(resolve => clock.after(id === 1 ? 60_000 : 5, resolve));
      return new Response("well");
    };
    const server = createServer({ services: [], fetch: answer, openapi: false, platform });
    await server.listen({ host: `10.0.0.${id}`, port: 80 });
  }
  platform.network.dnsServer.set("inventory", ["10.0.0.1", "10.0.0.2"]);
  const inventory = discover("dns:///inventory:80", { platform });
  t.after(() => inventory.close());
  for (let n = 0; n < 50; n++) {
    const controller = new AbortController();
    const asked = inventory.fetch("/", { signal: controller.signal }).catch(() => undefined);
    await clock.advance(50);
    controller.abort();
    await asked;
  }
  // Half of 50 where the host looks no slower than the other one, because nobody waits for it to the end.
  assert.ok(atSilent > 0 && atSilent <= 5, `${atSilent} of 50`);
});
