import assert from "node:assert/strict";
import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { connect } from "node:tls";
import { type KafkaAddress, type Shared, sharedKafka, sharedRabbitmq, skipWithoutOwn, uniqueName } from "./index.ts";
import {
  authenticate,
  shakeHands,
  topicAuthorizationFailed,
  topicError,
  unknownTopic,
  unsupportedMechanism,
} from "./kafka-requests.ts";

/** A connection to a server that must prove who it is. */
async function open(url: string, ca: string) {
  const { hostname, port, username, password } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), ca, servername: hostname });
  await once(socket, "secureConnect");
  return { socket, username, password, [Symbol.dispose]: () => socket.destroy() };
}

describe("the TLS listener of a shared rabbitmq", { skip: skipWithoutOwn("rabbitmq") }, () => {
  test("speaks AMQP, with a certificate that the root has signed", async () => {
    await using rabbitmq = await sharedRabbitmq();
    const { tlsUrl = "", ca = "" } = rabbitmq;
    using connection = await open(tlsUrl, ca);
    connection.socket.write(Buffer.from("AMQP\0\0\x09\x01", "latin1"));
    const [answer] = (await once(connection.socket, "data")) as [Buffer];
    assert.deepEqual(answer.subarray(0, 3), Buffer.of(1, 0, 0));
  });
});

/** RFC 5802 in a client's role; resolves with Kafka's error code. */
async function scram({ socket, username, password }: Awaited<ReturnType<typeof open>>): Promise<number> {
  const hmac = (key: Buffer, value: string) => createHmac("sha256", key).update(value).digest();
  const firstBare = `n=${username},r=nonce`;
  const { answer: serverFirst } = await authenticate(socket, `n,,${firstBare}`);
  const [, nonce = "", salt = "", iterations = ""] = /^r=([^,]+),s=([^,]+),i=(\d+)/.exec(serverFirst) ?? [];
  const salted = pbkdf2Sync(password, Buffer.from(salt, "base64"), Number(iterations), 32, "sha256");
  const clientKey = hmac(salted, "Client Key");
  const storedKey = createHash("sha256").update(clientKey).digest();
  const finalBare = `c=${Buffer.from("n,,").toString("base64")},r=${nonce}`;
  const signature = hmac(storedKey, `${firstBare},${serverFirst},${finalBare}`);
  const proof = Buffer.from(clientKey.map((byte, index) => byte ^ (signature[index] ?? 0)));
  return (await authenticate(socket, `${finalBare},p=${proof.toString("base64")}`)).error;
}

describe("the TLS listener of a shared kafka", { skip: skipWithoutOwn("kafka") }, () => {
  let kafka: Shared<KafkaAddress> | undefined;
  before(async () => {
    kafka = await sharedKafka();
  });
  after(() => kafka?.[Symbol.asyncDispose]());
  const openAs = (user: "tlsUrl" | "limitedUrl") => open(kafka?.[user] ?? "", kafka?.ca ?? "");

  test("takes SCRAM-SHA-256 only", async () => {
    using connection = await openAs("tlsUrl");
    assert.equal(await shakeHands(connection.socket, "PLAIN"), unsupportedMechanism);
  });

  test("knows the administrator, who may ask for topics", async () => {
    using connection = await openAs("tlsUrl");
    assert.equal(await shakeHands(connection.socket, "SCRAM-SHA-256"), 0);
    assert.equal(await scram(connection), 0);
    assert.equal(await topicError(connection.socket, uniqueName("nowhere")), unknownTopic);
  });

  test("refuses a wrong password", async () => {
    using connection = await openAs("tlsUrl");
    assert.equal(await shakeHands(connection.socket, "SCRAM-SHA-256"), 0);
    assert.notEqual(await scram({ ...connection, password: "wrong" }), 0);
  });

  test("knows the limited user, who may not", async () => {
    using connection = await openAs("limitedUrl");
    assert.equal(await shakeHands(connection.socket, "SCRAM-SHA-256"), 0);
    assert.equal(await scram(connection), 0);
    assert.equal(await topicError(connection.socket, uniqueName("nowhere")), topicAuthorizationFailed);
  });
});
