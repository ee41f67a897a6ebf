import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { type CorsOptions, createServer, type FetchHandler, implement, type Observer, RpcError } from "trunkline";
import { ElizaService } from "../gen/eliza/v1/eliza_pb.ts";
import { type Answer, HttpClient } from "../transcoding/http-client.ts";

const page = "https://app.example.com";
const say = "POST /eliza.v1.ElizaService/Say";

interface Served {
  send(line: string, headers?: Record<string, string>, body?: string): Promise<Answer>;
  readonly events: { readonly type: string }[];
}

const app: FetchHandler = () => new Response("hi", { headers: { vary: "accept", "x-page": "1" } });

async function serve(cors: CorsOptions | undefined): Promise<Served> {
  const events: { type: string }[] = [];
  const observer: Observer = { emit: event => events.push(event as { type: string }) };
  const server = createServer({
    services: [
      implement(ElizaService, {
        say({ sentence }, call) {
          call.responseHeaders.set("x-head", "1");
          call.responseTrailers.set("x-tail", "2");
          if (sentence === "fail") throw new RpcError("aborted", "no", { metadata: { "x-why": "because" } });
          return { sentence };
        },
      }),
    ],
    fetch: app,
    cors,
    observer,
  });
  const { port } = await server.listen({ port: 0, host: "127.0.0.1" });
  const client = new HttpClient(port);
  after(async () => {
    client[Symbol.dispose]();
    await server.close();
  });
  return { send: (line, headers = {}, body) => client.send(line, body, headers), events };
}

function corsFields({ headers }: Answer): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => name.startsWith("access-control-") || name === "vary"),
  );
}

const preflight = { origin: page, "access-control-request-method": "POST" };

describe("CORS", () => {
  test("is off by default: no field speaks of it, and nobody is turned away", async () => {
    const { send } = await serve(undefined);
    const answer = await send(say, { origin: page }, "{}");
    assert.equal(answer.status, 200);
    assert.deepEqual(corsFields(answer), {});
    assert.equal((await send("OPTIONS /eliza.v1.ElizaService/Say", preflight)).status, 405);
  });

  test("a preflight from a listed origin allows what it asks for", async () => {
    const { send } = await serve({ origins: [page] });
    const asked = { ...preflight, "access-control-request-headers": "connect-protocol-version,content-type,x-asked" };
    const answer = await send("OPTIONS /eliza.v1.ElizaService/Say", asked);
    assert.equal(answer.status, 204);
    assert.deepEqual(corsFields(answer), {
      "access-control-allow-origin": page,
      "access-control-allow-methods": "POST",
      "access-control-allow-headers": "connect-protocol-version,content-type,x-asked",
      "access-control-max-age": "7200",
      vary: "origin, access-control-request-method, access-control-request-headers",
    });
  });

  test("an origin that is not listed gets no permission, in a preflight and in answers", async () => {
    const { send } = await serve({ origins: [page], credentials: true });
    for (const origin of ["https://evil.example.com", "http://app.example.com", `${page}:8443`, "null", `${page}, x`]) {
      const asked = await send("OPTIONS /v1/say/x", { ...preflight, origin });
      assert.equal(asked.status, 204);
      assert.deepEqual(Object.keys(corsFields(asked)), ["vary"], origin);
      const answered = await send("GET /v1/say/x", { origin });
      assert.deepEqual(corsFields(answered), { vary: "origin" }, origin);
    }
  });

  test("an OPTIONS request that is no preflight is for the routes", async () => {
    const { send } = await serve({ origins: [page] });
    const answer = await send("OPTIONS /v1/say/x", { origin: page });
    assert.equal(answer.headers["allow"], "GET, HEAD, OPTIONS");
    assert.equal(answer.headers["access-control-allow-origin"], page);
  });

  test("answers of every kind name what the page may read", async () => {
    const { send } = await serve({ origins: [page] });
    const connect = await send(say, { origin: page }, "{}");
    assert.equal(connect.headers["access-control-allow-origin"], page);
    assert.deepEqual(exposed(connect), ["accept-encoding", "trailer-x-tail", "x-head"]);
    const failed = await send(say, { origin: page }, '{"sentence":"fail"}');
    assert.equal(failed.status, 409);
    assert(exposed(failed).includes("x-why"));
    const grpcWeb = await send(say, { origin: page, "content-type": "application/grpc-web" }, "\0\0\0\0\0");
    assert(exposed(grpcWeb).includes("x-head"));
    const rest = await send("GET /v1/say/x", { origin: page });
    assert(exposed(rest).includes("x-head"));
    const fetched = await send("GET /page", { origin: page });
    assert.deepEqual(exposed(fetched), ["vary", "x-page"]);
    assert.equal(fetched.headers["vary"], "accept, origin");
    const missing = await send("POST /nothing.Service/Method", { origin: page }, "{}");
    assert.equal(missing.headers["access-control-allow-origin"], page);
  });

  test("answers differ by origin also for those who name none, unless every page may call", async () => {
    const listed = await serve({ origins: [page] });
    assert.deepEqual(corsFields(await listed.send("GET /v1/say/x")), { vary: "origin" });
    const open = await serve({ origins: "*" });
    assert.deepEqual(corsFields(await open.send("GET /v1/say/x")), {});
    const answer = await open.send("GET /v1/say/x", { origin: page });
    assert.equal(answer.headers["access-control-allow-origin"], "*");
    assert.equal(answer.headers["vary"], undefined);
  });

  test("credentials are allowed where the options say so, with the origin by name", async () => {
    const { send } = await serve({ origins: [page], credentials: true, maxAgeSeconds: 0 });
    for (const answer of [await send("OPTIONS /v1/say/x", preflight), await send("GET /v1/say/x", { origin: page })]) {
      assert.equal(answer.headers["access-control-allow-origin"], page);
      assert.equal(answer.headers["access-control-allow-credentials"], "true");
    }
    assert.equal((await send("OPTIONS /v1/say/x", preflight)).headers["access-control-max-age"], "0");
  });

  test("a function judges origins; a promise, or what it throws, is a no", async () => {
    const { send } = await serve({ origins: origin => origin.endsWith(".example.com") });
    assert.equal((await send("GET /page", { origin: page })).headers["access-control-allow-origin"], page);
    const other = await send("GET /page", { origin: "https://example.org" });
    assert.equal(other.headers["access-control-allow-origin"], undefined);
    const promising = await serve({ origins: (async () => true) as unknown as () => boolean });
    const promised = await promising.send("GET /page", { origin: page });
    assert.equal(promised.headers["access-control-allow-origin"], undefined);
    const throwing = await serve({
      origins: () => {
        throw new Error("no database");
      },
    });
    const answer = await throwing.send("GET /page", { origin: page });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers["access-control-allow-origin"], undefined);
    assert(throwing.events.some(({ type }) => type === "cors.origins.failed"));
  });

  test("options that make no sense are errors at the start", () => {
    const bad: [CorsOptions, RegExp][] = [
      [{ origins: "*", credentials: true }, /credentials need a list of origins/],
      [{ origins: ["app.example.com"] }, /"app.example.com" is no origin/],
      [{ origins: [`${page}/`] }, /is no origin/],
      [{ origins: ["*"] }, /"\*" is no origin/],
      [{ origins: page as "*" }, /expected a list, a function or "\*"/],
      [{ origins: [page], maxAgeSeconds: -1 }, /maxAgeSeconds is -1/],
      [{ origins: [page], maxAgeSeconds: Number.NaN }, /maxAgeSeconds is NaN/],
    ];
    for (const [cors, message] of bad) assert.throws(() => createServer({ services: [], cors }), message);
  });
});

function exposed(answer: Answer): string[] {
  return String(answer.headers["access-control-expose-headers"] ?? "")
    .split(", ")
    .sort();
}
