import "reflect-metadata";
import { createServer } from "node:net";
import { Controller, Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { MessagePattern, Transport } from "@nestjs/microservices";
import { createdAtMs, plainOrder } from "../protocol/order.ts";
import { portOf, serving } from "../protocol/serve.ts";

class OrderController {
  getOrder(request: { orderId: string }) {
    return { ...plainOrder(request.orderId), createdAt: createdAtMs };
  }
}
class OrderModule {}

// Decorators applied by hand: Node runs TypeScript by erasing types, and decorators are not types.
Controller()(OrderController);
const getOrder = Object.getOwnPropertyDescriptor(OrderController.prototype, "getOrder");
MessagePattern("getOrder")(OrderController.prototype, "getOrder", getOrder as PropertyDescriptor);
Reflect.defineMetadata("design:paramtypes", [Object], OrderController.prototype, "getOrder");
Module({ controllers: [OrderController] })(OrderModule);

const port = await freePort();
const app = await NestFactory.createMicroservice(OrderModule, {
  transport: Transport.TCP,
  options: { host: "127.0.0.1", port },
  logger: false,
});
await app.listen();
serving(port);

/** Nest does not tell which port it got when asked for 0. */
function freePort(): Promise<number> {
  return new Promise(resolve => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const free = portOf(probe);
      probe.close(() => resolve(free));
    });
  });
}
