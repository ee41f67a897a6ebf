import { type DescExtension, type DescField, getExtension, type Message } from "@bufbuild/protobuf";
import type { UnknownField } from "../binary/index.ts";
import { CodecError, describe, subscript, within } from "../codec-error.ts";
import { type FieldPlan, fieldValue, type Local, type MessagePlan, planField, wrappedField } from "../plan.ts";
import { checkType, isZero } from "../presence.ts";
import { plainToJson } from "../struct-value.ts";
import { enumNames } from "./dialect.ts";
import type { EncodeJson, JsonNodes } from "./json-node.ts";
import { quote, scalarText } from "./scalar-text.ts";

/** The JSON text of a field's value. */
export type ValueText = (value: unknown) => string;

/** `"name":value`, or nothing when the field is not written. */
export type FieldText = (message: Local) => string;

export function encodeWithClosures(plan: MessagePlan, nodes: JsonNodes): EncodeJson {
  let texts: FieldText[] | undefined;
  return message => {
    checkType(plan, message);
    texts ??= plan.fields.map(field => fieldText(field, nodes));
    let text = "";
    for (const textOf of texts) {
      const part = textOf(message);
      if (part !== "") text += text === "" ? part : `,${part}`;
    }
    return `{${withExtensions(text, message, plan, nodes)}}`;
  };
}

/** Adds the extensions among the unknown fields that the registry knows. */
export function withExtensions(text: string, message: Local, plan: MessagePlan, nodes: JsonNodes): string {
  const unknown = message["$unknown"] as UnknownField[] | undefined;
  const registry = nodes.options.registry;
  if (unknown === undefined || registry === undefined) return text;
  for (const number of new Set(unknown.map(field => field.no))) {
    const extension = registry.getExtensionFor(plan.desc, number);
    if (extension === undefined) continue;
    const field = extensionPlan(extension);
    const value = getExtension(message as unknown as Message, extension);
    const part = `${quote(extension.jsonName)}:${valueText(field, nodes)(value)}`;
    text += text === "" ? part : `,${part}`;
  }
  return text;
}

/** An extension as if it were a field of the message that it extends. */
export function extensionPlan(extension: DescExtension): FieldPlan {
  const field = { ...extension, kind: "field", parent: extension.extendee, localName: extension.typeName };
  return planField(field as unknown as DescField, true);
}

/** The text of one field with its name. */
export function fieldText(field: FieldPlan, nodes: JsonNodes): FieldText {
  const textOf = valueText(field, nodes);
  const name = nodes.nameOf(field);
  const key = `${JSON.stringify(name)}:`;
  const emits = nodes.options.dialect.emitDefaultValues;
  return message => {
    let value = fieldValue(message, field);
    if (value === undefined) {
      if (field.presence === "required") {
        throw new CodecError("field.required", "a required field is not set", name);
      }
      if (field.presence !== "implicit" || !emits) return "";
      value = field.kind === "list" ? [] : field.kind === "map" ? {} : field.zero;
    }
    try {
      if (!emits && field.presence === "implicit" && isEmpty(field, value)) return "";
      return key + textOf(value);
    } catch (failure) {
      throw within(name, failure);
    }
  };
}

function isEmpty(field: FieldPlan, value: unknown): boolean {
  if (field.kind === "list") return (value as unknown[]).length === 0;
  if (field.kind === "map") return Object.keys(value as object).length === 0;
  return isZero(field, value);
}

/** The text of a field's value, of any kind. */
export function valueText(field: FieldPlan, nodes: JsonNodes): ValueText {
  const item = itemText(field, nodes);
  if (field.kind === "list") {
    return value => {
      const items = value as readonly unknown[];
      let text = "[";
      for (let index = 0; index < items.length; index++) {
        try {
          text += index === 0 ? item(items[index]) : `,${item(items[index])}`;
        } catch (failure) {
          throw within(subscript(index), failure);
        }
      }
      return `${text}]`;
    };
  }
  if (field.kind !== "map") return item;
  return value => {
    const record = value as Local;
    let text = "";
    for (const key of Object.keys(record)) {
      try {
        text += `${text === "" ? "" : ","}${quote(key)}:${item(record[key])}`;
      } catch (failure) {
        throw within(subscript(key), failure);
      }
    }
    return `{${text}}`;
  };
}

/** The text of a singular value, list item or map value. */
function itemText(field: FieldPlan, nodes: JsonNodes): ValueText {
  const desc = field.desc;
  if (desc.enum !== undefined) {
    const isNull = desc.enum.typeName === "google.protobuf.NullValue";
    const names = enumNames(desc.enum, nodes.options.dialect.enumValues).textOf;
    return value => {
      if (typeof value !== "number" || !Number.isInteger(value)) {
        throw new CodecError("enum.type", `expected a number of ${desc.enum?.typeName}, got ${describe(value)}`);
      }
      return isNull ? "null" : (names.get(value) ?? String(value));
    };
  }
  if (field.message === undefined) return scalarText(field.scalar!); // neither enum nor message
  switch (field.holding) {
    case "struct":
      return plainToJson;
    case "wrapper":
      return scalarText(wrappedField(field.message).scalar);
    case "message": {
      const node = nodes.get(field.message);
      return value => {
        if (typeof value !== "object" || value === null) {
          throw new CodecError("message.type", `expected a ${node.plan.typeName}, got ${describe(value)}`);
        }
        return node.encode(value as Local);
      };
    }
  }
}
