import { basename, dirname } from "node:path";
import { silentObserver, systemPlatform } from "../platform/index.ts";
import type { Broker, BrokerOptions } from "./broker.ts";
import { createBroker } from "./create-broker.ts";
import type { ConnectDriver } from "./driver.ts";
import { BrokerError } from "./errors.ts";
import { EventIds } from "./event-id.ts";

/** How the driver of a scheme is loaded: only when it is asked for, because clients of brokers are large and optional. */
interface Scheme {
  readonly load: () => Promise<ConnectDriver>;
  /** The package that the driver needs beside this one. */
  readonly peer: string | undefined;
}

const rabbitmq: Scheme = {
  load: async () => (await import("./brokers/rabbitmq/index.ts")).connectRabbitmq,
  peer: "amqplib",
};

const schemes: Readonly<Record<string, Scheme>> = {
  "memory:": { load: async () => (await import("./brokers/memory/index.ts")).connectMemory, peer: undefined },
  "sqlite:": { load: async () => (await import("./brokers/embedded/index.ts")).connectEmbedded, peer: undefined },
  "amqp:": rabbitmq,
  "amqps:": rabbitmq,
  "kafka:": { load: async () => (await import("./brokers/kafka/index.ts")).connectKafka, peer: "@platformatic/kafka" },
};

const examples = `"memory:", "sqlite:./events.db", "amqp://user:password@host", "amqps://…", "kafka://host1,host2"`;

/**
 * Connects to the broker that a URL names. Resolves when it has been reached.
 *
 * ```ts
 * await using broker = await connectBroker("sqlite:./events.db");
 * ```
 * @throws BrokerError for a URL or an option that means nothing, for a broker that cannot be reached, and where a package
 * is missing that the broker needs
 */
export async function connectBroker(url: string, options: BrokerOptions = {}): Promise<Broker> {
  const scheme = /^[a-z][a-z0-9+.-]*:/i.exec(url)?.[0].toLowerCase();
  const known = scheme === undefined ? undefined : schemes[scheme];
  if (known === undefined) {
    // The URL may have a password: only its scheme is repeated.
    const given = scheme === undefined ? "a URL without a scheme" : `the scheme "${scheme}"`;
    throw new BrokerError(`connectBroker: ${given} names no broker; URLs are ${examples}`);
  }
  const platform = options.platform ?? systemPlatform;
  const source = options.source ?? sourceOf(process.argv[1]);
  const complete = { ...options, source, platform };
  const connect = await loaded(scheme as string, known);
  const observer = options.observer ?? silentObserver;
  const driver = await connect(url, { platform, observer, options: complete, ids: new EventIds(platform) });
  try {
    return createBroker(driver, complete);
  } catch (error) {
    await driver.close();
    throw error;
  }
}

async function loaded(scheme: string, { load, peer }: Scheme): Promise<ConnectDriver> {
  try {
    return await load();
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (peer !== undefined && code === "ERR_MODULE_NOT_FOUND" && message.includes(`'${peer}'`)) {
      throw new BrokerError(`connectBroker: ${scheme} needs the package ${peer}; run: npm install ${peer}`, { cause });
    }
    throw cause;
  }
}

/** CloudEvents' source of a process: the folder of its main module, `/order-service`. */
export function sourceOf(mainModule: string | undefined): string {
  const folder = mainModule === undefined ? "" : basename(dirname(mainModule));
  return `/${folder === "" ? "trunkline" : folder}`;
}
