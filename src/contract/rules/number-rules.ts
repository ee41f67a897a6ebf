import { type Check, inOrder, listText, UncompiledRule } from "./check.ts";
import type { DeclaredRules } from "./declared-rules.ts";

type Numeric = number | bigint;

/** The rules of a numeric type, whose values are all numbers or all bigints. @param kind for example `int32` */
export function numberCheck(kind: string, rules: DeclaredRules): Check | undefined {
  let lower: Bound | undefined;
  let upper: Bound | undefined;
  let equal: Check | undefined;
  let listed: Check | undefined;
  let unlisted: Check | undefined;
  let finite: Check | undefined;
  for (const [rule, operand] of rules) {
    switch (rule) {
      case "const":
        equal = refuse(value => value !== operand, `${kind}.const`, `must equal ${operand}`);
        break;
      case "gt":
      case "gte":
        lower = boundOf(rule, operand as Numeric);
        break;
      case "lt":
      case "lte":
        upper = boundOf(rule, operand as Numeric);
        break;
      case "in": {
        // Not includes: NaN is in no list.
        const list = operand as readonly Numeric[];
        listed = refuse(value => list.indexOf(value) === -1, `${kind}.in`, `must be in list ${listText(list)}`);
        break;
      }
      case "not_in": {
        const list = operand as readonly Numeric[];
        const message = `must not be in list ${listText(list)}`;
        unlisted = refuse(value => list.indexOf(value) !== -1, `${kind}.not_in`, message);
        break;
      }
      case "finite":
        if (operand === true) finite = refuse(value => !Number.isFinite(value), `${kind}.finite`, "must be finite");
        break;
      case "example":
        break;
      default:
        throw new UncompiledRule(`${kind}.${rule}`);
    }
  }
  return inOrder([equal, range(kind, lower, upper), listed, unlisted, finite]);
}

function refuse(isRefused: (value: Numeric) => boolean, rule: string, message: string): Check {
  return (value, judgement) => {
    if (isRefused(value as Numeric)) judgement.violated(rule, message);
  };
}

interface Bound {
  readonly rule: "gt" | "gte" | "lt" | "lte";
  readonly limit: Numeric;
  readonly text: string;
  /** Also false for NaN, which is within no bound. */
  readonly allows: (value: Numeric) => boolean;
}

function boundOf(rule: Bound["rule"], limit: Numeric): Bound {
  if (Number.isNaN(limit)) throw new UncompiledRule(`${rule}: NaN`);
  switch (rule) {
    case "gt":
      return { rule, limit, text: `greater than ${limit}`, allows: value => value > limit };
    case "gte":
      return { rule, limit, text: `greater than or equal to ${limit}`, allows: value => value >= limit };
    case "lt":
      return { rule, limit, text: `less than ${limit}`, allows: value => value < limit };
    case "lte":
      return { rule, limit, text: `less than or equal to ${limit}`, allows: value => value <= limit };
  }
}

/** Bounds the wrong way round exclude what is between them. */
function range(kind: string, lower: Bound | undefined, upper: Bound | undefined): Check | undefined {
  if (lower !== undefined && upper !== undefined) {
    const rule = `${kind}.${lower.rule}_${upper.rule}`;
    if (upper.limit >= lower.limit) {
      const isOutside = (value: Numeric) => !lower.allows(value) || !upper.allows(value);
      return refuse(isOutside, rule, `must be ${lower.text} and ${upper.text}`);
    }
    const isBetween = (value: Numeric) => !lower.allows(value) && !upper.allows(value);
    return refuse(isBetween, `${rule}_exclusive`, `must be ${lower.text} or ${upper.text}`);
  }
  const only = lower ?? upper;
  if (only === undefined) return undefined;
  return refuse(value => !only.allows(value), `${kind}.${only.rule}`, `must be ${only.text}`);
}
