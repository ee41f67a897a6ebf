import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { makeCertificates } from "../certificates.ts";
import { freePorts } from "./free-ports.ts";
import { Probe } from "./probe.ts";
import { programOf } from "./programs.ts";
import { type OwnServer, ServerProcess, serverFolder } from "./server-process.ts";

const run = promisify(execFile);

/** How a Kafka is reached; plain data, so that it can be handed to other processes. */
export interface KafkaAddress {
  /** `kafka://host:port` without TLS or a user; may do everything. */
  readonly url: string;
  /** `kafka://user:password@host:port?tls=true&sasl=scram-sha-256`, with all rights. Absent when the environment names the server. */
  readonly tlsUrl?: string;
  /** The root certificate that signed the server's. */
  readonly ca?: string;
  /** Like `tlsUrl`, for a user whom no access control list allows anything. */
  readonly limitedUrl?: string;
}

export interface Kafka extends KafkaAddress, OwnServer {
  readonly tlsUrl: string;
  readonly ca: string;
  readonly limitedUrl: string;
}

export interface KafkaOptions {
  /** Lines of `server.properties` beside or instead of those below, such as `"auto.create.topics.enable": "true"`. */
  readonly config?: Readonly<Record<string, string>>;
  /** Arguments of the Java machine beside ours. */
  readonly jvm?: readonly string[];
}

const admin = { name: "trunkline", password: "secret" };
const limited = { name: "limited", password: "limited" };
const heap = "-Xmx512m";
const formatMsMax = 60_000;

/**
 * A Kafka of one's own: one node in KRaft mode, with a plain listener and one with TLS and SCRAM-SHA-256; about 8 s. The
 * test file's process ends it when it ends.
 */
export async function startKafka({ config = {}, jvm = [] }: KafkaOptions = {}): Promise<Kafka> {
  const jars = programOf("kafka");
  const [port = 0, tlsPort = 0, controllerPort = 0] = await freePorts(3);
  const { ca, server: certificate } = await makeCertificates();
  const folder = serverFolder("kafka");
  const file = (name: string, content: string) => {
    writeFileSync(join(folder, name), content, { mode: 0o600 });
    return join(folder, name);
  };
  const listeners = { PLAINTEXT: `127.0.0.1:${port}`, SASL_SSL: `localhost:${tlsPort}` };
  const controller = { CONTROLLER: `127.0.0.1:${controllerPort}` };
  const configuration = {
    ...oneNode,
    "controller.quorum.bootstrap.servers": controller.CONTROLLER,
    "controller.listener.names": "CONTROLLER",
    listeners: addresses({ ...listeners, ...controller }).replace("localhost", "127.0.0.1"),
    "advertised.listeners": addresses(listeners),
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL",
    "log.dirs": join(folder, "data"),
    "ssl.keystore.type": "PEM",
    "ssl.keystore.location": file("server.pem", certificate.key + certificate.cert),
    "sasl.enabled.mechanisms": "SCRAM-SHA-256",
    "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config":
      "org.apache.kafka.common.security.scram.ScramLoginModule required;",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": `User:ANONYMOUS;User:${admin.name}`,
    ...config,
  };
  const lines = Object.entries(configuration).map(([key, value]) => `${key}=${value}\n`);
  const properties = file("server.properties", lines.join(""));
  const { JAVA_HOME } = process.env;
  const command = JAVA_HOME ? join(JAVA_HOME, "bin/java") : "java";
  const java = [heap, "-XX:+UseSerialGC", "-XX:-UsePerfData", ...jvm, "-cp", join(jars, "*")];
  const env = { PATH: process.env.PATH, LANG: "C.UTF-8", HOME: folder };
  const server = new ServerProcess({
    name: "Kafka",
    folder,
    program: { command, args: [...java, "kafka.Kafka", properties], env },
    probe: () => askForBrokers(port),
    stopSignal: "SIGTERM",
  });
  const urlOf = ({ name, password }: typeof admin) =>
    `kafka://${name}:${password}@${listeners.SASL_SSL}?tls=true&sasl=scram-sha-256`;
  const started = Object.assign(server, {
    url: `kafka://${listeners.PLAINTEXT}`,
    tlsUrl: urlOf(admin),
    ca,
    limitedUrl: urlOf(limited),
  });
  await started.startOrDispose(async () => {
    const users = [admin, limited].flatMap(({ name, password }) => [
      "--add-scram",
      `SCRAM-SHA-256=[name=${name},password=${password}]`,
    ]);
    const format = ["format", "--standalone", "--cluster-id", clusterId, "--config", properties, ...users];
    await run(command, [...java, "kafka.tools.StorageTool", ...format], { env, timeout: formatMsMax });
  });
  return started;
}

/** 16 bytes in base64url, any. */
const clusterId = Buffer.from("trunkline-tests!").toString("base64url");

const oneNode = {
  "process.roles": "broker,controller",
  "node.id": "1",
  "num.partitions": "4",
  "auto.create.topics.enable": "false",
  "offsets.topic.replication.factor": "1",
  "offsets.topic.num.partitions": "4",
  "transaction.state.log.replication.factor": "1",
  "transaction.state.log.min.isr": "1",
  "transaction.state.log.num.partitions": "4",
  "share.coordinator.state.topic.replication.factor": "1",
  "share.coordinator.state.topic.min.isr": "1",
  "share.coordinator.state.topic.num.partitions": "4",
  // A test's consumers come one after the other, without waiting for more of them.
  "group.initial.rebalance.delay.ms": "0",
  // Tests see a lost member after one second, if they ask for it; production's least is six.
  "group.min.session.timeout.ms": "1000",
  // A killed node comes back when its former session has ended; 9 s by default.
  "broker.session.timeout.ms": "4000",
  "broker.heartbeat.interval.ms": "500",
  // The default takes a quarter of the heap.
  "log.cleaner.dedupe.buffer.size": "8388608",
};

function addresses(listeners: Readonly<Record<string, string>>): string {
  return Object.entries(listeners)
    .map(([name, address]) => `${name}://${address}`)
    .join(",");
}

const metadata = 3;
const metadataVersion = 1;

/** Metadata request, version 1, for no topics; answered with at least one broker when the node takes part. */
async function askForBrokers(port: number): Promise<void> {
  using probe = await Probe.open(port);
  const correlationId = 1;
  const noClientId = [0xff, 0xff];
  const noTopics = [0, 0, 0, 0];
  const request = Buffer.of(0, metadata, 0, metadataVersion, 0, 0, 0, correlationId, ...noClientId, ...noTopics);
  probe.write(Buffer.concat([Buffer.of(0, 0, 0, request.length), request]));
  const answer = await probe.read((await probe.read(4)).readInt32BE(0));
  const brokers = answer.readInt32BE(4);
  if (answer.readInt32BE(0) !== correlationId || brokers < 1) throw new Error(`Kafka knows ${brokers} brokers`);
}
