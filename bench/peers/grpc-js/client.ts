import * as grpc from "@grpc/grpc-js";
import { drive, type Load, type LoadOptions, unary } from "../protocol/drive.ts";
import { checkEcho, checkOrder, echoPayload, orderId, ordersPerStream } from "../protocol/order.ts";
import { channelOptions, OrderService } from "./contract.ts";

const connect = ({ port }: LoadOptions) =>
  new OrderService(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), channelOptions);

// biome-ignore lint/suspicious/noExplicitAny: grpc-js builds its clients at run time
const call = <T>(client: any, method: string, request: object) =>
  new Promise<T>((resolve, reject) =>
    client[method](request, (error: Error | null, response: T) => (error === null ? resolve(response) : reject(error))),
  );

function getOrder(options: LoadOptions): Load {
  const client = connect(options);
  const get = () => call<{ orderId: string; items: unknown[] }>(client, "getOrder", { orderId });
  return { check: async () => checkOrder(await get()), step: unary(get) };
}

function echo(options: LoadOptions): Load {
  const client = connect(options);
  const payload = echoPayload();
  const get = () => call<{ payload: Buffer }>(client, "echo", { payload });
  return { check: async () => checkEcho((await get()).payload), step: unary(get) };
}

function stream(options: LoadOptions): Load {
  const client = connect(options);
  const read = (count: number, received: () => void) =>
    new Promise<void>((resolve, reject) => {
      const orders = client.streamOrders({ count });
      orders.on("data", received);
      orders.on("end", resolve);
      orders.on("error", reject);
    });
  return {
    check: async () => {
      let count = 0;
      await read(10, () => {
        count++;
      });
      if (count !== 10) throw new Error(`${count} orders instead of 10`);
    },
    step: received => read(ordersPerStream, received),
  };
}

await drive({ "unary-64": getOrder, "unary-1": getOrder, "server-stream": stream, "echo-1mib": echo });
