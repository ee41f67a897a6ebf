/** The parts of JSON Schema 2020-12 that a document uses. */
export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly format?: string;
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Schema | boolean;
  readonly propertyNames?: Schema;
  readonly minProperties?: number;
  readonly maxProperties?: number;
  readonly items?: Schema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly uniqueItems?: boolean;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly contentEncoding?: string;
  readonly not?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly examples?: readonly unknown[];
}

/** Any of these; JSON Schema wants each value once. */
export function anyOf(values: readonly unknown[]): { readonly enum: readonly unknown[] } {
  return { enum: [...new Set(values)] };
}

/** Accepts no value. */
export const nothing: Schema = { not: {} };

/** What refuses each of these. */
export function unless(refused: readonly Schema[]): Schema {
  const [first, second] = refused;
  if (first === undefined) return {};
  return { not: second === undefined ? first : { anyOf: refused } };
}

/** What accepts these values alone. */
export function onlyOf(allowed: readonly unknown[] | undefined): Schema {
  if (allowed === undefined) return {};
  if (allowed.length === 0) return { allOf: [nothing] };
  return allowed.length === 1 ? { const: allowed[0] } : anyOf(allowed);
}
