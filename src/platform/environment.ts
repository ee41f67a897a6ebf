/**
 * Options from the environment: the only file of the library that reads `process.env`. The option `maxConnections` is
 * `TRUNKLINE_MAX_CONNECTIONS`. An empty value counts as absent.
 */

/** Variables by name, as in `process.env`. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** A variable that cannot be used; the message names it, its value and what was expected. */
export class EnvironmentError extends Error {
  override readonly name = "EnvironmentError";
  readonly variable: string;
  constructor(variable: string, value: string, expected: string) {
    super(`${variable}=${JSON.stringify(value)} is not ${expected}`);
    this.variable = variable;
  }
}

const durationUnitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Typed readers; every one answers `undefined` when the variable is absent. */
export class Environment {
  readonly #variables: Variables;
  readonly #prefix: string;

  /** @param prefix before each name @default "TRUNKLINE_" */
  constructor(variables: Variables = process.env, prefix = "TRUNKLINE_") {
    this.#variables = variables;
    this.#prefix = prefix;
  }

  /** The variable of an option: `maxConnections` → `TRUNKLINE_MAX_CONNECTIONS`. */
  variable(option: string): string {
    const words = option.replace(/([a-z0-9])([A-Z])/g, "$1_$2").replace(/[^A-Za-z0-9]+/g, "_");
    return this.#prefix + words.toUpperCase();
  }

  text(option: string): string | undefined {
    const value = this.#variables[this.variable(option)]?.trim();
    return value === "" ? undefined : value;
  }

  /** @throws EnvironmentError when the value is none of `choices` */
  oneOf<const T extends string>(option: string, choices: readonly T[]): T | undefined {
    const value = this.text(option);
    if (value === undefined) return undefined;
    const found = choices.find(choice => choice === value);
    if (found === undefined) throw this.#error(option, value, `one of ${choices.join(", ")}`);
    return found;
  }

  /** @throws EnvironmentError unless the value is a decimal integer in the range */
  integer(option: string, min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER): number | undefined {
    const value = this.text(option);
    if (value === undefined) return undefined;
    const number = /^[+-]?[0-9]{1,16}$/.test(value) ? Number(value) : Number.NaN;
    if (!(number >= min && number <= max)) throw this.#error(option, value, `an integer from ${min} to ${max}`);
    return number;
  }

  /** `true`, `1`, `yes`, `on` and their opposites, in any case. @throws EnvironmentError on anything else */
  flag(option: string): boolean | undefined {
    const value = this.text(option);
    if (value === undefined) return undefined;
    if (/^(true|1|yes|on)$/i.test(value)) return true;
    if (/^(false|0|no|off)$/i.test(value)) return false;
    throw this.#error(option, value, `"true" or "false"`);
  }

  /** A time such as `500ms`, `1.5s`, `5m`, `2h`; in milliseconds. @throws EnvironmentError when there is no unit */
  durationMs(option: string): number | undefined {
    const value = this.text(option);
    if (value === undefined) return undefined;
    const match = /^([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)$/.exec(value);
    const unitMs = durationUnitMs[match?.[2] ?? ""];
    if (match === null || unitMs === undefined)
      throw this.#error(option, value, `a time such as "500ms", "30s" or "5m"`);
    return Number(match[1]) * unitMs;
  }

  /** Values between commas, blanks trimmed, empty ones dropped. */
  list(option: string): readonly string[] | undefined {
    return this.text(option)
      ?.split(",")
      .map(item => item.trim())
      .filter(item => item !== "");
  }

  #error(option: string, value: string, expected: string): EnvironmentError {
    return new EnvironmentError(this.variable(option), value, expected);
  }
}
