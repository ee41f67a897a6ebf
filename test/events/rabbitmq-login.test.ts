import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { makeCertificates } from "../certificates.ts";
import { sharedRabbitmq, skipWithoutOwn, uniqueName } from "../servers/index.ts";
import { connect, demand, event, publish } from "./rabbitmq-driver.ts";
import { RecordingSink } from "./recording-sink.ts";

describe("RabbitMQ, when it cannot be entered", { skip: skipWithoutOwn("rabbitmq") }, () => {
  let server: Awaited<ReturnType<typeof sharedRabbitmq>>;
  let folder: string;
  before(async () => {
    server = await sharedRabbitmq();
    folder = await mkdtemp(join(tmpdir(), "trunkline-rabbitmq-"));
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  const file = (name: string, content: string) => {
    writeFileSync(join(folder, name), content);
    return encodeURIComponent(join(folder, name));
  };
  const portOf = (url: string | undefined) => new URL((url ?? assert.fail()).replace(/^amqps?/, "http")).port;

  it("says that nobody listens", async () => {
    const unused = createServer().listen(0, "127.0.0.1");
    await new Promise(resolve => unused.once("listening", resolve));
    const { port } = unused.address() as { port: number };
    await new Promise(resolve => unused.close(resolve));
    await assert.rejects(
      connect(`amqp://127.0.0.1:${port}`),
      new RegExp(`127.0.0.1:${port} refuses connections: is it running`),
    );
  });

  it("says that the password is wrong, without showing it", async () => {
    const wrong = server.url.replace(/:[^:@]*@/, ":hunter2@");
    await assert.rejects(connect(wrong), (error: Error) => {
      assert.match(error.message, /refused the login of the user "trunkline": wrong user or password/);
      assert.doesNotMatch(error.message, /hunter2/);
      return true;
    });
  });

  it("says that the vhost is missing", async () => {
    await assert.rejects(connect(`${server.url}/nowhere`), /the vhost "nowhere": does it exist .*set_permissions/);
  });

  it("says that TLS is spoken to a port without it, and the other way round", async () => {
    const plain = portOf(server.url);
    const tls = portOf(server.tlsUrl);
    await assert.rejects(connect(`amqps://127.0.0.1:${plain}?verify=verify_none`), /does not speak TLS on this port/);
    await assert.rejects(connect(`amqp://127.0.0.1:${tls}`), /use amqps/);
  });

  it("says that a certificate is not trusted, and enters with its root", async () => {
    const { ca } = await makeCertificates();
    await assert.rejects(connect(server.tlsUrl ?? ""), /certificate that is not trusted .*cacertfile/);
    await assert.rejects(
      connect(`${server.tlsUrl}?cacertfile=${file("other.crt", ca)}`),
      /certificate that is not trusted/,
    );
    await using broker = await connect(`${server.tlsUrl}?cacertfile=${file("ca.crt", server.ca ?? "")}`);
    const topic = uniqueName("orders");
    const sink = new RecordingSink();
    const subscription = await broker.driver.subscribe(demand(topic, topic), sink);
    await publish(broker.driver, [event(topic, "order.created", "over TLS")]);
    await sink.until(() => sink.bodies.length === 1, "the event");
    await subscription.close();
  });

  it("says what a login by certificate needs", async () => {
    await assert.rejects(
      connect(`${server.tlsUrl}?auth_mechanism=external&cacertfile=${file("ca.crt", server.ca ?? "")}`),
      /does not offer EXTERNAL: enable the plugin rabbitmq_auth_mechanism_ssl/,
    );
  });

  it("gives up on a server that says nothing", async () => {
    const silent = createServer(() => {}).listen(0, "127.0.0.1");
    await new Promise(resolve => silent.once("listening", resolve));
    const { port } = silent.address() as { port: number };
    await assert.rejects(connect(`amqp://127.0.0.1:${port}?connection_timeout=200`), /does not answer within 200 ms/);
    silent.close();
  });

  it("takes the host that answers, and names what has to be mended when none does", async () => {
    const address = new URL(server.url.replace(/^amqp/, "http"));
    const login = `${address.username}:${address.password}`;
    for (let time = 0; time < 3; time++) {
      await using broker = await connect(`amqp://${login}@127.0.0.1:1,${address.host},localhost:1`);
      assert.equal(broker.driver.status().isReady, true);
    }
    await assert.rejects(connect(`amqp://${login}x@127.0.0.1:1,${address.host}`), /wrong user or password/);
  });

  it("says which permission a user lacks, and works within those that there are", async () => {
    const limited = server.limitedUrl ?? assert.fail();
    await using broker = await connect(limited);
    await assert.rejects(
      broker.driver.prepare([uniqueName("orders")]),
      /the exchange "orders-.*refused.*set_permissions/,
    );
    const topic = uniqueName("limited.orders");
    await broker.driver.prepare([topic]);
    await assert.rejects(
      broker.driver.subscribe(demand(topic, topic), new RecordingSink()),
      /the delay queues trunkline.delay.* cannot be declared.*refused.*set_permissions/,
    );
    await using own = await connect(`${limited}?prefix=limited.trunkline`);
    const sink = new RecordingSink();
    const subscription = await own.driver.subscribe(demand(topic, topic), sink);
    await publish(own.driver, [event(topic, "order.created", "1")]);
    await sink.until(() => sink.bodies.length === 1, "the event");
    await subscription.retryLater(sink.deliveries[0]?.record ?? assert.fail(), 10, { attempts: 1, firstFailedAtMs: 1 });
    await sink.until(() => sink.bodies.length === 2, "its retry");
    await subscription.close();
  });
});
