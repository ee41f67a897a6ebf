import assert from "node:assert/strict";
import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import { type Kafka, skipWithoutOwn, startKafka } from "./index.ts";

const saslHandshake = 17;
const saslAuthenticate = 36;
const metadata = 3;
const unknownTopic = 3;
const topicAuthorizationFailed = 29;
const unsupportedMechanism = 33;

const int16 = (value: number) => Buffer.of(value >> 8, value & 0xff);
const int32 = (value: number) => Buffer.concat([int16(value >> 16), int16(value & 0xffff)]);
const text = (value: string) => Buffer.concat([int16(value.length), Buffer.from(value)]);

/** One request and its answer, without the answer's length and correlation id. */
async function ask(socket: TLSSocket, key: number, version: number, ...body: Buffer[]): Promise<Buffer> {
  const request = Buffer.concat([int16(key), int16(version), int32(1), int16(-1), ...body]);
  socket.write(Buffer.concat([int32(request.length), request]));
  let answer = Buffer.alloc(0);
  while (answer.length < 4 || answer.length < 4 + answer.readInt32BE(0)) {
    const [chunk] = (await once(socket, "data")) as [Buffer];
    answer = Buffer.concat([answer, chunk]);
  }
  return answer.subarray(8);
}

/** RFC 5802 in a client's role; resolves with Kafka's error code. */
async function scram(socket: TLSSocket, user: string, password: string): Promise<number> {
  const hmac = (key: Buffer, value: string) => createHmac("sha256", key).update(value).digest();
  const authenticate = (message: string) =>
    ask(socket, saslAuthenticate, 0, int32(message.length), Buffer.from(message));
  const firstBare = `n=${user},r=nonce`;
  const answer = await authenticate(`n,,${firstBare}`);
  // Error code, no message, length of what follows.
  const serverFirst = answer.subarray(8).toString();
  const [, nonce = "", salt = "", iterations = ""] = /^r=([^,]+),s=([^,]+),i=(\d+)/.exec(serverFirst) ?? [];
  const salted = pbkdf2Sync(password, Buffer.from(salt, "base64"), Number(iterations), 32, "sha256");
  const clientKey = hmac(salted, "Client Key");
  const finalBare = `c=${Buffer.from("n,,").toString("base64")},r=${nonce}`;
  const storedKey = createHash("sha256").update(clientKey).digest();
  const signature = hmac(storedKey, `${firstBare},${serverFirst},${finalBare}`);
  const proof = clientKey.map((byte, index) => byte ^ (signature[index] ?? 0));
  return (await authenticate(`${finalBare},p=${Buffer.from(proof).toString("base64")}`)).readInt16BE(0);
}

describe("the TLS listener of a real kafka", { skip: skipWithoutOwn("kafka") }, () => {
  let kafka: Kafka;
  before(async () => {
    kafka = await startKafka();
  });
  after(() => kafka?.[Symbol.asyncDispose]());

  async function open(url: string) {
    const { hostname, port, username, password } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port), ca: kafka.ca, servername: hostname });
    await once(socket, "secureConnect");
    const shakeHands = async (mechanism: string) =>
      (await ask(socket, saslHandshake, 1, text(mechanism))).readInt16BE(0);
    /** What Kafka says about a topic that does not exist. */
    const topicError = async () => {
      const answer = await ask(socket, metadata, 1, int32(1), text("nowhere"));
      // The error stands before the name.
      return answer.readInt16BE(answer.indexOf(text("nowhere")) - 2);
    };
    return {
      shakeHands,
      topicError,
      logIn: async (secret = password) => {
        assert.equal(await shakeHands("SCRAM-SHA-256"), 0);
        return scram(socket, username, secret);
      },
      [Symbol.dispose]: () => socket.destroy(),
    };
  }

  test("takes SCRAM-SHA-256 only", async () => {
    using connection = await open(kafka.tlsUrl);
    assert.equal(await connection.shakeHands("PLAIN"), unsupportedMechanism);
  });

  test("knows the administrator, who may ask for topics", async () => {
    using connection = await open(kafka.tlsUrl);
    assert.equal(await connection.logIn(), 0);
    assert.equal(await connection.topicError(), unknownTopic);
  });

  test("refuses a wrong password", async () => {
    using connection = await open(kafka.tlsUrl);
    assert.notEqual(await connection.logIn("wrong"), 0);
  });

  test("knows the limited user, who may not", async () => {
    using connection = await open(kafka.limitedUrl);
    assert.equal(await connection.logIn(), 0);
    assert.equal(await connection.topicError(), topicAuthorizationFailed);
  });
});
