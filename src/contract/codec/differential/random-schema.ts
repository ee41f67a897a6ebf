import { create, createFileRegistry, type DescFile, type DescMessage, type FileRegistry } from "@bufbuild/protobuf";
import {
  type DescriptorProto,
  DescriptorProto_ExtensionRangeSchema,
  DescriptorProtoSchema,
  Edition,
  EnumDescriptorProtoSchema,
  FeatureSet_FieldPresence,
  FeatureSet_MessageEncoding,
  FeatureSet_RepeatedFieldEncoding,
  FeatureSet_Utf8Validation,
  FeatureSetSchema,
  type FieldDescriptorProto,
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FieldDescriptorProtoSchema,
  FieldOptions_JSType,
  FieldOptionsSchema,
  FileDescriptorProtoSchema,
  file_google_protobuf_any,
  file_google_protobuf_duration,
  file_google_protobuf_empty,
  file_google_protobuf_field_mask,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_wrappers,
} from "@bufbuild/protobuf/wkt";
import type { Dice } from "./dice.ts";

const wellKnownFiles: readonly DescFile[] = [
  file_google_protobuf_any,
  file_google_protobuf_duration,
  file_google_protobuf_empty,
  file_google_protobuf_field_mask,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_wrappers,
];

const wellKnownNames = [
  ...["Timestamp", "Duration", "FieldMask", "Struct", "Value", "ListValue", "Empty", "Any"],
  ...["Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes"].map(name => `${name}Value`),
].map(name => `.google.protobuf.${name}`);

/**
 * Names that JavaScript reserves or that objects inherit. `has_own_property` is not among them: protobuf-es reads such a
 * message field into the inherited function, so that it cannot be the referee there.
 */
const awkwardNames = ["constructor", "to_string", "value_of", "__proto__", "case", "class", "type"];

const { Type, Label } = { Type: FieldDescriptorProto_Type, Label: FieldDescriptorProto_Label };
const scalarTypes = [
  ...[Type.DOUBLE, Type.FLOAT, Type.INT64, Type.UINT64, Type.INT32, Type.FIXED64, Type.FIXED32, Type.BOOL, Type.STRING],
  ...[Type.BYTES, Type.UINT32, Type.SFIXED32, Type.SFIXED64, Type.SINT32, Type.SINT64],
];
const keyTypes = scalarTypes.filter(type => type !== Type.DOUBLE && type !== Type.FLOAT && type !== Type.BYTES);

/** A schema of a few messages that refer to each other, themselves, enums and well-known types. */
export interface RandomSchema {
  readonly root: DescMessage;
  readonly registry: FileRegistry;
}

export function randomSchema(dice: Dice): RandomSchema {
  const syntax = dice.pick(["proto2", "proto3", "editions"]);
  const typeNames = ["Root", "Branch", "Leaf"];
  const enums = ["Open", "Closed"].map((name, index) =>
    create(EnumDescriptorProtoSchema, {
      name,
      value: [0, 1, 2, index === 0 ? -1 : 200].map((number, at) => ({
        name: `${name.toUpperCase()}_${["ZERO", "ONE", "TWO", "MORE"][at]}`,
        number,
      })),
    }),
  );
  const file = create(FileDescriptorProtoSchema, {
    name: "random.proto",
    package: "random",
    syntax,
    dependency: wellKnownFiles.map(dependency => dependency.proto.name),
    enumType: enums,
    messageType: typeNames.map(name => randomMessage(dice, syntax, name, typeNames)),
  });
  if (syntax === "editions") file.edition = Edition.EDITION_2023;
  if (syntax === "proto2") {
    file.extension.push(
      create(FieldDescriptorProtoSchema, extensionField("extra_text", 1000, Type.STRING, Label.OPTIONAL)),
      create(FieldDescriptorProtoSchema, extensionField("extra_numbers", 1001, Type.INT32, Label.REPEATED)),
      create(FieldDescriptorProtoSchema, {
        ...extensionField("extra_leaf", 1002, Type.MESSAGE, Label.OPTIONAL),
        typeName: ".random.Leaf",
      }),
    );
  }
  const registry = createFileRegistry(file, name => wellKnownFiles.find(known => known.proto.name === name));
  const everything = createFileRegistry(
    registry,
    ...wellKnownFiles.map(known => createFileRegistry(known.proto, noImports)),
  );
  const root = registry.getMessage("random.Root");
  if (root === undefined) throw new Error("the random schema has no root");
  return { root, registry: everything };
}

function noImports(): undefined {
  return undefined;
}

function extensionField(
  name: string,
  number: number,
  type: FieldDescriptorProto_Type,
  label: FieldDescriptorProto_Label,
) {
  return { name, number, type, label, extendee: ".random.Root" };
}

function randomMessage(dice: Dice, syntax: string, name: string, typeNames: string[]): DescriptorProto {
  const message = create(DescriptorProtoSchema, { name });
  if (syntax === "proto2") {
    message.extensionRange.push(create(DescriptorProto_ExtensionRangeSchema, { start: 1000, end: 2000 }));
  }
  const numbers = new Set<number>();
  for (let count = dice.upTo(9); count > 0; count--)
    numbers.add(dice.chance(0.8) ? 1 + dice.upTo(18) : 1 + dice.upTo(900));
  const names = new Set<string>();
  let oneofOpen = false;
  for (const number of numbers) {
    let fieldName = dice.chance(0.1)
      ? dice.pick(awkwardNames)
      : dice.pick(["alpha", "beta_gamma", "x_1", "delta"]) + number;
    if (names.has(fieldName)) fieldName = `field_${number}`;
    names.add(fieldName);
    const field = randomField(dice, syntax, fieldName, number, typeNames, message);
    if (oneofOpen && field.label === Label.OPTIONAL && !field.proto3Optional && dice.chance(0.6)) field.oneofIndex = 0;
    else if (!oneofOpen && field.label === Label.OPTIONAL && !field.proto3Optional && dice.chance(0.2)) {
      message.oneofDecl.push(create(DescriptorProtoSchema.field["oneofDecl"]!.message!, { name: "choice" }) as never);
      field.oneofIndex = 0;
      oneofOpen = true;
    }
    message.field.push(field);
  }
  // Synthetic oneofs of proto3 `optional` come behind the real ones.
  for (const field of message.field) {
    if (!field.proto3Optional) continue;
    field.oneofIndex = message.oneofDecl.length;
    message.oneofDecl.push(
      create(DescriptorProtoSchema.field["oneofDecl"]!.message!, { name: `_${field.name}` }) as never,
    );
  }
  return message;
}

function randomField(
  dice: Dice,
  syntax: string,
  name: string,
  number: number,
  typeNames: string[],
  parent: DescriptorProto,
): FieldDescriptorProto {
  const jsonName = dice.chance(0.05) ? `custom-"${number}"` : camelCase(name);
  const field = create(FieldDescriptorProtoSchema, { name, number, jsonName, label: Label.OPTIONAL });
  if (dice.chance(0.12)) {
    mapField(dice, field, typeNames, parent);
    return field;
  }
  setType(dice, field, syntax, typeNames);
  const options = create(FieldOptionsSchema);
  const isScalar = field.typeName === "";
  if (dice.chance(0.3)) field.label = Label.REPEATED;
  else if (syntax === "proto2" && dice.chance(0.03) && isScalar) field.label = Label.REQUIRED;
  else if (syntax === "proto3" && dice.chance(0.2)) field.proto3Optional = true;
  if (field.label === Label.REPEATED && isPackable(field.type) && syntax !== "editions" && dice.chance(0.4)) {
    options.packed = dice.chance(0.5);
  }
  if (dice.chance(0.15) && isScalar) options.jstype = FieldOptions_JSType.JS_STRING;
  if (syntax === "editions") {
    const features = create(FeatureSetSchema);
    if (field.label === Label.OPTIONAL && dice.chance(0.4)) features.fieldPresence = FeatureSet_FieldPresence.IMPLICIT;
    if (field.type === Type.MESSAGE && dice.chance(0.3))
      features.messageEncoding = FeatureSet_MessageEncoding.DELIMITED;
    if (field.type === Type.STRING && dice.chance(0.3)) features.utf8Validation = FeatureSet_Utf8Validation.NONE;
    if (isPackable(field.type) && dice.chance(0.3)) {
      features.repeatedFieldEncoding = FeatureSet_RepeatedFieldEncoding.EXPANDED;
    }
    options.features = features;
  }
  field.options = options;
  if (syntax === "proto2" && field.label === Label.OPTIONAL && field.type === Type.INT32) field.defaultValue = "7";
  return field;
}

function isPackable(type: FieldDescriptorProto_Type): boolean {
  return ![Type.STRING, Type.BYTES, Type.MESSAGE, Type.GROUP].includes(type);
}

function setType(dice: Dice, field: FieldDescriptorProto, syntax: string, typeNames: string[]): void {
  const kind = dice.upTo(10);
  if (kind < 6) {
    field.type = dice.pick(scalarTypes);
  } else if (kind < 7) {
    field.type = Type.ENUM;
    field.typeName = dice.chance(0.1) ? ".google.protobuf.NullValue" : dice.pick([".random.Open", ".random.Closed"]);
  } else if (kind < 8) {
    field.type = Type.MESSAGE;
    field.typeName = dice.pick(wellKnownNames);
  } else {
    field.type = syntax === "proto2" && dice.chance(0.3) ? Type.GROUP : Type.MESSAGE;
    field.typeName = `.random.${dice.pick(typeNames)}`;
  }
}

function mapField(dice: Dice, field: FieldDescriptorProto, typeNames: string[], parent: DescriptorProto): void {
  const entryName = `Map${field.number}Entry`;
  const key = create(FieldDescriptorProtoSchema, { name: "key", number: 1, jsonName: "key", label: Label.OPTIONAL });
  key.type = dice.pick(keyTypes);
  const value = create(FieldDescriptorProtoSchema, {
    name: "value",
    number: 2,
    jsonName: "value",
    label: Label.OPTIONAL,
  });
  setType(dice, value, "proto3", typeNames);
  const entry = create(DescriptorProtoSchema, { name: entryName, field: [key, value], options: { mapEntry: true } });
  parent.nestedType.push(entry);
  field.label = Label.REPEATED;
  field.type = Type.MESSAGE;
  field.typeName = `.random.${parent.name}.${entryName}`;
}

function camelCase(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()).replace(/_/g, "");
}
