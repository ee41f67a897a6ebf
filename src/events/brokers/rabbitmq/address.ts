import { BrokerError } from "../../errors.ts";
import type { Endpoint, Login, TlsFiles } from "./amqp.ts";
import { connectTimeoutMs, heartbeatSeconds, publishTimeoutMs } from "./limits.ts";

/** Where RabbitMQ is, and how it is spoken to: what the URL says. */
export interface RabbitmqAddress {
  /** One for each host, in the order of the URL. */
  readonly endpoints: readonly Endpoint[];
  /** A message that no queue is bound for is refused. */
  readonly isMandatory: boolean;
  /** First part of the names of queues that all groups share: `<prefix>.delay.<n>`, `<prefix>.groups`. */
  readonly prefix: string;
  readonly publishTimeoutMs: number;
}

/** Names of RabbitMQ's own URI query parameters, and ours. */
const parameters = new Set([
  "heartbeat",
  "connection_timeout",
  "auth_mechanism",
  "cacertfile",
  "certfile",
  "keyfile",
  "password",
  "verify",
  "server_name_indication",
  "mandatory",
  "prefix",
  "publish_timeout",
]);

/**
 * `amqp://user:password@host1,host2:5673/vhost?heartbeat=10`, as in RabbitMQ's URI specification, with several hosts. The
 * vhost is "/" where the path is missing or empty.
 *
 * @param readFile reads a PEM file
 * @throws BrokerError that says what is wrong; it never shows the password
 */
export function parseAddress(url: string | URL, readFile: (path: string) => Uint8Array): RabbitmqAddress {
  const text = String(url);
  const parts = /^(amqps?):\/\/(?:([^@/?#]*)@)?([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/i.exec(text);
  if (parts === null) {
    throw new BrokerError(
      "the URL of RabbitMQ must look like amqp://user:password@host:5672/vhost, with amqps:// for TLS",
    );
  }
  const [, scheme = "", userInfo, hosts = "", path = "", search = ""] = parts;
  const query = new URLSearchParams(search);
  for (const name of query.keys()) {
    if (!parameters.has(name)) {
      throw new BrokerError(
        `the URL of RabbitMQ has an unknown parameter "${name}"; known are ${[...parameters].join(", ")}`,
      );
    }
  }
  const isTls = scheme.toLowerCase() === "amqps";
  const shared = {
    vhost: path === "" ? "/" : decoded(path, "the vhost"),
    login: loginFrom(userInfo, query),
    tls: isTls ? tlsFrom(query, readFile) : undefined,
    heartbeatSeconds: wholeNumber(query, "heartbeat", heartbeatSeconds, 0, 65_535),
    timeoutMs: wholeNumber(query, "connection_timeout", connectTimeoutMs, 1, 600_000),
  };
  if (!isTls) refuseTlsParameters(query);
  return {
    endpoints: hosts.split(",").map(host => ({ ...shared, ...hostFrom(host, isTls) })),
    isMandatory: flag(query, "mandatory", true),
    prefix: prefixFrom(query),
    publishTimeoutMs: wholeNumber(query, "publish_timeout", publishTimeoutMs, 1, 3_600_000),
  };
}

function hostFrom(text: string, isTls: boolean): { host: string; port: number } {
  const parts = /^(?:\[([0-9a-f:.]+)\]|([^:[\]\s]+))(?::([0-9]{1,5}))?$/i.exec(text.trim());
  const host = parts?.[1] ?? parts?.[2];
  const port = Number(parts?.[3] ?? (isTls ? 5_671 : 5_672));
  if (host === undefined || port < 1 || port > 65_535) {
    throw new BrokerError(`the URL of RabbitMQ names the host "${text}"; a host is name, name:port or [IPv6]:port`);
  }
  return { host, port };
}

function loginFrom(userInfo: string | undefined, query: URLSearchParams): Login {
  const mechanism = (query.get("auth_mechanism") ?? "plain").toUpperCase();
  if (mechanism === "EXTERNAL") return { mechanism };
  if (mechanism !== "PLAIN") {
    throw new BrokerError(`auth_mechanism=${query.get("auth_mechanism")}: only plain and external are known`);
  }
  if (userInfo === undefined) return { mechanism, user: "guest", password: "guest" };
  const colon = userInfo.indexOf(":");
  const user = colon === -1 ? userInfo : userInfo.slice(0, colon);
  const password = colon === -1 ? "" : userInfo.slice(colon + 1);
  return { mechanism, user: decoded(user, "the user"), password: decoded(password, "the password") };
}

function tlsFrom(query: URLSearchParams, readFile: (path: string) => Uint8Array): TlsFiles {
  const verify = query.get("verify") ?? "verify_peer";
  if (verify !== "verify_peer" && verify !== "verify_none") {
    throw new BrokerError(`verify=${verify}: it must be verify_peer or verify_none`);
  }
  const file = (name: string): Uint8Array | undefined => {
    const path = query.get(name);
    if (path === null) return undefined;
    try {
      return readFile(path);
    } catch (cause) {
      throw new BrokerError(`${name}=${path} of the URL of RabbitMQ cannot be read: ${(cause as Error).message}`, {
        cause,
      });
    }
  };
  return {
    ca: file("cacertfile"),
    cert: file("certfile"),
    key: file("keyfile"),
    passphrase: query.get("password") ?? undefined,
    serverName: query.get("server_name_indication") ?? undefined,
    isVerified: verify === "verify_peer",
  };
}

/** Otherwise somebody believes to have TLS. */
function refuseTlsParameters(query: URLSearchParams): void {
  for (const name of ["cacertfile", "certfile", "keyfile", "verify", "server_name_indication"]) {
    if (query.has(name))
      throw new BrokerError(`${name} in the URL of RabbitMQ is for TLS: write amqps:// instead of amqp://`);
  }
}

function prefixFrom(query: URLSearchParams): string {
  const prefix = query.get("prefix") ?? "trunkline";
  if (!/^[A-Za-z0-9._-]{1,100}$/.test(prefix)) {
    throw new BrokerError(`prefix=${prefix}: it must be 1 to 100 of A-Z a-z 0-9 . _ -`);
  }
  return prefix;
}

function flag(query: URLSearchParams, name: string, without: boolean): boolean {
  const text = query.get(name);
  if (text === null) return without;
  if (text !== "true" && text !== "false") throw new BrokerError(`${name}=${text}: it must be true or false`);
  return text === "true";
}

function wholeNumber(query: URLSearchParams, name: string, without: number, min: number, max: number): number {
  const text = query.get(name);
  if (text === null) return without;
  const number = /^[0-9]{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (!(number >= min && number <= max)) {
    throw new BrokerError(`${name}=${text}: it must be a whole number from ${min} to ${max}`);
  }
  return number;
}

function decoded(text: string, what: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new BrokerError(
      `${what} in the URL of RabbitMQ has a "%" that begins no escape; write %25 for a percent sign`,
    );
  }
}
