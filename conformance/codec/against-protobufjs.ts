import { deepStrictEqual } from "node:assert";
import { create, fromBinary, type Message } from "@bufbuild/protobuf";
import protobuf from "protobufjs";
import { type BinaryCodec, BinaryCodecs } from "../../src/contract/codec/binary/index.ts";
import { Dice, randomMessage, type Tally } from "../../src/contract/codec/differential/index.ts";
import { orderSchema } from "../../src/contract/codec/order.fixture.ts";
import { ByteWriter } from "../../src/platform/index.ts";

/** The guide's order as protobufjs sees it; the field names are those that protobuf-es uses, too. */
export function protobufjsOrder(): protobuf.Type {
  const root = protobuf.Root.fromJSON({
    nested: {
      OrderStatus: { values: { UNSPECIFIED: 0, PENDING: 1, SHIPPED: 2 } },
      OrderItem: {
        fields: {
          productId: { type: "string", id: 1 },
          quantity: { type: "int32", id: 2 },
          price: { type: "double", id: 3 },
        },
      },
      Order: {
        fields: {
          id: { type: "string", id: 1 },
          customerId: { type: "string", id: 2 },
          items: { rule: "repeated", type: "OrderItem", id: 3 },
          status: { type: "OrderStatus", id: 4 },
          createdAt: { type: "int64", id: 5 },
        },
      },
    },
  });
  return root.lookupType("Order");
}

/** What we write, protobufjs reads as the same order, and the other way round. */
export function compareWithProtobufjs(seed: number, rounds: number, tally: Tally): void {
  const type = protobufjsOrder();
  const codec = new BinaryCodecs("generated").get(orderSchema);
  const dice = new Dice(seed);
  for (let index = 0; index < rounds; index++) {
    try {
      compare(type, codec, randomMessage(dice, orderSchema));
      tally.passed++;
    } catch (failure) {
      tally.failures.push(`protobufjs, seed ${seed}, round ${index}: ${String(failure)}`);
    }
  }
}

type Plain = Record<string, unknown> & { items: Record<string, unknown>[] };

function compare(type: protobuf.Type, codec: BinaryCodec<Message>, message: object): void {
  const writer = new ByteWriter(64);
  codec.encode(message, writer);
  const bytes = writer.copyFrom(0);
  const theirs = type.decode(bytes);
  const plain = type.toObject(theirs, { longs: String, defaults: true, arrays: true }) as Plain;
  const ours = codec.decode(bytes, 0, bytes.length);
  deepStrictEqual(create(orderSchema, { ...plain, createdAt: BigInt(plain["createdAt"] as string) } as never), ours);
  const again = type.encode(theirs).finish();
  deepStrictEqual(codec.decode(again, 0, again.length), fromBinary(orderSchema, again));
  deepStrictEqual(codec.decode(again, 0, again.length), ours);
}
