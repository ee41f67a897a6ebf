import { ServiceBroker } from "moleculer";
import { drive, type Load, type LoadOptions, unary } from "../protocol/drive.ts";
import { checkOrder, orderId } from "../protocol/order.ts";

async function getOrder({ port }: LoadOptions): Promise<Load> {
  const nodeID = `client-${process.pid}`;
  const broker = new ServiceBroker({
    nodeID,
    logger: false,
    transporter: {
      type: "TCP",
      options: { udpDiscovery: false, urls: [`127.0.0.1:${port}/server`, `127.0.0.1:0/${nodeID}`] },
    },
  });
  await broker.start();
  await broker.waitForServices("orders", 10_000);
  const get = () => broker.call<{ orderId: string; items: unknown[] }, object>("orders.get", { orderId });
  return { check: async () => checkOrder(await get()), step: unary(get) };
}

await drive({ "unary-64": getOrder, "unary-1": getOrder });
