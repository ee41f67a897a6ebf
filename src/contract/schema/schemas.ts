import { type DescEnum, type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { enumSpellings, type JsonDialect } from "../codec/index.ts";
import { exampleOf } from "./example.ts";
import { constraintsOf, type FieldConstraints, isRequiredOneof, messageOneofs } from "./rules.ts";
import type { Schema } from "./schema.ts";

/**
 * `input`: what is accepted, with the contract's rules. `output`: what is answered; rules do not bind answers.
 * `parameter`: one value as the text of a path or query.
 */
export type Direction = "input" | "output" | "parameter";

/** The schemas of a document: one component for each message type, dialect and direction. */
export class Schemas {
  readonly components: Record<string, Schema> = {};
  readonly #names = new Map<string, string>();
  readonly #examples = new Map<string, unknown>();

  /** A reference to the schema of a message, or the schema itself where the type has JSON of its own. */
  message(desc: DescMessage, dialect: JsonDialect, direction: Direction): Schema {
    const own = wellKnownSchema(desc, direction);
    if (own !== undefined) return own;
    const spelling = `${dialect.fieldNames} ${dialect.enumValues} ${dialect.emitDefaultValues}`;
    const key = `${desc.typeName} ${spelling} ${direction}`;
    let name = this.#names.get(key);
    if (name === undefined) {
      const plain = `${desc.typeName}${direction === "input" ? ".Input" : ""}`;
      name = plain;
      for (let copy = 2; name in this.components; copy++) name = `${plain}.${copy}`;
      this.#names.set(key, name);
      this.components[name] = {}; // holds the place: types may contain themselves
      this.components[name] = this.object(desc, dialect, direction);
    }
    return { $ref: `#/components/schemas/${name}` };
  }

  /** A value that a schema accepts. That of a message type is made once: every route that shows the type has the same. */
  example(schema: Schema): unknown {
    if (schema.$ref === undefined) return exampleOf(schema, this.components);
    let example = this.#examples.get(schema.$ref);
    if (example === undefined) {
      example = exampleOf(schema, this.components);
      this.#examples.set(schema.$ref, example);
    }
    return example;
  }

  /** The schema of a message without the fields that come from elsewhere. */
  object(
    desc: DescMessage,
    dialect: JsonDialect,
    direction: Direction,
    without: ReadonlySet<DescField> = new Set(),
  ): Schema {
    const properties: Record<string, Schema> = {};
    const required: string[] = [];
    const fields = desc.fields.filter(field => !without.has(field));
    const nameOf = (field: DescField): string => (dialect.fieldNames === "proto" ? field.name : field.jsonName);
    for (const field of fields) {
      const { isRequired } = direction === "output" ? { isRequired: false } : constraintsOf(field);
      const schema = this.field(field, dialect, direction);
      properties[nameOf(field)] = direction === "input" && !isRequired ? nullable(schema) : schema;
      if (isRequired) required.push(nameOf(field));
    }
    const allOf = direction === "output" ? [] : oneofs(desc, fields, nameOf);
    return {
      type: "object",
      properties,
      ...(required.length > 0 ? { required } : {}),
      additionalProperties: false,
      ...(allOf.length > 0 ? { allOf } : {}),
    };
  }

  field(field: DescField, dialect: JsonDialect, direction: Direction): Schema {
    const rules = direction === "output" ? undefined : constraintsOf(field);
    switch (field.fieldKind) {
      case "scalar":
        return scalarSchema(field.scalar, direction, rules);
      case "enum":
        return enumSchema(field.enum, dialect, direction, rules);
      case "message":
        return this.message(field.message, dialect, direction);
      case "list": {
        const items =
          field.listKind === "scalar"
            ? scalarSchema(field.scalar, direction, rules?.items)
            : field.listKind === "enum"
              ? enumSchema(field.enum, dialect, direction, rules?.items)
              : this.message(field.message, dialect, direction);
        return { type: "array", items, ...rules?.schema };
      }
      case "map": {
        const values =
          field.mapKind === "scalar"
            ? scalarSchema(field.scalar, direction, rules?.items)
            : field.mapKind === "enum"
              ? enumSchema(field.enum, dialect, direction, rules?.items)
              : this.message(field.message, dialect, direction);
        const names = mapKeys(field.mapKey, rules?.keys);
        return {
          type: "object",
          additionalProperties: values,
          ...(names === undefined ? {} : { propertyNames: names }),
          ...rules?.schema,
        };
      }
    }
  }
}

function nullable(schema: Schema): Schema {
  if (typeof schema.type === "string") return { ...schema, type: [schema.type, "null"], ...nullInEnum(schema) };
  if (Array.isArray(schema.type)) return { ...schema, type: [...schema.type, "null"], ...nullInEnum(schema) };
  if (schema.$ref !== undefined || schema.anyOf !== undefined) return { anyOf: [schema, { type: "null" }] };
  return schema;
}

function nullInEnum(schema: Schema): Schema {
  return schema.enum === undefined ? {} : { enum: [...schema.enum, null] };
}

export const integers: Readonly<Partial<Record<ScalarType, readonly [format: string, min: number, max: number]>>> = {
  [ScalarType.INT32]: ["int32", -(2 ** 31), 2 ** 31 - 1],
  [ScalarType.SINT32]: ["int32", -(2 ** 31), 2 ** 31 - 1],
  [ScalarType.SFIXED32]: ["int32", -(2 ** 31), 2 ** 31 - 1],
  [ScalarType.UINT32]: ["uint32", 0, 2 ** 32 - 1],
  [ScalarType.FIXED32]: ["uint32", 0, 2 ** 32 - 1],
  [ScalarType.INT64]: ["int64", -(2 ** 53), 2 ** 53],
  [ScalarType.SINT64]: ["int64", -(2 ** 53), 2 ** 53],
  [ScalarType.SFIXED64]: ["int64", -(2 ** 53), 2 ** 53],
  [ScalarType.UINT64]: ["uint64", 0, 2 ** 53],
  [ScalarType.FIXED64]: ["uint64", 0, 2 ** 53],
};

/** What bytes are written as. */
export const base64 = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$";

function scalarSchema(type: ScalarType, direction: Direction, rules?: FieldConstraints): Schema {
  const own = rules?.schema ?? {};
  const integer = integers[type];
  if (integer !== undefined) {
    const [format, minimum, maximum] = integer;
    const bounds = {
      ...(own.exclusiveMinimum === undefined ? { minimum: own.minimum ?? minimum } : {}),
      ...(own.exclusiveMaximum === undefined ? { maximum: own.maximum ?? maximum } : {}),
    };
    const isText = format.endsWith("64");
    if (direction === "output" && isText) return { type: "string", format, pattern: "^-?[0-9]{1,20}$" };
    if (direction !== "input") return { type: "integer", format, ...own, ...bounds };
    return {
      type: isText ? ["string", "integer"] : ["integer", "string"],
      format,
      ...own,
      ...bounds,
      ...digits(own, maximum),
    };
  }
  switch (type) {
    case ScalarType.BOOL:
      return { type: "boolean", ...own };
    case ScalarType.BYTES:
      return { type: "string", contentEncoding: "base64", pattern: base64, ...own };
    case ScalarType.STRING:
      return { type: "string", ...own };
    default: {
      const format = type === ScalarType.FLOAT ? "float" : "double";
      const range = type === ScalarType.FLOAT ? { minimum: -3.4e38, maximum: 3.4e38 } : {};
      const bounded = {
        ...(own.exclusiveMinimum === undefined && own.exclusiveMaximum === undefined ? range : {}),
        ...own,
      };
      // NaN and the infinities are text.
      if (direction === "output") return { type: ["number", "string"], format, pattern: "^(NaN|-?Infinity)$" };
      if (direction === "parameter") return { type: "number", format, ...bounded };
      return { type: ["number", "string"], format, ...bounded, ...digits(own, 1e9) };
    }
  }
}

/** ProtoJSON takes numbers as text too; a pattern has no ranges, so it names the texts that certainly are in range. */
function digits(own: Schema, typeMaximum: number): Schema {
  if (own.enum !== undefined || own.const !== undefined) return {};
  const maximum = Math.min(own.maximum ?? own.exclusiveMaximum ?? typeMaximum, typeMaximum);
  const minimum = own.minimum ?? own.exclusiveMinimum ?? 0;
  const length = Math.floor(Math.log10(Math.max(1, maximum)));
  if (minimum > 1 || maximum < 10) return { pattern: "^$" };
  return { pattern: `^[1-9][0-9]{0,${Math.max(0, length - 1)}}$` };
}

function enumSchema(desc: DescEnum, dialect: JsonDialect, direction: Direction, rules?: FieldConstraints): Schema {
  const { written, read } = enumSpellings(desc, dialect.enumValues);
  if (direction === "output")
    return {
      anyOf: [
        { type: "string", enum: written },
        { type: "integer", format: "int32" },
      ],
    };
  const numbers = rules?.schema.enum as readonly number[] | undefined;
  const names = read.filter(([, number]) => numbers === undefined || numbers.includes(number)).map(([name]) => name);
  const shown = [...written.filter(name => names.includes(name)), ...names.filter(name => !written.includes(name))];
  const integer =
    numbers === undefined ? { type: "integer", minimum: -(2 ** 31), maximum: 2 ** 31 - 1 } : { enum: numbers };
  return { anyOf: [{ type: "string", enum: shown }, integer] };
}

function mapKeys(type: ScalarType, rules: FieldConstraints | undefined): Schema | undefined {
  if (type === ScalarType.STRING) return rules?.schema;
  if (type === ScalarType.BOOL) return { enum: ["true", "false"] };
  return { pattern: (integers[type]?.[1] ?? 0) < 0 ? "^(0|-?[1-9][0-9]{0,8})$" : "^(0|[1-9][0-9]{0,8})$" };
}

/** At most one member of a oneof; exactly one where the contract requires it. */
function oneofs(
  desc: DescMessage,
  fields: readonly DescField[],
  nameOf: (field: DescField) => string,
): readonly Schema[] {
  const groups = [
    ...desc.oneofs.map(oneof => ({ members: oneof.fields, isRequired: isRequiredOneof(oneof) })),
    ...messageOneofs(desc).map(group => ({
      members: desc.fields.filter(({ name }) => group.fields.includes(name)),
      isRequired: group.required,
    })),
  ];
  return groups.flatMap(({ members, isRequired }) => {
    const names = members.filter(member => fields.includes(member)).map(nameOf);
    const pairs = names.flatMap((one, index) => names.slice(index + 1).map(other => ({ not: present(one, other) })));
    const some = isRequired ? [{ anyOf: names.map(name => present(name)) }] : [];
    return [...pairs, ...some];
  });
}

/** Fields that are there and not null, which in JSON is the same as absent. */
function present(...names: readonly string[]): Schema {
  return { required: names, properties: Object.fromEntries(names.map(name => [name, { not: { type: "null" } }])) };
}

const jsonValue: Schema = { description: "Any JSON value." };

/** Types whose JSON is not that of an ordinary message. */
export function wellKnownSchema(desc: DescMessage, direction: Direction): Schema | undefined {
  switch (desc.typeName) {
    case "google.protobuf.Timestamp":
      return { type: "string", format: "date-time" };
    case "google.protobuf.Duration":
      // Up to 315,576,000,000 s are written; a pattern without that bound asks callers for eleven digits, which all are.
      return { type: "string", pattern: `^-?[0-9]{1,${direction === "output" ? 12 : 11}}(\\.[0-9]{1,9})?s$` };
    case "google.protobuf.FieldMask":
      return { type: "string", pattern: "^([a-z][A-Za-z0-9]*([.,][a-z][A-Za-z0-9]*)*)?$" };
    case "google.protobuf.Struct":
      return { type: "object", additionalProperties: true };
    case "google.protobuf.Value":
      return jsonValue;
    case "google.protobuf.ListValue":
      return { type: "array", items: jsonValue };
    case "google.protobuf.Any":
      return {
        type: "object",
        // An empty Any has no type.
        properties: { "@type": { type: "string" } },
        additionalProperties: true,
      };
    case "google.protobuf.Empty":
      return { type: "object", additionalProperties: false };
    default: {
      const inner = /^google\.protobuf\.(\w+)Value$/.test(desc.typeName) ? desc.fields[0] : undefined;
      return inner?.fieldKind === "scalar" ? scalarSchema(inner.scalar, direction) : undefined;
    }
  }
}
