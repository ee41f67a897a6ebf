import { spawn } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { type KafkaAddress, startKafka } from "./kafka.ts";
import { type PostgresAddress, startPostgres } from "./postgres.ts";
import { givenAddress, type ServerName } from "./programs.ts";
import { type RabbitmqAddress, startRabbitmq } from "./rabbitmq.ts";

/**
 * One server for all test files of this checkout that run at about the same time; the machine would not bear one for each
 * of them. `keeper.ts` runs it. Two test files that start a keeper at once need no lock: the system gives the keeper's
 * socket to one of them. That takes Linux, whose abstract sockets vanish with their process; elsewhere each test file
 * has its own server.
 */

export type Shared<Address> = Address & AsyncDisposable;

/** What a keeper says. */
export type KeeperAnswer = { readonly address: object } | { readonly failure: string };

export interface SharingOptions {
  /** How long the server stays after its last user, because the next test file may come a moment later. */
  readonly idleMs?: number;
  /** Who shares it. */
  readonly group?: string;
}

const idleMsDefault = 15_000;
const keeperMsMax = 15_000;
const connectEveryMs = 50;

/** One for each checkout: another may have another version of this folder. */
const checkout = `${process.getuid?.()}:${import.meta.dirname}`;

/** For names of queues, topics, tables: those of other tests are on the same server. */
export function uniqueName(prefix: string): string {
  return `${prefix}-${randomUUID().slice(0, 13)}`;
}

/** The server that `TRUNKLINE_TEST_RABBITMQ` names (only `url` is known then), or one that test files share. */
export function sharedRabbitmq(): Promise<Shared<RabbitmqAddress>> {
  return share<RabbitmqAddress>("rabbitmq", startRabbitmq);
}

/** The server that `TRUNKLINE_TEST_KAFKA` names (only `url` is known then), or one that test files share. */
export function sharedKafka(): Promise<Shared<KafkaAddress>> {
  return share<KafkaAddress>("kafka", startKafka);
}

/** The server that `TRUNKLINE_TEST_POSTGRES` names, or one that test files share. */
export function sharedPostgres(options?: SharingOptions): Promise<Shared<PostgresAddress>> {
  return share<PostgresAddress>("postgres", startPostgres, options);
}

async function share<Address extends { readonly url: string }>(
  name: ServerName,
  startOwn: () => Promise<Shared<Address>>,
  { idleMs = idleMsDefault, group = checkout }: SharingOptions = {},
): Promise<Shared<Address>> {
  const given = givenAddress(name);
  if (given !== undefined) {
    const url = given.includes("://") ? given : `${name}://${given}`;
    return Object.assign({ url } as Address, { [Symbol.asyncDispose]: async () => {} });
  }
  if (process.platform !== "linux") return startOwn();
  const socketName = `trunkline-${name}-${createHash("sha256").update(group).digest("hex").slice(0, 16)}`;
  const path = `\0${socketName}`;
  for (const deadline = performance.now() + keeperMsMax; performance.now() < deadline; ) {
    const keeper = (await connectTo(path)) ?? (await startKeeper(name, socketName, idleMs, deadline));
    if (keeper === undefined) break;
    const line = await firstLine(keeper);
    // A keeper that was about to end; the next one.
    if (line === undefined) continue;
    const answer = JSON.parse(line) as KeeperAnswer;
    if ("failure" in answer) throw new Error(`no shared ${name}: ${answer.failure}`);
    // Who forgets to dispose it still ends.
    keeper.unref();
    return Object.assign(answer.address as Address, {
      async [Symbol.asyncDispose]() {
        keeper.destroy();
      },
    });
  }
  throw new Error(`the process that shares ${name} does not begin or ends at once`);
}

/** Resolves with a connection to it or to another that was first; a keeper listens before it starts its server. */
async function startKeeper(
  name: ServerName,
  socketName: string,
  idleMs: number,
  deadline: number,
): Promise<Socket | undefined> {
  // It is no test: its parent does not listen to it.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const script = join(import.meta.dirname, "keeper.ts");
  spawn(process.execPath, [script, name, socketName, String(idleMs)], {
    cwd: tmpdir(),
    env,
    detached: true,
    stdio: "ignore",
  }).unref();
  while (performance.now() < deadline) {
    const socket = await connectTo(`\0${socketName}`);
    if (socket !== undefined) return socket;
    await delay(connectEveryMs);
  }
  return undefined;
}

async function connectTo(path: string): Promise<Socket | undefined> {
  const socket = connect(path);
  try {
    await once(socket, "connect");
    return socket;
  } catch {
    return undefined;
  }
}

/** `undefined` when the connection ends before there is one. */
async function firstLine(socket: Socket): Promise<string | undefined> {
  const lines = createInterface({ input: socket });
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  lines.once("line", resolve);
  lines.once("error", () => resolve(undefined));
  socket.on("error", () => {});
  socket.once("close", () => resolve(undefined));
  return promise;
}
