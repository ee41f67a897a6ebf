import { create, fromBinary, fromJsonString, toBinary, toJsonString } from "@bufbuild/protobuf";
import { OrderSchema } from "../../gen/bench_pb.ts";
import type { CodecPeer } from "../protocol/codec.ts";
import { createdAtMs, orderId, plainOrder } from "../protocol/order.ts";

const order = create(OrderSchema, { ...plainOrder(orderId), createdAt: BigInt(createdAtMs) });

export const codec: CodecPeer = {
  "codec-binary": () => fromBinary(OrderSchema, toBinary(OrderSchema, order)),
  "codec-json": () => fromJsonString(OrderSchema, toJsonString(OrderSchema, order)),
};
