import type { ScalarType } from "@bufbuild/protobuf";
import { UncompiledRule } from "../rules/check.ts";
import type { DeclaredRules } from "../rules/declared-rules.ts";
import { Judgement } from "../rules/judgement.ts";
import { numberCheck } from "../rules/number-rules.ts";
import { decimalFrom, decimalTo } from "./decimal-range.ts";
import { anyOf, nothing, onlyOf, type Schema, unless } from "./schema.ts";
import { integers } from "./schemas.ts";

type Writable = { -readonly [K in keyof Schema]: Schema[K] };

type Numeric = number | bigint;

/** Rules of numbers by what they ask for; bounds of integers as the last values that are allowed. */
interface NumberRules {
  readonly least: Numeric | undefined;
  readonly most: Numeric | undefined;
  /** Bounds the wrong way round exclude what is between them. */
  readonly isInverted: boolean;
  /** `const` and `in` together. */
  readonly allowed: readonly Numeric[] | undefined;
  readonly refused: readonly Numeric[];
}

function integerRules(rules: DeclaredRules): NumberRules {
  const bound = (name: string) => rules.get(name) as Numeric | undefined;
  const next = (value: Numeric | undefined, step: 1 | -1) =>
    value === undefined ? undefined : typeof value === "bigint" ? value + BigInt(step) : value + step;
  const lower = bound("gte") ?? bound("gt");
  const upper = bound("lte") ?? bound("lt");
  return {
    least: bound("gte") ?? next(bound("gt"), 1),
    most: bound("lte") ?? next(bound("lt"), -1),
    isInverted: lower !== undefined && upper !== undefined && upper < lower,
    allowed: allowedBy(rules),
    refused: (rules.get("not_in") ?? []) as readonly Numeric[],
  };
}

/** The values that `const` and `in` leave; `undefined`: all. */
export function allowedBy(rules: DeclaredRules): readonly Numeric[] | undefined {
  const listed = rules.get("in") as readonly Numeric[] | undefined;
  if (!rules.has("const")) return listed;
  const only = rules.get("const") as Numeric;
  return listed === undefined || listed.includes(only) ? [only] : [];
}

/** An integer of 32 bits, which is a number. */
export function integerSchema(scalar: ScalarType, declared: DeclaredRules): Schema {
  const [format, minimum, maximum] = integers[scalar] ?? ["int32", 0, 0];
  const { least, most, isInverted, allowed, refused } = integerRules(declared) as NumberRules & {
    readonly least: number | undefined;
    readonly most: number | undefined;
  };
  const bounds: Schema = isInverted
    ? { minimum, maximum, anyOf: [{ minimum: least as number }, { maximum: most as number }] }
    : { minimum: Math.max(least ?? minimum, minimum), maximum: Math.min(most ?? maximum, maximum) };
  return {
    type: "integer",
    format,
    ...bounds,
    ...onlyOf(allowed),
    ...(refused.length > 0 && unless([anyOf(refused)])),
  };
}

/** An integer of 64 bits, which is text. */
export function longSchema(scalar: ScalarType, declared: DeclaredRules): Schema {
  const [format, minimum] = integers[scalar] ?? ["int64", 0];
  const rules = integerRules(declared) as NumberRules & { least: bigint | undefined; most: bigint | undefined };
  const { least, most, isInverted, allowed, refused } = rules;
  const patterns = [
    ...(least === undefined ? [] : [decimalFrom(least)]),
    ...(most === undefined ? [] : [decimalTo(most)]),
  ].map(pattern => ({ pattern }));
  const bounds: Schema =
    isInverted || patterns.length === 0
      ? { pattern: minimum < 0 ? "^-?[0-9]{1,19}$" : "^[0-9]{1,20}$", ...(isInverted ? { anyOf: patterns } : {}) }
      : { ...patterns[0], ...(patterns.length > 1 ? { allOf: patterns.slice(1) } : {}) };
  const bound = least !== undefined && least > 1n ? least : most !== undefined && most < 1n ? most : undefined;
  return {
    type: "string",
    format,
    ...bounds,
    ...onlyOf(allowed?.map(String)),
    ...(refused.length > 0 && unless([anyOf(refused.map(String))])),
    ...(bound === undefined ? {} : { examples: [String(bound)] }),
  };
}

/** What JSON has no number for is text. */
const textNumbers = ["NaN", "Infinity", "-Infinity"] as const;

/** A number with a point. */
export function floatSchema(kind: "float" | "double", rules: DeclaredRules): Schema {
  const declared = new Map([...rules].filter(([name]) => name !== "example"));
  if (declared.size === 0) return { type: ["number", "string"], format: kind, pattern: "^(NaN|-?Infinity)$" };
  const texts = textNumbers.filter(text => keeps(kind, declared, Number(text)));
  const numbers = finiteSchema(kind, declared);
  if (texts.length === 0) return numbers ?? nothing;
  const text: Schema = { type: "string", enum: texts };
  return numbers === undefined ? text : { anyOf: [numbers, text] };
}

function keeps(kind: string, rules: DeclaredRules, value: number): boolean {
  try {
    const judgement = new Judgement();
    numberCheck(kind, rules)?.(value, judgement);
    return judgement.violations.length === 0;
  } catch (error) {
    if (error instanceof UncompiledRule) return true;
    throw error;
  }
}

/** Of the numbers that are numbers in JSON; `undefined` when the rules leave none. */
function finiteSchema(kind: "float" | "double", rules: DeclaredRules): Schema | undefined {
  const bound = (name: string) => rules.get(name) as number | undefined;
  const [gt, gte, lt, lte] = [bound("gt"), bound("gte"), bound("lt"), bound("lte")];
  const lower: Writable = {};
  if (gt !== undefined && gt !== Number.NEGATIVE_INFINITY) lower.exclusiveMinimum = gt;
  if (gte !== undefined && gte !== Number.NEGATIVE_INFINITY) lower.minimum = gte;
  const upper: Writable = {};
  if (lt !== undefined && lt !== Number.POSITIVE_INFINITY) upper.exclusiveMaximum = lt;
  if (lte !== undefined && lte !== Number.POSITIVE_INFINITY) upper.maximum = lte;
  const isPossible = (side: Schema) => Object.values(side).every(limit => Number.isFinite(limit));
  const isInverted = ((lte ?? lt) as number) < ((gte ?? gt) as number);
  const sides = [lower, upper].filter(isPossible);
  if (isInverted ? sides.length === 0 : sides.length < 2) return undefined;
  const bounds: Schema = isInverted ? { anyOf: sides } : { ...lower, ...upper };
  const allowed = (allowedBy(rules) as readonly number[] | undefined)?.filter(Number.isFinite);
  if (allowed?.length === 0) return undefined;
  const refused = ((rules.get("not_in") ?? []) as readonly number[]).filter(Number.isFinite);
  return {
    type: "number",
    format: kind,
    ...bounds,
    ...onlyOf(allowed),
    ...(refused.length > 0 && unless([anyOf(refused)])),
  };
}

/** Rules of an integer of 32 bits as those of one of 64. */
export function asLong(operand: unknown): unknown {
  if (Array.isArray(operand)) return operand.map(asLong);
  return typeof operand === "number" ? BigInt(operand) : operand;
}

export function isLong(scalar: ScalarType): boolean {
  return integers[scalar]?.[0].endsWith("64") === true;
}
