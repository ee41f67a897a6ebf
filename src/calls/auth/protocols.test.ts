import assert from "node:assert/strict";
import { request as httpRequest } from "node:http";
import { after, before, describe, test } from "node:test";
import { isRpcError } from "../../errors/index.ts";
import { createServer } from "../../exports/server.ts";
import { systemPlatform } from "../../platform/index.ts";
import { Channel } from "../channel/index.ts";
import { type Call, createClient, type Handlers, implement, type Principal } from "../rpc/index.ts";
import { authenticate } from "./authenticate.ts";
import { type GuardedClient, GuardedService, type Text, type TextInit } from "./guarded.fixture.ts";
import { Issuer, signingKey } from "./issuer.fixture.ts";

/** What a caller saw of a call. */
interface Outcome {
  readonly code: string;
  readonly message: string;
  readonly challenge: string | undefined;
  readonly values: readonly string[];
}

type Kind = "one" | "many" | "gather" | "chat" | "write" | "open" | "silent";

/** Makes a call over one protocol. */
type Caller = (kind: Kind, headers: Readonly<Record<string, string>>) => Promise<Outcome>;

const kinds = ["one", "many", "gather", "chat"] as const;
let issuer: Issuer;
let seen: (Principal | undefined)[] = [];

const handlers = {
  one: ({ value }: Text, call: Call) => noted(call, value),
  write: ({ value }: Text, call: Call) => noted(call, value),
  open: ({ value }: Text, call: Call) => noted(call, value),
  silent: ({ value }: Text, call: Call) => noted(call, value),
  async *many({ value }: Text, call: Call) {
    yield noted(call, value);
  },
  async gather(requests: AsyncIterable<Text>, call: Call) {
    const values = [];
    for await (const { value } of requests) values.push(value);
    return noted(call, values.join());
  },
  async *chat(requests: AsyncIterable<Text>, call: Call) {
    for await (const { value } of requests) yield noted(call, value);
  },
};

function noted(call: Call, value: string): TextInit {
  seen.push(call.principal);
  return { value };
}

function rpcCaller(port: number, protocol: "grpc" | "grpc-web" | "connect", httpVersion: "1.1" | "2"): Caller {
  const channel = new Channel(`127.0.0.1:${port}`, { protocol, httpVersion });
  after(() => channel.close());
  const client = createClient(GuardedService, channel) as unknown as GuardedClient;
  return async (kind, metadata) => {
    const values: string[] = [];
    const collect = async (messages: AsyncIterable<Text>): Promise<void> => {
      for await (const { value } of messages) values.push(value);
    };
    const stream = async function* (): AsyncIterable<TextInit> {
      yield { value: "a" };
    };
    try {
      if (kind === "many") await collect(client.many({ value: "a" }, { metadata }));
      else if (kind === "chat") await collect(client.chat(stream(), { metadata }));
      else if (kind === "gather") values.push((await client.gather(stream(), { metadata })).value);
      else values.push((await client[kind]({ value: "a" }, { metadata })).value);
      return { code: "ok", message: "", challenge: undefined, values };
    } catch (error) {
      if (!isRpcError(error)) throw error;
      const challenge = error.metadata["www-authenticate"];
      return { code: error.code, message: error.message, challenge: challenge && String(challenge), values };
    }
  };
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

function post(port: number, path: string, headers: Readonly<Record<string, string>>, body: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: "127.0.0.1", port, path, method: "POST", headers }, response => {
      let text = "";
      response.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }));
    });
    request.on("error", reject);
    request.end(body);
  });
}

const statusOf: Readonly<Record<string, number>> = { ok: 200, unauthenticated: 401, permission_denied: 403 };

function restCaller(port: number): Caller {
  return async (kind, headers) => {
    const isStream = kind === "gather" || kind === "chat";
    const type = isStream ? "application/x-ndjson" : "application/json";
    const sent = { "content-type": type, ...headers };
    const answer = await post(port, `/guarded/${kind}`, sent, '"a"\n');
    if (answer.status === 200) {
      return { code: "ok", message: "", challenge: undefined, values: answer.body.trim().split("\n").map(read) };
    }
    const { code, detail } = JSON.parse(answer.body) as { code: string; detail: string };
    assert.equal(answer.status, statusOf[code]);
    const challenge = answer.headers["www-authenticate"];
    return { code, message: detail, challenge: challenge && String(challenge), values: [] };
  };
}

function read(text: string): string {
  return JSON.parse(text) as string;
}

const variants = {
  "grpc over HTTP/2": port => rpcCaller(port, "grpc", "2"),
  "grpc-web over HTTP/1.1": port => rpcCaller(port, "grpc-web", "1.1"),
  "connect over HTTP/1.1": port => rpcCaller(port, "connect", "1.1"),
  "connect over HTTP/2": port => rpcCaller(port, "connect", "2"),
  "REST over HTTP/1.1": restCaller,
} satisfies Record<string, (port: number) => Caller>;

let port = 0;
let server: ReturnType<typeof createServer>;

before(async () => {
  issuer = await Issuer.start(systemPlatform, 0, await signingKey("first"));
  server = createServer({
    services: [implement(GuardedService, handlers as unknown as Handlers<typeof GuardedService>)],
    interceptors: [authenticate({ issuer: issuer.url, audience: "text" }, { methods: "marked" })],
  });
  ({ port } = await server.listen({ port: 0, host: "127.0.0.1" }));
});
after(async () => {
  await server.close();
  await issuer.close();
});

for (const [name, callerOf] of Object.entries(variants)) {
  describe(name, () => {
    const withToken = async (claims: Parameters<Issuer["token"]>[0] = {}) => ({
      authorization: `Bearer ${await issuer.token(claims)}`,
    });

    for (const kind of kinds) {
      test(`${kind}: a caller with a good token is let in, and the handler sees who it is`, async () => {
        seen = [];
        const outcome = await callerOf(port)(kind, await withToken({ scope: "a b" }));
        assert.deepEqual(outcome, { code: "ok", message: "", challenge: undefined, values: ["a"] });
        assert.equal(seen[0]?.subject, "ada");
        assert.equal(seen[0]?.issuer, issuer.url);
        assert.deepEqual(seen[0]?.scopes, ["a", "b"]);
      });

      test(`${kind}: a caller without credentials is told which to show, and no more`, async () => {
        const outcome = await callerOf(port)(kind, {});
        assert.equal(outcome.code, "unauthenticated");
        assert.equal(outcome.challenge, 'Bearer realm="guarded.TextService"');
      });

      test(`${kind}: an expired token is refused with the reason`, async () => {
        const outcome = await callerOf(port)(kind, await withToken({ exp: 1_000 }));
        assert.equal(outcome.code, "unauthenticated");
        assert.equal(outcome.message, "the token has expired");
        assert.equal(
          outcome.challenge,
          'Bearer realm="guarded.TextService", error="invalid_token", error_description="the token has expired"',
        );
      });
    }

    test("a token without the scopes of the contract is told which the call needs", async () => {
      const outcome = await callerOf(port)("write", await withToken({ scope: "text.read" }));
      assert.equal(outcome.code, "permission_denied");
      assert.match(outcome.challenge ?? "", /^Bearer realm="guarded\.TextService", error="insufficient_scope", /);
      assert.match(outcome.challenge ?? "", /, scope="text\.write text\.read"$/);
    });

    test("a token with the scopes, some in `scp`, is let in", async () => {
      const outcome = await callerOf(port)("write", await withToken({ scope: "text.read", scp: ["text.write"] }));
      assert.equal(outcome.code, "ok");
    });

    test("an open method answers without credentials, but not with wrong ones", async () => {
      assert.equal((await callerOf(port)("open", {})).code, "ok");
      assert.equal((await callerOf(port)("open", { authorization: "Bearer x.y.z" })).code, "unauthenticated");
    });

    test("a method of which the contract is silent is open where only marked ones are guarded", async () => {
      assert.equal((await callerOf(port)("silent", {})).code, "ok");
    });
  });
}

describe("who calls is asked before what is sent", () => {
  const path = "/guarded.TextService/One";
  const requests: readonly (readonly [string, string, Record<string, string>, string])[] = [
    ["REST: a body that is no JSON", "/guarded/one", { "content-type": "application/json" }, "{"],
    ["REST: a value of the wrong type", "/guarded/one", { "content-type": "application/json" }, "7"],
    ["REST: a line of a stream that is no JSON", "/guarded/gather", { "content-type": "application/x-ndjson" }, "{\n"],
    ["Connect: a body that is no JSON", path, { "content-type": "application/json" }, "{"],
    ["Connect: a body that is no protobuf", path, { "content-type": "application/proto" }, "\xff"],
    ["Connect: a body that is larger than the limit", path, { "content-type": "application/json" }, "1".repeat(5e6)],
    [
      "Connect: a compression that is none",
      path,
      { "content-type": "application/json", "content-encoding": "gzip" },
      "{}",
    ],
  ];
  for (const [title, target, headers, body] of requests) {
    test(`${title}: 401 to the unknown, the matter itself to the known`, async () => {
      const refused = await post(port, target, headers, body);
      assert.equal(refused.status, 401);
      assert.match(String(refused.headers["www-authenticate"]), /^Bearer realm=/);
      const known = await post(port, target, { ...headers, authorization: `Bearer ${await issuer.token()}` }, body);
      assert.match(known.body, /invalid_argument|resource_exhausted/);
      assert.notEqual(known.status, 401);
    });
  }

  test("gRPC: an empty request, or one with two messages", async () => {
    for (const body of ["", "\0\0\0\0\0\0\0\0\0\0", "\x07\0\0\0\0"]) {
      const headers = { "content-type": "application/grpc-web+proto" };
      const unknown = await post(port, path, headers, body);
      assert.match(unknown.body, /grpc-status: ?16/);
      const known = await post(port, path, { ...headers, authorization: `Bearer ${await issuer.token()}` }, body);
      assert.match(known.body, /grpc-status: ?(12|3)/);
    }
  });
});

test("health checks and reflection answer everybody, also where all methods are guarded", async () => {
  const strict = createServer({
    services: [implement(GuardedService, {})],
    interceptors: [authenticate({ issuer: issuer.url, audience: "text" })],
  });
  after(() => strict.close());
  const listening = await strict.listen({ port: 0, host: "127.0.0.1" });
  const json = { "content-type": "application/json" };
  assert.equal((await post(listening.port, "/grpc.health.v1.Health/Check", json, "{}")).body, '{"status":"SERVING"}');
  assert.equal((await post(listening.port, "/guarded/silent", json, '"a"')).status, 401);
  assert.equal((await post(listening.port, "/guarded/open", json, '"a"')).status, 501);
});
