import { create } from "@bufbuild/protobuf";
import { binaryCodec, jsonCodec } from "../../../src/contract/index.ts";
import { ByteWriter } from "../../../src/platform/index.ts";
import { OrderSchema } from "../../gen/bench_pb.ts";
import type { CodecPeer } from "../protocol/codec.ts";
import { createdAtMs, orderId, plainOrder } from "../protocol/order.ts";

const order = create(OrderSchema, { ...plainOrder(orderId), createdAt: BigInt(createdAtMs) });
const binary = binaryCodec(OrderSchema);
const json = jsonCodec(OrderSchema);
/** One buffer for all, as a connection has it. */
const writer = new ByteWriter();

export const codec: CodecPeer = {
  "codec-binary": () => {
    writer.position = 0;
    binary.encode(order, writer);
    return binary.decode(writer.bytes, 0, writer.position);
  },
  "codec-json": () => json.decode(json.encode(order)),
};
