import { createServer } from "node:net";
import { ServiceBroker } from "moleculer";
import { createdAtMs, plainOrder } from "../protocol/order.ts";
import { portOf, serving } from "../protocol/serve.ts";

const port = await freePort();
const broker = new ServiceBroker({
  nodeID: "server",
  logger: false,
  transporter: { type: "TCP", options: { udpDiscovery: false, port, urls: [`127.0.0.1:${port}/server`] } },
});
broker.createService({
  name: "orders",
  actions: {
    get: (context: { params: { orderId: string } }) => ({
      ...plainOrder(context.params.orderId),
      createdAt: createdAtMs,
    }),
  },
});
await broker.start();
serving(port);

/** A node's own port must be known before it starts: it is part of its list of nodes. */
function freePort(): Promise<number> {
  return new Promise(resolve => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const free = portOf(probe);
      probe.close(() => resolve(free));
    });
  });
}
