import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { makeCertificates } from "../../../test/certificates.ts";
import { type Platform, systemPlatform } from "../../platform/index.ts";
import { virtualPlatform } from "../../platform/virtual/index.ts";
import { constantField, listen, type ServerExchange } from "../../wire/index.ts";
import { type FetchBytesOptions, fetchBytes } from "./fetch-bytes.ts";

const limits = { timeoutMs: 5_000, bytesMax: 1_000 };

async function serve(platform: Platform, answer: (exchange: ServerExchange) => void, secure = false): Promise<number> {
  const certificates = secure ? await makeCertificates() : undefined;
  const listener = await listen({
    handler: exchange => {
      exchange.receiver = { data() {}, ended() {}, aborted() {}, writable() {} };
      answer(exchange);
    },
    host: "127.0.0.1",
    port: 0,
    platform,
    tls: certificates?.server,
  });
  after(() => listener.close());
  return listener.port;
}

test("a document is read with its status and fields, and the path goes out as it is", async () => {
  const platform = virtualPlatform();
  let seen = "";
  const port = await serve(platform, exchange => {
    seen = `${exchange.method} ${exchange.authority} ${exchange.path.value} ${exchange.fields.get("accept")}`;
    exchange.respond(404, [constantField("x-a", "b")], "nothing");
  });
  const url = new URL(`http://127.0.0.1:${port}/a%20b?c=d#e`);
  const { status, fields, body } = await fetchBytes(url, { ...limits, platform, accept: "text/plain" });
  assert.deepEqual([status, fields.get("x-a"), body.toString()], [404, "b", "nothing"]);
  assert.equal(seen, `GET 127.0.0.1:${port} /a%20b?c=d text/plain`);
});

describe("over TLS", () => {
  test("the server's certificate is verified, and HTTP/2 is spoken where it is offered", async () => {
    const { ca } = await makeCertificates();
    const port = await serve(systemPlatform, exchange => exchange.respond(200, [], String(exchange.httpVersion)), true);
    const url = new URL(`https://localhost:${port}/`);
    const { body } = await fetchBytes(url, { ...limits, platform: systemPlatform, tls: { ca } });
    assert.equal(body.toString(), "2");
    await assert.rejects(fetchBytes(url, { ...limits, platform: systemPlatform }), /not signed by a trusted root/);
  });
});

describe("what cannot be read is an error that names the address, without its query", () => {
  const read = async (answer: (exchange: ServerExchange) => void, options: Partial<FetchBytesOptions> = {}) => {
    const platform = virtualPlatform();
    const port = await serve(platform, answer);
    const url = new URL(`http://127.0.0.1:${port}/keys?secret=1`);
    const outcome = fetchBytes(url, { ...limits, platform, ...options }).then(
      () => "read",
      (error: Error) => error.message.replace(String(port), "PORT"),
    );
    await platform.clock.advance(5_000);
    return outcome;
  };
  const at = "http://127.0.0.1:PORT/keys: ";

  test("an answer that never comes", async () => {
    assert.equal(await read(() => {}), `${at}no complete answer within 5000 ms`);
  });
  test("an answer that never ends", async () => {
    const drip = (exchange: ServerExchange): void => {
      exchange.sendHead(200, [], false);
      exchange.sendData(Buffer.from("a"), false);
    };
    assert.equal(await read(drip), `${at}no complete answer within 5000 ms`);
  });
  test("an answer that is too long", async () => {
    const long = (exchange: ServerExchange): void => exchange.respond(200, [], "x".repeat(1_001));
    assert.equal(await read(long), `${at}the answer is longer than the limit of 1000 bytes`);
    assert.equal(await read(exchange => exchange.respond(200, [], "x".repeat(1_000))), "read");
  });
  test("an answer in a content coding that was not asked for", async () => {
    const packed = (exchange: ServerExchange): void =>
      exchange.respond(200, [constantField("content-encoding", "gzip")], "x");
    assert.match(await read(packed), /content coding "gzip", which was not asked for/);
  });
  test("a connection that is cut", async () => {
    assert.match(await read(exchange => exchange.reset("error")), /^http:\/\/127\.0\.0\.1:PORT\/keys: /);
  });
});
