import assert from "node:assert/strict";
import { after, before, describe } from "node:test";
import { connectRabbitmq } from "../../src/events/brokers/rabbitmq/index.ts";
import { brokerConformance } from "../../src/events/conformance/index.ts";
import { createBroker } from "../../src/events/create-broker.ts";
import { EventIds } from "../../src/events/event-id.ts";
import type { Broker } from "../../src/events/index.ts";
import { silentObserver, systemPlatform } from "../../src/platform/index.ts";
import { FaultProxy } from "../faults/fault-proxy.ts";
import { type Rabbitmq, skipWithoutOwn, startRabbitmq, uniqueName } from "../servers/index.ts";
import { foreign } from "./rabbitmq-driver.ts";

describe("RabbitMQ", { skip: skipWithoutOwn("rabbitmq") }, () => {
  let server: Rabbitmq;
  /** Between us and the server, one for each connection of the suite: so that each can be cut alone. */
  const proxies = new Map<Broker, FaultProxy>();
  before(async () => {
    server = await startRabbitmq();
  });
  after(async () => {
    for (const proxy of proxies.values()) await proxy[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  brokerConformance({
    name: "RabbitMQ",
    async connect(options = {}) {
      const address = new URL(server.url.replace(/^amqp/, "http"));
      const proxy = await FaultProxy.start({ port: Number(address.port) });
      // Cases publish types that nobody has subscribed to.
      const url = `amqp://${address.username}:${address.password}@127.0.0.1:${proxy.port}?mandatory=false`;
      const platform = options.platform ?? systemPlatform;
      const observer = options.observer ?? silentObserver;
      const driver = await connectRabbitmq(url, { platform, observer, options, ids: new EventIds(platform) });
      const broker = createBroker(driver, options);
      proxies.set(broker, proxy);
      return broker;
    },
    uniqueName,
    inOrder: { rabbitmq: { singleActiveConsumer: true } },
    async publishPlain(topic, { routingKey, body }) {
      await using producer = await foreign(server.url);
      await producer.publish(topic, routingKey, Buffer.from(body).toString("latin1"), "latin1");
    },
    async kill(broker) {
      const proxy = proxies.get(broker) ?? assert.fail();
      proxy.refuse();
      proxy.cut("reset");
    },
    async cutConnections() {
      for (const proxy of proxies.values()) proxy.cut("reset");
    },
    restart: () => server.restart(),
    waitMs: 30_000,
  });
});
