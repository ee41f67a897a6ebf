import "reflect-metadata";
import { ClientProxyFactory, Transport } from "@nestjs/microservices";
import { firstValueFrom } from "rxjs";
import { drive, type Load, type LoadOptions, unary } from "../protocol/drive.ts";
import { checkOrder, orderId } from "../protocol/order.ts";

async function getOrder({ port }: LoadOptions): Promise<Load> {
  const client = ClientProxyFactory.create({ transport: Transport.TCP, options: { host: "127.0.0.1", port } });
  await client.connect();
  const get = () => firstValueFrom(client.send<{ orderId: string; items: unknown[] }>("getOrder", { orderId }));
  return { check: async () => checkOrder(await get()), step: unary(get) };
}

await drive({ "unary-64": getOrder, "unary-1": getOrder });
