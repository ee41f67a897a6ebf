import { BrokerError } from "../../errors.ts";
import type { Address } from "./wire.ts";

/** What a URL such as `kafka://user:password@h1:9092,h2?tls=true&sasl=scram-sha-256` says. */
export interface KafkaUrl {
  readonly brokers: readonly [Address, ...Address[]];
  readonly tls: { readonly ca: string | undefined } | undefined;
  readonly sasl: Sasl | undefined;
}

export type Sasl =
  | {
      readonly mechanism: "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512";
      readonly username: string;
      readonly password: string;
    }
  /** `undefined`: the token comes from the options. */
  | { readonly mechanism: "OAUTHBEARER"; readonly token: string | undefined };

const defaultPort = 9_092;
const mechanisms = ["plain", "scram-sha-256", "scram-sha-512", "oauthbearer"] as const;
const parameters: Readonly<Record<string, string>> = {
  tls: "true or false",
  ca: "path of a PEM file with the root certificates",
  sasl: mechanisms.join(", "),
};
const example = "kafka://user:password@host1:9092,host2?tls=true&sasl=scram-sha-256";

/** Several hosts are not allowed by the generic syntax of URLs, so that it is taken apart here. @throws BrokerError */
export function parseKafkaUrl(url: string): KafkaUrl {
  const parts = /^kafka:\/\/(?:([^@/?#]*)@)?([^/?#@]*)\/?(?:\?([^#]*))?$/i.exec(url);
  // The URL may have a password, so that it is not repeated.
  if (parts === null) throw new BrokerError(`kafka: the URL cannot be understood; it looks like ${example}`);
  const [, user, hosts = "", query = ""] = parts;
  const brokers = hosts.split(",").map(addressFrom);
  const [first, ...others] = brokers as [Address, ...Address[]];
  const given = parametersFrom(query);
  const tls = given.get("tls") ?? (given.has("ca") ? "true" : "false");
  if (tls !== "true" && tls !== "false") {
    throw new BrokerError(`kafka: tls is ${JSON.stringify(tls)} in the URL; it must be true or false`);
  }
  if (tls === "false" && given.has("ca"))
    throw new BrokerError("kafka: the URL has ca, but tls=false; remove one of them");
  return {
    brokers: [first, ...others],
    tls: tls === "true" ? { ca: given.get("ca") } : undefined,
    sasl: saslFrom(user, given.get("sasl")),
  };
}

function addressFrom(text: string): Address {
  const parts = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?$/i.exec(text);
  const port = parts?.[2] === undefined ? defaultPort : Number(parts[2]);
  if (parts === null || port < 1 || port > 65_535) {
    throw new BrokerError(`kafka: ${JSON.stringify(text)} is no host of a URL such as ${example}`);
  }
  return { host: (parts[1] as string).replace(/^\[|\]$/g, ""), port };
}

function parametersFrom(query: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(query)) {
    if (parameters[name] === undefined || !Object.hasOwn(parameters, name)) {
      const known = Object.entries(parameters).map(([one, meaning]) => `${one} (${meaning})`);
      throw new BrokerError(
        `kafka: the URL has the unknown parameter ${JSON.stringify(name)}; known are ${known.join("; ")}`,
      );
    }
    if (found.has(name)) throw new BrokerError(`kafka: the URL has the parameter ${name} twice`);
    found.set(name, value);
  }
  return found;
}

function saslFrom(user: string | undefined, sasl: string | undefined): Sasl | undefined {
  if (user === undefined && sasl === undefined) return undefined;
  const mechanism = (sasl ?? "plain").toLowerCase();
  if (!(mechanisms as readonly string[]).includes(mechanism)) {
    throw new BrokerError(
      `kafka: sasl is ${JSON.stringify(sasl)} in the URL; it must be one of ${mechanisms.join(", ")}`,
    );
  }
  const [name = "", password = ""] = (user ?? "").split(/:(.*)/s).map(decoded);
  if (mechanism === "oauthbearer") {
    const token = password === "" ? name : password;
    return { mechanism: "OAUTHBEARER", token: token === "" ? undefined : token };
  }
  if (name === "" || password === "") {
    throw new BrokerError(`kafka: sasl=${mechanism} needs a user and a password in the URL, as in ${example}`);
  }
  return {
    mechanism: mechanism.toUpperCase() as "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512",
    username: name,
    password,
  };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new BrokerError("kafka: user or password of the URL has a % that is not followed by two hexadecimal digits");
  }
}
