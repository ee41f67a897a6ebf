import { createServer } from "node:http";
import { createdAtMs, plainOrder } from "../protocol/order.ts";
import { portOf, serving } from "../protocol/serve.ts";

const prefix = "/orders/";

const server = createServer((request, response) => {
  const path = request.url ?? "";
  if (request.method !== "GET" || !path.startsWith(prefix)) {
    response.writeHead(404).end();
    return;
  }
  const order = { ...plainOrder(decodeURIComponent(path.slice(prefix.length))), createdAt: `${createdAtMs}` };
  const body = JSON.stringify(order);
  response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) }).end(body);
});
server.listen(0, "127.0.0.1", () => serving(portOf(server)));
