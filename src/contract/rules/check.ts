import type { Judgement } from "./judgement.ts";

/** Holds one value to its rules. */
export type Check = (value: unknown, judgement: Judgement) => void;

/** A rule that is not compiled here, so that protovalidate judges the whole message: an expression, or one of other syntax. */
export class UncompiledRule extends Error {
  override readonly name = "UncompiledRule";
}

/** All of the checks, in this order; `undefined` when there is none. */
export function inOrder(checks: readonly (Check | undefined)[]): Check | undefined {
  const present = checks.filter(check => check !== undefined);
  const [first, second] = present;
  if (second === undefined) return first;
  return (value, judgement) => {
    for (const check of present) check(value, judgement);
  };
}

/** `[a, b]`, as violations show lists. */
export function listText(values: readonly unknown[], text: (value: unknown) => string = String): string {
  return `[${values.map(text).join(", ")}]`;
}
