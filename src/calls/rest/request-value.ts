import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { refused } from "./problem.ts";

export type JsonObject = { [name: string]: unknown };

/** Well-known messages that are one JSON string or value, and so may be a path or query parameter. */
const scalarMessages =
  /^google\.protobuf\.(Timestamp|Duration|FieldMask|(Double|Float|U?Int(32|64)|Bool|String|Bytes)Value)$/;

/** Messages whose JSON is no object of their fields: no path leads into them. */
const ownJson = /^google\.protobuf\.(Any|Struct|Value|ListValue)$/;

/** The field of a dotted path, either spelling; `undefined` when a step does not exist or is no message with fields. */
export function findField(desc: DescMessage, path: string): readonly DescField[] | undefined {
  const fields: DescField[] = [];
  let message: DescMessage | undefined = desc;
  for (const name of path.split(".")) {
    const field: DescField | undefined = message?.fields.find(one => one.name === name || one.jsonName === name);
    if (field === undefined) return undefined;
    fields.push(field);
    message = field.fieldKind === "message" && hasFields(field.message) ? field.message : undefined;
  }
  return fields;
}

/** Whether the JSON of a message is an object of its fields. */
export function hasFields({ typeName }: DescMessage): boolean {
  return !scalarMessages.test(typeName) && !ownJson.test(typeName);
}

/** A field of a message, also one of a oneof. */
export function fieldValue(message: unknown, field: DescField): unknown {
  const object = message as JsonObject | undefined;
  if (field.oneof === undefined) return object?.[field.localName];
  const member = object?.[field.oneof.localName] as { case?: string; value?: unknown } | undefined;
  return member?.case === field.localName ? member.value : undefined;
}

/** Whether values of the field can be written as text in a path or query. */
export function isParameter(field: DescField): boolean {
  switch (field.fieldKind) {
    case "scalar":
    case "enum":
      return true;
    case "message":
      return scalarMessages.test(field.message.typeName);
    case "list":
      return field.listKind !== "message" || scalarMessages.test(field.message.typeName);
    default:
      return false;
  }
}

/** Takes a field out of the JSON value, in either spelling: the path decides it, whatever the body says. */
export function removeField(target: JsonObject, fields: readonly DescField[]): void {
  let object: unknown = target;
  for (const field of fields.slice(0, -1)) {
    if (typeof object !== "object" || object === null) return;
    object = (object as JsonObject)[field.name] ?? (object as JsonObject)[field.jsonName];
  }
  const last = fields.at(-1);
  if (typeof object !== "object" || object === null || last === undefined) return;
  delete (object as JsonObject)[last.name];
  delete (object as JsonObject)[last.jsonName];
}

/** Puts a parameter's text into the JSON value of the request. @throws RestRequestError naming the parameter */
export function setParameter(target: JsonObject, fields: readonly DescField[], name: string, text: string): void {
  let object = target;
  for (let step = 0; step < fields.length - 1; step++) {
    const field = fields[step] as DescField;
    const inner = object[field.name] ?? object[field.jsonName] ?? Object.create(null);
    if (typeof inner !== "object" || inner === null || Array.isArray(inner)) {
      throw refused(name, `is part of "${field.name}", which is no object in the body`, "json.type");
    }
    delete object[field.jsonName];
    object[field.name] = inner;
    object = inner as JsonObject;
  }
  const field = fields[fields.length - 1] as DescField; // a path has at least one step
  if (!isParameter(field)) throw refused(name, "is not a value that a parameter can carry", "query.type");
  const value = jsonOf(field, text, name);
  if (field.fieldKind === "list") {
    const list = (object[field.name] ?? []) as unknown[];
    list.push(value);
    object[field.name] = list;
  } else if (Object.hasOwn(object, field.name)) {
    throw refused(name, "is given more than once", "query.repeated");
  } else {
    object[field.name] = value;
  }
}

function jsonOf(field: DescField, text: string, name: string): unknown {
  if (field.fieldKind === "scalar" && field.scalar === ScalarType.STRING) return text;
  const type = field.fieldKind === "message" || field.fieldKind === "list" ? wrapped(field) : field.scalar;
  if (type === ScalarType.BOOL) {
    if (text === "true" || text === "false") return text === "true";
    throw refused(name, `is "${text}", expected true or false`, "query.type");
  }
  // Text that other readers of numbers take for hexadecimal or octal means something else to them.
  if (type !== undefined && isNumeric(type) && /^[+-]?0[xob]/i.test(text)) {
    throw refused(name, `is "${text}", expected a decimal number`, `${ScalarType[type].toLowerCase()}.type`);
  }
  const isEnum = field.fieldKind === "enum" || (field.fieldKind === "list" && field.listKind === "enum");
  // ProtoJSON reads numbers from strings; enums need a number to be one.
  if (isEnum && /^-?[0-9]{1,10}$/.test(text)) return Number(text);
  return text;
}

function isNumeric(type: ScalarType): boolean {
  return type !== ScalarType.STRING && type !== ScalarType.BYTES && type !== ScalarType.BOOL;
}

/** The scalar inside a wrapper message or a list. */
function wrapped(field: DescField): ScalarType | undefined {
  if (field.fieldKind === "list" && field.listKind === "scalar") return field.scalar;
  const message = field.fieldKind === "message" || field.fieldKind === "list" ? field.message : undefined;
  const inner = message?.fields[0];
  return message?.typeName.endsWith("Value") === true && inner?.fieldKind === "scalar" ? inner.scalar : undefined;
}
