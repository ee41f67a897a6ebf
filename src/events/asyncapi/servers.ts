import { parseEmbeddedUrl } from "../brokers/embedded/url.ts";
import { parseKafkaUrl } from "../brokers/kafka/url.ts";
import { parseAddress } from "../brokers/rabbitmq/address.ts";
import { BrokerError } from "../errors.ts";
import type { SecuritySchemeObject, ServerObject } from "./asyncapi.ts";
import type { AsyncApiServer } from "./options.ts";
import { referenceTo } from "./pointer.ts";
import { uniqueName } from "./unique-name.ts";

/** What a document says for one protocol only. */
export type Protocol = "amqp" | "kafka" | "other";

export interface DocumentedServers {
  /** By name; of a URL with several hosts the second is `name-2`. */
  readonly servers: Readonly<Record<string, ServerObject>>;
  readonly securitySchemes: Readonly<Record<string, SecuritySchemeObject>>;
  readonly protocols: ReadonlySet<Protocol>;
  /** Of RabbitMQ, where all servers have the same. */
  readonly vhost: string | undefined;
}

interface Found {
  readonly protocol: Protocol;
  readonly servers: readonly ServerObject[];
  readonly scheme: readonly [name: string, scheme: SecuritySchemeObject] | undefined;
  readonly vhost?: string;
}

/**
 * Servers of a document from URLs of brokers: hosts and ports, whether there is TLS, and how one logs in; users, passwords, tokens
 * and paths of files are left out.
 * @throws BrokerError for a name or a URL that means nothing
 */
export function documentedServers(given: Readonly<Record<string, string | AsyncApiServer>>): DocumentedServers {
  const servers = new Map<string, ServerObject>();
  const schemes = new Map<string, SecuritySchemeObject>();
  const found: Found[] = [];
  for (const [name, value] of Object.entries(given)) {
    if (!/^[A-Za-z0-9_-]{1,100}$/.test(name)) {
      // It may be a URL in the wrong place, with a password.
      throw new BrokerError(
        "asyncapi: the name of a server must be 1 to 100 of A-Z a-z 0-9 _ -, as in { production: url }",
      );
    }
    if (value === undefined) continue;
    const { url, description } = isObject(value) ? value : { url: value, description: undefined };
    const one = serversOf(name, url);
    found.push(one);
    if (one.scheme !== undefined) schemes.set(...one.scheme);
    for (const server of one.servers) {
      servers.set(
        uniqueName(name, taken => servers.has(taken) || (taken !== name && Object.hasOwn(given, taken)), "-"),
        {
          ...server,
          ...(description === undefined ? {} : { description }),
          ...(one.scheme === undefined
            ? {}
            : { security: [referenceTo("components", "securitySchemes", one.scheme[0])] }),
        },
      );
    }
  }
  const vhosts = new Set(found.flatMap(({ vhost }) => (vhost === undefined ? [] : [vhost])));
  return {
    servers: Object.fromEntries(servers),
    securitySchemes: Object.fromEntries([...schemes].sort(([one], [other]) => (one < other ? -1 : 1))),
    protocols: new Set(found.map(({ protocol }) => protocol)),
    vhost: vhosts.size === 1 ? [...vhosts][0] : undefined,
  };
}

function isObject(value: string | AsyncApiServer): value is AsyncApiServer {
  return typeof value === "object" && value !== null;
}

function serversOf(name: string, url: string): Found {
  const scheme = /^[a-z][a-z0-9+.-]*:/i.exec(String(url))?.[0].toLowerCase();
  switch (scheme) {
    case "amqp:":
    case "amqps:":
      return rabbitmqServers(url);
    case "kafka:":
      return kafkaServers(url);
    case "sqlite:":
      // Where the file is concerns nobody who reads a document.
      parseEmbeddedUrl(url);
      return local("sqlite", "An SQLite file on the machine of the service.");
    case "memory:":
      return local("memory", "In the process of the service.");
    default:
      // The URL may have a password: only its scheme is repeated.
      throw new BrokerError(
        `asyncapi: the server ${name} has ${scheme === undefined ? "a URL without a scheme" : `the scheme "${scheme}"`}, which names no broker; URLs are those of connectBroker`,
      );
  }
}

function local(protocol: string, description: string): Found {
  return { protocol: "other", servers: [{ host: "localhost", protocol, description }], scheme: undefined };
}

function rabbitmqServers(url: string): Found {
  // Files that the URL names, such as certificates, are not read.
  const { endpoints } = parseAddress(url, () => new Uint8Array());
  const [first] = endpoints;
  const vhost = first?.vhost ?? "/";
  return {
    protocol: "amqp",
    vhost,
    servers: endpoints.map(({ host, port, tls }) => ({
      host: hostAndPort(host, port),
      protocol: tls === undefined ? "amqp" : "amqps",
      protocolVersion: "0.9.1",
      pathname: `/${encodeURIComponent(vhost)}`,
    })),
    scheme:
      first?.login.mechanism === "EXTERNAL" ? ["X509", { type: "X509" }] : ["userPassword", { type: "userPassword" }],
  };
}

function kafkaServers(url: string): Found {
  const { brokers, tls, sasl } = parseKafkaUrl(url);
  return {
    protocol: "kafka",
    servers: brokers.map(({ host, port }) => ({
      host: hostAndPort(host, port),
      protocol: tls === undefined ? "kafka" : "kafka-secure",
    })),
    scheme: sasl && saslSchemes[sasl.mechanism],
  };
}

const saslSchemes = {
  PLAIN: ["plain", { type: "plain" }],
  "SCRAM-SHA-256": ["scramSha256", { type: "scramSha256" }],
  "SCRAM-SHA-512": ["scramSha512", { type: "scramSha512" }],
  OAUTHBEARER: ["oauthBearer", { type: "http", scheme: "bearer" }],
} as const;

function hostAndPort(host: string, port: number): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}
