import { CodecError, describe } from "./codec-error.ts";
import { type Local, setOwn } from "./plan.ts";

/**
 * google.protobuf.Struct is held as plain JSON in fields. These functions convert between that and the message, which is
 * what the wire carries.
 */
export function structFromPlain(plain: unknown): Local {
  const fields: Local = {};
  if (typeof plain === "object" && plain !== null && !Array.isArray(plain)) {
    for (const key of Object.keys(plain)) setOwn(fields, key, valueFromPlain((plain as Local)[key]));
  }
  return { $typeName: "google.protobuf.Struct", fields };
}

function valueFromPlain(plain: unknown): Local {
  return { $typeName: "google.protobuf.Value", kind: kindFromPlain(plain) };
}

function kindFromPlain(plain: unknown): Local {
  switch (typeof plain) {
    case "number":
      return { case: "numberValue", value: plain };
    case "string":
      return { case: "stringValue", value: plain };
    case "boolean":
      return { case: "boolValue", value: plain };
    case "object":
      if (plain === null) return { case: "nullValue", value: 0 };
      if (Array.isArray(plain)) {
        return {
          case: "listValue",
          value: { $typeName: "google.protobuf.ListValue", values: plain.map(valueFromPlain) },
        };
      }
      return { case: "structValue", value: structFromPlain(plain) };
    default:
      return { case: undefined };
  }
}

export function structToPlain(struct: Local): Local {
  const plain: Local = {};
  const fields = struct["fields"] as Local;
  for (const key of Object.keys(fields)) setOwn(plain, key, valueToPlain(fields[key] as Local));
  return plain;
}

function valueToPlain(value: Local): unknown {
  const kind = value["kind"] as { case?: string; value?: unknown };
  switch (kind.case) {
    case "structValue":
      return structToPlain(kind.value as Local);
    case "listValue":
      return ((kind.value as Local)["values"] as Local[]).map(valueToPlain);
    case "nullValue":
    case undefined:
      return null;
    default:
      return kind.value;
  }
}

/** Refuses what JSON cannot say, and returns the text. */
export function plainToJson(plain: unknown): string {
  switch (typeof plain) {
    case "number":
      if (!Number.isFinite(plain))
        throw new CodecError("value.finite", "google.protobuf.Value cannot be NaN or infinite");
      return String(plain);
    case "string":
    case "boolean":
      return JSON.stringify(plain);
    case "object": {
      if (plain === null) return "null";
      if (Array.isArray(plain)) return `[${plain.map(plainToJson).join(",")}]`;
      const parts = Object.keys(plain).map(key => `${JSON.stringify(key)}:${plainToJson((plain as Local)[key])}`);
      return `{${parts.join(",")}}`;
    }
    default:
      throw new CodecError("value.type", `google.protobuf.Value must have a value, got ${describe(plain)}`);
  }
}
