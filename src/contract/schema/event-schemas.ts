import type { DescField, DescMessage } from "@bufbuild/protobuf";
import { UncompiledRule } from "../rules/check.ts";
import { type DeclaredRules, hasRules, RulesReader } from "../rules/declared-rules.ts";
import { ignoreAlways, ignoreIfZero, type SingleType } from "../rules/value-rules.ts";
import { accepts } from "./accepts.ts";
import { exampleOf } from "./example.ts";
import { anyOf, type Schema, unless } from "./schema.ts";
import { wellKnownSchema } from "./schemas.ts";
import { isFloat, noRules, writtenEnum, writtenKey, writtenScalar, zeroNames, zeroOf } from "./written-values.ts";

/**
 * The schemas of events: one component for each message type. They describe the JSON that publishers write (`eventDialect`) and
 * consumers hold to the contract's rules: an event that consumers take is accepted, one that they refuse is refused where JSON
 * Schema can say why. Members that the contract does not have are allowed: older readers survive newer writers.
 */
export class EventSchemas {
  readonly #components = new Map<string, Schema>();
  readonly #names = new Map<string, string>();
  readonly #readers = new WeakMap<DescMessage, RulesReader | undefined>();

  /** By name, in the order of the names. */
  get components(): Readonly<Record<string, Schema>> {
    return Object.fromEntries([...this.#components].sort(([one], [other]) => (one < other ? -1 : 1)));
  }

  /**
   * A reference to the schema of a message, or the schema itself where the type has JSON of its own.
   * @param isJudged whether the type's rules count; a field can say that they do not
   */
  message(desc: DescMessage, isJudged = true): Schema {
    const own = wellKnownSchema(desc, "output");
    if (own !== undefined) return desc.typeName === "google.protobuf.Empty" ? { type: "object" } : own;
    const isUnjudged = !isJudged && hasRules(desc);
    const plain = isUnjudged ? `${desc.typeName}.unjudged` : desc.typeName;
    const key = `${desc.typeName} ${isUnjudged}`;
    let name = this.#names.get(key);
    if (name === undefined) {
      name = this.#unused(plain);
      this.#names.set(key, name);
      this.#components.set(name, {}); // holds the place: types may contain themselves
      this.#components.set(name, this.#object(desc, !isUnjudged));
    }
    return { $ref: `#/components/schemas/${name}` };
  }

  /** A component that is no message, under this name or a longer one, as a reference. */
  add(name: string, schema: Schema): Schema {
    const unused = this.#unused(name);
    this.#components.set(unused, schema);
    return { $ref: `#/components/schemas/${unused}` };
  }

  /** A value that a schema accepts, but for rules that need thinking. */
  example(schema: Schema): unknown {
    return exampleOf(schema, Object.fromEntries(this.#components));
  }

  #unused(wanted: string): string {
    let name = wanted;
    for (let copy = 2; this.#components.has(name); copy++) name = `${wanted}.${copy}`;
    return name;
  }

  #object(desc: DescMessage, isJudged: boolean): Schema {
    const groups = isJudged ? groupsOf(this.#rulesOf(desc, desc)) : [];
    const grouped = new Set(groups.flatMap(({ fields }) => fields));
    const members = desc.fields.map(field => {
      const rules = isJudged ? this.#rulesOf(desc, field) : noRules;
      return { field, ...this.#member(field, rules, isJudged, grouped.has(field.name)) };
    });
    const required = members.filter(({ isRequired }) => isRequired).map(({ field }) => field.name);
    const oneofs = desc.oneofs.map(oneof =>
      oneOf(
        oneof.fields.map(({ name }) => ({ required: [name] })),
        isJudged && this.#rulesOf(desc, oneof).get("required") === true,
      ),
    );
    const exclusive = groups.map(group => {
      const set = group.fields.flatMap(name => desc.fields.filter(field => field.name === name).map(isSet));
      return oneOf(set, group.required);
    });
    const allOf = [...oneofs, ...exclusive].filter(one => one !== undefined);
    return {
      type: "object",
      properties: Object.fromEntries(members.map(({ field, schema }) => [field.name, schema])),
      ...(required.length > 0 ? { required } : {}),
      ...(allOf.length > 0 ? { allOf } : {}),
    };
  }

  /** The schema of a field, and whether it must be there. */
  #member(
    field: DescField,
    rules: DeclaredRules,
    isJudged: boolean,
    isGrouped: boolean,
  ): { readonly schema: Schema; readonly isRequired: boolean } {
    const ignore = rules.get("ignore") ?? (isGrouped ? ignoreIfZero : 0);
    if (ignore === ignoreAlways) return { schema: this.#field(field, noRules, false), isRequired: false };
    const schema = this.#field(field, rules, isJudged);
    const isRequired = rules.get("required") === true;
    if (hasPresence(field)) return { schema, isRequired };
    if (isRequired) return { schema: both(schema, nonZero(field)), isRequired };
    const refusesAbsence = !zeros(field).some(zero => accepts(schema, zero));
    if (ignore !== ignoreIfZero) return { schema, isRequired: refusesAbsence };
    return { schema: refusesAbsence ? { anyOf: [schema, { enum: zeros(field) }] } : schema, isRequired: false };
  }

  #field(field: DescField, rules: DeclaredRules, isJudged: boolean): Schema {
    switch (field.fieldKind) {
      case "list": {
        const own = (rules.get("repeated") ?? noRules) as DeclaredRules;
        const items = this.#item(field, own.get("items") as DeclaredRules | undefined, isJudged);
        // NaN differs from itself, but not when it is written.
        const hasNaN = isFloat(field.scalar) && accepts(items, "NaN");
        const isUnique = own.get("unique") === true && field.message === undefined && !hasNaN;
        return {
          type: "array",
          items,
          ...(own.has("min_items") ? { minItems: Number(own.get("min_items")) } : {}),
          ...(own.has("max_items") ? { maxItems: Number(own.get("max_items")) } : {}),
          ...(isUnique ? { uniqueItems: true } : {}),
        };
      }
      case "map": {
        const own = (rules.get("map") ?? noRules) as DeclaredRules;
        return {
          type: "object",
          additionalProperties: this.#item(field, own.get("values") as DeclaredRules | undefined, isJudged),
          propertyNames: keySchema(field, own.get("keys") as DeclaredRules | undefined),
          ...(own.has("min_pairs") ? { minProperties: Number(own.get("min_pairs")) } : {}),
          ...(own.has("max_pairs") ? { maxProperties: Number(own.get("max_pairs")) } : {}),
        };
      }
      default:
        return this.#single(field, rules, isJudged);
    }
  }

  /** An item of a list, or a value of a map. */
  #item(type: SingleType, rules: DeclaredRules = noRules, isJudged: boolean): Schema {
    const ignore = rules.get("ignore");
    if (ignore === ignoreAlways) return this.#single(type, noRules, type.message === undefined && isJudged);
    const schema = this.#single(type, rules, isJudged);
    if (ignore !== ignoreIfZero || type.message !== undefined) return schema;
    const zero = type.enum === undefined ? [zeroOf(type.scalar)] : zeroNames(type.enum);
    return zero.every(one => accepts(schema, one)) ? schema : { anyOf: [schema, { enum: zero }] };
  }

  #single(type: SingleType, rules: DeclaredRules, isJudged: boolean): Schema {
    if (type.enum !== undefined) return writtenEnum(type.enum, rules);
    if (type.message === undefined) return writtenScalar(type.scalar, rules);
    const { message } = type;
    const inner = /^google\.protobuf\.(?!List)\w+Value$/.test(message.typeName) ? message.fields[0] : undefined;
    if (inner?.fieldKind === "scalar") return writtenScalar(inner.scalar, rules);
    const schema = this.message(message, isJudged);
    return message.typeName === "google.protobuf.Any" ? { ...schema, ...anySchema(rules) } : schema;
  }

  /** What the contract says of a message, or of a part of it, as far as it can be read. */
  #rulesOf(message: DescMessage, part: Parameters<RulesReader["read"]>[0]): DeclaredRules {
    try {
      let reader = this.#readers.get(message);
      if (reader === undefined) {
        if (this.#readers.has(message)) return noRules;
        this.#readers.set(message, undefined);
        reader = new RulesReader(message.file);
        this.#readers.set(message, reader);
      }
      return reader.read(part);
    } catch (error) {
      if (error instanceof UncompiledRule) return noRules;
      throw error;
    }
  }
}

interface Group {
  readonly fields: readonly string[];
  readonly required: boolean;
}

/** `buf.validate.message.oneof` */
function groupsOf(rules: DeclaredRules): readonly Group[] {
  const declared = (rules.get("oneof") ?? []) as readonly Group[];
  return Array.isArray(declared) ? declared : [];
}

/** Whether an absent field is told from one with its zero value. */
function hasPresence(field: DescField): boolean {
  return field.fieldKind === "message" || ("presence" in field && field.presence !== 2); // IMPLICIT
}

/** What an absent field without presence stands for, in each spelling. */
function zeros(field: DescField): readonly unknown[] {
  if (field.fieldKind === "list") return [[]];
  if (field.fieldKind === "map") return [{}];
  return field.enum === undefined ? [zeroOf(field.scalar as never)] : zeroNames(field.enum);
}

/** What refuses the zero value of a field without presence. */
function nonZero(field: DescField): Schema {
  const [zero, ...others] = zeros(field);
  if (field.fieldKind === "list") return { minItems: 1 };
  if (field.fieldKind === "map") return { minProperties: 1 };
  if (zero === "") return { minLength: 1 };
  return zero === false
    ? { const: true }
    : { not: others.length === 0 ? { const: zero } : { enum: [zero, ...others] } };
}

function isSet(field: DescField): Schema {
  if (hasPresence(field)) return { required: [field.name] };
  return { required: [field.name], properties: { [field.name]: nonZero(field) } };
}

/** Exactly one of these, or none. */
function oneOf(members: readonly Schema[], isRequired: boolean): Schema | undefined {
  const [only] = members;
  if (only === undefined) return undefined;
  if (members.length === 1) return isRequired ? only : undefined;
  return { oneOf: isRequired ? members : [...members, { not: { anyOf: members } }] };
}

/** What both schemas accept. */
function both(one: Schema, other: Schema): Schema {
  const clashes = Object.keys(other).some(keyword => keyword in one);
  return clashes || one.$ref !== undefined ? { allOf: [one, other] } : { ...one, ...other };
}

function keySchema(field: DescField & { fieldKind: "map" }, rules: DeclaredRules = noRules): Schema {
  const ignore = rules.get("ignore");
  const schema = writtenKey(field.mapKey, ignore === ignoreAlways ? noRules : rules);
  if (ignore !== ignoreIfZero) return schema;
  const zero = String(zeroOf(field.mapKey));
  return accepts(schema, zero) ? schema : { anyOf: [schema, { enum: [zero] }] };
}

function anySchema(rules: DeclaredRules): Schema {
  const own = (rules.get("any") ?? noRules) as DeclaredRules;
  const allowed = own.get("in") as readonly string[] | undefined;
  const refused = own.get("not_in") as readonly string[] | undefined;
  if (allowed === undefined && refused === undefined) return {};
  const type: Schema = {
    type: "string",
    ...(allowed === undefined ? {} : anyOf(allowed)),
    ...(refused === undefined ? {} : unless([anyOf(refused)])),
  };
  return { properties: { "@type": type }, ...(allowed === undefined ? {} : { required: ["@type"] }) };
}
