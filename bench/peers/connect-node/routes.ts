import type { ConnectRouter } from "@connectrpc/connect";
import { OrderService } from "../../gen/bench_pb.ts";
import { createdAtMs, plainOrder } from "../protocol/order.ts";

const order = (id: string) => ({ ...plainOrder(id), createdAt: BigInt(createdAtMs) });

/** A router as an application has it: served by connect-node, and as it is by trunkline. */
export const routes = (router: ConnectRouter) =>
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
