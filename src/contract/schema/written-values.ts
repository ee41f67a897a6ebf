import { type DescEnum, ScalarType } from "@bufbuild/protobuf";
import { enumSpellings } from "../codec/index.ts";
import { eventDialect } from "../event.ts";
import type { DeclaredRules } from "../rules/declared-rules.ts";
import { anyOf, nothing, type Schema, unless } from "./schema.ts";
import { allowedBy, asLong, floatSchema, integerSchema, isLong, longSchema } from "./written-numbers.ts";
import { base64Of, bytesSchema, textSchema } from "./written-text.ts";

/**
 * Schemas of single values as they are written, with the rules of their kind. A schema accepts every value that keeps the rules;
 * it refuses one that breaks them where JSON Schema can say so.
 */
export function writtenScalar(scalar: ScalarType, rules: DeclaredRules): Schema {
  const own = (rules.get(ScalarType[scalar].toLowerCase()) ?? noRules) as DeclaredRules;
  const shown = own.has("example") ? { examples: examplesOf(scalar, own) } : {};
  return { ...scalarSchema(scalar, own), ...shown };
}

export const noRules: DeclaredRules = new Map();

/** What is written for the value of an absent field. */
export function zeroOf(scalar: ScalarType): string | number | boolean {
  if (scalar === ScalarType.STRING || scalar === ScalarType.BYTES) return "";
  if (scalar === ScalarType.BOOL) return false;
  return isLong(scalar) ? "0" : 0;
}

function scalarSchema(scalar: ScalarType, rules: DeclaredRules): Schema {
  switch (scalar) {
    case ScalarType.STRING:
      return textSchema(rules);
    case ScalarType.BYTES:
      return bytesSchema(rules);
    case ScalarType.BOOL:
      return { type: "boolean", ...(rules.has("const") ? { const: rules.get("const") } : {}) };
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return floatSchema(scalar === ScalarType.FLOAT ? "float" : "double", rules);
    default:
      return isLong(scalar) ? longSchema(scalar, rules) : integerSchema(scalar, rules);
  }
}

function examplesOf(scalar: ScalarType, rules: DeclaredRules): readonly unknown[] {
  const examples = rules.get("example") as readonly unknown[];
  return examples.map(value =>
    value instanceof Uint8Array
      ? base64Of(value)
      : isLong(scalar) || (typeof value === "number" && !Number.isFinite(value))
        ? String(value)
        : value,
  );
}

/** Names, and numbers for those who have a newer contract, unless the rules want only what this one has. */
export function writtenEnum(desc: DescEnum, rules: DeclaredRules): Schema {
  if (desc.typeName === "google.protobuf.NullValue") return { type: "null" };
  const own = (rules.get("enum") ?? noRules) as DeclaredRules;
  const allowed = allowedBy(own) as readonly number[] | undefined;
  const refused = (own.get("not_in") ?? []) as readonly number[];
  const isAllowed = (number: number) => (allowed?.includes(number) ?? true) && !refused.includes(number);
  const numbers = [...new Set(desc.values.map(({ number }) => number))];
  const { written, read } = enumSpellings(desc, eventDialect.enumValues);
  const numberOf = new Map(read);
  const names = written.filter(name => isAllowed(numberOf.get(name) as number));
  const listed = own.get("defined_only") === true ? numbers.filter(isAllowed) : allowed?.filter(isAllowed);
  const byNumber: Schema =
    listed === undefined
      ? { type: "integer", format: "int32", ...(refused.length > 0 && unless([anyOf(refused)])) }
      : anyOf(listed);
  const alternatives = [
    ...(names.length > 0 ? [{ type: "string", enum: names }] : []),
    ...(listed?.length === 0 ? [] : [byNumber]),
  ];
  if (alternatives.length === 0) return nothing;
  return { anyOf: alternatives };
}

/** How the zero value of an enum may be written. */
export function zeroNames(desc: DescEnum): readonly unknown[] {
  const zero = desc.values[0]?.number;
  const { written, read } = enumSpellings(desc, eventDialect.enumValues);
  const numberOf = new Map(read);
  return [...written.filter(name => numberOf.get(name) === zero), zero];
}

/** A map's key: text, whatever it is. */
export function writtenKey(scalar: ScalarType, rules: DeclaredRules): Schema {
  const own = (rules.get(ScalarType[scalar].toLowerCase()) ?? noRules) as DeclaredRules;
  if (scalar === ScalarType.STRING) return textSchema(own);
  if (scalar === ScalarType.BOOL) return { enum: own.has("const") ? [String(own.get("const"))] : ["true", "false"] };
  return longSchema(scalar, new Map([...own].map(([rule, operand]) => [rule, asLong(operand)])));
}

export function isFloat(scalar: ScalarType | undefined): boolean {
  return scalar === ScalarType.DOUBLE || scalar === ScalarType.FLOAT;
}
