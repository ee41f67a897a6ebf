import type { Schema } from "./schema.ts";

/** Whether a schema accepts the value that stands for an absent field: empty or zero. What it refers to is not looked at. */
export function accepts(schema: Schema, value: unknown): boolean {
  return (
    acceptsType(schema, value) &&
    (schema.const === undefined || schema.const === value) &&
    (schema.enum?.includes(value) ?? true) &&
    !(schema.not !== undefined && accepts(schema.not, value)) &&
    (schema.allOf?.every(one => accepts(one, value)) ?? true) &&
    (schema.anyOf?.some(one => accepts(one, value)) ?? true)
  );
}

function acceptsType(schema: Schema, value: unknown): boolean {
  switch (typeof value) {
    case "string":
      return (
        isOf(schema, "string") &&
        [...value].length >= (schema.minLength ?? 0) &&
        (schema.pattern === undefined || new RegExp(schema.pattern, "u").test(value))
      );
    case "number":
      return (
        (isOf(schema, "number") || isOf(schema, "integer")) &&
        value >= (schema.minimum ?? value) &&
        value <= (schema.maximum ?? value) &&
        !(schema.exclusiveMinimum !== undefined && value <= schema.exclusiveMinimum) &&
        !(schema.exclusiveMaximum !== undefined && value >= schema.exclusiveMaximum)
      );
    case "boolean":
      return isOf(schema, "boolean");
    default:
      return Array.isArray(value)
        ? isOf(schema, "array") && value.length >= (schema.minItems ?? 0)
        : isOf(schema, "object") && (schema.minProperties ?? 0) === 0;
  }
}

function isOf({ type }: Schema, name: string): boolean {
  return type === undefined || type === name || (Array.isArray(type) && type.includes(name));
}
