import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { describe, test } from "node:test";
import { CompactSign, exportSPKI, generateKeyPair, SignJWT } from "jose";
import { isRpcError, RpcError } from "../../errors/index.ts";
import { virtualPlatform } from "../../platform/virtual/index.ts";
import { type Call, Metadata, type Principal } from "../rpc/index.ts";
import type { Authenticator } from "./authenticator.ts";
import { Issuer, type SigningKey, signingKey } from "./issuer.fixture.ts";
import { type JwtOptions, jwt } from "./jwt.ts";

const platform = virtualPlatform();
const key = await signingKey("first");
const issuer = await Issuer.start(platform, 8080, key);
const pem = await exportSPKI((await generateKeyPair("ES256", { extractable: true })).publicKey);
const options: JwtOptions = { issuer: issuer.url, audience: "text", jwks: { keys: [{ ...key.jwk }] }, platform };

/** A call of which an authenticator looks at what it may look at. */
function callWith(authorization: string | readonly string[], peer: Partial<Call["peer"]> = {}): Call {
  const metadata = new Metadata({ authorization });
  return { metadata, peer: { address: "127.0.0.1", port: 1, tls: undefined, ...peer }, side: "server" } as Call;
}

async function identify(authenticator: Authenticator, authorization: string | readonly string[]): Promise<Principal> {
  const principal = await authenticator.identify(callWith(authorization));
  assert.ok(principal !== undefined, "the call has no credentials");
  return principal;
}

/** How a token is refused: code and message. */
async function refusal(authenticator: Authenticator, token: string): Promise<string> {
  try {
    await authenticator.identify(callWith(`Bearer ${token}`));
  } catch (error) {
    assert.ok(isRpcError(error), String(error));
    assert.ok(!error.message.includes("ada") && !error.message.includes(token), "the message quotes the token");
    return `${error.code}: ${error.message}`;
  }
  return "let in";
}

const base64 = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
const nowS = () => Math.floor(platform.clock.wall() / 1000);
const good = () => ({ iss: issuer.url, aud: "text", sub: "ada", exp: nowS() + 300 });

describe("a token", () => {
  const other: Promise<SigningKey> = signingKey("first");
  const cases: readonly (readonly [string, () => string | Promise<string>, string])[] = [
    ["that has expired", () => issuer.token({ exp: nowS() - 6 }), "the token has expired"],
    ["that is not valid yet", () => issuer.token({ nbf: nowS() + 6 }), "the token is not valid yet"],
    [
      "of another issuer",
      () => issuer.token({ iss: "https://other" }),
      'the token\'s "iss" is not what is expected here',
    ],
    ["for another service", () => issuer.token({ aud: "other" }), 'the token\'s "aud" is not what is expected here'],
    ["for nobody", () => issuer.token({ aud: undefined }), 'the token has no "aud"'],
    ["without an end", () => issuer.token({ exp: undefined }), 'the token has no "exp"'],
    ["without a subject", () => issuer.token({ sub: undefined }), 'the token has no "sub"'],
    ["with an empty subject", () => issuer.token({ sub: "" }), 'the token\'s "sub" is no text'],
    ["whose end is no number", () => issuer.token({ exp: "tomorrow" }), 'the token\'s "exp" is not well-formed'],
    [
      "signed with another key of that name",
      async () => issuer.token({}, await other),
      "the token's signature does not fit",
    ],
    [
      "signed with a key that is not in the set",
      async () => issuer.token({}, { ...(await other), kid: "second" }),
      "the token is signed with a key that its issuer does not have",
    ],
    [
      "without a signature",
      () => `${base64({ alg: "none" })}.${base64(good())}.`,
      "the token is signed with an algorithm that does not count here",
    ],
    [
      "without a signature, in capitals",
      () => `${base64({ alg: "NONE" })}.${base64(good())}.`,
      "the token is signed with an algorithm that does not count here",
    ],
    [
      "whose HMAC is keyed with the public key",
      () => {
        const signed = `${base64({ alg: "HS256", kid: "first" })}.${base64(good())}`;
        return `${signed}.${createHmac("sha256", JSON.stringify(key.jwk)).update(signed).digest("base64url")}`;
      },
      "the token is signed with an algorithm that does not count here",
    ],
    [
      "with a critical extension",
      () => `${base64({ alg: "ES256", kid: "first", crit: ["x"], x: 1 })}.${base64(good())}.AAAA`,
      "the token cannot be verified",
    ],
    ["that is no JWT", () => "opaque", "the token is no well-formed JWT"],
    ["of five parts", () => "a.b.c.d.e", "the token is no well-formed JWT"],
    [
      "whose claims are no object",
      () => `${base64({ alg: "ES256" })}.${base64([1])}.x`,
      "the token is no well-formed JWT",
    ],
    [
      "bound to a key (DPoP)",
      () => issuer.token({ cnf: { jkt: "x" } }),
      "the token is bound to a key in a way that is not supported here",
    ],
    [
      "bound to a certificate that the connection does not show",
      () => issuer.token({ cnf: { "x5t#S256": "AAAA" } }),
      "the token is bound to another certificate than that of the connection",
    ],
  ];
  for (const [title, token, reason] of cases) {
    test(`${title} is refused`, async () => {
      assert.equal(await refusal(jwt(options), await token()), `unauthenticated: ${reason}`);
    });
  }

  test("says who calls and what is granted", async () => {
    const principal = await identify(jwt(options), `Bearer ${await issuer.token({ scp: "a b", scope: "b c" })}`);
    assert.equal(principal.kind, "jwt");
    assert.equal(principal.subject, "ada");
    assert.equal(principal.issuer, issuer.url);
    assert.deepEqual(principal.scopes, ["b", "c", "a"]);
    assert.equal(principal.claims["aud"], "text");
  });

  test("within the tolerance of clocks counts on both ends", async () => {
    const token = await issuer.token({ exp: nowS() - 4, nbf: nowS() + 4 });
    assert.equal(await refusal(jwt(options), token), "let in");
    const strict = jwt({ ...options, clockToleranceMs: 0 });
    assert.notEqual(await refusal(strict, token), "let in");
  });

  test("ends as time passes", async () => {
    const token = await issuer.token({ exp: nowS() + 60 });
    await platform.clock.advance(64_000);
    assert.equal(await refusal(jwt(options), token), "let in");
    await platform.clock.advance(1_000);
    assert.equal(await refusal(jwt(options), token), "unauthenticated: the token has expired");
  });

  test("bound to the certificate of its connection counts", async () => {
    const fingerprint256 = "ab".repeat(32);
    const thumbprint = Buffer.from(fingerprint256, "hex").toString("base64url");
    const token = await issuer.token({ cnf: { "x5t#S256": thumbprint } });
    const peerCertificate = { subject: "", subjectAltNames: [], fingerprint256, raw: new Uint8Array() };
    const tls = { alpn: undefined, serverName: undefined, version: "TLSv1.3", peerCertificate };
    const principal = await jwt(options).identify(callWith(`Bearer ${token}`, { tls }));
    assert.equal(principal?.subject, "ada");
  });

  test("must have the type and the claims that are asked for", async () => {
    const strict = jwt({ ...options, type: "at+jwt", requiredClaims: ["client_id"] });
    assert.equal(
      await refusal(strict, await issuer.token()),
      'unauthenticated: the token\'s "typ" is not what is expected here',
    );
    const typed = await issuer.token({}, key, { typ: "at+jwt" });
    assert.equal(await refusal(strict, typed), 'unauthenticated: the token has no "client_id"');
    assert.equal(await refusal(strict, await issuer.token({ client_id: "c" }, key, { typ: "AT+JWT" })), "let in");
  });

  test("without a key's name is tried with every key of its kind", async () => {
    const keys = await Promise.all([undefined, undefined, undefined].map(() => signingKey(undefined)));
    const authenticator = jwt({ ...options, jwks: { keys: keys.map(({ jwk }) => ({ ...jwk })) } });
    for (const one of keys) assert.equal(await refusal(authenticator, await issuer.token({}, one)), "let in");
    const stranger = await issuer.token({}, await signingKey(undefined));
    assert.equal(await refusal(authenticator, stranger), "unauthenticated: the token's signature does not fit");
  });

  test("signed with a key given in PEM counts, whatever it calls its key", async () => {
    const pair = await generateKeyPair("RS256", { extractable: true });
    const authenticator = jwt({ ...options, jwks: undefined, publicKey: await exportSPKI(pair.publicKey) });
    const token = await new SignJWT(good()).setProtectedHeader({ alg: "RS256", kid: "any" }).sign(pair.privateKey);
    assert.equal(await refusal(authenticator, token), "let in");
  });

  test("signed with a shared secret counts only where the secret is given", async () => {
    const secret = "0123456789abcdef0123456789abcdef";
    const token = await new SignJWT(good()).setProtectedHeader({ alg: "HS256" }).sign(Buffer.from(secret));
    assert.equal(await refusal(jwt({ ...options, jwks: undefined, secret }), token), "let in");
    assert.equal(
      await refusal(jwt({ ...options, jwks: undefined, secret }), await issuer.token()),
      "unauthenticated: the token is signed with an algorithm that does not count here",
    );
  });

  test("may be refused, or made into another principal, by the server's own function", async () => {
    const principal = (found: Principal) => {
      if (found.claims["tenant"] === undefined) throw new RpcError("permission_denied", "no tenant");
      return { ...found, subject: `${String(found.claims["tenant"])}/${found.subject}` };
    };
    const authenticator = jwt({ ...options, principal });
    assert.equal(await refusal(authenticator, await issuer.token()), "permission_denied: no tenant");
    const { subject } = await identify(authenticator, `bearer ${await issuer.token({ tenant: "x" })}`);
    assert.equal(subject, "x/ada");
  });

  test("with an unencoded payload (RFC 7797) is no JWT", async () => {
    const payload = new TextEncoder().encode(JSON.stringify(good()));
    const token = await new CompactSign(payload)
      .setProtectedHeader({ alg: "ES256", kid: "first", b64: false, crit: ["b64"] })
      .sign(key.privateKey)
      .catch(() => "a.b.c");
    assert.match(await refusal(jwt(options), token), /^unauthenticated: /);
  });
});

describe("the authorization field", () => {
  const fields: readonly (readonly [string, string | readonly string[], string | undefined])[] = [
    ["with another scheme is not ours", "Basic dTpw", undefined],
    ["with a scheme that begins like ours is not ours", "BearerX abc", undefined],
    ["that is empty is not ours", "", undefined],
    ["with the scheme alone has no token", "Bearer", "no well-formed bearer token"],
    ["with two tokens has none", "Bearer a b", "no well-formed bearer token"],
    ["with a comma has none", "Bearer a, Bearer b", "no well-formed bearer token"],
    ["with quotes has none", 'Bearer "a"', "no well-formed bearer token"],
    ["that is there twice is refused", ["Bearer a.b.c", "Bearer a.b.c"], "more than one authorization field"],
    ["that is there twice with two schemes is refused", ["Basic dTpw", "Bearer a.b.c"], "more than one"],
    ["with a token that is too long is refused", `Bearer ${"a".repeat(8_193)}`, "longer than the limit of 8192 bytes"],
  ];
  for (const [title, field, reason] of fields) {
    test(title, async () => {
      const outcome = Promise.resolve(jwt(options).identify(callWith(field)));
      if (reason === undefined) assert.equal(await outcome, undefined);
      else
        await assert.rejects(outcome, error => isRpcError(error, "unauthenticated") && error.message.includes(reason));
    });
  }
});

describe("options that are not safe are refused when the server is made", () => {
  const base = { issuer: "https://login.example.com", audience: "text" };
  const cases: readonly (readonly [string, Record<string, unknown>, RegExp])[] = [
    ["no audience", { audience: undefined }, /`audience` is missing/],
    ["an empty list of audiences", { audience: [] }, /`audience` is missing/],
    ["no issuer", { issuer: "" }, /`issuer` is missing/],
    ["tokens without a signature", { algorithms: ["none"] }, /tokens without a signature never count/],
    ["HMAC without a secret", { algorithms: ["RS256", "HS256"] }, /"HS256": it needs a `secret`/],
    ["HMAC with a public key", { publicKey: pem, algorithms: ["HS256"] }, /needs a `secret`/],
    ["public-key algorithms with a secret", { secret: "x".repeat(32), algorithms: ["RS256"] }, /possible are HS256/],
    [
      "a secret that is too short for its hash",
      { secret: "x".repeat(32), algorithms: ["HS512"] },
      /possible are HS256/,
    ],
    ["a short secret", { secret: "x".repeat(31) }, /31 bytes; it must have 32 or more/],
    ["an unknown algorithm", { algorithms: ["RS1"] }, /possible are RS256/],
    ["keys over plain HTTP", { jwks: "http://login.example.com/keys" }, /must be https:/],
    ["an issuer over plain HTTP", { issuer: "http://login.example.com" }, /must be https:/],
    ["an address of keys that is none", { jwks: "keys" }, /is no URL/],
    ["a password in the address", { jwks: "https://u:p@login.example.com/keys" }, /no user or password/],
    ["two sources of keys", { jwks: "https://a.example/keys", secret: "x".repeat(32) }, /one of jwks, secret/],
    ["a set with secrets alone", { jwks: { keys: [{ kty: "oct", k: "AAAA" }] } }, /no key that verifies/],
    ["a private key", { publicKey: "-----BEGIN PRIVATE KEY-----" }, /it is a private key/],
    ["a limit that is none", { keyLimits: { timeoutMs: 0 } }, /keyLimits.timeoutMs is 0/],
  ];
  for (const [title, given, message] of cases) {
    test(title, () => {
      assert.throws(() => jwt({ ...base, ...given } as JwtOptions), { name: "TypeError", message });
    });
  }
});
