/** The server without what keeps it from an overload. */
import { createServer, implement } from "../../../src/exports/index.ts";
import { OrderService } from "../../gen/bench_pb.ts";
import { createdAtMs, plainOrder } from "../protocol/order.ts";
import { serving } from "../protocol/serve.ts";

const server = createServer({
  overload: false,
  services: [
    implement(OrderService, {
      getOrder: request => ({ ...plainOrder(request.orderId), createdAt: BigInt(createdAtMs) }),
    }),
  ],
});
const { port } = await server.listen({ port: 0, host: "127.0.0.1" });
serving(port);
