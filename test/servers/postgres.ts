import { execFile } from "node:child_process";
import { chownSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { freePorts } from "./free-ports.ts";
import { Probe } from "./probe.ts";
import { programOf } from "./programs.ts";
import { type OwnServer, type Program, ServerProcess, serverFolder } from "./server-process.ts";

const run = promisify(execFile);

/** How a PostgreSQL is reached; plain data, so that it can be handed to other processes. */
export interface PostgresAddress {
  /** `postgres://`, a superuser without a password. */
  readonly url: string;
}

export interface Postgres extends PostgresAddress, OwnServer {}

export interface PostgresOptions {
  /** Settings of `postgresql.conf`, such as `max_connections: "20"`. */
  readonly config?: Readonly<Record<string, string>>;
}

const user = "postgres";
const initMsMax = 60_000;

/** A PostgreSQL of one's own that keeps what it has committed; about 2 s. The test file's process ends it when it ends. */
export async function startPostgres({ config = {} }: PostgresOptions = {}): Promise<Postgres> {
  const command = programOf("postgres");
  const [port = 0] = await freePorts(1);
  const owner = await anybodyButRoot();
  const folder = serverFolder("postgres");
  if (owner !== undefined) chownSync(folder, owner.uid, owner.gid);
  const data = join(folder, "data");
  const env = { PATH: process.env.PATH, LANG: "C.UTF-8", HOME: folder, TZ: "UTC" };
  const settings = Object.entries({
    port: String(port),
    listen_addresses: "127.0.0.1",
    unix_socket_directories: "",
    fsync: "on",
    ...config,
  });
  const server = new ServerProcess({
    name: "PostgreSQL",
    folder,
    program: {
      command,
      args: ["-D", data, ...settings.flatMap(([key, value]) => ["-c", `${key}=${value}`])],
      env,
      user: owner,
    },
    probe: () => logIn(port),
    // Fast shutdown: open connections are cut, what is committed is kept.
    stopSignal: "SIGINT",
  });
  await server.startOrDispose(async () => {
    const args = ["-D", data, "-U", user, "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"];
    await run(join(dirname(command), "initdb"), args, { ...owner, env, cwd: folder, timeout: initMsMax });
  });
  return Object.assign(server, { url: `postgres://${user}@127.0.0.1:${port}/postgres` });
}

/** PostgreSQL refuses to run as root: its own system user, or nobody, instead. */
async function anybodyButRoot(): Promise<Program["user"]> {
  if (process.getuid?.() !== 0) return undefined;
  for (const name of ["postgres", "nobody"]) {
    try {
      const [uid, gid] = await Promise.all(
        ["-u", "-g"].map(async flag => Number((await run("id", [flag, name])).stdout)),
      );
      if (uid !== undefined && gid !== undefined) return { uid, gid };
    } catch {
      // There is no such user; the next one.
    }
  }
  throw new Error("PostgreSQL does not run as root, and this system has neither a user postgres nor nobody");
}

const protocolVersion = [0, 3, 0, 0];

/** A startup message, answered with messages up to ReadyForQuery; an error response says that it is still starting. */
async function logIn(port: number): Promise<void> {
  using probe = await Probe.open(port);
  const body = Buffer.concat([Buffer.of(...protocolVersion), Buffer.from(`user\0${user}\0\0`)]);
  probe.write(Buffer.concat([Buffer.of(0, 0, 0, body.length + 4), body]));
  for (let kind = ""; kind !== "Z"; ) {
    const header = await probe.read(5);
    kind = String.fromCharCode(header[0] ?? 0);
    const message = await probe.read(header.readInt32BE(1) - 4);
    if (kind === "E") throw new Error(`PostgreSQL says ${message.toString().replaceAll("\0", " ")}`);
  }
}
