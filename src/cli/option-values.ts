import { type CommandInput, UsageError } from "./command.ts";

/**
 * A whole number of an option.
 * @throws UsageError for anything else
 */
export function wholeNumber(input: CommandInput, option: string, min: number): number | undefined {
  const text = input.one(option);
  if (text === undefined) return undefined;
  const value = /^[0-9]{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min)) throw new UsageError(`--${option} is "${text}"; it must be a whole number from ${min}`);
  return value;
}

/** A number above zero, such as `0.5`. @throws UsageError for anything else */
export function positiveNumber(input: CommandInput, option: string): number | undefined {
  const text = input.one(option);
  if (text === undefined) return undefined;
  const value = /^[0-9]{1,9}(?:\.[0-9]{1,9})?$/.test(text) ? Number(text) : Number.NaN;
  if (!(value > 0)) throw new UsageError(`--${option} is "${text}"; it must be a number above 0`);
  return value;
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of a text such as `90s`, `15m`, `2h` or `7d`. */
function durationOf(text: string): number | undefined {
  const match = /^([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)$/.exec(text);
  return match === null ? undefined : Number(match[1]) * (unitMs[match[2] as string] as number);
}

/** @throws UsageError for what is no time such as `90s` */
export function durationMs(input: CommandInput, option: string): number | undefined {
  const text = input.one(option);
  if (text === undefined) return undefined;
  const value = durationOf(text);
  if (value === undefined) throw new UsageError(`--${option} is "${text}"; it must be a time such as 90s, 15m or 2h`);
  return value;
}

/**
 * A moment: `15m` is a quarter of an hour ago, anything else a date of ISO 8601.
 * @returns milliseconds since 1970-01-01 UTC
 * @throws UsageError for what is neither
 */
export function momentMs(input: CommandInput, option: string, nowMs: number): number | undefined {
  const text = input.one(option);
  if (text === undefined) return undefined;
  const agoMs = durationOf(text);
  if (agoMs !== undefined) return nowMs - agoMs;
  const isDate = /^[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9:.]{5,12}(?:Z|[+-][0-9]{2}:[0-9]{2})?)?$/.test(text);
  const value = isDate ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(value)) {
    throw new UsageError(
      `--${option} is "${text}"; it must be a time ago such as 15m, or a date such as 2026-01-31T08:00Z`,
    );
  }
  return value;
}

/** Values such as `name=value`. @throws UsageError for one without a name or `=` */
export function assignments(input: CommandInput, option: string): Readonly<Record<string, string>> {
  const found = new Map<string, string>();
  for (const text of input.all(option)) {
    const at = text.indexOf("=");
    if (at < 1) throw new UsageError(`--${option} is "${text}"; it must be name=value`);
    found.set(text.slice(0, at).toLowerCase(), text.slice(at + 1));
  }
  return Object.fromEntries(found);
}
