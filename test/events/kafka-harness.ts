import { Producer } from "@platformatic/kafka";
import { loadClient } from "../../src/events/brokers/kafka/client.ts";
import { KafkaDriver } from "../../src/events/brokers/kafka/driver.ts";
import { parseKafkaUrl } from "../../src/events/brokers/kafka/url.ts";
import type {
  Address,
  Channel,
  ClusterAnswer,
  CoordinatorAnswer,
  KafkaClient,
} from "../../src/events/brokers/kafka/wire.ts";
import type { PlainRecord } from "../../src/events/conformance/index.ts";
import { EventIds } from "../../src/events/event-id.ts";
import { type Broker, type BrokerOptions, createBroker } from "../../src/events/index.ts";
import { silentObserver, systemPlatform } from "../../src/platform/index.ts";
import { FaultProxy } from "../faults/fault-proxy.ts";

/** A client whose process can be killed, as far as the cluster can tell: connections close, nothing is said any more. */
class KillableClient implements KafkaClient {
  readonly crc32c: KafkaClient["crc32c"];
  readonly decompress: KafkaClient["decompress"];
  readonly #client: KafkaClient;
  readonly #proxy: Address;
  readonly #channels = new Set<Channel>();
  #isKilled = false;

  constructor(client: KafkaClient, proxy: Address) {
    this.#client = client;
    this.#proxy = proxy;
    this.crc32c = client.crc32c;
    this.decompress = client.decompress;
  }

  channel(requestTimeoutMs: number): Channel {
    const channel = this.#client.channel(requestTimeoutMs);
    if (this.#isKilled) void channel.close();
    else this.#channels.add(channel);
    return throughProxy(channel, this.#proxy);
  }

  async kill(): Promise<void> {
    this.#isKilled = true;
    await Promise.all([...this.#channels].map(channel => channel.close()));
  }
}

/** A channel whose broker addresses are all the proxy's. */
function throughProxy(channel: Channel, proxy: Address): Channel {
  return new Proxy(channel, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== "function") return member;
      return async (...args: unknown[]) => {
        const answer: unknown = await member.apply(target, args);
        if (name === "metadata") {
          const { brokers, topics } = answer as ClusterAnswer;
          return { topics, brokers: new Map([...brokers.keys()].map(id => [id, proxy])) };
        }
        return name === "findCoordinator" ? { ...(answer as CoordinatorAnswer), address: proxy } : answer;
      };
    },
  });
}

const proxies = new Map<string, Promise<FaultProxy>>();

/** One proxy before each server, which the conformance suite cuts. */
function proxyOf({ host, port }: Address): Promise<FaultProxy> {
  const key = `${host}:${port}`;
  let proxy = proxies.get(key);
  if (proxy === undefined) {
    proxy = FaultProxy.start({ port });
    proxies.set(key, proxy);
  }
  return proxy;
}

/** Cuts all connections of all brokers that were connected here. */
export async function cutConnections(): Promise<void> {
  for (const proxy of proxies.values()) (await proxy).cut("reset");
}

export async function closeProxies(): Promise<void> {
  for (const proxy of proxies.values()) await (await proxy)[Symbol.asyncDispose]();
  proxies.clear();
}

/** A producer that knows nothing of us: a key, a body, nothing else. */
export async function publishPlain(url: string, topic: string, { key, body }: PlainRecord): Promise<void> {
  const producer = new Producer({ clientId: "plain", bootstrapBrokers: [url.replace("kafka://", "")] });
  try {
    await producer.send({
      messages: [{ topic, value: Buffer.from(body), ...(key === undefined ? {} : { key: Buffer.from(key) }) }],
    });
  } finally {
    await producer.close();
  }
}

const clients = new WeakMap<Broker, KillableClient>();

/** A broker that can be killed and whose connections can be cut. */
export async function connectKillable(url: string, options: BrokerOptions = {}): Promise<Broker> {
  const parsed = parseKafkaUrl(url);
  const { port } = await proxyOf(parsed.brokers[0]);
  const proxy = { host: "127.0.0.1", port };
  const client = new KillableClient(await loadClient(parsed, "conformance", systemPlatform.clock), proxy);
  const complete = { source: "/conformance", createTopics: true, ...options };
  const platform = options.platform ?? systemPlatform;
  const observer = options.observer ?? silentObserver;
  const driver = new KafkaDriver(client, [proxy], {
    platform,
    observer,
    options: complete,
    ids: new EventIds(platform),
  });
  await driver.reach();
  const broker = createBroker(driver, complete);
  clients.set(broker, client);
  return broker;
}

export async function kill(broker: Broker): Promise<void> {
  await clients.get(broker)?.kill();
}
