import { create, createFileRegistry, type Message, setExtension } from "@bufbuild/protobuf";
import type { GenMessage } from "@bufbuild/protobuf/codegenv2";
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  MessageOptionsSchema,
} from "@bufbuild/protobuf/wkt";
import { EventRuleSchema, event as eventOption } from "../../contract/gen/trunkline/v1/options_pb.ts";
import { continuedBy, defineProcess, startedBy } from "./definition.ts";

type Fields = { orderId: string; number: number };
type OrderEvent<Name extends string> = Message<`sales.${Name}`> & Fields;

const topics = {
  Placed: "orders",
  Reserved: "stock",
  Paid: "payments",
  Touched: "orders",
  Reserve: "stock-commands",
  Ship: "stock-commands",
  Release: "stock-commands",
} as const;

const registry = createFileRegistry(
  create(FileDescriptorSetSchema, {
    file: [
      create(FileDescriptorProtoSchema, {
        name: "sales.proto",
        package: "sales",
        syntax: "proto3",
        messageType: Object.entries(topics).map(([name, topic]) => {
          const options = create(MessageOptionsSchema);
          const rule = { topic, type: `sales.${name.toLowerCase()}`, key: "order_id" };
          setExtension(options, eventOption, create(EventRuleSchema, rule));
          const label = FieldDescriptorProto_Label.OPTIONAL;
          return {
            name,
            options,
            field: [
              { name: "order_id", number: 1, type: FieldDescriptorProto_Type.STRING, label },
              { name: "number", number: 2, type: FieldDescriptorProto_Type.INT32, label },
            ],
          };
        }),
      }),
    ],
  }),
);

function schema<Name extends keyof typeof topics>(name: Name): GenMessage<OrderEvent<Name>> {
  return registry.getMessage(`sales.${name}`) as GenMessage<OrderEvent<Name>>;
}

export const PlacedSchema = schema("Placed");
export const ReservedSchema = schema("Reserved");
export const PaidSchema = schema("Paid");
/** Happens to an order at any time, and starts its time-out for stock anew. */
export const TouchedSchema = schema("Touched");
export const ReserveSchema = schema("Reserve");
export const ShipSchema = schema("Ship");
export const ReleaseSchema = schema("Release");

export interface Fulfilment {
  readonly orderId: string;
  readonly status: "new" | "reserving" | "paying" | "shipped" | "cancelled";
  /** Numbers of the events that it has seen, in order. */
  readonly seen: readonly number[];
}

export const fulfilment = defineProcess({
  name: "fulfilment",
  events: [
    startedBy(PlacedSchema),
    continuedBy(ReservedSchema),
    continuedBy(PaidSchema, { notFound: "dead-letter" }),
    continuedBy(TouchedSchema, { notFound: "ignore" }),
  ],
  timeouts: ["stock", "payment"],
  state: {
    initial: (orderId): Fulfilment => ({ orderId, status: "new", seen: [] }),
    isCompleted: ({ status }) => status === "shipped" || status === "cancelled",
  },
  decide({ status, orderId }, event, { publish, startTimeout, stopTimeout }) {
    switch (event.$typeName) {
      case "sales.Placed":
        if (status !== "new") return [];
        return [publish(ReserveSchema, { orderId }), startTimeout("stock", 60_000)];
      case "sales.Reserved":
        return status === "reserving" ? [stopTimeout("stock"), startTimeout("payment", 600_000)] : [];
      case "sales.Paid":
        return status === "paying" ? [publish(ShipSchema, { orderId })] : [];
      case "sales.Touched":
        return status === "reserving" ? [startTimeout("stock", 60_000)] : [];
      case "timeout":
        // Compensation: what was reserved is given back.
        return event.name === "payment" ? [publish(ReleaseSchema, { orderId })] : [];
      default:
        return event satisfies never;
    }
  },
  evolve(state, event): Fulfilment {
    switch (event.$typeName) {
      case "sales.Placed":
        return { ...seeing(state, event), status: state.status === "new" ? "reserving" : state.status };
      case "sales.Reserved":
        return { ...seeing(state, event), status: state.status === "reserving" ? "paying" : state.status };
      case "sales.Paid":
        return { ...seeing(state, event), status: state.status === "paying" ? "shipped" : state.status };
      case "sales.Touched":
        return seeing(state, event);
      case "timeout":
        return { ...state, status: "cancelled" };
      default:
        return event satisfies never;
    }
  },
});

function seeing(state: Fulfilment, { number }: Fields): Fulfilment {
  return { ...state, seen: [...state.seen, number] };
}
