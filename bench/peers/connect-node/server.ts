import { createServer } from "node:http2";
import type { ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { OrderService } from "../../gen/bench_pb.ts";
import { createdAtMs, plainOrder } from "../protocol/order.ts";
import { portOf, serving } from "../protocol/serve.ts";

const order = (id: string) => ({ ...plainOrder(id), createdAt: BigInt(createdAtMs) });

const routes = (router: ConnectRouter) =>
  router.service(OrderService, {
    getOrder: request => order(request.orderId),
    echo: request => ({ payload: request.payload }),
    async *streamOrders(request) {
      for (let sent = 1; sent <= request.count; sent++) yield order(`order-${sent}`);
    },
    async *watch(_request, context) {
      await new Promise(resolve => context.signal.addEventListener("abort", resolve));
    },
  });

const server = createServer(connectNodeAdapter({ routes }));
server.listen(0, "127.0.0.1", () => serving(portOf(server)));
