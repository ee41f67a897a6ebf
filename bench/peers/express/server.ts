// NODE_ENV=production is set by peer.json, as Express's page on performance asks for.
import express from "express";
import { createdAtMs, plainOrder } from "../protocol/order.ts";
import { portOf, serving } from "../protocol/serve.ts";

const app = express();
app.get("/orders/:orderId", (request, response) => {
  response.json({ ...plainOrder(request.params.orderId), createdAt: `${createdAtMs}` });
});
const server = app.listen(0, "127.0.0.1", () => serving(portOf(server)));
