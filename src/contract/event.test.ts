import assert from "node:assert/strict";
import { test } from "node:test";
import { create, createFileRegistry, type DescMessage, type MessageInitShape, setExtension } from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  MessageOptionsSchema,
} from "@bufbuild/protobuf/wkt";
import { compileEvent, isEvent } from "./event.ts";
import { EventRuleSchema, event as eventOption } from "./gen/trunkline/v1/options_pb.ts";

const { STRING, INT64, DOUBLE, MESSAGE } = FieldDescriptorProto_Type;
const { OPTIONAL, REPEATED } = FieldDescriptorProto_Label;

/** `message Placed { string order_id = 1; int64 number = 2; double total = 3; Placed cause = 4; repeated string tags = 5; }` */
function placed(rule: MessageInitShape<typeof EventRuleSchema> | undefined): DescMessage {
  const options = create(MessageOptionsSchema);
  if (rule !== undefined) setExtension(options, eventOption, create(EventRuleSchema, rule));
  const file = create(FileDescriptorProtoSchema, {
    name: "shop/placed.proto",
    package: "shop",
    syntax: "proto3",
    messageType: [
      {
        name: "Placed",
        options,
        field: [
          { name: "order_id", number: 1, type: STRING, label: OPTIONAL },
          { name: "number", number: 2, type: INT64, label: OPTIONAL },
          { name: "total", number: 3, type: DOUBLE, label: OPTIONAL },
          { name: "cause", number: 4, type: MESSAGE, typeName: ".shop.Placed", label: OPTIONAL },
          { name: "tags", number: 5, type: STRING, label: REPEATED },
        ],
      },
    ],
  });
  const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: [file] }));
  return registry.getMessage("shop.Placed") as DescMessage;
}

const rule = { topic: "orders", type: "order.placed", key: "order_id", version: 2 };

test("an event knows its topic, type, version and key", () => {
  const desc = placed(rule);
  const event = compileEvent(desc);
  assert.equal(event, compileEvent(desc));
  assert.equal(isEvent(desc), true);
  const { topic, type, version, typeName } = event;
  assert.deepEqual(
    { topic, type, version, typeName },
    { topic: "orders", type: "order.placed", version: 2, typeName: "shop.Placed" },
  );
  assert.equal(event.keyOf(create(desc, { orderId: "7" } as Record<string, unknown>)), "7");
  assert.equal(event.keyOf(create(desc)), undefined, "an empty key is none");
});

test("the key may be an integer, and lie in a message that is not there", () => {
  const byNumber = placed({ ...rule, key: "number" });
  assert.equal(compileEvent(byNumber).keyOf(create(byNumber, { number: 12n } as Record<string, unknown>)), "12");
  const nested = placed({ ...rule, key: "cause.order_id" });
  assert.equal(compileEvent(nested).keyOf(create(nested)), undefined);
  assert.equal(compileEvent(nested).keyOf(create(nested, { cause: { orderId: "5" } } as Record<string, unknown>)), "5");
});

test("JSON has the names of the .proto file and zero values, and lets unknown members pass", () => {
  const desc = placed(rule);
  const { json } = compileEvent(desc);
  assert.equal(json.encode(create(desc)), '{"order_id":"","number":"0","total":0,"tags":[]}');
  const read = json.decode('{"order_id":"1","orderId_":2,"from_the_future":[1]}') as unknown as { orderId: string };
  assert.equal(read.orderId, "1");
});

const mistakes: readonly (readonly [
  what: string,
  rule: MessageInitShape<typeof EventRuleSchema> | undefined,
  text: RegExp,
])[] = [
  ["no option", undefined, /shop\.Placed: it is no event/],
  ["no topic", { ...rule, topic: "" }, /event\.topic is ""/],
  ["a topic with a slash", { ...rule, topic: "a/b" }, /event\.topic is "a\/b"/],
  ["a topic of dots", { ...rule, topic: ".." }, /event\.topic is "\.\."/],
  ["a type with a wildcard", { ...rule, type: "order.*" }, /event\.type is "order\.\*"/],
  ["a key that is not there", { ...rule, key: "id" }, /shop\.Placed has no field "id"/],
  ["a key in a scalar", { ...rule, key: "order_id.x" }, /a scalar has no field "x"/],
  ["a key of another type", { ...rule, key: "total" }, /must be a string or an integer/],
  ["a repeated key", { ...rule, key: "tags" }, /must be a string or an integer/],
];
for (const [what, wrong, text] of mistakes) {
  test(`${what} is an error that names file, message and value`, () => {
    assert.throws(
      () => compileEvent(placed(wrong)),
      error => {
        assert.match(String(error), /^ContractError: shop\/placed\.proto: /);
        assert.match(String(error), text);
        return true;
      },
    );
  });
}
