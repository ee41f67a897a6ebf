/** How the functions of a codec come to be: as source text compiled by the engine, or as closures over the same plan. */
export type Backend = "generated" | "closures";

let detected: Backend | undefined;

/** `generated` unless the process forbids code generation from strings (`--disallow-code-generation-from-strings`). */
export function defaultBackend(): Backend {
  if (detected === undefined) {
    try {
      detected = new Function("return true")() === true ? "generated" : "closures";
    } catch {
      detected = "closures";
    }
  }
  return detected;
}

/**
 * Source text together with the objects it refers to. Nothing of a descriptor is ever written into the text except
 * numbers and string literals that `JSON.stringify` made, so no name can become code.
 */
export class SourceUnit {
  readonly #names: string[] = [];
  readonly #values: unknown[] = [];
  readonly #known = new Map<unknown, string>();
  #body = "";

  /** The name under which the text refers to an object. */
  ref(value: unknown, prefix = "r"): string {
    const known = this.#known.get(value);
    if (known !== undefined) return known;
    const name = `${prefix}${this.#names.length}`;
    this.#names.push(name);
    this.#values.push(value);
    this.#known.set(value, name);
    return name;
  }

  line(text: string): void {
    this.#body += `${text}\n`;
  }

  /** Compiles the text, which must `return` what the caller wants. */
  build(): unknown {
    return new Function(...this.#names, `"use strict";\n${this.#body}`)(...this.#values);
  }

  get text(): string {
    return this.#body;
  }
}

/** A string literal. */
export function literal(text: string): string {
  return JSON.stringify(text);
}

/** Access to a property. */
export function member(object: string, name: string): string {
  return `${object}[${JSON.stringify(name)}]`;
}

/** A key in an object literal; computed, because a plain `"__proto__":` would set the prototype. */
export function literalKey(name: string): string {
  return name === "__proto__" ? `["__proto__"]` : JSON.stringify(name);
}
