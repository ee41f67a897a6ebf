import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { makeCertificates } from "../certificates.ts";
import { freePorts } from "./free-ports.ts";
import { Probe } from "./probe.ts";
import { programOf } from "./programs.ts";
import { type OwnServer, ServerProcess, serverFolder } from "./server-process.ts";

const run = promisify(execFile);

/** How a RabbitMQ is reached; plain data, so that it can be handed to other processes. */
export interface RabbitmqAddress {
  /** `amqp://`, with an administrator's name and password. */
  readonly url: string;
  /** `amqps://`, the same user. Absent when the environment names the server. */
  readonly tlsUrl?: string;
  /** The root certificate that signed the server's. */
  readonly ca?: string;
  /** `amqp://`, for a user who may only configure, write and read what begins with `limited.`. */
  readonly limitedUrl?: string;
}

export interface Rabbitmq extends RabbitmqAddress, OwnServer {
  readonly tlsUrl: string;
  readonly ca: string;
  readonly limitedUrl: string;
  /** Resolves with what it prints; rejects when it fails. */
  rabbitmqctl(...args: string[]): Promise<string>;
}

const admin = { name: "trunkline", password: "secret" };
const limited = { name: "limited", password: "limited" };

/** A RabbitMQ of one's own, with plain and TLS listeners; about 6 s. The test file's process ends it when it ends. */
export async function startRabbitmq(): Promise<Rabbitmq> {
  const command = programOf("rabbitmq");
  const [port = 0, tlsPort = 0, epmdPort = 0, distributionPort = 0] = await freePorts(4);
  const { ca, server: certificate } = await makeCertificates();
  const folder = serverFolder("rabbitmq");
  const file = (name: string, content: string, mode = 0o644) => {
    writeFileSync(join(folder, name), content, { mode });
    return join(folder, name);
  };
  file(".erlang.cookie", randomBytes(20).toString("hex"), 0o600);
  const configuration = {
    "listeners.tcp.1": `127.0.0.1:${port}`,
    "listeners.ssl.1": `127.0.0.1:${tlsPort}`,
    "ssl_options.cacertfile": file("ca.crt", ca),
    "ssl_options.certfile": file("server.crt", certificate.cert),
    "ssl_options.keyfile": file("server.key", certificate.key),
    "ssl_options.verify": "verify_none",
    load_definitions: file("definitions.json", JSON.stringify(definitions)),
    "log.console": "true",
    "log.console.level": "info",
    "log.file": "false",
    // A full disk or much memory in use elsewhere on the machine must not block publishers.
    "disk_free_limit.absolute": "1MB",
    "vm_memory_high_watermark.absolute": "1GB",
  };
  const lines = Object.entries(configuration).map(([key, value]) => `${key} = ${value}\n`);
  const env = {
    PATH: process.env.PATH,
    LANG: "C.UTF-8",
    HOME: folder,
    ERL_EPMD_PORT: String(epmdPort),
    RABBITMQ_NODENAME: `trunkline-${port}@localhost`,
    RABBITMQ_DIST_PORT: String(distributionPort),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: "-kernel inet_dist_use_interface {127,0,0,1}",
    RABBITMQ_CONFIG_FILE: file("rabbitmq.conf", lines.join("")),
    RABBITMQ_CONF_ENV_FILE: file("rabbitmq-env.conf", ""),
    RABBITMQ_ADVANCED_CONFIG_FILE: file("advanced.config", "[]."),
    RABBITMQ_ENABLED_PLUGINS_FILE: file("enabled_plugins", "[]."),
    RABBITMQ_MNESIA_BASE: join(folder, "data"),
    RABBITMQ_LOG_BASE: join(folder, "log"),
  };
  const server = new ServerProcess({
    name: "RabbitMQ",
    folder,
    program: { command, args: [], env },
    // One of its own; otherwise the first server would leave behind the machine's one, which serves all of them.
    companion: { command: "epmd", args: ["-port", String(epmdPort), "-address", "127.0.0.1"], env },
    probe: () => logIn(port),
    stopSignal: "SIGTERM",
  });
  const started = Object.assign(server, {
    url: `amqp://${admin.name}:${admin.password}@127.0.0.1:${port}`,
    tlsUrl: `amqps://${admin.name}:${admin.password}@localhost:${tlsPort}`,
    ca,
    limitedUrl: `amqp://${limited.name}:${limited.password}@127.0.0.1:${port}`,
    async rabbitmqctl(...args: string[]): Promise<string> {
      const { stdout } = await run(join(dirname(command), "rabbitmqctl"), ["--silent", ...args], { env });
      return stdout;
    },
  });
  await started.startOrDispose();
  return started;
}

const definitions = {
  users: [
    { ...withHash(admin), tags: "administrator" },
    { ...withHash(limited), tags: "" },
  ],
  vhosts: [{ name: "/" }],
  permissions: [
    { user: admin.name, vhost: "/", configure: ".*", write: ".*", read: ".*" },
    { user: limited.name, vhost: "/", configure: "^limited\\.", write: "^limited\\.", read: "^limited\\." },
  ],
};

function withHash({ name, password }: { readonly name: string; readonly password: string }) {
  const salt = randomBytes(4);
  const hash = createHash("sha256").update(salt).update(password).digest();
  return {
    name,
    password_hash: Buffer.concat([salt, hash]).toString("base64"),
    hashing_algorithm: "rabbit_password_hashing_sha256",
  };
}

/** AMQP 0-9-1 up to `connection.open-ok`: the listener is open, and the users are there. */
async function logIn(port: number): Promise<void> {
  using probe = await Probe.open(port);
  probe.write(Buffer.from("AMQP\0\0\x09\x01", "latin1"));
  await expectMethod(probe, "start", 10);
  const response = `\0${admin.name}\0${admin.password}`;
  probe.write(
    connectionMethod(11, uint32(0), shortText("PLAIN"), uint32(response.length), response, shortText("en_US")),
  );
  const tune = await expectMethod(probe, "tune", 30);
  probe.write(connectionMethod(31, tune));
  probe.write(connectionMethod(40, shortText("/"), shortText(""), "\0"));
  await expectMethod(probe, "open-ok", 41);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

const shortText = (text: string) => String.fromCharCode(text.length) + text;

/** A frame on channel 0 with a method of class `connection` (10). */
function connectionMethod(method: number, ...fields: (Buffer | string)[]): Buffer {
  const parts = fields.map(field => (typeof field === "string" ? Buffer.from(field, "latin1") : field));
  const payload = Buffer.concat([Buffer.of(0, 10, 0, method), ...parts]);
  return Buffer.concat([Buffer.of(1, 0, 0), uint32(payload.length), payload, Buffer.of(0xce)]);
}

/** The fields of the next method, which must be the expected one. */
async function expectMethod(probe: Probe, name: string, method: number): Promise<Buffer> {
  const header = await probe.read(7);
  const frame = await probe.read(header.readUInt32BE(3) + 1);
  if (header[0] !== 1 || frame.readUInt16BE(0) !== 10 || frame.readUInt16BE(2) !== method) {
    throw new Error(`expected connection.${name}, got ${frame.toString("latin1")}`);
  }
  return frame.subarray(4, -1);
}
