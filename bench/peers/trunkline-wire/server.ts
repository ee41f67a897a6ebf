// What the layers below calls cost by themselves: HTTP and codecs are trunkline's, the few lines of gRPC are written here,
// without deadlines, interceptors, metadata or limits. Not what a user runs; a floor for the peer `trunkline`.
import { binaryCodec, jsonCodec } from "../../../src/contract/index.ts";
import { type BodyReceiver, constantField, type ServerExchange } from "../../../src/wire/exchange.ts";
import { listen } from "../../../src/wire/transport/index.ts";
import {
  EchoMessageSchema,
  GetOrderRequestSchema,
  OrderSchema,
  StreamOrdersRequestSchema,
} from "../../gen/bench_pb.ts";
import { createdAtMs, plainOrder } from "../protocol/order.ts";
import { serving } from "../protocol/serve.ts";
import { MessageReader, sendLarge, sendMessage } from "./messages.ts";

const getRequests = binaryCodec(GetOrderRequestSchema);
const streamRequests = binaryCodec(StreamOrdersRequestSchema);
const echoes = binaryCodec(EchoMessageSchema);
const orders = binaryCodec(OrderSchema);
const orderTexts = jsonCodec(OrderSchema);

const grpcHead = [constantField("content-type", "application/grpc")];
const jsonHead = [constantField("content-type", "application/json")];
const grpcTrailers = [constantField("grpc-status", "0")];

const order = (id: string) => ({ ...plainOrder(id), createdAt: BigInt(createdAtMs) });

type Answer = (bytes: Buffer, from: number, to: number) => void;

function serve(exchange: ServerExchange, answer: Answer, writable: () => void = () => {}): BodyReceiver {
  const reader = new MessageReader();
  return {
    data(chunk, start, end) {
      reader.read(chunk, start, end, answer);
      exchange.consumed(end - start);
    },
    ended() {},
    aborted() {},
    writable,
  };
}

/** Handlers are asynchronous in any real server: the answer leaves in a later microtask. */
async function answerOrder(exchange: ServerExchange, id: string): Promise<void> {
  const message = await handleGetOrder(id);
  exchange.sendHead(200, grpcHead, false);
  sendMessage(exchange, orders, message, false);
  exchange.sendTrailers(grpcTrailers);
}

const handleGetOrder = async (id: string) => order(id);

function streamOrders(exchange: ServerExchange): BodyReceiver {
  let count = 0;
  let sent = 0;
  const send = () => {
    while (sent < count && exchange.isWritable) sendMessage(exchange, orders, order(`order-${++sent}`), false);
    if (sent === count) exchange.sendTrailers(grpcTrailers);
  };
  const start: Answer = (bytes, from, to) => {
    count = streamRequests.decode(bytes, from, to).count;
    exchange.sendHead(200, grpcHead, false);
    send();
  };
  return serve(exchange, start, () => {
    if (sent < count) send();
  });
}

function receiverOf(exchange: ServerExchange): BodyReceiver {
  switch (exchange.path.value) {
    case "/bench.OrderService/GetOrder":
      return serve(
        exchange,
        (bytes, from, to) => void answerOrder(exchange, getRequests.decode(bytes, from, to).orderId),
      );
    case "/bench.OrderService/StreamOrders":
      return streamOrders(exchange);
    case "/bench.OrderService/Echo":
      return serve(exchange, (bytes, from, to) => {
        const { payload } = echoes.decode(bytes, from, to);
        exchange.sendHead(200, grpcHead, false);
        sendLarge(exchange, echoes, { payload }, payload.length, false);
        exchange.sendTrailers(grpcTrailers);
      });
    case "/bench.OrderService/Watch":
      return serve(exchange, () => exchange.sendHead(200, grpcHead, false));
    default:
      return rest(exchange);
  }
}

function rest(exchange: ServerExchange): BodyReceiver {
  return {
    data: (_chunk, start, end) => exchange.consumed(end - start),
    async ended() {
      const message = await handleGetOrder(exchange.path.value.slice("/orders/".length));
      exchange.respond(200, jsonHead, orderTexts.encode(message));
    },
    aborted() {},
    writable() {},
  };
}

const listener = await listen({
  host: "127.0.0.1",
  port: 0,
  handler: exchange => {
    exchange.receiver = receiverOf(exchange);
  },
});
serving(listener.port);
