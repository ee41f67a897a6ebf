/**
 * The .proto text of a file descriptor, for contracts whose text is in no package. Comments and the options of fields are
 * not part of it: what reads the options has its own copy of the descriptor.
 */

const types = [
  "double",
  "float",
  "int64",
  "uint64",
  "int32",
  "fixed64",
  "fixed32",
  "bool",
  "string",
  "group",
  "message",
  "bytes",
  "uint32",
  "enum",
  "sfixed32",
  "sfixed64",
  "sint32",
  "sint64",
]; // prettier-ignore
const labels = { 1: "optional", 2: "required", 3: "repeated" };
/** Field numbers end here (descriptor.proto). */
const numberMax = 536_870_911;

/** @typedef {import("@bufbuild/protobuf/wkt").FileDescriptorProto} File */
/** @typedef {import("@bufbuild/protobuf/wkt").DescriptorProto} Message */
/** @typedef {import("@bufbuild/protobuf/wkt").EnumDescriptorProto} Enum */
/** @typedef {import("@bufbuild/protobuf/wkt").FieldDescriptorProto} Field */

/** @param {File} file proto2 or proto3, without services @returns {string} */
export function printProto(file) {
  const isProto3 = file.syntax === "proto3";
  const lines = [`syntax = "${file.syntax || "proto2"}";`, `package ${file.package};`];
  for (const dependency of file.dependency) lines.push(`import "${dependency}";`);
  for (const one of file.enumType) lines.push(...enumLines(one));
  for (const one of file.messageType) lines.push(...messageLines(one, isProto3));
  const extendees = new Set(file.extension.map(({ extendee }) => extendee));
  for (const extendee of extendees) {
    const fields = file.extension.filter(one => one.extendee === extendee);
    lines.push(`extend ${extendee} {`, ...fields.map(one => fieldLine(one, isProto3)), "}");
  }
  return `${lines.join("\n")}\n`;
}

/** @param {Message} message @param {boolean} isProto3 @returns {string[]} */
function messageLines(message, isProto3) {
  const maps = new Map(message.nestedType.filter(({ options }) => options?.mapEntry).map(entry => [entry.name, entry]));
  const lines = [`message ${message.name} {`];
  for (const one of message.enumType) lines.push(...enumLines(one));
  for (const one of message.nestedType) if (!maps.has(one.name)) lines.push(...messageLines(one, isProto3));
  const isMember = field =>
    field.oneofIndex !== undefined && Object.hasOwn(field, "oneofIndex") && !field.proto3Optional;
  for (const field of message.field) {
    const entry = maps.get(field.typeName.split(".").at(-1) ?? "");
    if (isMember(field)) continue;
    if (entry !== undefined) {
      const [key, value] = entry.field.map(typeOf);
      lines.push(`map<${key}, ${value}> ${field.name} = ${field.number};`);
    } else {
      lines.push(fieldLine(field, isProto3));
    }
  }
  for (const [index, { name }] of message.oneofDecl.entries()) {
    const members = message.field.filter(field => isMember(field) && field.oneofIndex === index);
    if (members.length === 0) continue;
    lines.push(`oneof ${name} {`);
    for (const field of members) lines.push(`${typeOf(field)} ${field.name} = ${field.number};`);
    lines.push("}");
  }
  for (const { start, end } of message.extensionRange) lines.push(`extensions ${range(start, end - 1)};`);
  for (const { start, end } of message.reservedRange) lines.push(`reserved ${range(start, end - 1)};`);
  for (const name of message.reservedName) lines.push(`reserved "${name}";`);
  return [...lines, "}"];
}

/** @param {Enum} desc @returns {string[]} */
function enumLines(desc) {
  const lines = [`enum ${desc.name} {`];
  if (desc.options?.allowAlias) lines.push("option allow_alias = true;");
  for (const { name, number } of desc.value) lines.push(`${name} = ${number};`);
  for (const { start, end } of desc.reservedRange) lines.push(`reserved ${range(start, end)};`);
  for (const name of desc.reservedName) lines.push(`reserved "${name}";`);
  return [...lines, "}"];
}

/** @param {Field} field @param {boolean} isProto3 */
function fieldLine(field, isProto3) {
  const hasLabel = !isProto3 || field.label === 3 || field.proto3Optional;
  return `${hasLabel ? `${labels[field.label]} ` : ""}${typeOf(field)} ${field.name} = ${field.number};`;
}

/** @param {Field} field */
function typeOf(field) {
  return field.typeName === "" ? types[field.type - 1] : field.typeName;
}

/** @param {number} start @param {number} end the last one */
function range(start, end) {
  if (start === end) return String(start);
  return `${start} to ${end >= numberMax ? "max" : end}`;
}
