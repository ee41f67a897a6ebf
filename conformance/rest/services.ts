import { createServer, idempotency, implement, memoryIdempotencyStore, RpcError, type Server } from "trunkline";
import { customerHandlers } from "../../examples/shop/src/customers/customer-service.ts";
import { CustomerService } from "../../examples/shop/src/gen/customer/customer_pb.ts";
import { OrderService } from "../../examples/shop/src/gen/order/order_pb.ts";
import { orderHandlers } from "../../examples/shop/src/orders/order-service.ts";
import { OrderStore } from "../../examples/shop/src/orders/order-store.ts";
import { openDatabase } from "../../examples/shop/src/processes/database.ts";
import { Streams, Things } from "../../test/gen/transcoding/v1/transcoding_pb.ts";

/** What is judged: each service of the shop, and one with every kind of stream and rule. */
export const services: Readonly<Record<string, () => Server>> = {
  "order-service": () => {
    const getCustomer = customerHandlers().getCustomer;
    if (getCustomer === undefined) throw new Error("customer-service has no getCustomer");
    const customers = {
      getCustomer: async (request: { id?: string }) => getCustomer(request as never, undefined as never),
    };
    const store = new OrderStore(openDatabase(":memory:"));
    return createServer({
      services: [implement(OrderService, orderHandlers({ store, customers: customers as never }))],
      interceptors: [idempotency({ store: memoryIdempotencyStore() })],
    });
  },
  "customer-service": () => createServer({ services: [implement(CustomerService, customerHandlers())] }),
  things: () =>
    createServer({
      services: [
        implement(Things, {
          getThing: ({ thingId }) => {
            if (thingId.startsWith("x")) throw new RpcError("not_found", "there is no such thing");
            return { thingId };
          },
          makeThing: thing => thing,
        }),
        implement(Streams, {
          async *count({ to }) {
            for (let itemNumber = 1; itemNumber <= Math.min(to, 5); itemNumber++) yield { itemNumber };
          },
          async collect(items) {
            const texts: string[] = [];
            for await (const { note } of items) texts.push(note);
            return { texts };
          },
          async *chat(items) {
            yield* items;
          },
          async *download() {
            yield { contentType: "text/plain", data: new TextEncoder().encode("text") };
          },
          async sendPieces(pieces) {
            let bytes = 0;
            for await (const { file } of pieces) bytes += file?.data.length ?? 0;
            return { texts: [String(bytes)] };
          },
        }),
      ],
    }),
};
