import { after, describe } from "node:test";
import { brokerConformance } from "../../src/events/conformance/index.ts";
import { type Kafka, skipWithoutOwn, startKafka, uniqueName } from "../servers/index.ts";
import { closeProxies, connectKillable, cutConnections, kill, publishPlain } from "./kafka-harness.ts";

/** Fewer partitions than usual: with hundreds of topics a restart takes long. */
const config = {
  "num.partitions": "2",
  "group.consumer.session.timeout.ms": "3000",
  "group.consumer.min.session.timeout.ms": "1000",
  "group.consumer.heartbeat.interval.ms": "500",
  "group.consumer.min.heartbeat.interval.ms": "500",
};

/** The conformance suite on a Kafka of its own: a file for each protocol, because most of it waits for the server. */
export function kafkaConformance(protocol: "classic" | "consumer"): void {
  describe(`events on Kafka, ${protocol} protocol`, { skip: skipWithoutOwn("kafka") }, () => {
    let server: Promise<Kafka> | undefined;
    const kafka = () => {
      server ??= startKafka({ config });
      return server;
    };
    after(async () => {
      await closeProxies();
      await (await server)?.stop();
    });
    const settings = { kafka: protocol === "classic" ? { protocol, sessionTimeoutMs: 3_000 } : { protocol } };
    brokerConformance({
      name: `Kafka, ${protocol} protocol`,
      uniqueName,
      inOrder: settings,
      shared: settings,
      waitMs: 40_000,
      connect: async options => connectKillable((await kafka()).url, options),
      kill,
      cutConnections,
      publishPlain: async (topic, record) => publishPlain((await kafka()).url, topic, record),
      restart: async () => {
        await (await kafka()).restart();
      },
    });
  });
}
