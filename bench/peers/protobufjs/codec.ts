import { fileURLToPath } from "node:url";
import protobuf from "protobufjs";
import type { CodecOrder, CodecPeer } from "../protocol/codec.ts";
import { createdAtMs, orderId, plainOrder } from "../protocol/order.ts";

const root = await protobuf.load(fileURLToPath(new URL("../../proto/bench.proto", import.meta.url)));
const Order = root.lookupType("bench.Order");
const order = Order.create({ ...plainOrder(orderId), createdAt: createdAtMs });
const jsonForm = { longs: String, enums: String, bytes: String, json: true };

/** protobufjs has no ProtoJSON text of its own: its conversion to plain objects, with JSON around it, is its nearest. */
export const codec: CodecPeer = {
  "codec-binary": () => Order.decode(Order.encode(order).finish()) as CodecOrder,
  "codec-json": () => Order.fromObject(JSON.parse(JSON.stringify(Order.toObject(order, jsonForm)))) as CodecOrder,
};
