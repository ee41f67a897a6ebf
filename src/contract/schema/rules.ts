import { type DescField, type DescMessage, type DescOneof, fromBinary, getOption, hasOption } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import {
  type FieldRules,
  FieldRulesSchema,
  field as fieldOption,
  Ignore,
  message as messageOption,
  oneof as oneofOption,
} from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import type { Schema } from "./schema.ts";

/** What the contract's `buf.validate` rules say of a field, as far as JSON Schema can say it. */
export interface FieldConstraints {
  readonly schema: Schema;
  /** For a list or map: its items or values. */
  readonly items: FieldConstraints | undefined;
  readonly keys: FieldConstraints | undefined;
  /** The field must be there: it is required, or the value that stands for its absence breaks a rule. */
  readonly isRequired: boolean;
}

const none: FieldConstraints = { schema: {}, items: undefined, keys: undefined, isRequired: false };

/** A field is asked for wherever its message is shown, and reading an option decodes it. */
const known = new WeakMap<DescField, FieldConstraints>();

export function constraintsOf(field: DescField): FieldConstraints {
  let found = known.get(field);
  if (found === undefined) {
    const rules = rulesOf(field);
    found = rules === undefined ? none : constraints(rules, hasPresence(field));
    known.set(field, found);
  }
  return found;
}

/** What `getOption` gives; that makes a type for each option it reads, which for a large contract is most of the document's time. */
function rulesOf(field: DescField): FieldRules | undefined {
  const given = field.proto.options?.$unknown?.filter(({ no }) => no === fieldOption.number) ?? [];
  const [only] = given;
  if (only === undefined) return undefined;
  // An option in several pieces is merged.
  if (given.length > 1) return getOption(field, fieldOption);
  return fromBinary(FieldRulesSchema, new BinaryReader(only.data).bytes());
}

export function isRequiredOneof(oneof: DescOneof): boolean {
  return hasOption(oneof, oneofOption) && getOption(oneof, oneofOption).required;
}

/** Groups of fields of which at most one may be set, and whether one must be. */
export function messageOneofs(
  desc: DescMessage,
): readonly { readonly fields: readonly string[]; readonly required: boolean }[] {
  return hasOption(desc, messageOption) ? getOption(desc, messageOption).oneof : [];
}

/** Whether an absent field is told from one with its zero value. */
function hasPresence(field: DescField): boolean {
  return field.fieldKind === "message" || ("presence" in field && field.presence !== 2); // IMPLICIT
}

function constraints(rules: FieldRules, isTracked: boolean): FieldConstraints {
  if (rules.ignore === Ignore.ALWAYS) return none;
  const { type } = rules;
  const schema = type.case === undefined ? {} : schemaOf(type);
  const isRequired =
    rules.required || (!isTracked && rules.ignore !== Ignore.IF_ZERO_VALUE && refusesZero(schema, type.case));
  if (type.case === "repeated") {
    return { schema, items: type.value.items && constraints(type.value.items, true), keys: undefined, isRequired };
  }
  if (type.case === "map") {
    const { keys, values } = type.value;
    return { schema, items: values && constraints(values, true), keys: keys && constraints(keys, true), isRequired };
  }
  return { schema, items: undefined, keys: undefined, isRequired };
}

/** Whether the value of an absent field breaks the rules: `""`, `0`, `[]`, `{}`. */
function refusesZero(schema: Schema, kind: FieldRules["type"]["case"]): boolean {
  switch (kind) {
    case undefined:
      return false;
    case "repeated":
      return (schema.minItems ?? 0) > 0;
    case "map":
      return (schema.minProperties ?? 0) > 0;
    case "string":
    case "bytes":
      return (
        (schema.minLength ?? 0) > 0 ||
        (schema.const !== undefined && schema.const !== "") ||
        (schema.enum !== undefined && !schema.enum.includes("")) ||
        (schema.pattern !== undefined && !isMatch(schema.pattern, "")) ||
        schema.format !== undefined
      );
    case "bool":
      return schema.const === true;
    default:
      return (
        (schema.minimum ?? 0) > 0 ||
        (schema.exclusiveMinimum ?? -1) >= 0 ||
        (schema.maximum ?? 0) < 0 ||
        (schema.exclusiveMaximum ?? 1) <= 0 ||
        (schema.const !== undefined && schema.const !== 0) ||
        (schema.enum !== undefined && !schema.enum.includes(0))
      );
  }
}

function isMatch(pattern: string, text: string): boolean {
  try {
    return new RegExp(pattern, "u").test(text);
  } catch {
    return true;
  }
}

type Writable = { -readonly [K in keyof Schema]: Schema[K] };

function schemaOf({ case: kind, value }: Exclude<FieldRules["type"], { case: undefined }>): Schema {
  const schema: Writable = {};
  switch (kind) {
    case "string":
      text(schema, value);
      formats(schema, value.wellKnown.case);
      break;
    case "bytes":
      // Lengths are those of the bytes, not of their base64.
      if (value.minLen > 0n || value.len > 0n) schema.minLength = 4;
      break;
    case "bool":
      if ("const" in value && value.const) schema.const = true;
      break;
    case "enum":
      if (value.in.length > 0) schema.enum = [...value.in];
      if (value.notIn.length > 0) schema.not = { enum: [...value.notIn] };
      break;
    case "repeated":
      if (value.minItems > 0n) schema.minItems = Number(value.minItems);
      if (value.maxItems > 0n) schema.maxItems = Number(value.maxItems);
      if (value.unique) schema.uniqueItems = true;
      break;
    case "map":
      if (value.minPairs > 0n) schema.minProperties = Number(value.minPairs);
      if (value.maxPairs > 0n) schema.maxProperties = Number(value.maxPairs);
      break;
    case "any":
    case "duration":
    case "timestamp":
    case "fieldMask":
      break;
    default:
      numbers(schema, value);
  }
  return schema;
}

interface TextRules {
  readonly const: string;
  readonly len: bigint;
  readonly minLen: bigint;
  readonly maxLen: bigint;
  readonly pattern: string;
  readonly prefix: string;
  readonly suffix: string;
  readonly contains: string;
  readonly in: readonly string[];
  readonly notIn: readonly string[];
}

function text(schema: Writable, rules: TextRules): void {
  if (rules.const !== "") schema.const = rules.const;
  if (rules.len > 0n) schema.minLength = schema.maxLength = Number(rules.len);
  if (rules.minLen > 0n) schema.minLength = Number(rules.minLen);
  if (rules.maxLen > 0n) schema.maxLength = Number(rules.maxLen);
  const patterns = [
    rules.pattern,
    rules.prefix && `^${escapePattern(rules.prefix)}`,
    rules.suffix && `${escapePattern(rules.suffix)}$`,
    rules.contains && escapePattern(rules.contains),
  ].filter(pattern => pattern !== "" && isPattern(pattern));
  const [first, ...others] = patterns;
  if (first !== undefined) schema.pattern = first;
  if (others.length > 0) schema.allOf = others.map(pattern => ({ pattern }));
  if (rules.in.length > 0) schema.enum = [...rules.in];
  if (rules.notIn.length > 0) schema.not = { enum: [...rules.notIn] };
}

/** RE2 has syntax that other engines do not know. */
function isPattern(pattern: string): boolean {
  try {
    return new RegExp(pattern, "u") instanceof RegExp;
  } catch {
    return false;
  }
}

function escapePattern(literal: string): string {
  return literal.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}

const wellKnown: Readonly<Record<string, string>> = {
  email: "email",
  hostname: "hostname",
  ipv4: "ipv4",
  ipv6: "ipv6",
  uri: "uri",
  uriRef: "uri-reference",
  uuid: "uuid",
};

function formats(schema: Writable, name: string | undefined): void {
  const format = name === undefined ? undefined : wellKnown[name];
  if (format !== undefined) schema.format = format;
}

interface NumberRules {
  readonly const?: number | bigint;
  readonly lessThan: { readonly case?: string | undefined; readonly value?: number | bigint | undefined };
  readonly greaterThan: { readonly case?: string | undefined; readonly value?: number | bigint | undefined };
  readonly in: readonly (number | bigint)[];
  readonly notIn: readonly (number | bigint)[];
}

function numbers(schema: Writable, rules: NumberRules): void {
  const { lessThan: upper, greaterThan: lower } = rules;
  // Bounds that exclude what is between them have no place in JSON Schema.
  const isInverted = upper.value !== undefined && lower.value !== undefined && upper.value <= lower.value;
  if (!isInverted) {
    if (upper.case === "lt") schema.exclusiveMaximum = Number(upper.value);
    if (upper.case === "lte") schema.maximum = Number(upper.value);
    if (lower.case === "gt") schema.exclusiveMinimum = Number(lower.value);
    if (lower.case === "gte") schema.minimum = Number(lower.value);
  }
  if (rules.const !== undefined && Number(rules.const) !== 0) schema.const = Number(rules.const);
  if (rules.in.length > 0) schema.enum = rules.in.map(Number);
  if (rules.notIn.length > 0) schema.not = { enum: rules.notIn.map(Number) };
}
