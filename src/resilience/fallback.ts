import { RejectedError } from "../errors/index.ts";
import { classifyError } from "./classify.ts";
import { functionOption, knownOptions } from "./options.ts";
import { machineOf, type PartOptions, partOptionNames, type RunOptions, type Work } from "./part.ts";
import { planOf, type Recovery } from "./plan.ts";
import { execute } from "./run.ts";

export interface FallbackOptions extends PartOptions {
  /** Which errors are answered. @default failures of the target and rejections, not answers such as `not_found` */
  readonly when?: ((error: unknown) => boolean) | undefined;
}

/** Whether an error says that the target cannot answer now, rather than being its answer. */
export function isOutage(error: unknown): boolean {
  return error instanceof RejectedError || classifyError(error) === "failure";
}

/** Answers in place of a target that cannot. Made by {@link fallback}. */
export class Fallback<F> implements Recovery {
  readonly #value: F | ((error: unknown) => F | PromiseLike<F>);
  readonly #when: (error: unknown) => boolean;
  readonly #alone;

  /** @throws TypeError when an option is wrong */
  constructor(value: F | ((error: unknown) => F | PromiseLike<F>), options: FallbackOptions = {}, path = "fallback") {
    knownOptions(path, options, [...partOptionNames, "when"]);
    functionOption(`${path}.when`, options.when);
    this.#value = value;
    this.#when = options.when ?? isOutage;
    this.#alone = planOf(machineOf(options), { name: options.name, recovery: this });
  }

  remember(): void {}

  recover(error: unknown): { readonly value: unknown } | undefined {
    if (!this.#when(error)) return undefined;
    const value = this.#value;
    return { value: typeof value === "function" ? (value as (error: unknown) => unknown)(error) : value };
  }

  /** Guards one piece of work. @throws errors that are not answered, and what the fallback itself throws */
  run<T>(work: Work<T>, options?: RunOptions): Promise<T | F> {
    return execute<T | F>(this.#alone, work, options);
  }
}

/**
 * A value, or a function that makes one from the error, for when the target cannot answer. The caller's own abort is not
 * answered: nobody waits any more.
 *
 * ```ts
 * const stock = await fallback({ level: 0 }).run(signal => fetchStock("product-1", signal));
 * ```
 *
 * @throws TypeError when an option is wrong
 */
export function fallback<F>(
  value: F | ((error: unknown) => F | PromiseLike<F>),
  options: FallbackOptions = {},
): Fallback<F> {
  return new Fallback(value, options);
}
