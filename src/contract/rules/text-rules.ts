import { type Check, inOrder, listText, UncompiledRule } from "./check.ts";
import type { DeclaredRules } from "./declared-rules.ts";
import { linearPattern } from "./linear-pattern.ts";
import { type TextFormat, textFormat } from "./text-formats.ts";

/** In the order in which they are judged; then the format, of which there is one at most. */
const textRules = [
  "const",
  "len",
  "min_len",
  "max_len",
  "len_bytes",
  "min_bytes",
  "max_bytes",
  "pattern",
  "prefix",
  "suffix",
  "contains",
  "not_contains",
  "in",
  "not_in",
] as const;

type TextRule = (typeof textRules)[number];

export function textCheck(rules: DeclaredRules): Check | undefined {
  const checks = textRules.map(rule => (rules.has(rule) ? checkOf(rule, rules.get(rule)) : undefined));
  for (const [rule, operand] of rules) {
    if (textRules.some(known => known === rule) || rule === "strict" || rule === "example") continue;
    const format = textFormat(rule, operand, rules.get("strict") !== false);
    checks.push(format === undefined ? undefined : formatCheck(format));
  }
  return inOrder(checks);
}

function checkOf(rule: TextRule, operand: unknown): Check | undefined {
  const name = `string.${rule}`;
  const text = operand as string;
  const list = operand as readonly string[];
  const count = operand as bigint;
  switch (rule) {
    case "const":
      return refuse(value => value !== text, name, `must equal \`${text}\``);
    case "len":
      return refuse(value => BigInt(characters(value)) !== count, name, `must be ${count} characters`);
    case "min_len":
      // A character is one or two units: most texts need not be counted.
      return refuse(
        value => value.length < count || (value.length < 2n * count && characters(value) < count),
        name,
        `must be at least ${count} characters`,
      );
    case "max_len":
      return refuse(
        value => value.length > count && (value.length > 2n * count || characters(value) > count),
        name,
        `must be at most ${count} characters`,
      );
    case "len_bytes":
      return refuse(value => BigInt(Buffer.byteLength(value)) !== count, name, `must be ${count} bytes`);
    case "min_bytes":
      return refuse(value => Buffer.byteLength(value) < count, name, `must be at least ${count} bytes`);
    case "max_bytes":
      return refuse(value => Buffer.byteLength(value) > count, name, `must be at most ${count} bytes`);
    case "pattern": {
      const pattern = linearPattern(text);
      if (pattern === undefined) throw new UncompiledRule(`string.pattern ${text}`);
      return refuse(value => !pattern.test(value), name, `does not match regex pattern \`${text}\``);
    }
    case "prefix":
      return refuse(value => !value.startsWith(text), name, `does not have prefix \`${text}\``);
    case "suffix":
      return refuse(value => !value.endsWith(text), name, `does not have suffix \`${text}\``);
    case "contains":
      return refuse(value => !value.includes(text), name, `does not contain substring \`${text}\``);
    case "not_contains":
      return refuse(value => value.includes(text), name, `contains substring \`${text}\``);
    case "in":
      return refuse(value => !list.includes(value), name, `must be in list ${listText(list)}`);
    case "not_in":
      return refuse(value => list.includes(value), name, `must not be in list ${listText(list)}`);
  }
}

function refuse(isRefused: (value: string) => boolean, rule: string, message: string): Check {
  return (value, judgement) => {
    if (isRefused(value as string)) judgement.violated(rule, message);
  };
}

function formatCheck({ rule, name, isValid, refusesEmpty }: TextFormat): Check {
  return (value, judgement) => {
    if (value === "" && refusesEmpty) {
      judgement.violated(`string.${rule}_empty`, `value is empty, which is not a valid ${name}`);
    } else if (!isValid(value as string)) judgement.violated(`string.${rule}`, `must be a valid ${name}`);
  };
}

/** Unicode code points. */
function characters(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}
