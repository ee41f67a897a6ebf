import { createServer, implement } from "../../../src/exports/index.ts";
import { OrderService } from "../../gen/bench_pb.ts";
import { OrderRestService } from "../../gen/bench_rest_pb.ts";
import { createdAtMs, plainOrder } from "../protocol/order.ts";
import { serving } from "../protocol/serve.ts";

const order = (id: string) => ({ ...plainOrder(id), createdAt: BigInt(createdAtMs) });

const server = createServer({
  services: [
    implement(OrderService, {
      getOrder: request => order(request.orderId),
      echo: request => ({ payload: request.payload }),
      async *streamOrders(request) {
        for (let sent = 1; sent <= request.count; sent++) yield order(`order-${sent}`);
      },
      async *watch(_request, call) {
        await new Promise(resolve => call.signal.addEventListener("abort", resolve));
      },
    }),
    implement(OrderRestService, { getOrder: request => order(request.orderId) }),
  ],
});
const { port } = await server.listen({ port: 0, host: "127.0.0.1" });
serving(port);
