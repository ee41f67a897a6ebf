import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { isLong } from "../codec/plan.ts";
import { type Check, inOrder, UncompiledRule } from "./check.ts";
import type { DeclaredRules } from "./declared-rules.ts";
import { ignoreAlways, ignoreIfZero, rulesFor, scalarCheck, singleCheck } from "./value-rules.ts";

type MessageCheck = (desc: DescMessage) => Check | undefined;

export function listCheck(
  desc: DescField & { fieldKind: "list" },
  rules: DeclaredRules,
  messageCheck: MessageCheck,
): Check | undefined {
  const own = rulesFor("repeated", rules) ?? new Map();
  for (const rule of own.keys()) {
    if (!["min_items", "max_items", "unique", "items"].includes(rule)) throw new UncompiledRule(`repeated.${rule}`);
  }
  const min = own.get("min_items") as bigint | undefined;
  const max = own.get("max_items") as bigint | undefined;
  const size: Check = (value, judgement) => {
    const { length } = value as readonly unknown[];
    if (min !== undefined && length < min) {
      judgement.violated("repeated.min_items", `must contain at least ${min} item(s)`);
    }
    if (max !== undefined && length > max) {
      judgement.violated("repeated.max_items", `must contain no more than ${max} item(s)`);
    }
  };
  return inOrder([
    min === undefined && max === undefined ? undefined : size,
    own.get("unique") === true ? uniqueCheck(desc) : undefined,
    itemsCheck(desc, own.get("items") as DeclaredRules | undefined, messageCheck),
  ]);
}

function uniqueCheck(desc: DescField & { fieldKind: "list" }): Check {
  // Whether messages are equal is a long story, and protovalidate's.
  if (desc.message !== undefined) throw new UncompiledRule("repeated.unique of messages");
  return (value, judgement) => {
    // NaN differs from itself.
    const items = (value as readonly unknown[]).filter(item => !Number.isNaN(item));
    const keys = new Set(items.map(item => (item instanceof Uint8Array ? Buffer.from(item).toString("latin1") : item)));
    if (keys.size < items.length) judgement.violated("repeated.unique", "repeated value must contain unique items");
  };
}

function itemsCheck(
  desc: DescField & { fieldKind: "list" },
  rules: DeclaredRules | undefined,
  messageCheck: MessageCheck,
): Check | undefined {
  const longAsString = desc.listKind === "scalar" && isLong(desc.scalar) && desc.longAsString;
  const check = unlessIgnored(desc, rules, singleCheck(desc, rules, false, longAsString, messageCheck));
  if (check === undefined) return undefined;
  return (value, judgement) => {
    const items = value as readonly unknown[];
    for (let index = 0; index < items.length; index++) {
      judgement.enter({ kind: "list_sub", index });
      check(items[index], judgement);
      judgement.leave();
    }
  };
}

export function mapCheck(
  desc: DescField & { fieldKind: "map" },
  rules: DeclaredRules,
  messageCheck: MessageCheck,
): Check | undefined {
  const own = rulesFor("map", rules) ?? new Map();
  for (const rule of own.keys()) {
    if (!["min_pairs", "max_pairs", "keys", "values"].includes(rule)) throw new UncompiledRule(`map.${rule}`);
  }
  const min = own.get("min_pairs") as bigint | undefined;
  const max = own.get("max_pairs") as bigint | undefined;
  const size: Check = (value, judgement) => {
    const { length } = Object.keys(value as object);
    if (min !== undefined && length < min) judgement.violated("map.min_pairs", `map must be at least ${min} entries`);
    if (max !== undefined && length > max) judgement.violated("map.max_pairs", `map must be at most ${max} entries`);
  };
  return inOrder([min === undefined && max === undefined ? undefined : size, entriesCheck(desc, own, messageCheck)]);
}

function entriesCheck(
  desc: DescField & { fieldKind: "map" },
  own: DeclaredRules,
  messageCheck: MessageCheck,
): Check | undefined {
  const ofKeys = own.get("keys") as DeclaredRules | undefined;
  const ofValues = own.get("values") as DeclaredRules | undefined;
  const keyType = { scalar: desc.mapKey, enum: undefined, message: undefined };
  const checkKey = unlessIgnored(keyType, ofKeys, ofKeys && scalarCheck(desc.mapKey, ofKeys));
  const checkValue = unlessIgnored(desc, ofValues, singleCheck(desc, ofValues, false, false, messageCheck));
  if (checkKey === undefined && checkValue === undefined) return undefined;
  return (value, judgement) => {
    for (const [name, item] of Object.entries(value as object)) {
      const key = keyOf(desc.mapKey, name);
      judgement.enter({ kind: "map_sub", key });
      checkKey?.(key, judgement);
      checkValue?.(item, judgement);
      judgement.leave();
    }
  };
}

/** The key that a property's name stands for. */
function keyOf(type: ScalarType, name: string): string | number | bigint | boolean {
  if (type === ScalarType.STRING) return name;
  if (type === ScalarType.BOOL) return name === "true";
  return isLong(type) ? BigInt(name) : Number(name);
}

/** Of an item, key or value; messages have no zero here. */
function unlessIgnored(
  type: { readonly scalar: ScalarType | undefined; readonly enum: DescField["enum"] },
  rules: DeclaredRules | undefined,
  check: Check | undefined,
): Check | undefined {
  const ignore = rules?.get("ignore");
  if (ignore === ignoreAlways) return undefined;
  if (check === undefined || ignore !== ignoreIfZero) return check;
  if (type.scalar === undefined && type.enum === undefined) return check;
  const isZero = zeroOf(type);
  return (value, judgement) => {
    if (!isZero(value)) check(value, judgement);
  };
}

function zeroOf(type: {
  readonly scalar: ScalarType | undefined;
  readonly enum: DescField["enum"];
}): (value: unknown) => boolean {
  if (type.enum !== undefined) {
    const zero = type.enum.values[0]?.number;
    return value => value === zero;
  }
  switch (type.scalar) {
    case ScalarType.STRING:
      return value => value === "";
    case ScalarType.BOOL:
      return value => value === false;
    case ScalarType.BYTES:
      return value => (value as Uint8Array).length === 0;
    default:
      // A number, a bigint, or the text of one. −0 is zero as well.
      return value => Number(value) === 0;
  }
}
