import { BrokerError } from "./errors.ts";

/** Checks of single options. @throws BrokerError, each, that names the option, what it is and what it may be */

export function number(
  where: string,
  name: string,
  value: unknown,
  byDefault: number,
  min: number,
  max: number,
  isWhole = false,
): number {
  if (value === undefined) return byDefault;
  if (typeof value === "number" && value >= min && value <= max && (!isWhole || Number.isInteger(value))) return value;
  const what = isWhole ? "a whole number" : "a number";
  throw new BrokerError(`${where}: ${name} is ${quoted(value)}; it must be ${what} from ${min} to ${max}`);
}

export function choice<T extends string>(
  where: string,
  name: string,
  value: unknown,
  byDefault: T,
  all: readonly T[],
): T {
  if (value === undefined) return byDefault;
  if (all.includes(value as T)) return value as T;
  const list = all.map(one => `"${one}"`).join(", ");
  throw new BrokerError(`${where}: ${name} is ${quoted(value)}; it must be one of ${list}`);
}

export function onlyKnown(where: string, given: object, names: readonly string[]): void {
  if (typeof given !== "object" || given === null) throw new BrokerError(`${where}: expected an object of options`);
  for (const name of Object.keys(given)) {
    if (!names.includes(name)) {
      throw new BrokerError(`${where}: there is no option "${name}"; the options are ${names.join(", ")}`);
    }
  }
}

export function quoted(value: unknown): string {
  if (typeof value === "string") return `"${value.slice(0, 100)}"`;
  return typeof value === "object" || typeof value === "function" ? `a value of type ${typeof value}` : String(value);
}
