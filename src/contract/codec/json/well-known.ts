import { type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { CodecError, describe } from "../codec-error.ts";
import { emptyMessage, isWrapper, type Local, planMessage, scalarZero, setOwn, wrappedField } from "../plan.ts";
import { plainToJson } from "../struct-value.ts";
import { anyText, readAny } from "./any.ts";
import { enter, isObject } from "./json-input.ts";
import type { DecodeJson, EncodeJson, JsonNodes, JsonState } from "./json-node.ts";
import { quote, scalarText } from "./scalar-text.ts";
import { scalarValue } from "./scalar-value.ts";
import { durationText, readDuration, readTimestamp, timestampText } from "./timestamp.ts";

/** How a well-known type is written to JSON and read from it. */
export interface WellKnown {
  readonly encode: EncodeJson;
  readonly decode: DecodeJson;
}

export function wellKnown(desc: DescMessage, nodes: JsonNodes): WellKnown | undefined {
  const create = (): Local => emptyMessage(planMessage(desc));
  const nested = (read: (json: unknown, state: JsonState) => Local): DecodeJson => {
    return (json, state) => {
      enter(state);
      const message = read(json, state);
      state.depth--;
      return message;
    };
  };
  switch (desc.typeName) {
    case "google.protobuf.Any":
      return {
        encode: message => anyText(message, nodes),
        decode: nested((json, state) => Object.assign(create(), readAny(json, state, nodes))),
      };
    case "google.protobuf.Timestamp":
      return { encode: timestampText, decode: nested(json => Object.assign(create(), readTimestamp(json))) };
    case "google.protobuf.Duration":
      return { encode: durationText, decode: nested(json => Object.assign(create(), readDuration(json))) };
    case "google.protobuf.FieldMask":
      return { encode: fieldMaskText, decode: nested(json => Object.assign(create(), { paths: readFieldMask(json) })) };
    case "google.protobuf.Struct":
      return { encode: structText, decode: nested(readStruct) };
    case "google.protobuf.Value":
      return { encode: valueText, decode: nested(readValue) };
    case "google.protobuf.ListValue":
      return { encode: listText, decode: nested(readList) };
    default:
      return isWrapper(desc) ? wrapper(desc, create, nested) : undefined;
  }
}

function wrapper(
  desc: DescMessage,
  create: () => Local,
  nested: (read: (json: unknown) => Local) => DecodeJson,
): WellKnown {
  const field = wrappedField(desc);
  const text = scalarText(field.scalar);
  const value = scalarValue(field.scalar, field.longAsString);
  const zero = scalarZero(field.scalar, false);
  return {
    encode: message => text(message[field.localName] ?? zero),
    decode: nested(json => {
      const message = create();
      if (json !== null) message[field.localName] = value(json);
      else if (field.scalar === ScalarType.BYTES) message[field.localName] = new Uint8Array(0);
      return message;
    }),
  };
}

function camelCase(path: string): string {
  return path.replace(/_+([^_]?)/g, (_, next: string) => (/[0-9]/.test(next) ? next : next.toUpperCase()));
}

function snakeCase(path: string): string {
  return path.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`);
}

function fieldMaskText(message: Local): string {
  const paths = (message["paths"] ?? []) as string[];
  const converted = paths.map(path => {
    const camel = camelCase(path);
    if (snakeCase(camel) !== path) {
      throw new CodecError("field_mask.path", `the path ${describe(path)} has no reversible lowerCamelCase`);
    }
    return camel;
  });
  return quote(converted.join(","));
}

function readFieldMask(json: unknown): string[] {
  if (typeof json !== "string") throw new CodecError("field_mask.type", `expected a string, got ${describe(json)}`);
  if (json === "") return [];
  return json.split(",").map(path => {
    if (path.includes("_")) throw new CodecError("field_mask.path", `the path ${describe(path)} is not lowerCamelCase`);
    return snakeCase(path);
  });
}

function structText(message: Local): string {
  const fields = (message["fields"] ?? {}) as Local;
  return `{${Object.keys(fields)
    .map(key => `${quote(key)}:${valueText(fields[key] as Local)}`)
    .join(",")}}`;
}

function listText(message: Local): string {
  return `[${((message["values"] ?? []) as Local[]).map(valueText).join(",")}]`;
}

function valueText(message: Local): string {
  const kind = message["kind"] as { case?: string; value?: unknown } | undefined;
  switch (kind?.case) {
    case "nullValue":
      return "null";
    case "numberValue":
    case "boolValue":
    case "stringValue":
      return plainToJson(kind.value);
    case "structValue":
      return structText(kind.value as Local);
    case "listValue":
      return listText(kind.value as Local);
    default:
      throw new CodecError("value.type", "google.protobuf.Value must have a value");
  }
}

function readStruct(json: unknown, state: JsonState): Local {
  if (!isObject(json)) throw new CodecError("struct.type", `expected an object, got ${describe(json)}`);
  const fields: Local = {};
  const keys = Object.keys(json);
  state.members += keys.length;
  for (const key of keys) setOwn(fields, key, readValue(json[key], state));
  return { $typeName: "google.protobuf.Struct", fields };
}

function readList(json: unknown, state: JsonState): Local {
  if (!Array.isArray(json)) throw new CodecError("list.type", `expected a list, got ${describe(json)}`);
  return { $typeName: "google.protobuf.ListValue", values: json.map(item => readValue(item, state)) };
}

function readValue(json: unknown, state: JsonState): Local {
  enter(state);
  const value: Local = { $typeName: "google.protobuf.Value", kind: readKind(json, state) };
  state.depth--;
  return value;
}

function readKind(json: unknown, state: JsonState): Local {
  switch (typeof json) {
    case "number":
      return { case: "numberValue", value: json };
    case "string":
      return { case: "stringValue", value: json };
    case "boolean":
      return { case: "boolValue", value: json };
    case "object":
      if (json === null) return { case: "nullValue", value: 0 };
      if (Array.isArray(json)) return { case: "listValue", value: readList(json, state) };
      return { case: "structValue", value: readStruct(json, state) };
    default:
      throw new CodecError("value.type", `expected a JSON value, got ${describe(json)}`);
  }
}
