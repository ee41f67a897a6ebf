import {
  create,
  createFileRegistry,
  type DescField,
  type DescMessage,
  type Message,
  type MessageInitShape,
  ScalarType,
  setExtension,
} from "@bufbuild/protobuf";
import {
  type FieldDescriptorProtoSchema,
  FieldOptionsSchema,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  file_google_protobuf_any,
  file_google_protobuf_descriptor,
  file_google_protobuf_duration,
  file_google_protobuf_field_mask,
  file_google_protobuf_timestamp,
  file_google_protobuf_wrappers,
  FieldDescriptorProto_Label as Label,
  MessageOptionsSchema,
  OneofOptionsSchema,
  FieldDescriptorProto_Type as Type,
} from "@bufbuild/protobuf/wkt";
import {
  FieldRulesSchema,
  field as fieldOption,
  file_buf_validate_validate,
  MessageRulesSchema,
  message as messageOption,
  OneofRulesSchema,
  oneof as oneofOption,
} from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import type { Dice } from "../codec/differential/index.ts";

/** Values near which both rules and messages are: so that rules are met and broken equally often. */
const texts = [
  "",
  "a",
  "ab",
  "abc-1",
  "é€😀",
  "a\nb",
  "x@example.com",
  "x@-example.com",
  "example.com",
  "10.0.0.1",
  "example.com.",
  "-a.b",
  `${"a".repeat(64)}.b`,
  "123E4567-e89b-12d3-a456-426614174000",
  "123e4567e89b12d3a456426614174000",
  "01ARZ3NDEKTSV4RRFFQ69G5FAV",
  ".foo.Bar_1",
  "foo.Bar",
  ":path",
  "head er",
  "\u0001",
];
const patterns = ["^[a-z]+$", "^a", "^[a-z]{2,3}-\\d$", "^[A-Za-z0-9._%+-]+@", "^\\w*$", "^$", "^x?@?[a-c]{2}b{0,2}"];
const byteTexts = texts.slice(0, 6).map(text => new TextEncoder().encode(text));
const addresses = [new Uint8Array(4), new Uint8Array(16), Uint8Array.of(0xff, 0xfe)];

const scalars = [
  ...["DOUBLE", "FLOAT", "INT64", "UINT64", "INT32", "FIXED64", "FIXED32", "BOOL", "STRING", "BYTES", "UINT32"],
  ...["SFIXED32", "SFIXED64", "SINT32", "SINT64"],
] as readonly (keyof typeof ScalarType & keyof typeof Type)[];

/** Wrapper types by the kind of their rules. */
const wrappers = ["Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes"];

/** Rules that are left to protovalidate, which are compared elsewhere or not at all. */
const left = new Set([
  ...["ip", "ipv4", "ipv6", "uri", "uri_ref", "address", "host_and_port"],
  ...["ip_with_prefixlen", "ipv4_with_prefixlen", "ipv6_with_prefixlen", "ip_prefix", "ipv4_prefix", "ipv6_prefix"],
]);

export function randomScalar(dice: Dice, scalar: ScalarType): unknown {
  switch (scalar) {
    case ScalarType.STRING:
      return dice.pick(texts);
    case ScalarType.BYTES:
      return dice.pick([...byteTexts, ...addresses]);
    case ScalarType.BOOL:
      return dice.chance(0.5);
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return dice.pick([0, -0, 1, 2, 3, -1, 1.5, 1e21, Number.NaN, Infinity, -Infinity]);
    case ScalarType.INT32:
    case ScalarType.SINT32:
    case ScalarType.SFIXED32:
      return dice.pick([0, 1, 2, 3, -1, -(2 ** 31)]);
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return dice.pick([0, 1, 2, 3, 2 ** 32 - 1]);
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return dice.pick([0n, 1n, 2n, 3n, 2n ** 64n - 1n]);
    default:
      return dice.pick([0n, 1n, 2n, 3n, -1n, -(2n ** 63n)]);
  }
}

/** Random rules of a kind, such as `string`, by their descriptor. */
function randomKind(dice: Dice, kind: string, depth: number): Message {
  const desc = FieldRulesSchema.fields.find(({ name }) => name === kind)?.message as DescMessage;
  const rules = create(desc) as unknown as Record<string, unknown>;
  for (const field of desc.fields) {
    const isBound = field.oneof !== undefined && field.oneof.name !== "well_known";
    if (!dice.chance(isBound ? 0.3 : 0.15)) continue;
    const value = randomOperand(dice, kind, field, depth);
    if (value === undefined) continue;
    if (field.oneof === undefined) rules[field.localName] = value;
    else rules[field.oneof.localName] = { case: field.localName, value };
  }
  return rules as unknown as Message;
}

function randomOperand(dice: Dice, kind: string, field: DescField, depth: number): unknown {
  const isSize = /^(min|max)_|^len/.test(field.name);
  if ((kind === "string" && left.has(field.name)) || field.name === "example") return undefined;
  if (kind === "bytes" && field.name === "pattern") return undefined;
  switch (field.fieldKind) {
    case "scalar":
      if (field.name === "pattern") return dice.pick(patterns);
      if (isSize) return BigInt(dice.upTo(5));
      for (;;) {
        // A bound that is no number is refused by the referee itself.
        const value = randomScalar(dice, field.scalar);
        if (!Number.isNaN(value) || field.oneof === undefined) return value;
      }
    case "list":
      if (field.listKind !== "scalar") return undefined;
      return Array.from({ length: 1 + dice.upTo(3) }, () => randomScalar(dice, field.scalar as ScalarType));
    case "enum":
      return dice.upTo(3);
    default:
      return depth > 0 ? undefined : "nested";
  }
}

function randomFieldRules(dice: Dice, kind: string | undefined, depth = 0): Message {
  const value = kind === undefined ? undefined : randomKind(dice, kind, depth);
  return create(FieldRulesSchema, {
    ...(dice.chance(0.2) ? { required: true } : {}),
    ...(dice.chance(0.3) ? { ignore: dice.pick([0, 1, 3]) } : {}),
    ...(value === undefined ? {} : { type: { case: kind, value } }),
  } as MessageInitShape<typeof FieldRulesSchema>);
}

type FieldInit = MessageInitShape<typeof FieldDescriptorProtoSchema>;

/** A message type with singular fields, lists and maps of every type, oneofs and groups, each with random rules. */
export function randomRuledMessage(dice: Dice): DescMessage {
  const field: FieldInit[] = [];
  const nestedType: { name: string; options: { mapEntry: boolean }; field: FieldInit[] }[] = [];
  const oneofDecl: { name: string; options?: Message }[] = [];
  const add = (name: string, rules: Message | undefined, init: FieldInit) => {
    const options = create(FieldOptionsSchema);
    if (rules !== undefined) setExtension(options, fieldOption, rules as never);
    const number = field.length + 1;
    field.push({ name, number, jsonName: name, label: Label.OPTIONAL, options, ...init });
  };
  const ofKind = (kind: string | undefined) => (dice.chance(0.8) ? randomFieldRules(dice, kind) : undefined);
  const ofItems = (kind: string | undefined) => {
    const rules = randomKind(dice, "repeated", 1) as unknown as Record<string, unknown>;
    if (dice.chance(0.7)) rules["items"] = randomFieldRules(dice, kind, 1);
    return rules;
  };
  const listRules = (kind: string | undefined, isMessage: boolean) => {
    if (dice.chance(0.2)) return undefined;
    const value = ofItems(kind);
    if (isMessage) delete value["unique"];
    return create(FieldRulesSchema, {
      ...(dice.chance(0.2) ? { required: true } : {}),
      type: { case: "repeated", value },
    } as never);
  };
  const messages = [
    { name: "self", typeName: ".ruled.M", kind: undefined },
    { name: "any", typeName: ".google.protobuf.Any", kind: "any" },
    ...wrappers.map(name => ({
      name: `wrapped_${name.toLowerCase()}`,
      typeName: `.google.protobuf.${name}Value`,
      kind: name.toLowerCase(),
    })),
  ];
  // A real oneof, whose members come first.
  const chosen = create(OneofOptionsSchema);
  setExtension(chosen, oneofOption, create(OneofRulesSchema, { required: dice.chance(0.5) }));
  oneofDecl.push({ name: "chosen", options: chosen });
  add("chosen_text", ofKind("string"), { type: Type.STRING, oneofIndex: 0 });
  add("chosen_wrapped", ofKind("int32"), {
    type: Type.MESSAGE,
    typeName: ".google.protobuf.Int32Value",
    oneofIndex: 0,
  });
  add("chosen_self", ofKind(undefined), { type: Type.MESSAGE, typeName: ".ruled.M", oneofIndex: 0 });
  for (const name of scalars) {
    const kind = name.toLowerCase();
    const type = Type[name];
    add(`one_${kind}`, ofKind(kind), { type });
    add(`optional_${kind}`, ofKind(kind), { type, proto3Optional: true, oneofIndex: oneofDecl.length });
    oneofDecl.push({ name: `_optional_${kind}` });
    add(`list_${kind}`, listRules(kind, false), { type, label: Label.REPEATED });
  }
  add("one_enum", ofKind("enum"), { type: Type.ENUM, typeName: ".ruled.E" });
  add("list_enum", listRules("enum", false), { type: Type.ENUM, typeName: ".ruled.E", label: Label.REPEATED });
  add("text_long", ofKind("int64"), { type: Type.INT64 });
  for (const { name, typeName, kind } of messages) {
    add(`one_${name}`, ofKind(kind), { type: Type.MESSAGE, typeName });
    add(`list_${name}`, listRules(kind, true), { type: Type.MESSAGE, typeName, label: Label.REPEATED });
  }
  const maps = [
    { key: "STRING", value: { type: Type.STRING }, kind: "string" },
    { key: "INT32", value: { type: Type.BYTES }, kind: "bytes" },
    { key: "SINT64", value: { type: Type.DOUBLE }, kind: "double" },
    { key: "BOOL", value: { type: Type.ENUM, typeName: ".ruled.E" }, kind: "enum" },
    { key: "STRING", value: { type: Type.MESSAGE, typeName: ".ruled.M" }, kind: undefined },
  ] as const;
  maps.forEach(({ key, value, kind }, index) => {
    const entry = `Map${index}Entry`;
    nestedType.push({
      name: entry,
      options: { mapEntry: true },
      field: [
        { name: "key", number: 1, jsonName: "key", label: Label.OPTIONAL, type: Type[key] },
        { name: "value", number: 2, jsonName: "value", label: Label.OPTIONAL, ...value },
      ],
    });
    const rules = randomKind(dice, "map", 1) as unknown as Record<string, unknown>;
    if (dice.chance(0.6)) rules["keys"] = randomFieldRules(dice, key.toLowerCase(), 1);
    if (dice.chance(0.6)) rules["values"] = randomFieldRules(dice, kind, 1);
    add(`map${index}`, create(FieldRulesSchema, { type: { case: "map", value: rules } } as never), {
      type: Type.MESSAGE,
      typeName: `.ruled.M.${entry}`,
      label: Label.REPEATED,
    });
  });
  const options = create(MessageOptionsSchema);
  const group = { fields: ["one_string", "one_int32", "list_bool"], required: dice.chance(0.5) };
  setExtension(options, messageOption, create(MessageRulesSchema, { oneof: dice.chance(0.5) ? [group] : [] }));
  const file = create(FileDescriptorProtoSchema, {
    name: "ruled.proto",
    package: "ruled",
    syntax: "proto3",
    dependency: ["buf/validate/validate.proto", "google/protobuf/any.proto", "google/protobuf/wrappers.proto"],
    enumType: [{ name: "E", value: [0, 1, 2].map(number => ({ name: `E_${number}`, number })) }],
    messageType: [{ name: "M", field, nestedType, oneofDecl, options } as never],
  });
  const imports = [
    file_google_protobuf_descriptor,
    file_google_protobuf_duration,
    file_google_protobuf_timestamp,
    file_google_protobuf_field_mask,
    file_google_protobuf_any,
    file_google_protobuf_wrappers,
    file_buf_validate_validate,
  ];
  const registry = createFileRegistry(
    create(FileDescriptorSetSchema, { file: [...imports.map(({ proto }) => proto), file] }),
  );
  return registry.getMessage("ruled.M") as DescMessage;
}

/** A message of the type, with values near its rules. */
export function randomRuledValue(dice: Dice, desc: DescMessage, depth = 0): Message {
  const message = create(desc) as unknown as Record<string, unknown>;
  const single = (field: DescField): unknown => {
    if (field.enum !== undefined) return dice.upTo(4);
    if (field.message === undefined) return randomScalar(dice, field.scalar as ScalarType);
    if (field.message.typeName === "google.protobuf.Any") {
      return create(field.message, { typeUrl: dice.pick(texts) } as never);
    }
    if (!field.message.typeName.startsWith("google.")) return randomRuledValue(dice, field.message, depth + 1);
    const value = randomScalar(dice, field.message.fields[0]?.scalar as ScalarType);
    const isBare = field.fieldKind === "message" && field.oneof === undefined;
    return isBare ? value : create(field.message, { value } as never);
  };
  for (const field of desc.fields) {
    if (!dice.chance(0.6)) continue;
    if (depth > 1 && field.message === desc) continue;
    if (field.fieldKind === "list") {
      const length = dice.pick([0, 1, 2, 3, 20]) >> (depth * 2);
      message[field.localName] = Array.from({ length }, () => single(field));
    } else if (field.fieldKind === "map") {
      const keys = Array.from({ length: dice.upTo(3) }, () => String(randomScalar(dice, field.mapKey)));
      message[field.localName] = Object.fromEntries(keys.map(key => [key, single(field)]));
    } else if (field.oneof === undefined) message[field.localName] = single(field);
    else message[field.oneof.localName] = { case: field.localName, value: single(field) };
  }
  return message as unknown as Message;
}
