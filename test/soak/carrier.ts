import { join } from "node:path";
import type { SubscribeOptions } from "../../src/exports/events.ts";
import { FaultProxy } from "../faults/fault-proxy.ts";
import { type OwnServer, skipWithoutOwn, startKafka, startRabbitmq } from "../servers/index.ts";

export const carrierNames = ["embedded", "rabbitmq", "kafka"] as const;
export type CarrierName = (typeof carrierNames)[number];

/** A broker under test, and what can be done to it. */
export interface Carrier extends AsyncDisposable {
  readonly name: CarrierName;
  /** For everybody who takes part; leads through the proxy where there is one. */
  readonly url: string;
  /** Absent where the broker is a file: nothing lies between it and us. */
  readonly proxy?: FaultProxy;
  readonly server?: OwnServer;
  readonly groups: readonly ConsumingGroup[];
  /** A member that says nothing for so long loses what it holds. */
  readonly leaseMs: number;
}

export interface ConsumingGroup {
  readonly name: string;
  readonly members: number;
  /** Whether the broker has promised that keys keep their order for this group. */
  readonly keepsOrder: boolean;
  /** Whether its handlers take several events at once. */
  readonly takesBatches?: boolean;
  /** Serialised for the members' processes. */
  readonly options: Pick<SubscribeOptions, "rabbitmq" | "kafka" | "order">;
}

/** Short, so that members are often taken for dead while they are not. */
const leaseMs = 3_000;

/** @returns why the broker cannot be had here, or `false` */
export function whyNot(name: CarrierName): string | false {
  return name === "embedded" ? false : skipWithoutOwn(name);
}

/** @param folder for what is kept in files */
export function startCarrier(name: CarrierName, folder: string): Promise<Carrier> {
  switch (name) {
    case "embedded":
      return embedded(folder);
    case "rabbitmq":
      return rabbitmq();
    case "kafka":
      return kafka();
    default:
      return name satisfies never;
  }
}

async function embedded(folder: string): Promise<Carrier> {
  return {
    name: "embedded",
    url: `sqlite:${join(folder, "events.db")}?leaseMs=${leaseMs}`,
    leaseMs,
    groups: [
      { name: "judge", members: 3, keepsOrder: true, options: {} },
      { name: "second", members: 1, keepsOrder: true, options: {} },
      { name: "batches", members: 2, keepsOrder: true, takesBatches: true, options: {} },
    ],
    async [Symbol.asyncDispose]() {},
  };
}

async function rabbitmq(): Promise<Carrier> {
  const server = await startRabbitmq();
  const address = new URL(server.url.replace(/^amqp:/, "http:"));
  const proxy = await FaultProxy.start({ port: Number(address.port) });
  return {
    name: "rabbitmq",
    url: `amqp://${address.username}:${address.password}@127.0.0.1:${proxy.port}`,
    proxy,
    server,
    leaseMs,
    groups: [
      { name: "judge", members: 3, keepsOrder: true, options: { rabbitmq: { singleActiveConsumer: true } } },
      // Competing consumers of one queue, as by default.
      { name: "second", members: 2, keepsOrder: false, options: {} },
      {
        name: "batches",
        members: 2,
        keepsOrder: true,
        takesBatches: true,
        options: { rabbitmq: { singleActiveConsumer: true } },
      },
    ],
    [Symbol.asyncDispose]: () => disposeAll(proxy, server),
  };
}

async function kafka(): Promise<Carrier> {
  // The address that Kafka tells its clients to go to is the proxy's.
  const proxy = await FaultProxy.start();
  const server = await startKafka({ config: { "advertised.listeners": `PLAINTEXT://127.0.0.1:${proxy.port}` } });
  proxy.aim({ port: Number(new URL(server.url.replace(/^kafka:/, "http:")).port) });
  const options = { kafka: { sessionTimeoutMs: leaseMs } };
  return {
    name: "kafka",
    url: `kafka://127.0.0.1:${proxy.port}`,
    proxy,
    server,
    leaseMs,
    groups: [
      { name: "judge", members: 3, keepsOrder: true, options },
      { name: "second", members: 1, keepsOrder: true, options },
      { name: "batches", members: 2, keepsOrder: true, takesBatches: true, options },
    ],
    [Symbol.asyncDispose]: () => disposeAll(proxy, server),
  };
}

async function disposeAll(...all: readonly AsyncDisposable[]): Promise<void> {
  for (const one of all) await one[Symbol.asyncDispose]();
}
