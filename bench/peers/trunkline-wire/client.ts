import { type BinaryCodec, binaryCodec, jsonCodec } from "../../../src/contract/index.ts";
import { type ClientConnection, constantField, type RequestHead } from "../../../src/wire/exchange.ts";
import { type ConnectionPool, openPool } from "../../../src/wire/transport/index.ts";
import {
  EchoMessageSchema,
  GetOrderRequestSchema,
  OrderSchema,
  StreamOrdersRequestSchema,
} from "../../gen/bench_pb.ts";
import { drive, type Load, type LoadOptions, unary } from "../protocol/drive.ts";
import { checkEcho, checkOrder, echoPayload, orderId, ordersPerStream } from "../protocol/order.ts";
import { MessageReader, sendLarge } from "./messages.ts";

const fields = [constantField("content-type", "application/grpc"), constantField("te", "trailers")];

const headOf = (method: string, path: string): RequestHead => ({
  method: constantField(":method", method),
  scheme: constantField(":scheme", "http"),
  authority: constantField(":authority", "localhost"),
  path: constantField(":path", path),
});

interface Call {
  readonly head: RequestHead;
  readonly codec: BinaryCodec;
  readonly sizeHint: number;
}

function exchange(
  connection: ClientConnection,
  call: Call,
  request: object,
  message: (bytes: Buffer, from: number, to: number) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const reader = new MessageReader();
    const running = connection.request(
      call.head,
      fields,
      {
        head: status => {
          if (status !== 200) reject(new Error(`status ${status}`));
        },
        data(chunk, start, end) {
          reader.read(chunk, start, end, message);
          running.consumed(end - start);
        },
        ended(trailers) {
          const status = trailers?.get("grpc-status");
          if (status === "0") resolve();
          else reject(new Error(`grpc-status ${status}`));
        },
        aborted: reject,
        writable() {},
      },
      false,
    );
    sendLarge(running, call.codec, request, call.sizeHint, true);
  });
}

const openHttp2 = ({ port }: LoadOptions) => openPool({ host: "127.0.0.1", port, protocol: "http2" });

/** Another call may have taken the last place of a connection while this one waited for its turn. */
async function withConnection<T>(pool: ConnectionPool, use: (connection: ClientConnection) => Promise<T>): Promise<T> {
  let connection = pool.tryAcquire();
  while (connection === undefined || connection.capacity === 0) connection = await pool.acquire();
  return use(connection);
}

function getOrder(options: LoadOptions): Load {
  const pool = openHttp2(options);
  const call = {
    head: headOf("POST", "/bench.OrderService/GetOrder"),
    codec: binaryCodec(GetOrderRequestSchema),
    sizeHint: 0,
  };
  const orders = binaryCodec(OrderSchema);
  const get = async () => {
    let order: ReturnType<typeof orders.decode> | undefined;
    await withConnection(pool, connection =>
      exchange(connection, call, { orderId }, (bytes, from, to) => {
        order = orders.decode(bytes, from, to);
      }),
    );
    return order;
  };
  return { check: async () => checkOrder(await get()), step: unary(get) };
}

function echo(options: LoadOptions): Load {
  const pool = openHttp2(options);
  const payload = echoPayload();
  const codec = binaryCodec(EchoMessageSchema);
  const call = { head: headOf("POST", "/bench.OrderService/Echo"), codec, sizeHint: payload.length };
  const get = async () => {
    let answer: Uint8Array | undefined;
    await withConnection(pool, connection =>
      exchange(connection, call, { payload }, (bytes, from, to) => {
        answer = codec.decode(bytes, from, to).payload;
      }),
    );
    return answer;
  };
  return { check: async () => checkEcho(await get()), step: unary(get) };
}

function stream(options: LoadOptions): Load {
  const pool = openHttp2(options);
  const codec = binaryCodec(StreamOrdersRequestSchema);
  const call = { head: headOf("POST", "/bench.OrderService/StreamOrders"), codec, sizeHint: 0 };
  const orders = binaryCodec(OrderSchema);
  const read = (count: number, received: () => void) =>
    withConnection(pool, connection =>
      exchange(connection, call, { count }, (bytes, from, to) => {
        orders.decode(bytes, from, to);
        received();
      }),
    );
  return {
    check: async () => {
      let count = 0;
      await read(10, () => {
        count++;
      });
      if (count !== 10) throw new Error(`${count} orders instead of 10`);
    },
    step: received => read(ordersPerStream, received),
  };
}

function restGet({ port, concurrency }: LoadOptions): Load {
  const pool = openPool({ host: "127.0.0.1", port, protocol: "http1", limits: { http1ConnectionsMax: concurrency } });
  const head = headOf("GET", `/orders/${orderId}`);
  const orders = jsonCodec(OrderSchema);
  const get = async () => {
    const text = await withConnection(
      pool,
      connection =>
        new Promise<string>((resolve, reject) => {
          let body = "";
          const running = connection.request(
            head,
            [],
            {
              head: status => {
                if (status !== 200) reject(new Error(`status ${status}`));
              },
              data(chunk, start, end) {
                body += chunk.utf8Slice(start, end);
                running.consumed(end - start);
              },
              ended: () => resolve(body),
              aborted: reject,
              writable() {},
            },
            true,
          );
        }),
    );
    return orders.decode(text);
  };
  return { check: async () => checkOrder(await get()), step: unary(get) };
}

await drive({
  "unary-64": getOrder,
  "unary-1": getOrder,
  "server-stream": stream,
  "echo-1mib": echo,
  "rest-client-64": restGet,
});
