import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import {
  type OwnServer,
  type Rabbitmq,
  type ServerName,
  skipWithoutOwn,
  startKafka,
  startPostgres,
  startRabbitmq,
} from "./index.ts";

const amqpHeader = Buffer.from("AMQP\0\0\x09\x01", "latin1");

/** How long a server may take to vanish after the process that started it was killed. */
const vanishMsMax = 10_000;

interface Case {
  readonly name: ServerName;
  readonly start: () => Promise<OwnServer & { readonly url: string }>;
  /** The first bytes that a client sends. */
  readonly hello: Buffer;
  /** How the server's answer begins. */
  readonly answer: Buffer;
}

const cases: readonly Case[] = [
  // A method frame on channel 0: connection.start.
  { name: "rabbitmq", start: startRabbitmq, hello: amqpHeader, answer: Buffer.of(1, 0, 0) },
  // ApiVersions, version 0, correlation id 7; the answer's length is below 64 KiB.
  {
    name: "kafka",
    start: startKafka,
    hello: Buffer.of(0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff),
    answer: Buffer.of(0, 0),
  },
  // SSLRequest, answered with "no".
  { name: "postgres", start: startPostgres, hello: Buffer.of(0, 0, 0, 8, 4, 210, 22, 47), answer: Buffer.from("N") },
];

/** The first bytes of a server's answer; `undefined` when it does not answer. */
async function answerOf(url: string, hello: Buffer, withinMs = 5_000): Promise<Buffer | undefined> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  socket.write(hello);
  const { promise, resolve } = Promise.withResolvers<Buffer | undefined>();
  socket.once("data", resolve);
  socket.once("error", () => resolve(undefined));
  socket.once("close", () => resolve(undefined));
  socket.setTimeout(withinMs, () => resolve(undefined));
  const answer = await promise;
  socket.destroy();
  return answer;
}

async function isVanished(pid: number): Promise<boolean> {
  for (let waitedMs = 0; waitedMs < vanishMsMax; waitedMs += 50) {
    try {
      process.kill(pid, 0);
    } catch {
      return true;
    }
    await delay(50);
  }
  return false;
}

for (const { name, start, hello, answer } of cases) {
  describe(`a real ${name}`, { skip: skipWithoutOwn(name) }, () => {
    let server: Awaited<ReturnType<typeof start>>;
    before(async () => {
      server = await start();
    });
    after(() => server?.[Symbol.asyncDispose]());
    const answers = async (withinMs?: number) =>
      (await answerOf(server.url, hello, withinMs))?.subarray(0, answer.length);

    test("answers the first bytes of its protocol", async () => {
      assert.deepEqual(await answers(), answer);
    });

    test("is silent while it is paused, and answers when it goes on", async () => {
      server.pause();
      assert.equal(await answers(300), undefined);
      server.resume();
      assert.deepEqual(await answers(), answer);
    });

    test("restarts on the same ports", async () => {
      const { pid } = server;
      await server.restart();
      assert.notEqual(server.pid, pid);
      assert.deepEqual(await answers(), answer);
    });

    test("is killed, refuses connections, and starts again", async () => {
      await server.kill();
      assert.equal(await answers(), undefined);
      await server.start();
      assert.deepEqual(await answers(), answer);
    });

    test("runs beside a second one, and ends with the process that started it, also when that is killed", async t => {
      const script = join(import.meta.dirname, "start-and-tell.ts");
      const starter = spawn(process.execPath, ["--conditions=trunkline-source", script, name], {
        stdio: ["pipe", "pipe", "inherit"],
      });
      t.after(() => starter.kill("SIGKILL"));
      const [line] = await once(starter.stdout, "data");
      const { url, pid } = JSON.parse(String(line)) as { readonly url: string; readonly pid: number };
      assert.deepEqual((await answerOf(url, hello))?.subarray(0, answer.length), answer);
      assert.deepEqual(await answers(), answer);
      starter.kill("SIGKILL");
      assert(await isVanished(pid), `process ${pid} is still there`);
      assert.equal(await answerOf(url, hello), undefined);
      assert.deepEqual(await answers(), answer);
    });
  });
}

describe("a RabbitMQ of one's own", { skip: skipWithoutOwn("rabbitmq") }, () => {
  let rabbitmq: Rabbitmq;
  before(async () => {
    rabbitmq = await startRabbitmq();
  });
  after(() => rabbitmq?.[Symbol.asyncDispose]());

  test("is asked with rabbitmqctl", async () => {
    const users = (await rabbitmq.rabbitmqctl("list_users")).trim().split("\n").sort();
    assert.deepEqual(users, ["limited\t[]", "trunkline\t[administrator]"]);
    await assert.rejects(rabbitmq.rabbitmqctl("delete_queue", "nowhere"), /not.found/i);
  });

  test("speaks TLS with a certificate that its root has signed", async () => {
    const { hostname, port } = new URL(rabbitmq.tlsUrl);
    const socket = connectTls({ host: hostname, port: Number(port), ca: rabbitmq.ca, servername: hostname });
    await once(socket, "secureConnect");
    socket.write(amqpHeader);
    const [answer] = (await once(socket, "data")) as [Buffer];
    assert.deepEqual(answer.subarray(0, 3), Buffer.of(1, 0, 0));
    socket.destroy();
  });

  test("keeps what is durable when it is killed", async () => {
    await rabbitmq.rabbitmqctl("add_vhost", "kept");
    await rabbitmq.kill();
    await rabbitmq.start();
    assert.match(await rabbitmq.rabbitmqctl("list_vhosts"), /^kept$/m);
  });
});
