import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { BrokerError } from "../../errors.ts";
import { parseAddress } from "./address.ts";

const files: Readonly<Record<string, string>> = { "/ca.pem": "CA", "/cert.pem": "CERT", "/key.pem": "KEY" };
const read = (path: string): Uint8Array => {
  const content = files[path];
  if (content === undefined) throw new Error("ENOENT: no such file");
  return Buffer.from(content);
};
const parse = (url: string) => parseAddress(url, read);

describe("the URL of RabbitMQ", () => {
  it("has defaults for everything but the host", () => {
    const { endpoints, ...rest } = parse("amqp://broker");
    assert.deepEqual(rest, { isMandatory: true, prefix: "trunkline", publishTimeoutMs: 30_000 });
    assert.deepEqual(endpoints, [
      {
        host: "broker",
        port: 5_672,
        vhost: "/",
        login: { mechanism: "PLAIN", user: "guest", password: "guest" },
        tls: undefined,
        heartbeatSeconds: 10,
        timeoutMs: 10_000,
      },
    ]);
  });

  it("names several hosts, with ports and IPv6", () => {
    const { endpoints } = parse("amqp://u:p@h1,h2:5673,[::1]:5674/orders?heartbeat=30");
    assert.deepEqual(
      endpoints.map(({ host, port, vhost, heartbeatSeconds }) => [host, port, vhost, heartbeatSeconds]),
      [
        ["h1", 5_672, "orders", 30],
        ["h2", 5_673, "orders", 30],
        ["::1", 5_674, "orders", 30],
      ],
    );
  });

  it("decodes user, password and vhost", () => {
    const [endpoint] = parse("amqp://a%40b:p%3Aw%2F@h/%2Ftenant%2F1").endpoints;
    assert.deepEqual(endpoint?.login, { mechanism: "PLAIN", user: "a@b", password: "p:w/" });
    assert.equal(endpoint?.vhost, "/tenant/1");
    assert.equal(parse("amqp://h/").endpoints[0]?.vhost, "/");
  });

  it("reads the files of TLS, and takes the certificate for a login", () => {
    const [endpoint] = parse(
      "amqps://h?cacertfile=/ca.pem&certfile=/cert.pem&keyfile=/key.pem&password=x&server_name_indication=b&auth_mechanism=external",
    ).endpoints;
    assert.equal(endpoint?.port, 5_671);
    assert.deepEqual(endpoint?.login, { mechanism: "EXTERNAL" });
    assert.deepEqual(endpoint?.tls, {
      ca: Buffer.from("CA"),
      cert: Buffer.from("CERT"),
      key: Buffer.from("KEY"),
      passphrase: "x",
      serverName: "b",
      isVerified: true,
    });
    assert.equal(parse("amqps://h?verify=verify_none").endpoints[0]?.tls?.isVerified, false);
  });

  const wrong: readonly [url: string, message: RegExp][] = [
    ["http://h", /must look like amqp:/],
    ["amqp://h:99999", /names the host "h:99999"/],
    ["amqp://h:1,", /names the host ""/],
    ["amqp://h?hartbeat=1", /unknown parameter "hartbeat"; known are heartbeat/],
    ["amqp://h?heartbeat=-1", /heartbeat=-1: it must be a whole number from 0 to 65535/],
    ["amqp://h?mandatory=no", /mandatory=no: it must be true or false/],
    ["amqp://h?auth_mechanism=kerberos", /only plain and external/],
    ["amqp://h?cacertfile=/ca.pem", /is for TLS: write amqps/],
    ["amqps://h?cacertfile=/nowhere", /cacertfile=\/nowhere .* cannot be read: ENOENT/],
    ["amqps://h?verify=maybe", /verify_peer or verify_none/],
    ["amqp://h/%zz", /the vhost .* "%" that begins no escape/],
    ["amqp://h?prefix=a%20b", /prefix=a b/],
  ];
  for (const [url, message] of wrong) {
    it(`refuses ${url}`, () => assert.throws(() => parse(url), message));
  }

  it("never throws anything but a BrokerError, and never shows a password", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string(), (host, path, query) => {
        try {
          parse(`amqp://user:hunter2@${host}/${path}?${query}`);
        } catch (error) {
          assert.ok(error instanceof BrokerError);
          assert.doesNotMatch(error.message, /hunter2/);
        }
      }),
    );
  });
});
