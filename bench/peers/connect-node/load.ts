import { createClient, type Transport } from "@connectrpc/connect";
import { OrderService } from "../../gen/bench_pb.ts";
import { drive, type Load, type LoadOptions, unary } from "../protocol/drive.ts";
import { checkEcho, checkOrder, echoPayload, orderId, ordersPerStream } from "../protocol/order.ts";

/** The scenarios with connect-es's client over a transport. */
export function driveTransport(transportOf: (options: LoadOptions) => Transport): Promise<void> {
  const connect = (options: LoadOptions) => createClient(OrderService, transportOf(options));

  function getOrder(options: LoadOptions): Load {
    const client = connect(options);
    const get = () => client.getOrder({ orderId });
    return { check: async () => checkOrder(await get()), step: unary(get) };
  }

  function echo(options: LoadOptions): Load {
    const client = connect(options);
    const payload = echoPayload();
    const get = () => client.echo({ payload });
    return { check: async () => checkEcho((await get()).payload), step: unary(get) };
  }

  function stream(options: LoadOptions): Load {
    const client = connect(options);
    const read = async (count: number, received: () => void) => {
      for await (const _ of client.streamOrders({ count })) received();
    };
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

  return drive({
    "unary-64": getOrder,
    "unary-1": getOrder,
    "server-stream": stream,
    "echo-1mib": echo,
    "connect-client-64": getOrder,
  });
}
