import fastify from "fastify";
import { createdAtMs, plainOrder } from "../protocol/order.ts";
import { portOf, serving } from "../protocol/serve.ts";

/** What our contract's rules say. */
const params = { type: "object", properties: { orderId: { type: "string", minLength: 1, maxLength: 64 } } };

/** With a response schema: Fastify's documentation names it the fastest way to serialize. */
const order = {
  type: "object",
  properties: {
    orderId: { type: "string" },
    customerId: { type: "string" },
    items: {
      type: "array",
      items: {
        type: "object",
        properties: { productId: { type: "string" }, quantity: { type: "integer" }, price: { type: "number" } },
      },
    },
    status: { type: "integer" },
    createdAt: { type: "string" },
  },
};

const app = fastify({ logger: false });
app.get<{ Params: { orderId: string } }>(
  "/orders/:orderId",
  { schema: { params, response: { 200: order } } },
  (request, reply) => {
    reply.send({ ...plainOrder(request.params.orderId), createdAt: `${createdAtMs}` });
  },
);
await app.listen({ port: 0, host: "127.0.0.1" });
serving(portOf(app.server));
