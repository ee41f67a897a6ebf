/**
 * Options are judged once, when a policy is made: a mistake in configuration must not wait for the first failure in
 * production. Messages name the option, the value and the range.
 */
export interface NumberRange {
  readonly min: number;
  readonly max: number;
  readonly integer?: boolean;
  /** Part of the message, for example "ms". */
  readonly unit?: string;
}

/** The longest time that any option takes: 24 days, what every timer in Node can express. */
const longestMs = 2 ** 31 - 1;

/** A duration that is waited or measured. */
export const durationMs: NumberRange = { min: 1, max: longestMs, unit: "ms" };
/** The same, where 0 has a meaning. */
export const durationOrZeroMs: NumberRange = { min: 0, max: longestMs, unit: "ms" };
/** A share of a whole. */
export const share: NumberRange = { min: Number.MIN_VALUE, max: 1 };
/** How many there are of something, at least one. */
export const count: NumberRange = { min: 1, max: 1_000_000, integer: true };

/** The number given, or the default. @throws RangeError, TypeError */
export function numberOption(path: string, value: unknown, byDefault: number, range: NumberRange): number {
  if (value === undefined) return byDefault;
  const kind = range.integer === true ? "a whole number" : "a number";
  const unit = range.unit === undefined ? "" : ` ${range.unit}`;
  const min = range.min === Number.MIN_VALUE ? "above 0" : `from ${range.min}`;
  const wanted = `${kind} ${min} to ${range.max}${unit}`;
  if (typeof value !== "number") throw new TypeError(`${path}: expected ${wanted}, got ${described(value)}`);
  const isWrong = !(value >= range.min && value <= range.max) || (range.integer === true && !Number.isInteger(value));
  if (isWrong) throw new RangeError(`${path}: expected ${wanted}, got ${value}`);
  return value;
}

/** One of several words. @throws RangeError */
export function choiceOption<T extends string>(path: string, value: T | undefined, byDefault: T, all: readonly T[]): T {
  if (value === undefined) return byDefault;
  if (all.includes(value)) return value;
  throw new RangeError(`${path}: expected ${all.map(word => `"${word}"`).join(", ")}, got ${described(value)}`);
}

/** A function, when there is one. @throws TypeError */
export function functionOption(path: string, value: unknown): void {
  if (value === undefined || typeof value === "function") return;
  throw new TypeError(`${path}: expected a function, got ${described(value)}`);
}

/** Yes or no, when it is said: text such as "false" would count as yes. @throws TypeError */
export function booleanOption(path: string, value: unknown): void {
  if (value === undefined || typeof value === "boolean") return;
  throw new TypeError(`${path}: expected true or false, got ${described(value)}`);
}

/** Refuses what is not an object, and names that mean nothing, which are most often misspelt. @throws TypeError */
export function knownOptions(path: string, given: unknown, names: readonly string[]): void {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new TypeError(`${path}: expected an object of options, got ${described(given)}`);
  }
  for (const name of Object.keys(given)) {
    if (!names.includes(name)) {
      throw new TypeError(`${path}: there is no option "${name}"; the options are ${names.join(", ")}`);
    }
  }
}

/** Two options that cannot both be meant. */
export function contradiction(path: string, text: string): RangeError {
  return new RangeError(`${path}: ${text}`);
}

function described(value: unknown): string {
  if (typeof value === "string") return `"${value.slice(0, 60)}"`;
  if (value === null) return "null";
  return typeof value === "object" || typeof value === "function" ? `a value of type ${typeof value}` : String(value);
}
