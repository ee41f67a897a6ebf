import { UncompiledRule } from "../rules/check.ts";
import type { DeclaredRules } from "../rules/declared-rules.ts";
import { textFormat } from "../rules/text-formats.ts";
import { portablePattern } from "./portable-pattern.ts";
import { anyOf, type Schema, unless } from "./schema.ts";
import { base64 } from "./schemas.ts";

type Writable = { -readonly [K in keyof Schema]: Schema[K] };

/** Formats by their rule, where JSON Schema's has room for all that the rule allows. */
const formats: Readonly<Record<string, string>> = {
  hostname: "hostname",
  ipv4: "ipv4",
  ipv6: "ipv6",
  uri: "uri",
  uri_ref: "uri-reference",
  uuid: "uuid",
};

/** A text, by the rules of kind `string`. */
export function textSchema(rules: DeclaredRules): Schema {
  const schema: Writable = { type: "string" };
  const patterns: string[] = [];
  const refused: Schema[] = [];
  const atLeast = (length: number) => {
    schema.minLength = Math.max(schema.minLength ?? 0, length);
  };
  const atMost = (length: number) => {
    schema.maxLength = Math.min(schema.maxLength ?? length, length);
  };
  for (const [rule, operand] of rules) {
    const count = Number(operand);
    switch (rule) {
      case "const":
        schema.const = operand;
        break;
      case "len":
        atLeast(count);
        atMost(count);
        break;
      case "min_len":
        atLeast(count);
        break;
      case "max_len":
        atMost(count);
        break;
      // A character has one to four bytes.
      case "len_bytes":
        atLeast(Math.ceil(count / 4));
        atMost(count);
        break;
      case "min_bytes":
        atLeast(Math.ceil(count / 4));
        break;
      case "max_bytes":
        atMost(count);
        break;
      case "pattern": {
        const pattern = portablePattern(operand as string);
        if (pattern !== undefined) patterns.push(pattern);
        break;
      }
      case "prefix":
        patterns.push(`^${literally(operand as string)}`);
        break;
      case "suffix":
        patterns.push(`${literally(operand as string)}$`);
        break;
      case "contains":
        patterns.push(literally(operand as string));
        break;
      case "not_contains":
        refused.push({ pattern: literally(operand as string) });
        break;
      case "in":
        schema.enum = anyOf(operand as readonly string[]).enum;
        break;
      case "not_in":
        refused.push(anyOf(operand as readonly string[]));
        break;
      default:
        formatted(schema, patterns, rule, operand, rules.get("strict") !== false);
    }
  }
  if (patterns[0] !== undefined) schema.pattern = patterns[0];
  if (patterns.length > 1) schema.allOf = patterns.slice(1).map(pattern => ({ pattern }));
  return { ...schema, ...unless(refused) };
}

/** What a rule such as `uuid: true` asks for. */
function formatted(schema: Writable, patterns: string[], rule: string, operand: unknown, isStrict: boolean): void {
  if (operand === false || rule === "strict" || rule === "example") return;
  const format = formats[rule];
  if (format !== undefined) schema.format = format;
  if (rule === "email") schema.examples = ["someone@example.com"];
  let known: ReturnType<typeof textFormat>;
  try {
    known = textFormat(rule, operand, isStrict);
  } catch (error) {
    if (!(error instanceof UncompiledRule)) throw error;
    // Addresses and URIs, for which there is no pattern here. Only a relative reference may be empty.
    if (format !== undefined && rule !== "uri_ref") schema.minLength = Math.max(schema.minLength ?? 0, 1);
    return;
  }
  if (known === undefined) return;
  if (known.pattern !== undefined) patterns.push(known.pattern.source);
  else if (known.refusesEmpty) schema.minLength = Math.max(schema.minLength ?? 0, 1);
}

/** Text as a pattern that matches nothing else. */
function literally(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}

/** Bytes, in base64, by the rules of kind `bytes`. */
export function bytesSchema(rules: DeclaredRules): Schema {
  const schema: Writable = { type: "string", contentEncoding: "base64", pattern: base64 };
  const refused: Schema[] = [];
  const sizes: Schema[] = [];
  for (const [rule, operand] of rules) {
    switch (rule) {
      case "const":
        schema.const = base64Of(operand as Uint8Array);
        break;
      case "len":
        sizes.push(sizeOf(Number(operand)));
        break;
      case "min_len":
        schema.minLength = base64Length(Number(operand));
        break;
      case "max_len":
        schema.maxLength = base64Length(Number(operand));
        break;
      case "in":
        schema.enum = anyOf((operand as readonly Uint8Array[]).map(base64Of)).enum;
        break;
      case "not_in":
        refused.push(anyOf((operand as readonly Uint8Array[]).map(base64Of)));
        break;
      case "ip":
        if (operand === true) sizes.push({ anyOf: [sizeOf(4), sizeOf(16)] });
        break;
      case "ipv4":
        if (operand === true) sizes.push(sizeOf(4));
        break;
      case "ipv6":
      case "uuid":
        if (operand === true) sizes.push(sizeOf(16));
    }
  }
  return { ...schema, ...(sizes.length > 0 ? { allOf: sizes } : {}), ...unless(refused) };
}

/** Three bytes are four characters; how many of the last three there are is in the padding. */
function sizeOf(bytes: number): Schema {
  const length = base64Length(bytes);
  if (bytes === 0) return { maxLength: 0 };
  return { minLength: length, maxLength: length, pattern: `[^=]${"=".repeat((3 - (bytes % 3)) % 3)}$` };
}

function base64Length(bytes: number): number {
  return Math.ceil(bytes / 3) * 4;
}

export function base64Of(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}
