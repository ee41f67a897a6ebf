import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { problemsOf } from "../../../test/asyncapi/referee.ts";
import { checkedAsyncApi } from "./checked-options.ts";
import { asyncapiDocument } from "./document.ts";
import { documentedServers } from "./servers.ts";

test("hosts, ports, TLS and the way to log in are shown; who logs in, with what, and files of the machine are not", async () => {
  const given = {
    rabbit: "amqp://me:hunter2@h1,h2:5673/shop?heartbeat=10",
    secure: "amqps://me:hunter2@[2001:db8::1]/?cacertfile=/secret/ca.pem&password=hunter2",
    certificate: "amqps://h3/a%2Fb?auth_mechanism=external&certfile=/secret/c.pem&keyfile=/secret/k.pem",
    log: "kafka://me:hunter2@k1,k2:9093?tls=true&ca=/secret/ca.pem&sasl=scram-sha-512",
    plain: "kafka://me:hunter2@k3",
    token: "kafka://:hunter2@k4?sasl=oauthbearer",
    open: "kafka://[::1]",
    file: "sqlite:/secret/events.db",
    inside: { url: "memory:hunter2", description: "For tests." },
  };
  const document = await asyncapiDocument(checkedAsyncApi({ servers: given }));
  assert.equal(problemsOf(document), undefined);
  const text = JSON.stringify(document);
  assert.doesNotMatch(text, /hunter2|secret|"me"|me:/);
  const shown = Object.entries(document.servers ?? {}).map(([name, server]) => {
    const scheme = server.security?.[0]?.$ref.split("/").at(-1) ?? "";
    return `${name} ${server.protocol} ${server.host}${server.pathname ?? ""} ${scheme}`.trim();
  });
  assert.deepEqual(shown, [
    "rabbit amqp h1:5672/shop userPassword",
    "rabbit-2 amqp h2:5673/shop userPassword",
    "secure amqps [2001:db8::1]:5671/%2F userPassword",
    "certificate amqps h3:5671/a%2Fb X509",
    "log kafka-secure k1:9092 scramSha512",
    "log-2 kafka-secure k2:9093 scramSha512",
    "plain kafka k3:9092 plain",
    "token kafka k4:9092 oauthBearer",
    "open kafka [::1]:9092",
    "file sqlite localhost",
    "inside memory localhost",
  ]);
  assert.equal(document.servers?.["inside"]?.description, "For tests.");
});

test("a name that is given to the second host of another one stays free for it", () => {
  const { servers } = documentedServers({ a: "kafka://h1,h2", "a-2": "kafka://h3" });
  assert.deepEqual(
    Object.entries(servers).map(([name, { host }]) => [name, host]),
    [
      ["a", "h1:9092"],
      ["a-3", "h2:9092"],
      ["a-2", "h3:9092"],
    ],
  );
});

describe("what names no server is refused, and no secret is repeated", () => {
  const rows: readonly (readonly [servers: object, RegExp])[] = [
    [{ "amqp://me:hunter2@h": "memory:" }, /the name of a server must be 1 to 100/],
    [{ a: "nats://me:hunter2@h" }, /the server a has the scheme "nats:", which names no broker/],
    [{ a: "hunter2" }, /a URL without a scheme/],
    [{ a: "amqp://me:hunter2@" }, /names the host ""/],
    [{ a: "kafka://me:hunter2@h?tls=perhaps" }, /tls is "perhaps"/],
    [{ a: null }, /a URL without a scheme/],
    [{ a: { url: 7 } }, /a URL without a scheme/],
  ];
  for (const [servers, message] of rows) {
    test(JSON.stringify(servers), () => {
      assert.throws(
        () => documentedServers(servers as never),
        (error: Error) => error.name === "BrokerError" && message.test(error.message) && !/hunter2/.test(error.message),
      );
    });
  }
});
