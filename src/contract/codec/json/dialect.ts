import type { DescEnum } from "@bufbuild/protobuf";

/** How JSON is spelled on output. On input every spelling is accepted. */
export interface JsonDialect {
  /** `json`: lowerCamelCase (or `json_name`); `proto`: as in the `.proto`. */
  readonly fieldNames: "json" | "proto";
  /** `full`: `ORDER_STATUS_PENDING`; `short`: `pending`, without the enum's prefix and in lower case. */
  readonly enumValues: "full" | "short";
  /**
   * Zero scalars, empty lists and maps, and first enum values are written. Messages that are not set and fields with
   * explicit presence stay absent all the same.
   */
  readonly emitDefaultValues: boolean;
}

/** Plain ProtoJSON. */
export const protoJson: JsonDialect = { fieldNames: "json", enumValues: "full", emitDefaultValues: false };

/** The names of an enum's values: numbers to JSON text for output, every accepted name to its number for input. */
export interface EnumNames {
  readonly textOf: ReadonlyMap<number, string>;
  readonly numberOf: ReadonlyMap<string, number>;
}

const tables = new WeakMap<DescEnum, Record<JsonDialect["enumValues"], EnumNames>>();

export function enumNames(desc: DescEnum, spelling: JsonDialect["enumValues"]): EnumNames {
  let table = tables.get(desc);
  if (table === undefined) {
    table = { full: namesOf(desc, "full"), short: namesOf(desc, "short") };
    tables.set(desc, table);
  }
  return table[spelling];
}

/** How a dialect spells an enum's values, and every name that it reads with its number. */
export function enumSpellings(
  desc: DescEnum,
  spelling: JsonDialect["enumValues"],
): { readonly written: readonly string[]; readonly read: readonly (readonly [name: string, number: number])[] } {
  const { textOf, numberOf } = enumNames(desc, spelling);
  return { written: [...textOf.values()].map(text => JSON.parse(text) as string), read: [...numberOf] };
}

function namesOf(desc: DescEnum, spelling: JsonDialect["enumValues"]): EnumNames {
  const shortNames = shortNamesOf(desc);
  const numberOf = new Map<string, number>();
  // Later names win: a value's own name beats the custom JSON name of another one, and both beat short names.
  for (const [name, number] of shortNames) numberOf.set(name, number);
  for (const value of desc.values) numberOf.set(value.jsonName, value.number);
  for (const value of desc.values) numberOf.set(value.name, value.number);
  const textOf = new Map<number, string>();
  for (const value of desc.values) {
    if (textOf.has(value.number)) continue; // aliases: the first name is the name
    const short = value.jsonName === value.name ? shortName(desc, value.name) : value.jsonName;
    // A short name that would be read as another value is not used.
    const isShort = spelling === "short" && numberOf.get(short) === value.number;
    textOf.set(value.number, JSON.stringify(isShort ? short : value.jsonName));
  }
  return { textOf, numberOf };
}

function shortNamesOf(desc: DescEnum): Map<string, number> {
  const names = new Map<string, number>();
  for (const value of desc.values) {
    const short = shortName(desc, value.name);
    if (!names.has(short)) names.set(short, value.number);
  }
  return names;
}

/** `ORDER_STATUS_PENDING` of `OrderStatus` is `pending`; without the common prefix only the case changes. */
function shortName(desc: DescEnum, name: string): string {
  const prefix = `${desc.name.replace(/(?<=.)[A-Z]/g, letter => `_${letter}`)}_`.toLowerCase();
  const isShared = desc.values.every(value => {
    return value.name.length > prefix.length && value.name.toLowerCase().startsWith(prefix);
  });
  return (isShared ? name.slice(prefix.length) : name).toLowerCase();
}
