import { after, describe } from "node:test";
import { brokerConformance } from "../../src/events/conformance/index.ts";
import { type Kafka, skipWithoutOwn, startKafka, uniqueName } from "../servers/index.ts";
import { connectKillable, kill } from "./kafka-harness.ts";

describe("events on Kafka", { skip: skipWithoutOwn("kafka") }, () => {
  let server: Promise<Kafka> | undefined;
  const kafka = () => {
    server ??= startKafka({ config: { "num.partitions": "4", "group.min.session.timeout.ms": "1000" } });
    return server;
  };
  after(async () => (await server)?.stop());
  const settings = { kafka: { sessionTimeoutMs: 3_000 } };
  brokerConformance({
    name: "Kafka",
    uniqueName,
    inOrder: settings,
    shared: settings,
    waitMs: 30_000,
    connect: async options => connectKillable((await kafka()).url, options),
    kill,
    restart: async () => {
      await (await kafka()).restart();
    },
  });
});
