import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { virtualPlatform } from "../../../platform/virtual/index.ts";
import type { OauthToken } from "../../broker.ts";
import { BrokerError } from "../../errors.ts";
import { explain } from "./explain.ts";
import { exchange } from "./library-sasl.ts";
import { afterRefusal, firstMessage, OauthTokens, oauthTokens, refusalText, SaslFailure } from "./oauth.ts";

const hourMs = 3_600_000;

/** A source whose tokens are numbered, and what it was asked. */
function scene(lastsMs = hourMs) {
  const { clock } = virtualPlatform({ seed: 1 });
  const source = {
    asked: 0,
    answer: (number: number): OauthToken | Promise<OauthToken> => ({
      token: `token-${number}`,
      expiresAtMs: clock.wall() + lastsMs,
    }),
  };
  const tokens = new OauthTokens({ token: () => source.answer(++source.asked) }, clock);
  return { clock, source, tokens };
}

const noChallenge = { authBytes: Buffer.alloc(0) };

describe("tokens", () => {
  test("are asked for once, whoever waits, and again when four fifths of their time are over", async () => {
    const { clock, source, tokens } = scene();
    assert.deepEqual(await Promise.all([tokens.token(), tokens.token()]), ["token-1", "token-1"]);
    await clock.advance(hourMs * 0.8 - 1);
    assert.equal(await tokens.token(), "token-1");
    await clock.advance(1);
    assert.equal(await tokens.token(), "token-2");
    assert.equal(source.asked, 2);
    assert.equal(clock.pendingTimers, 0);
  });

  test("last while a new one cannot be had, and the source is not hammered", async () => {
    const { clock, source, tokens } = scene();
    await tokens.token();
    source.answer = () => {
      throw new Error("the identity provider is down");
    };
    await clock.advance(hourMs * 0.9);
    for (let count = 0; count < 50; count++) assert.equal(await tokens.token(), "token-1");
    assert.equal(source.asked, 2);
    await clock.advance(hourMs * 0.1);
    await assert.rejects(tokens.token(), (error: Error) => {
      assert.ok(error instanceof SaslFailure && !error.isFinal);
      assert.match(error.message, /gave no token: the identity provider is down/);
      return true;
    });
    assert.equal(source.asked, 3);
  });

  test("that never come are waited for ten seconds", async () => {
    const { clock, source, tokens } = scene();
    source.answer = () => new Promise(() => {});
    const failed = assert.rejects(tokens.token(), /it took longer than 10 s/);
    await clock.advance(10_000);
    await failed;
    assert.equal(clock.pendingTimers, 0);
  });

  test("that are none are refused without repeating them", async () => {
    const jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzaG9wIn0.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg";
    for (const [answer, says] of [
      [{ token: "two words", expiresAtMs: 1e15 }, /no bearer token/],
      [{ token: "a\x01b", expiresAtMs: 1e15 }, /no bearer token/],
      [{ token: "", expiresAtMs: 1e15 }, /is empty/],
      [{ token: "a".repeat(70_000), expiresAtMs: 1e15 }, /70000 characters/],
      [{ token: jwt, expiresAtMs: 5 }, /expiresAtMs in the past/],
      [{ token: jwt }, /expiresAtMs a undefined/],
      [undefined, /a undefined as token/],
    ] as const) {
      const { source, tokens } = scene();
      source.answer = () => answer as unknown as OauthToken;
      await assert.rejects(tokens.token(), (error: Error) => says.test(error.message) && !error.message.includes(jwt));
    }
    const { source, tokens } = scene();
    source.answer = () => Promise.reject(new Error(`400 for assertion ${jwt}`));
    await assert.rejects(tokens.token(), (error: Error) => /400 for assertion …/.test(error.message));
  });
});

describe("the exchange of RFC 7628", () => {
  test("has the messages of its section 4", () => {
    assert.equal(firstMessage("vF9dft4qmT", "").toString(), "n,,\x01auth=Bearer vF9dft4qmT\x01\x01");
    const { extensions } = new OauthTokens({ token: "t", extensions: { logicalCluster: "lkc-1" } }, scene().clock);
    assert.equal(firstMessage("t", extensions).toString(), "n,,\x01auth=Bearer t\x01logicalCluster=lkc-1\x01\x01");
    assert.deepEqual(afterRefusal, Buffer.from("\x01"));
  });

  test("answers a challenge, and says why the token was refused; what was new will be refused again", async () => {
    const { clock, source, tokens } = scene();
    const sent: string[] = [];
    const refusing = (message: Buffer) => {
      sent.push(message.toString());
      if (sent.length % 2 === 1) return Promise.resolve({ authBytes: Buffer.from('{"status":"invalid_token"}') });
      return Promise.reject(
        Object.assign(new Error("x"), { response: { errorMessage: `aud of token-${source.asked}\nis wrong` } }),
      );
    };
    const failure = async () => {
      const error = await exchange(tokens, refusing).then(
        () => assert.fail(),
        (reason: unknown) => reason,
      );
      assert.ok(error instanceof SaslFailure);
      return error;
    };
    const fresh = await failure();
    assert.equal(sent[1], "\x01");
    assert.match(
      fresh.message,
      /refused the token: invalid_token \(aud of \[token\] is wrong\); check issuer, audience/,
    );
    assert.equal(fresh.isFinal, true);
    // One that was good once may have been revoked: the next is another one.
    await exchange(tokens, () => Promise.resolve(noChallenge));
    await clock.advance(1_000);
    assert.equal((await failure()).isFinal, false);
    assert.equal(await tokens.token(), "token-3");
    assert.deepEqual(explain({ host: "h", port: 9_092 }, new Error("x", { cause: fresh }), { tls: true, sasl: true }), {
      text: `h:9092: ${fresh.message}`,
      isFinal: true,
    });
  });

  test("leaves errors of the connection as they are", async () => {
    const { tokens } = scene();
    const broken = new Error("Connection closed");
    await assert.rejects(
      exchange(tokens, () => Promise.reject(broken)),
      broken,
    );
  });

  test("takes challenges of any kind", () => {
    for (const text of ["", "null", "[]", "{", '{"status":5}', '"x"', "\xff\xfe"]) {
      assert.equal(refusalText(Buffer.from(text, "latin1")), "the broker refused the token");
    }
    assert.equal(
      refusalText(Buffer.from('{"status":"insufficient_scope","scope":"kafka"}')),
      "the broker refused the token: insufficient_scope; it wants the scope kafka",
    );
  });
});

test("where the token comes from is said once, and only for a URL that wants one", () => {
  const { clock } = scene();
  const without = { mechanism: "OAUTHBEARER", token: undefined } as const;
  const withToken = { mechanism: "OAUTHBEARER", token: "abc" } as const;
  const refusal = (...args: Parameters<typeof oauthTokens>) => {
    try {
      oauthTokens(...args);
    } catch (error) {
      assert.ok(error instanceof BrokerError);
      assert.ok(!error.message.includes("abc"));
      return error.message;
    }
    return "none";
  };
  assert.equal(refusal(undefined, undefined, clock), "none");
  assert.equal(refusal(withToken, undefined, clock), "none");
  assert.equal(refusal(without, { token: "abc" }, clock), "none");
  assert.match(refusal(without, undefined, clock), /needs a token: kafka\.oauth\.token/);
  assert.match(refusal(withToken, { token: "abc" }, clock), /leave one of them out/);
  assert.match(refusal(undefined, { token: "abc" }, clock), /no sasl=oauthbearer/);
  assert.match(refusal(without, { token: 5 as never }, clock), /is a number/);
  assert.match(refusal(without, { token: "abc abc" }, clock), /no bearer token/);
  assert.match(refusal(without, { token: "t", extensions: { auth: "x" } }, clock), /not "auth"/);
  assert.match(refusal(without, { token: "t", extensions: { a: "x\x01auth=Bearer y" } }, clock), /printable/);
});
