import assert from "node:assert/strict";
import { test } from "node:test";
import { BrokerError } from "../../errors.ts";
import { parseKafkaUrl } from "./url.ts";

test("a URL names brokers, user, TLS and SASL", () => {
  assert.deepEqual(parseKafkaUrl("kafka://shop:p%40ss:word@h1:9093,h2,[::1]:9094/?tls=true&sasl=SCRAM-SHA-256"), {
    brokers: [
      { host: "h1", port: 9_093 },
      { host: "h2", port: 9_092 },
      { host: "::1", port: 9_094 },
    ],
    tls: { ca: undefined },
    sasl: { mechanism: "SCRAM-SHA-256", username: "shop", password: "p@ss:word" },
  });
  assert.deepEqual(parseKafkaUrl("kafka://localhost"), {
    brokers: [{ host: "localhost", port: 9_092 }],
    tls: undefined,
    sasl: undefined,
  });
  assert.equal(parseKafkaUrl("kafka://u:p@h").sasl?.mechanism, "PLAIN");
  assert.deepEqual(parseKafkaUrl("kafka://:eyJh@h?sasl=oauthbearer").sasl, { mechanism: "OAUTHBEARER", token: "eyJh" });
  assert.deepEqual(parseKafkaUrl("kafka://h?ca=/etc/ca.pem").tls, { ca: "/etc/ca.pem" });
});

const wrong: readonly (readonly [url: string, says: RegExp])[] = [
  ["kafka://h?ssl=true", /unknown parameter "ssl".*tls.*ca.*sasl/],
  ["kafka://h?constructor=1", /unknown parameter/],
  ["kafka://h?tls=yes", /tls is "yes"/],
  ["kafka://h?tls=true&tls=true", /tls twice/],
  ["kafka://h?tls=false&ca=x", /tls=false/],
  ["kafka://h?sasl=plain", /needs a user and a password/],
  ["kafka://u@h?sasl=scram-sha-512", /needs a user and a password/],
  ["kafka://u:p@h?sasl=kerberos", /one of plain, scram-sha-256/],
  ["kafka://h:0", /no host/],
  ["kafka://h:99999", /no host/],
  ["kafka://h1,,h2", /no host/],
  ["kafka://", /no host/],
  ["kafka:h", /looks like/],
  ["kafka://u:%zz@h", /%/],
];

for (const [url, says] of wrong) {
  test(`${url} is refused with a reason, without a password in it`, () => {
    assert.throws(
      () => parseKafkaUrl(url),
      (error: Error) => error instanceof BrokerError && says.test(error.message) && !error.message.includes(":p@"),
    );
  });
}
