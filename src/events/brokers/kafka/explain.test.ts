import assert from "node:assert/strict";
import { test } from "node:test";
import { explain } from "./explain.ts";

const at = { host: "h1", port: 9_092 };
const plain = { tls: false, sasl: false };
const network = (cause: unknown) =>
  Object.assign(new Error("Connection to h1:9092 failed.", { cause }), { code: "PLT_KFK_NETWORK" });

const cases: readonly (readonly [what: string, error: unknown, uses: typeof plain, says: RegExp, isFinal: boolean])[] =
  [
    [
      "refused",
      network(Object.assign(new Error("no"), { code: "ECONNREFUSED" })),
      plain,
      /h1:9092: connection refused/,
      false,
    ],
    [
      "an unknown host",
      network(Object.assign(new Error("no"), { code: "ENOTFOUND" })),
      plain,
      /cannot be resolved/,
      false,
    ],
    [
      "a wrong password, which stands in the cause of a cause",
      network(
        Object.assign(
          new Error("SASL authentication failed.", {
            cause: new AggregateError([Object.assign(new Error("x"), { apiId: "SASL_AUTHENTICATION_FAILED" })]),
          }),
          {
            code: "PLT_KFK_AUTHENTICATION",
          },
        ),
      ),
      { tls: true, sasl: true },
      /authentication failed; check user and password/,
      true,
    ],
    ["no TLS where it is wanted", network(new Error("Broker requires TLS.")), plain, /add tls=true/, true],
    [
      "a foreign certificate",
      network(Object.assign(new Error("x"), { code: "DEPTH_ZERO_SELF_SIGNED_CERT" })),
      { tls: true, sasl: false },
      /ca=/,
      true,
    ],
    ["a listener that wants a user", network(new Error("Connection closed")), plain, /if it demands a user/, false],
    ["anything else", network(new Error("kaput")), { tls: false, sasl: true }, /h1:9092: kaput/, false],
    ["no error at all", "kaput", plain, /kaput/, false],
  ];

for (const [what, error, uses, says, isFinal] of cases) {
  test(`${what} is explained`, () => {
    const explained = explain(at, error, uses);
    assert.match(explained.text, says);
    assert.equal(explained.isFinal, isFinal);
  });
}

test("errors that contain themselves are taken apart all the same", () => {
  const error = new Error("round");
  error.cause = error;
  assert.match(explain(at, error, plain).text, /round/);
});
