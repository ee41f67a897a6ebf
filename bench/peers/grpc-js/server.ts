import * as grpc from "@grpc/grpc-js";
import { createdAtMs, plainOrder } from "../protocol/order.ts";
import { serving } from "../protocol/serve.ts";
import { channelOptions, OrderService } from "./contract.ts";

const order = (id: string) => ({ ...plainOrder(id), createdAt: createdAtMs });

interface Call {
  readonly request: { orderId: string; count: number; payload: Buffer };
  readonly cancelled: boolean;
}
interface StreamCall extends Call {
  write(message: object): boolean;
  end(): void;
  once(event: "drain", resume: () => void): void;
}
type Answer = (error: null, response: object) => void;

const server = new grpc.Server(channelOptions);
server.addService(OrderService.service, {
  getOrder: (call: Call, answer: Answer) => answer(null, order(call.request.orderId)),
  echo: (call: Call, answer: Answer) => answer(null, { payload: call.request.payload }),
  watch: () => {},
  streamOrders: (call: StreamCall) => {
    let sent = 0;
    const send = () => {
      while (sent < call.request.count && !call.cancelled) {
        sent++;
        if (!call.write(order(`order-${sent}`))) {
          call.once("drain", send);
          return;
        }
      }
      call.end();
    };
    send();
  },
});
server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  serving(port);
});
