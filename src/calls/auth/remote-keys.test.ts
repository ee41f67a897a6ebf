import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isRpcError } from "../../errors/index.ts";
import type { ObservedEvent } from "../../platform/index.ts";
import { type VirtualPlatform, virtualPlatform } from "../../platform/virtual/index.ts";
import type { ServerExchange } from "../../wire/index.ts";
import { type Call, Metadata } from "../rpc/index.ts";
import type { Authenticator } from "./authenticator.ts";
import { Issuer, type SigningKey, signingKey } from "./issuer.fixture.ts";
import { type JwtOptions, jwt } from "./jwt.ts";

const [first, second] = await Promise.all([signingKey("first"), signingKey("second")]);

interface Setting {
  readonly platform: VirtualPlatform;
  readonly issuer: Issuer;
  readonly authenticator: Authenticator;
  readonly events: ObservedEvent[];
  /** How a call with a token of this key ends. */
  call(key?: SigningKey): Promise<string>;
}

async function setting(options: Partial<JwtOptions> = {}): Promise<Setting> {
  const platform = virtualPlatform();
  const issuer = await Issuer.start(platform, 8080, first);
  const authenticator = jwt({ issuer: issuer.url, audience: "text", jwks: issuer.keysUrl, ...options });
  const events: ObservedEvent[] = [];
  await authenticator.start?.({ platform, observer: { emit: event => events.push(event) } });
  const call = async (key = first) => {
    const metadata = new Metadata({ authorization: `Bearer ${await issuer.token({}, key)}` });
    try {
      await authenticator.identify({ metadata, peer: { address: "", port: 0, tls: undefined } } as Call);
      return "let in";
    } catch (error) {
      assert.ok(isRpcError(error), String(error));
      return error.code;
    }
  };
  return { platform, issuer, authenticator, events, call };
}

const never = (): void => {};
const broken = (status: number, body: string) => (exchange: ServerExchange) => exchange.respond(status, [], body);

test("the keys are found by the issuer's description, and both are read once", async () => {
  const { call, issuer } = await setting({ jwks: undefined });
  for (let i = 0; i < 3; i++) assert.equal(await call(), "let in");
  assert.deepEqual(issuer.requests, ["/.well-known/openid-configuration", "/keys"]);
});

test("a description of another issuer is not believed", async () => {
  const { call, issuer, events } = await setting({ jwks: undefined });
  issuer.answer = broken(200, JSON.stringify({ issuer: "https://other", jwks_uri: issuer.keysUrl }));
  assert.equal(await call(), "unavailable");
  assert.match(String((events.at(-1) as { error?: unknown } & ObservedEvent).error), /does not describe the issuer/);
});

test("a description that sends us to plain HTTP elsewhere is not believed", async () => {
  const { call, issuer } = await setting({ jwks: undefined });
  issuer.answer = broken(200, JSON.stringify({ issuer: issuer.url, jwks_uri: "http://example.com/keys" }));
  assert.equal(await call(), "unavailable");
});

test("however many calls come first, the keys are fetched once", async () => {
  const { call, issuer } = await setting();
  const outcomes = await Promise.all(Array.from({ length: 20 }, () => call()));
  assert.deepEqual(new Set(outcomes), new Set(["let in"]));
  assert.equal(issuer.requests.length, 1);
});

describe("rotation", () => {
  test("an unknown key makes the keys be fetched again, once, and then counts", async () => {
    const { call, issuer, platform } = await setting();
    await call();
    await platform.clock.advance(31_000);
    issuer.keys = [second, first];
    const outcomes = await Promise.all([call(second), call(second), call(first)]);
    assert.deepEqual(outcomes, ["let in", "let in", "let in"]);
    assert.equal(issuer.requests.length, 2);
  });

  test("made-up keys cannot make us ask more often than the cooldown says", async () => {
    const { call, issuer, platform } = await setting();
    await call();
    const stranger = await signingKey("stranger");
    for (let i = 0; i < 10; i++) assert.equal(await call(stranger), "unauthenticated");
    assert.equal(issuer.requests.length, 1);
    await platform.clock.advance(30_000);
    for (let i = 0; i < 10; i++) assert.equal(await call(stranger), "unauthenticated");
    assert.equal(issuer.requests.length, 2);
  });

  test("a key that the issuer withdraws counts until the keys are old, and no longer", async () => {
    const { call, issuer, platform } = await setting();
    assert.equal(await call(first), "let in");
    issuer.keys = [second];
    await platform.clock.advance(599_000);
    assert.equal(await call(first), "let in"); // starts the renewal beside the call
    await platform.clock.settle();
    assert.equal(await call(first), "unauthenticated");
    assert.equal(await call(second), "let in");
  });

  test("keys that are old are renewed before anybody is let in with them", async () => {
    const { call, issuer, platform } = await setting();
    assert.equal(await call(first), "let in");
    issuer.keys = [second];
    await platform.clock.advance(86_400_000);
    assert.equal(await call(first), "unauthenticated");
  });
});

describe("an issuer that cannot be asked", () => {
  const faults: readonly (readonly [string, (exchange: ServerExchange) => void])[] = [
    ["that fails", broken(500, "no")],
    ["that redirects", broken(302, "")],
    ["that answers garbage", broken(200, "<html>")],
    ["whose text is no UTF-8", exchange => exchange.respond(200, [], Buffer.from([0x22, 0xff, 0x22]))],
    ["whose set is no set", broken(200, '{"keys":{}}')],
    ["whose set has secrets alone", broken(200, '{"keys":[{"kty":"oct","k":"AAAA"}]}')],
    [
      "whose set has too many keys",
      broken(200, JSON.stringify({ keys: Array.from({ length: 129 }, () => first.jwk) })),
    ],
    ["whose set is huge", broken(200, JSON.stringify({ keys: [first.jwk], x: "y".repeat(300_000) }))],
    ["that ends the connection", exchange => exchange.reset("error")],
  ];
  for (const [title, answer] of faults) {
    test(`${title}: the caller hears that we cannot know, and we are back when it is`, async () => {
      const { call, issuer, platform, events } = await setting();
      issuer.answer = answer;
      assert.equal(await call(), "unavailable");
      assert.equal(events.at(-1)?.type, "auth.keys.failed");
      issuer.answer = undefined;
      assert.equal(await call(), "unavailable", "within the pause nobody asks again");
      await platform.clock.advance(2_000);
      assert.equal(await call(), "let in");
      assert.equal(events.at(-1)?.type, "auth.keys.fetched");
      assert.equal(issuer.requests.length, 2);
    });

    test(`${title}, when it has given keys before: these count on, for an hour`, async () => {
      const { call, issuer, platform } = await setting();
      assert.equal(await call(), "let in");
      issuer.answer = answer;
      await platform.clock.advance(3_599_000);
      assert.equal(await call(), "let in");
      assert.equal(await call(), "let in");
      assert.equal(issuer.requests.length, 2, "within the pause nobody asks again");
      assert.equal(await call(second), "unavailable", "nobody knows whether it has the key");
      await platform.clock.advance(1_000);
      assert.equal(await call(), "unavailable");
    });
  }

  test("that says nothing: calls that wait end with the time-out, and it is asked again later", async () => {
    const { call, issuer, platform } = await setting();
    issuer.answer = never;
    const outcome = call();
    while (issuer.requests.length === 0) await platform.clock.settle();
    await platform.clock.advance(4_999);
    issuer.answer = undefined;
    await platform.clock.advance(1);
    assert.equal(await outcome, "unavailable");
    await platform.clock.advance(2_000);
    assert.equal(await call(), "let in");
  });

  test("that is not there: the caller hears so", async () => {
    const { call, issuer, platform } = await setting();
    await issuer.close();
    const outcome = call();
    await platform.clock.advance(6_000);
    assert.equal(await outcome, "unavailable");
  });
});

test("documents may be fetched by the server's own function", async () => {
  const asked: string[] = [];
  const { call, issuer } = await setting({
    issuer: "http://127.0.0.1:8080",
    jwks: "https://login.example.com/keys",
    fetchDocument: async url => {
      asked.push(url.href);
      return { status: 200, body: Buffer.from(JSON.stringify({ keys: [first.jwk] })) };
    },
  });
  assert.equal(await call(), "let in");
  assert.deepEqual(asked, ["https://login.example.com/keys"]);
  assert.deepEqual(issuer.requests, []);
});

test("a token that cannot count for other reasons does not make us ask for keys", async () => {
  const { authenticator, issuer } = await setting();
  const hmac = Buffer.from('{"alg":"HS256"}').toString("base64url");
  const good = await issuer.token();
  const tokens = [await issuer.token({ iss: "https://other" }), "a.b.c", good.replace(/^[^.]+/, hmac)];
  for (const token of tokens) {
    const metadata = new Metadata({ authorization: `Bearer ${token}` });
    const call = { metadata, peer: { address: "", port: 0, tls: undefined } } as Call;
    await assert.rejects(Promise.resolve(authenticator.identify(call)), error => isRpcError(error, "unauthenticated"));
  }
  assert.deepEqual(issuer.requests, []);
});
