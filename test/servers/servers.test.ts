import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import {
  type OwnServer,
  type Rabbitmq,
  type ServerName,
  skipWithoutOwn,
  startKafka,
  startPostgres,
  startRabbitmq,
} from "./index.ts";
import { createTopic, topicError } from "./kafka-requests.ts";

/** How long a server may take to vanish after the process that started it was killed. */
const vanishMsMax = 10_000;

interface Case<Server extends OwnServer & { readonly url: string } = OwnServer & { readonly url: string }> {
  readonly name: ServerName;
  readonly start: () => Promise<Server>;
  /** The first bytes that a client sends. */
  readonly hello: Buffer;
  /** How the server's answer begins. */
  readonly answer: Buffer;
  /** Writes something durable. */
  remember(server: Server): Promise<unknown>;
  /** Whether it is there. */
  recalls(server: Server): Promise<boolean>;
}

const rabbitmq: Case<Rabbitmq> = {
  name: "rabbitmq",
  start: startRabbitmq,
  hello: Buffer.from("AMQP\0\0\x09\x01", "latin1"),
  // A method frame on channel 0: connection.start.
  answer: Buffer.of(1, 0, 0),
  remember: server => server.rabbitmqctl("add_vhost", "kept"),
  recalls: async server => /^kept$/m.test(await server.rabbitmqctl("list_vhosts")),
};

async function onConnection<Result>(url: string, use: (socket: Socket) => Promise<Result>): Promise<Result> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  try {
    return await use(socket);
  } finally {
    socket.destroy();
  }
}

const kafka: Case = {
  name: "kafka",
  start: startKafka,
  // ApiVersions, version 0; the answer's length is below 64 KiB.
  hello: Buffer.of(0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff),
  answer: Buffer.of(0, 0),
  remember: ({ url }) => onConnection(url, async socket => assert.equal(await createTopic(socket, "kept"), 0)),
  recalls: ({ url }) => onConnection(url, async socket => (await topicError(socket, "kept")) === 0),
};

const psql = async (url: string, sql: string) => (await promisify(execFile)("psql", [url, "-Atc", sql])).stdout.trim();

const postgres: Case = {
  name: "postgres",
  start: startPostgres,
  // SSLRequest, answered with "no".
  hello: Buffer.of(0, 0, 0, 8, 4, 210, 22, 47),
  answer: Buffer.from("N"),
  remember: ({ url }) => psql(url, "create table kept as select 42 as answer"),
  recalls: async ({ url }) => (await psql(url, "select answer from kept")) === "42",
};

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

function judge<Server extends OwnServer & { readonly url: string }>(
  { name, start, hello, answer, remember, recalls }: Case<Server>,
  more?: (server: () => Server) => void,
): void {
  describe(`a real ${name}`, { skip: skipWithoutOwn(name) }, () => {
    let server: Server;
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

    test("is killed, refuses connections, and starts again with what it had", async () => {
      await remember(server);
      await server.kill();
      assert.equal(await answers(), undefined);
      await server.start();
      assert.deepEqual(await answers(), answer);
      assert(await recalls(server), "what was written before is gone");
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

    more?.(() => server);
  });
}

judge(kafka);
judge(postgres);
judge(rabbitmq, server => {
  test("is asked with rabbitmqctl", async () => {
    const users = (await server().rabbitmqctl("list_users")).trim().split("\n").sort();
    assert.deepEqual(users, ["limited\t[]", "trunkline\t[administrator]"]);
    await assert.rejects(server().rabbitmqctl("delete_queue", "nowhere"), /not.found/i);
  });
});
