import { type DescEnum, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { isWrapper, wrappedField } from "../codec/plan.ts";
import { bytesCheck } from "./bytes-rules.ts";
import { type Check, inOrder, UncompiledRule } from "./check.ts";
import type { DeclaredRules } from "./declared-rules.ts";
import { numberCheck } from "./number-rules.ts";
import { textCheck } from "./text-rules.ts";

/** `buf.validate.Ignore` */
export const ignoreIfZero = 1;
export const ignoreAlways = 3;

/** What a field, list item or map value is; a field descriptor is one. */
export type SingleType =
  | { readonly scalar: ScalarType; readonly enum: undefined; readonly message: undefined }
  | { readonly scalar: undefined; readonly enum: DescEnum; readonly message: undefined }
  | { readonly scalar: undefined; readonly enum: undefined; readonly message: DescMessage };

/**
 * The check of one value.
 * @param isBare a wrapper message that is held as its value
 * @param longAsString a 64-bit integer that is held as text
 */
export function singleCheck(
  type: SingleType,
  rules: DeclaredRules | undefined,
  isBare: boolean,
  longAsString: boolean,
  messageCheck: (desc: DescMessage) => Check | undefined,
): Check | undefined {
  if (type.message !== undefined) {
    const byOwnRules = isBare ? undefined : messageCheck(type.message);
    return inOrder([byOwnRules, rules && wellKnownCheck(type.message, rules, isBare)]);
  }
  if (rules === undefined) return undefined;
  if (type.enum !== undefined) return enumCheck(type.enum, rulesFor("enum", rules));
  const check = scalarCheck(type.scalar, rules);
  if (check === undefined || !longAsString) return check;
  return (value, judgement) => check(BigInt(value as string), judgement);
}

/**
 * The rules for values of a kind among those of a field.
 * @param kind `undefined`: no rules can be for it
 * @throws UncompiledRule for an expression, and for rules of another kind: protovalidate says what is wrong
 */
export function rulesFor(kind: string | undefined, rules: DeclaredRules): DeclaredRules | undefined {
  let own: DeclaredRules | undefined;
  for (const [name, value] of rules) {
    if (name === "ignore" || name === "required") continue;
    if (name !== kind) throw new UncompiledRule(name);
    own = value as DeclaredRules;
  }
  return own;
}

export function scalarCheck(scalar: ScalarType, rules: DeclaredRules): Check | undefined {
  const kind = ScalarType[scalar].toLowerCase();
  const own = rulesFor(kind, rules);
  if (own === undefined) return undefined;
  switch (scalar) {
    case ScalarType.STRING:
      return textCheck(own);
    case ScalarType.BYTES:
      return bytesCheck(own);
    case ScalarType.BOOL:
      return booleanCheck(own);
    default:
      return numberCheck(kind, own);
  }
}

function booleanCheck(rules: DeclaredRules): Check | undefined {
  for (const rule of rules.keys()) if (rule !== "const" && rule !== "example") throw new UncompiledRule(`bool.${rule}`);
  if (!rules.has("const")) return undefined;
  const wanted = rules.get("const");
  return (value, judgement) => {
    if (value !== wanted) judgement.violated("bool.const", `must equal ${wanted}`);
  };
}

function enumCheck(desc: DescEnum, rules: DeclaredRules | undefined): Check | undefined {
  if (rules === undefined) return undefined;
  const { defined_only: isDefinedOnly, example: _, ...others } = Object.fromEntries(rules);
  const defined = new Set<unknown>(desc.values.map(({ number }) => number));
  const definedOnly: Check = (value, judgement) => {
    if (defined.has(value)) return;
    judgement.violated("enum.defined_only", "value must be one of the defined enum values");
  };
  for (const rule of Object.keys(others)) {
    if (rule !== "const" && rule !== "in" && rule !== "not_in") throw new UncompiledRule(`enum.${rule}`);
  }
  return inOrder([
    isDefinedOnly === true ? definedOnly : undefined,
    numberCheck("enum", new Map(Object.entries(others))),
  ]);
}

const wellKnownKinds: Readonly<Record<string, string>> = {
  "google.protobuf.Any": "any",
  "google.protobuf.Duration": "duration",
  "google.protobuf.Timestamp": "timestamp",
  "google.protobuf.FieldMask": "field_mask",
};

function wellKnownCheck(desc: DescMessage, rules: DeclaredRules, isBare: boolean): Check | undefined {
  if (isWrapper(desc)) {
    const field = wrappedField(desc);
    const check = scalarCheck(field.scalar, rules);
    if (check === undefined || isBare) return check;
    return (value, judgement) => check((value as { readonly value: unknown }).value, judgement);
  }
  const own = rulesFor(wellKnownKinds[desc.typeName], rules);
  if (own === undefined || own.size === 0) return undefined;
  if (desc.typeName !== "google.protobuf.Any") throw new UncompiledRule(`rules of ${desc.typeName}`);
  return anyCheck(own);
}

function anyCheck(rules: DeclaredRules): Check | undefined {
  for (const rule of rules.keys()) if (rule !== "in" && rule !== "not_in") throw new UncompiledRule(`any.${rule}`);
  const allowed = (rules.get("in") ?? []) as readonly string[];
  const refused = (rules.get("not_in") ?? []) as readonly string[];
  return (value, judgement) => {
    const { typeUrl } = value as { readonly typeUrl: string };
    if (allowed.length > 0 && !allowed.includes(typeUrl)) {
      judgement.violated("any.in", "type URL must be in the allow list");
    }
    if (refused.includes(typeUrl)) judgement.violated("any.not_in", "type URL must not be in the block list");
  };
}
