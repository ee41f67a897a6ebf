/** The client without retries, budget, breaker, ejection and throttle. */
import { createChannel, createClient } from "../../../src/exports/index.ts";
import { OrderService } from "../../gen/bench_pb.ts";
import { drive, type Load, type LoadOptions, unary } from "../protocol/drive.ts";
import { checkOrder, orderId } from "../protocol/order.ts";

function getOrder({ port }: LoadOptions): Load {
  const client = createClient(OrderService, createChannel(`127.0.0.1:${port}`), { policy: false });
  const get = () => client.getOrder({ orderId });
  return { check: async () => checkOrder(await get()), step: unary(get) };
}

await drive({ "unary-64": getOrder });
