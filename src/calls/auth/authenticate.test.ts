import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { ContractError } from "../../contract/index.ts";
import { isRpcError, RpcError } from "../../errors/index.ts";
import { createServer } from "../../exports/server.ts";
import type { ObservedEvent } from "../../platform/index.ts";
import { memoryPlatform } from "../../wire/transport/index.ts";
import { Channel } from "../channel/index.ts";
import {
  type Call,
  createClient,
  type Handlers,
  type Implementation,
  type Interceptor,
  implement,
  type Principal,
} from "../rpc/index.ts";
import { type AuthenticateOptions, type AuthenticationSource, authenticate } from "./authenticate.ts";
import type { Authenticator } from "./authenticator.ts";
import { type BearerOptions, bearer } from "./bearer.ts";
import { bearerToken } from "./bearer-token.ts";
import { CredentialsError } from "./challenge.ts";
import { type GuardedClient, GuardedService, serviceWith, type Text } from "./guarded.fixture.ts";
import { loadJose } from "./jose.ts";

const platform = memoryPlatform();
let nextPort = 3000;

const principalOf = (subject: string, scopes: readonly string[] = []): Principal => ({
  kind: "test",
  subject,
  scopes,
  claims: {},
});

const echo = ({ value }: Text, call: Call) => ({ value: `${value} of ${call.principal?.subject ?? "nobody"}` });
const echoing = implement(GuardedService, {
  one: echo,
  write: echo,
  open: echo,
  silent: echo,
} as unknown as Handlers<typeof GuardedService>);

interface Served {
  readonly client: GuardedClient;
  readonly events: ObservedEvent[];
  clientWith(...interceptors: readonly Interceptor[]): GuardedClient;
}

async function serve(
  source: AuthenticationSource | readonly AuthenticationSource[],
  options: AuthenticateOptions = {},
  inner: readonly Interceptor[] = [],
): Promise<Served> {
  const events: ObservedEvent[] = [];
  const server = createServer({
    services: [echoing],
    interceptors: [authenticate(source, options), ...inner],
    platform,
    observer: { emit: event => events.push(event) },
  });
  const { port } = await server.listen({ port: nextPort++, host: "127.0.0.1" });
  const channel = new Channel(`127.0.0.1:${port}`, { platform });
  after(async () => {
    channel.close();
    await server.close();
  });
  const clientWith = (...interceptors: readonly Interceptor[]) =>
    createClient(GuardedService, channel, { interceptors }) as unknown as GuardedClient;
  return { client: clientWith(), events, clientWith };
}

const refused = (code: Parameters<typeof isRpcError>[1]) => (error: unknown) => isRpcError(error, code as "unknown");

/** Opaque tokens `<subject>`; `bad` does not count. */
const opaque = (call: Call): Principal | undefined => {
  const token = bearerToken(call);
  if (token === "bad") throw new RpcError("unauthenticated", 'the token is "bad"\n');
  return token === undefined ? undefined : principalOf(token, ["text.read", "text.write"]);
};
/** As if from a certificate: whoever sends `x-machine`. */
const machine: Authenticator = {
  scheme: { type: "mutualTLS" },
  identify: ({ metadata }) => (metadata.has("x-machine") ? principalOf(String(metadata.get("x-machine"))) : undefined),
};

describe("a function of one's own", () => {
  test("says who calls", async () => {
    const { clientWith } = await serve(async call => opaque(call));
    assert.equal((await clientWith(bearer("ada")).one({ value: "a" })).value, "a of ada");
  });

  test("refuses with its own words, which cannot break out of the challenge", async () => {
    const { clientWith, events } = await serve(opaque);
    await assert.rejects(clientWith(bearer("bad")).one({ value: "a" }), error => {
      assert.ok(isRpcError(error, "unauthenticated"));
      const expected =
        'Bearer realm="guarded.TextService", error="invalid_token", error_description="the token is  bad  "';
      return error.metadata["www-authenticate"] === expected;
    });
    const refusal = events.find(({ type }) => type === "auth.refused") as { method?: string } & ObservedEvent;
    assert.equal(refusal.method, "/guarded.TextService/One");
  });

  test("that fails lets nobody pass, and the caller hears nothing of why", async () => {
    const { client, events } = await serve(() => {
      throw new TypeError("undefined is no database");
    });
    await assert.rejects(
      client.one({ value: "a" }),
      error => isRpcError(error, "internal") && !/database/.test(error.message),
    );
    assert.ok(events.some(({ type }) => type === "rpc.handler.failed"));
  });
});

describe("of several authenticators", () => {
  const names = async (metadata: Record<string, string>, ...sources: readonly AuthenticationSource[]) => {
    const { client } = await serve(sources);
    try {
      return (await client.one({ value: "a" }, { metadata })).value;
    } catch (error) {
      assert.ok(isRpcError(error));
      return `${error.code} ${String(error.metadata["www-authenticate"])}`;
    }
  };

  test("the first that finds credentials decides", async () => {
    assert.equal(await names({ authorization: "Bearer ada" }, opaque, machine), "a of ada");
    assert.equal(await names({ "x-machine": "till" }, opaque, machine), "a of till");
    assert.equal(await names({ authorization: "Bearer ada", "x-machine": "till" }, machine, opaque), "a of till");
  });

  test("credentials that do not count are not made good by others", async () => {
    assert.match(
      await names({ authorization: "Bearer bad", "x-machine": "till" }, opaque, machine),
      /^unauthenticated/,
    );
  });

  test("those for bearer tokens are for several issuers", async () => {
    const none = (): never => {
      throw new CredentialsError("not ours");
    };
    assert.equal(await names({ authorization: "Bearer ada" }, none, opaque), "a of ada");
  });

  test("all are named to a caller without credentials", async () => {
    const realm = 'realm="guarded.TextService"';
    assert.equal(await names({}, opaque, machine), `unauthenticated Bearer ${realm},ClientCertificate ${realm}`);
  });
});

describe("which methods are guarded", () => {
  test("all but those that the contract opens", async () => {
    const { client } = await serve(opaque);
    await assert.rejects(client.one({ value: "a" }), refused("unauthenticated"));
    await assert.rejects(client.silent({ value: "a" }), refused("unauthenticated"));
    await assert.rejects(client.write({ value: "a" }), refused("unauthenticated"));
    assert.equal((await client.open({ value: "a" })).value, "a of nobody");
  });

  test("where asked for, those alone that the contract marks", async () => {
    const { client } = await serve(opaque, { methods: "marked" });
    await assert.rejects(client.one({ value: "a" }), refused("unauthenticated"));
    assert.equal((await client.silent({ value: "a" })).value, "a of nobody");
  });

  test("interceptors behind it do not run for a caller that is not known", async () => {
    let runs = 0;
    const cache: Interceptor = async () => {
      runs++;
      return { value: "from the cache" };
    };
    const { client } = await serve(opaque, {}, [cache]);
    await assert.rejects(client.one({ value: "a" }), refused("unauthenticated"));
    assert.equal(runs, 0);
  });
});

describe("a contract that demands known callers", () => {
  const server = (services: readonly Implementation[], options: object = {}) =>
    createServer({ services, platform, ...options });

  test("is not served where nobody asks who they are", () => {
    const message = /guarded\.TextService\.One \(trunkline\.v1\.auth\).*add authenticate\(…\)/;
    assert.throws(() => server([echoing]), { name: "TypeError", message });
    assert.throws(() => server([echoing], { interceptors: [async (_: Call, next: () => unknown) => next()] }), {
      message,
    });
  });

  test("is served where somebody else asks, said explicitly", () => {
    assert.ok(server([echoing], { authentication: "elsewhere" }));
  });

  test("is that of its service where its methods say nothing of their own", async () => {
    const service = serviceWith("inherited", { One: undefined, Open: { required: false } }, { scopes: ["text.read"] });
    const [one, open] = implement(service, {}).service.methods;
    assert.deepEqual(one?.auth, { required: true, scopes: ["text.read"] });
    assert.deepEqual(open?.auth, { required: false, scopes: [] });
    const open2 = serviceWith("opened", { One: undefined, Write: { required: true } }, { required: false });
    assert.deepEqual(
      implement(open2, {}).service.methods.map(({ auth }) => auth.required),
      [false, true],
    );
  });

  test("does not contradict itself, and names scopes that can be named", () => {
    const odd = (name: string, rule: object) => () => implement(serviceWith(name, { One: rule }), {});
    assert.throws(odd("odd1", { required: false, scopes: ["a"] }), ContractError);
    assert.throws(odd("odd2", { scopes: ['a"b'] }), /One: auth has the scope "a\\"b"/);
    assert.throws(odd("odd3", { scopes: ["a b"] }), ContractError);
  });
});

test("a server whose verifier is not installed does not start, and says what to install", async () => {
  const missing = () =>
    Promise.reject(Object.assign(new Error("Cannot find package"), { code: "ERR_MODULE_NOT_FOUND" }));
  await assert.rejects(loadJose(missing), /npm install jose/);
  assert.ok("jwtVerify" in (await loadJose()), "installed later, it is found");
});

describe("a client's bearer token", () => {
  const channelTo = (target: string, tls = false) => new Channel(target, { platform, ...(tls ? { tls: {} } : {}) });
  const outcome = async (channel: Channel, options?: BearerOptions): Promise<unknown> => {
    let sent: unknown;
    const stop: Interceptor = async call => {
      sent = call.metadata.get("authorization");
      return {};
    };
    const client = createClient(GuardedService, channel, { interceptors: [bearer("ada", options), stop] });
    await (client as unknown as GuardedClient).one({ value: "a" });
    return sent;
  };

  test("is asked for each call, and a call's own credentials stay", async () => {
    const { clientWith } = await serve(opaque);
    let count = 0;
    const client = clientWith(bearer(async () => `user${++count}`));
    assert.equal((await client.one({ value: "a" })).value, "a of user1");
    assert.equal((await client.one({ value: "a" })).value, "a of user2");
    const metadata = { authorization: "Bearer own" };
    assert.equal((await client.one({ value: "a" }, { metadata })).value, "a of own");
  });

  test("goes over TLS, and without it to this machine alone", async () => {
    assert.equal(await outcome(channelTo("orders.example:443", true)), "Bearer ada");
    for (const target of ["127.0.0.1:1", "localhost:1", "dns:///[::1]:1", "static:///127.0.0.1:1,127.8.8.8:2"]) {
      assert.equal(await outcome(channelTo(target)), "Bearer ada");
    }
    for (const target of ["orders:80", "dns:///10.0.0.1:80", "static:///127.0.0.1:1,10.0.0.1:2", "localhost.evil:80"]) {
      await assert.rejects(outcome(channelTo(target)), refused("failed_precondition"));
    }
    assert.equal(await outcome(channelTo("orders:80"), { allowPlaintext: true }), "Bearer ada");
  });

  test("that is no token is not sent, nor shown", async () => {
    assert.throws(() => bearer("a\r\nb"), TypeError);
    const { clientWith } = await serve(opaque);
    await assert.rejects(clientWith(bearer(() => "a b")).one({ value: "a" }), refused("unauthenticated"));
    const failing = bearer(() => Promise.reject(new Error("no network")));
    await assert.rejects(clientWith(failing).one({ value: "a" }), refused("unauthenticated"));
  });
});
