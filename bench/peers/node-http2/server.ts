// The least that node:http2 can do for a gRPC call: reads the request, answers fixed bytes, decodes nothing.
import { createServer } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import { OrderSchema } from "../../gen/bench_pb.ts";
import { createdAtMs, orderId, plainOrder } from "../protocol/order.ts";
import { portOf, serving } from "../protocol/serve.ts";

const message = toBinary(OrderSchema, create(OrderSchema, { ...plainOrder(orderId), createdAt: BigInt(createdAtMs) }));
const answer = Buffer.alloc(5 + message.length);
answer.writeUInt32BE(message.length, 1);
answer.set(message, 5);

const server = createServer();
server.on("stream", stream => {
  stream.on("data", () => {});
  stream.on("end", () => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(answer);
  });
  stream.on("error", () => {});
});
server.listen(0, "127.0.0.1", () => serving(portOf(server)));
