import { create, createFileRegistry, type DescMessage } from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
} from "@bufbuild/protobuf/wkt";

/** The order of the guide, built by hand so that tests and measurements need no generated code. */
const { STRING, INT32, INT64, DOUBLE, ENUM, MESSAGE } = FieldDescriptorProto_Type;
const { OPTIONAL, REPEATED } = FieldDescriptorProto_Label;

function field(name: string, number: number, type: FieldDescriptorProto_Type, typeName = "", label = OPTIONAL) {
  const jsonName = name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return { name, number, type, typeName, label, jsonName };
}

const file = create(FileDescriptorProtoSchema, {
  name: "order.proto",
  package: "guide",
  syntax: "proto3",
  enumType: [
    {
      name: "OrderStatus",
      value: ["UNSPECIFIED", "PENDING", "SHIPPED"].map((name, number) => ({ name: `ORDER_STATUS_${name}`, number })),
    },
  ],
  messageType: [
    {
      name: "OrderItem",
      field: [field("product_id", 1, STRING), field("quantity", 2, INT32), field("price", 3, DOUBLE)],
    },
    {
      name: "Order",
      field: [
        field("id", 1, STRING),
        field("customer_id", 2, STRING),
        field("items", 3, MESSAGE, ".guide.OrderItem", REPEATED),
        field("status", 4, ENUM, ".guide.OrderStatus"),
        field("created_at", 5, INT64),
      ],
    },
  ],
});

function schemaOf(name: string): DescMessage {
  const schema = createFileRegistry(file, () => undefined).getMessage(name);
  if (schema === undefined) throw new Error(`${name} is not in the fixture`);
  return schema;
}

export const orderSchema: DescMessage = schemaOf("guide.Order");

/** An order with two items: 94 bytes in binary. */
export const orderInit = {
  id: "order-0000123",
  customerId: "customer-456",
  items: [
    { productId: "product-000001", quantity: 2, price: 19.99 },
    { productId: "product-0002", quantity: 1, price: 5.49 },
  ],
  status: 1,
  createdAt: 1_700_000_000_000n,
} as const;
